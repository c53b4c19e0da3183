//! What a pass over a Database knows of it, beside what every pass knows of its object.

use std::fmt::Write as _;
use std::sync::Arc;

use kube::{Api, Client, ResourceExt};

use super::blocked::Blocked;
use super::view::View;
use super::{Context, drift};
use crate::api::database::DatabaseStatus;
use crate::api::{
    Condition, Database, DatabaseInstance, DatabaseReason, DatabaseState, InstanceReason,
    RECONCILE_REQUESTED_AT, RELEASE, Report,
};
use crate::controller::{self, Error, Reports};
use crate::provider::Claimant;
use crate::server::Server;
use crate::server::resolve::Unusable;
use crate::server::tenancy::Tenancy;

/// A Database in the course of a pass. What it holds is the instance, as the Database's namespace may use it.
pub(super) type Pass<'a> = controller::Pass<'a, Database, Tenancy>;

impl Reports for Database {
    const MANAGER: &'static str = "db-operator-database";
    const ACTION: &'static str = "Reconcile";

    fn api(&self, client: &Client) -> Api<Self> {
        Api::namespaced(client.clone(), &self.namespace().unwrap_or_default())
    }

    fn reported(status: &mut DatabaseStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }
}

/// Looks a Database's instance up. Client required only where the instance selects namespaces by label.
pub(super) async fn tenancy(context: &Context, database: &Database) -> Result<Tenancy, Error> {
    let namespace = database.namespace().unwrap_or_default();
    let tenancy = Tenancy::read(
        &context.instances,
        &context.client,
        &context.failure_log,
        &database.spec.instance_ref.name,
        &namespace,
    );
    Ok(tenancy.await?)
}

impl Pass<'_> {
    /// Its instance, as its namespace may use it.
    pub(super) fn tenancy(&self) -> &Tenancy {
        &self.opened
    }

    /// What an observation may use.
    pub(super) fn view(&self) -> View<'_> {
        View::new(self.context, &self.object, &self.opened)
    }

    /// The server, if it may be used for this Database.
    pub(super) fn server(&self) -> Result<(Arc<DatabaseInstance>, Arc<Server>), Blocked> {
        self.opened
            .server_for(self.object.holder())
            .map_err(|unusable| self.blocked(&unusable))
    }

    /// What a server that may not be used means for this Database.
    fn blocked(&self, unusable: &Unusable) -> Blocked {
        let mut message = unusable.to_string();
        match unusable {
            Unusable::NotFound { .. } if self.is_deleting() => {
                let release = format!("{RELEASE}={}", self.object.sql_name());
                let _ = write!(
                    message,
                    ": the deletion continues when it exists again; if it does not come back, set the annotation {release} to \
                     let the object go and leave everything on the server"
                );
            }
            Unusable::NotAllowed { .. } => message.push_str(": nothing is changed on the server"),
            Unusable::NotFound { .. } | Unusable::NotReady { .. } | Unusable::Moved { .. } => {}
        }
        let reason = why_not(unusable, self.object.holder());
        Blocked::new(reason, message)
    }

    /// In whose name its claims are made.
    pub(super) fn claimant(&self) -> Claimant {
        drift::claimant(&self.object, &self.context.cluster_id)
    }

    /// Where it is in its life.
    pub(super) fn state(&self) -> Option<DatabaseState> {
        self.object.state()
    }

    /// The value of an annotation that asks for something that was not done yet.
    pub(super) fn requested(&self, key: &str) -> Option<&String> {
        requested(&self.object, key)
    }

    /// Whether all that is asked for has to be brought about, whatever the server shows: the spec was changed, someone
    /// asked for a look, or the last pass that did so did not reach its end.
    pub(super) fn is_asked(&self) -> bool {
        is_unfinished(&self.object)
            || self.is_changed()
            || self.requested(RECONCILE_REQUESTED_AT).is_some()
    }

    /// Whether the spec was changed since a pass last saw it.
    pub(super) fn is_changed(&self) -> bool {
        self.status().and_then(|status| status.observed_generation)
            != self.object.metadata.generation
    }

    /// Reports, for a pass that did all that was asked for.
    pub(super) async fn conclude(
        &mut self,
        mut next: DatabaseStatus,
        report: &Report,
    ) -> Result<(), Error> {
        if let Some(value) = self.object.annotations().get(RECONCILE_REQUESTED_AT) {
            next.handled
                .insert(RECONCILE_REQUESTED_AT.to_owned(), value.clone());
        }
        self.report(next, report).await
    }
}

/// The value of an annotation that asks for something that was not done yet.
pub(super) fn requested<'a>(database: &'a Database, key: &str) -> Option<&'a String> {
    let value = database.annotations().get(key)?;
    let handled = database.status.as_ref().and_then(|it| it.handled.get(key));
    (handled != Some(value)).then_some(value)
}

/// What a server that may not be used by anyone means for a Database that is held by the server `holder`, if by any. An
/// outage passes. Another server in the place of the holder is for a person to judge, and the database is not there.
fn why_not(unusable: &Unusable, holder: Option<&str>) -> DatabaseReason {
    match unusable {
        Unusable::Moved { .. } => DatabaseReason::ServerChanged,
        Unusable::NotReady {
            reason: InstanceReason::IdentityChanged,
            ..
        } if holder.is_some() => DatabaseReason::ServerChanged,
        Unusable::NotReady { .. } => DatabaseReason::InstanceNotReady,
        Unusable::NotFound { .. } => DatabaseReason::InstanceNotFound,
        Unusable::NotAllowed { .. } => DatabaseReason::NamespaceNotAllowed,
    }
}

/// Whether something that this generation asks for is not done: no pass over it has reached its end, or a later one was
/// stopped.
fn is_unfinished(database: &Database) -> bool {
    let settled = database
        .status
        .as_ref()
        .and_then(|status| status.settled_generation);
    settled != database.metadata.generation
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn another_server_in_the_place_of_the_holder_is_no_outage() {
        let unusable = |reason| Unusable::NotReady {
            instance: "main".to_owned(),
            reason,
            message: String::new(),
        };
        let changed = unusable(InstanceReason::IdentityChanged);
        for (unusable, holder, expected) in [
            (&changed, Some("one"), DatabaseReason::ServerChanged),
            // Nothing of it was anywhere yet.
            (&changed, None, DatabaseReason::InstanceNotReady),
            (
                &unusable(InstanceReason::Unreachable),
                Some("one"),
                DatabaseReason::InstanceNotReady,
            ),
        ] {
            assert_eq!(why_not(unusable, holder), expected, "{unusable} {holder:?}");
        }
    }

    #[test]
    fn what_no_pass_has_finished_is_asked_for_again() {
        for (status, unfinished) in [
            (Value::Null, true),
            (json!({"observedGeneration": 2}), true),
            (
                json!({"observedGeneration": 2, "settledGeneration": 1}),
                true,
            ),
            (
                json!({"observedGeneration": 2, "settledGeneration": 2}),
                false,
            ),
        ] {
            let database: Database = serde_json::from_value(json!({
                "metadata": {"name": "orders", "generation": 2},
                "spec": {"instanceRef": {"name": "main"}}, "status": status,
            }))
            .unwrap();
            assert_eq!(is_unfinished(&database), unfinished, "{status}");
        }
    }
}
