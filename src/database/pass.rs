//! One pass over a Database: what it is about, where its server is, and how it ends.

use std::fmt::Write as _;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::ResourceExt;
use kube::api::Api;

use super::{drift, report};
use crate::api::database::DatabaseStatus;
use crate::api::{
    Database, DatabaseInstance, DatabaseReason, DatabaseState, RECONCILE_REQUESTED_AT, Reason,
    Report,
};
use crate::controller::Context;
use crate::error::Error;
use crate::instance::registry::{Entry, Standing};
use crate::instance::server::{Server, ServerError};
use crate::provider::{Claimant, ProviderError};
use crate::status::{self, When};

/// Writes the status of a Database.
const MANAGER: &str = "db-operator-database";

/// A Database in the course of a pass.
pub struct Pass<'a> {
    /// What every pass has at hand.
    pub context: &'a Context,
    /// The object as it was read, or as it was last written.
    pub database: Database,
    /// Its instance, if there is one.
    pub instance: Option<Entry>,
    /// Whether the instance accepts Databases from this namespace. Unknown instances accept none.
    pub allowed: bool,
}

/// How a pass ends that could not do what it was about. The conditions say so.
#[derive(Debug)]
pub struct Obstacle {
    /// The condition's reason.
    pub reason: DatabaseReason,
    /// Its message.
    pub message: String,
    /// Why it is tried again soon; none for what only a change can mend.
    pub retry: Option<Box<Error>>,
    /// What worked before does not any more, also where its reason alone would not say so.
    pub breaks: bool,
}

impl Obstacle {
    /// Something that only a person can mend.
    pub fn stalled(reason: DatabaseReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: None,
            breaks: false,
        }
    }
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        Self {
            reason: DatabaseReason::ServerError,
            message: error.to_string(),
            retry: Some(Box::new(error)),
            breaks: false,
        }
    }
}

impl From<ServerError> for Obstacle {
    fn from(error: ServerError) -> Self {
        let reason = match error.provider() {
            Some(ProviderError::NotPermitted { .. }) => DatabaseReason::MissingPrivileges,
            Some(ProviderError::Unsupported(_)) => DatabaseReason::Unsupported,
            Some(ProviderError::InTheWay(_)) => DatabaseReason::InTheWay,
            Some(
                ProviderError::Unreachable { .. }
                | ProviderError::Tls { .. }
                | ProviderError::LoginRefused { .. }
                | ProviderError::TooManyConnections { .. }
                | ProviderError::ReadOnly { .. }
                | ProviderError::IdentityChanged { .. },
            )
            | None => DatabaseReason::InstanceNotReady,
            Some(ProviderError::InDatabase { .. }) => DatabaseReason::DatabaseError,
            Some(
                ProviderError::Timeout { .. }
                | ProviderError::AllInUse { .. }
                | ProviderError::Busy { .. }
                | ProviderError::ClaimMoved { .. }
                | ProviderError::Unexpected { .. }
                | ProviderError::Superseded { .. }
                | ProviderError::NotLeading,
            ) => DatabaseReason::ServerError,
        };
        let message = error.to_string();
        let retry = (reason.outcome() != crate::api::Outcome::Stalled)
            .then(|| Box::new(Error::Server(error)));
        Self {
            reason,
            message,
            retry,
            breaks: false,
        }
    }
}

impl<'a> Pass<'a> {
    /// Begins a pass. Client required only where the instance selects namespaces by label.
    pub async fn begin(context: &'a Context, database: &Database) -> Result<Self, Error> {
        let instance = context.instances.get(&database.spec.instance_ref.name);
        let allowed = match &instance {
            Some(entry) => is_allowed(context, &entry.object, database).await?,
            None => false,
        };
        Ok(Self {
            context,
            database: database.clone(),
            instance,
            allowed,
        })
    }

    /// The server, if it may be used for this Database.
    pub fn server(&self) -> Result<(Arc<DatabaseInstance>, Arc<Server>), Obstacle> {
        let name = &self.database.spec.instance_ref.name;
        let Some(entry) = &self.instance else {
            let mut message =
                format!("there is no DatabaseInstance {name}, or it was not looked at yet");
            if self.database.metadata.deletion_timestamp.is_some() {
                let release = format!("{}={}", crate::api::RELEASE, self.database.sql_name());
                let _ = write!(
                    message,
                    ": the deletion goes on when it is there; if it does not come back, set the annotation {release} to let \
                     the object go and leave everything on the server"
                );
            }
            return Err(Obstacle::stalled(DatabaseReason::InstanceNotFound, message));
        };
        if !self.allowed {
            let namespace = self.namespace();
            let message = format!(
                "the instance {name} does not accept Databases from namespace {namespace} (its spec.allowedNamespaces): \
                 nothing is changed on the server"
            );
            return Err(Obstacle::stalled(
                DatabaseReason::NamespaceNotAllowed,
                message,
            ));
        }
        let server = match &entry.standing {
            Standing::Usable(server) => Arc::clone(server),
            Standing::Unusable { reason, message } => {
                let message = format!(
                    "instance {name} is not ready ({}): {message}",
                    reason.as_str()
                );
                return Err(Obstacle::stalled(DatabaseReason::InstanceNotReady, message));
            }
        };
        let claimed_on = self
            .status()
            .and_then(|status| status.claim.as_ref())
            .map(|claim| claim.server_identity.as_str());
        if claimed_on.is_some_and(|identity| identity != server.identity())
            && !self.is_acknowledged(server.identity())
        {
            let identity = server.identity();
            let message = format!(
                "instance {name} leads to another server ({identity}) than the one that holds this database ({}): if this one \
                 is to be used, set the annotation {}={identity} of the instance",
                claimed_on.unwrap_or_default(),
                crate::api::ACKNOWLEDGE_IDENTITY
            );
            return Err(Obstacle::stalled(DatabaseReason::ServerChanged, message));
        }
        Ok((Arc::clone(&entry.object), server))
    }

    /// Whether somebody said that this is the server now.
    fn is_acknowledged(&self, identity: &str) -> bool {
        let entry = self.instance.as_ref();
        entry.and_then(Entry::acknowledged) == Some(identity)
    }

    /// Whether nothing can have been made for this object anywhere: its instance does not exist, and no claim is known.
    /// (An instance that was used cannot go while a Database refers to it.)
    pub fn made_nothing(&self) -> bool {
        let name = &self.database.spec.instance_ref.name;
        self.instance.is_none()
            && self.status().is_none_or(|status| status.claim.is_none())
            && matches!(self.context.instance_object(name), Ok(None))
    }

    /// For whom names are claimed.
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

    /// Whether all that is asked for has to be brought about, whatever the server shows: the spec was changed, somebody
    /// asked for a look, or the last pass that did so did not reach its end.
    pub fn is_asked(&self) -> bool {
        let unfinished = self
            .status()
            .is_some_and(|status| report::is_unfinished(&status.conditions));
        unfinished || self.is_changed() || self.requested(RECONCILE_REQUESTED_AT).is_some()
    }

    /// Whether the spec was changed since a pass last saw it.
    pub fn is_changed(&self) -> bool {
        self.status().and_then(|status| status.observed_generation)
            != self.database.metadata.generation
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

/// Whether an instance accepts a Database's namespace. Client required where it selects namespaces by label.
pub async fn is_allowed(
    context: &Context,
    instance: &DatabaseInstance,
    database: &Database,
) -> Result<bool, Error> {
    let name = database.namespace().unwrap_or_default();
    let allowed = &instance.spec.allowed_namespaces;
    let labels = if allowed.selector.is_some() {
        let namespaces: Api<Namespace> = Api::all(context.client.clone());
        let namespace = namespaces
            .get_metadata_opt(&name)
            .await
            .map_err(Error::api("read the namespace"))?;
        namespace
            .map(|namespace| namespace.labels().clone())
            .unwrap_or_default()
    } else {
        std::collections::BTreeMap::new()
    };
    Ok(allowed.allows(&name, &labels).unwrap_or_else(|error| {
        let about = ("NamespaceSelector", String::new(), instance.name_any());
        let why = format!("spec.allowedNamespaces cannot be read, so it allows nothing: {error}");
        context.failure_log.failed(&about, "InvalidSelector", &why);
        false
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_inside_a_database_does_not_point_at_its_instance() {
        let server = "db.example:5432".to_owned();
        let failed = |source| {
            Obstacle::from(ServerError::Failed {
                instance: "main".to_owned(),
                source,
            })
        };
        let read_only = ProviderError::ReadOnly { server };
        let obstacle = failed(read_only.clone().in_database("orders"));
        assert_eq!(obstacle.reason, DatabaseReason::DatabaseError);
        assert!(obstacle.retry.is_some(), "it is tried again");
        assert!(
            obstacle.message.starts_with("database \"orders\": "),
            "{}",
            obstacle.message
        );
        assert!(!obstacle.message.contains("main"), "{}", obstacle.message);
        let obstacle = failed(read_only);
        assert_eq!(obstacle.reason, DatabaseReason::InstanceNotReady);
        assert!(
            obstacle.message.starts_with("instance main: "),
            "{}",
            obstacle.message
        );
    }
}
