//! One pass over a Database: what it holds, and how it writes what it found.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::view::{View, holder};
use super::{Context, drift};
use crate::api::database::DatabaseStatus;
use crate::api::{
    Database, DatabaseInstance, DatabaseReason, DatabaseState, RECONCILE_REQUESTED_AT, RELEASE,
    Report,
};
use crate::controller::status::{self, When};
use crate::controller::{Error, events, finalizer};
use crate::provider::Claimant;
use crate::server::Server;
use crate::server::resolve::Unusable;
use crate::server::tenancy::Tenancy;

/// Writes the status of a Database.
const MANAGER: &str = "db-operator-database";

/// A Database in the course of a pass.
pub struct Pass<'a> {
    /// What every pass can use.
    pub context: &'a Context,
    /// The object as it was read, or as it was last written.
    pub database: Database,
    /// Its instance, as its namespace may use it.
    pub tenancy: Tenancy,
}

impl<'a> Pass<'a> {
    /// Begins a pass. Client required only where the instance selects namespaces by label.
    pub async fn begin(context: &'a Context, database: &Database) -> Result<Self, Error> {
        let tenancy = Tenancy::read(
            &context.instances,
            &context.client,
            &context.failure_log,
            &database.spec.instance_ref.name,
            &database.namespace().unwrap_or_default(),
        )
        .await?;
        Ok(Self {
            context,
            database: database.clone(),
            tenancy,
        })
    }

    /// What an observation may use.
    pub fn view(&self) -> View<'_> {
        View::new(self.context, &self.database, &self.tenancy)
    }

    /// The server, if it may be used for this Database.
    pub fn server(&self) -> Result<(Arc<DatabaseInstance>, Arc<Server>), Blocked> {
        self.tenancy
            .server_for(holder(&self.database))
            .map_err(|unusable| self.blocked(&unusable))
    }

    /// What a server that may not be used means for this Database.
    fn blocked(&self, unusable: &Unusable) -> Blocked {
        let mut message = unusable.to_string();
        let reason = match unusable {
            Unusable::NotFound { .. } => {
                if self.database.metadata.deletion_timestamp.is_some() {
                    let release = format!("{RELEASE}={}", self.database.sql_name());
                    let _ = write!(
                        message,
                        ": the deletion continues when it exists again; if it does not come back, set the annotation {release} to \
                         let the object go and leave everything on the server"
                    );
                }
                DatabaseReason::InstanceNotFound
            }
            Unusable::NotAllowed { .. } => {
                message.push_str(": nothing is changed on the server");
                DatabaseReason::NamespaceNotAllowed
            }
            Unusable::NotReady { .. } => DatabaseReason::InstanceNotReady,
            Unusable::Moved { .. } => DatabaseReason::ServerChanged,
        };
        Blocked::new(reason, message)
    }

    /// In whose name its claims are made.
    pub fn claimant(&self) -> Claimant {
        drift::claimant(&self.database, &self.context.cluster_id)
    }

    /// Where it is in its life.
    pub fn state(&self) -> Option<DatabaseState> {
        self.database.state()
    }

    /// Its status, if it has one.
    pub fn status(&self) -> Option<&DatabaseStatus> {
        self.database.status.as_ref()
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        self.database.namespace().unwrap_or_default()
    }

    /// The objects of its kind in its namespace.
    pub fn api(&self) -> Api<Database> {
        Api::namespaced(self.context.client.clone(), &self.namespace())
    }

    /// The Secrets of its namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.context.client.clone(), &self.namespace())
    }

    /// The value of an annotation that asks for something that was not done yet.
    pub fn requested(&self, key: &str) -> Option<&String> {
        let value = self.database.annotations().get(key)?;
        let handled = self.status().and_then(|status| status.handled.get(key));
        (handled != Some(value)).then_some(value)
    }

    /// Whether all that is asked for has to be brought about, whatever the server shows: the spec was changed, someone
    /// asked for a look, or the last pass that did so did not reach its end.
    pub fn is_asked(&self) -> bool {
        is_unfinished(&self.database)
            || self.is_changed()
            || self.requested(RECONCILE_REQUESTED_AT).is_some()
    }

    /// Whether the spec was changed since a pass last saw it.
    pub fn is_changed(&self) -> bool {
        self.status().and_then(|status| status.observed_generation)
            != self.database.metadata.generation
    }

    /// Puts the finalizer on.
    pub async fn add_finalizer(&mut self) -> Result<(), Error> {
        self.database = finalizer::add(&self.api(), &self.database).await?;
        Ok(())
    }

    /// Tells a person what was done.
    pub async fn record_event(&self, kind: EventType, reason: &str, note: String) {
        let events = &self.context.events;
        events::record(events, &self.database, "Reconcile", kind, reason, note).await;
    }

    /// Persists a state. What was decided on an old copy of the object is refused.
    pub async fn persist(&mut self, next: DatabaseStatus) -> Result<(), Error> {
        if let Some(written) =
            status::write(&self.api(), MANAGER, &self.database, &next, When::Unchanged).await?
        {
            self.database = written;
        }
        Ok(())
    }

    /// Writes what a pass found into the conditions, with the rest of `next`; nothing where nothing changed.
    pub async fn report(&mut self, mut next: DatabaseStatus, report: &Report) -> Result<(), Error> {
        let generation = self.database.metadata.generation;
        next.observed_generation = generation;
        report.record(&mut next.conditions, generation, Timestamp::now());
        self.persist(next).await
    }

    /// The same, for a pass that did all that was asked for.
    pub async fn conclude(
        &mut self,
        mut next: DatabaseStatus,
        report: &Report,
    ) -> Result<(), Error> {
        if let Some(value) = self.database.annotations().get(RECONCILE_REQUESTED_AT) {
            next.handled
                .insert(RECONCILE_REQUESTED_AT.to_owned(), value.clone());
        }
        self.report(next, report).await
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
