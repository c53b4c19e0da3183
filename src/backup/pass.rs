//! One pass over a Backup: what it is about, and how it writes what it found.

use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::{Event, EventType};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use super::job;
use super::time_limit::TimeLimits;
use crate::api::backup::Upload;
use crate::api::destination::BackupDestination;
use crate::api::{Backup, BackupReason, BackupState, BackupStatus, Outcome, Reason, Report};
use crate::controller::Context;
use crate::error::Error;
use crate::instance::destination::{Destination, DestinationError};
use crate::instance::server::ServerError;
use crate::provider::ProviderError;
use crate::status::{self, When};
use crate::store::StoreError;

/// Writes the status of a Backup.
const MANAGER: &str = "db-operator-backup";

/// A Backup in the course of a pass.
pub struct Pass<'a> {
    /// What every pass has at hand.
    pub context: &'a Context,
    /// The object as it was read, or as it was last written.
    pub backup: Backup,
}

/// How a pass ends that could not do what it was about. The conditions say so.
#[derive(Debug)]
pub struct Obstacle {
    /// The condition's reason. One that only a person can mend ends a backup that has begun.
    pub reason: BackupReason,
    /// Its message.
    pub message: String,
    /// Why it is tried again soon; none for what only a change can mend.
    pub retry: Option<Box<Error>>,
}

impl Obstacle {
    /// Something that announces its change, or that only a person can mend.
    pub fn new(reason: BackupReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: None,
        }
    }

    /// Whether only a person can mend it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.reason.outcome() == Outcome::Stalled
    }
}

impl From<Error> for Obstacle {
    fn from(error: Error) -> Self {
        if let Error::Store(error) = error {
            return error.into();
        }
        Self {
            reason: BackupReason::Starting,
            message: error.to_string(),
            retry: Some(Box::new(error)),
        }
    }
}

impl From<ServerError> for Obstacle {
    fn from(error: ServerError) -> Self {
        let message = error.to_string();
        if let Some(ProviderError::NotPermitted { .. }) = error.provider() {
            return Self::new(BackupReason::MissingPrivileges, message);
        }
        Self {
            reason: BackupReason::WaitingForDatabase,
            message,
            retry: Some(Box::new(Error::Server(error))),
        }
    }
}

impl From<StoreError> for Obstacle {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if error.is_retryable() {
            Self {
                reason: BackupReason::StoreUnreachable,
                message,
                retry: Some(Box::new(Error::Store(error))),
            }
        } else {
            Self::new(BackupReason::StoreRefused, message)
        }
    }
}

impl From<DestinationError> for Obstacle {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Api(error) => error.into(),
            DestinationError::Missing(message) => Self::new(BackupReason::NoDestination, message),
            DestinationError::Store(error) => error.into(),
        }
    }
}

impl<'a> Pass<'a> {
    /// Begins a pass.
    pub fn new(context: &'a Context, backup: &Backup) -> Self {
        Self {
            context,
            backup: backup.clone(),
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> Option<BackupState> {
        self.backup.state()
    }

    /// Its status, or an empty one.
    pub fn status(&self) -> BackupStatus {
        self.backup.status.clone().unwrap_or_default()
    }

    /// Its UID.
    pub fn uid(&self) -> String {
        self.backup.uid().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> String {
        self.backup.namespace().unwrap_or_default()
    }

    /// The name of its Job.
    pub fn job_name(&self) -> String {
        job::name(&self.backup)
    }

    /// Whether the object is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.backup.metadata.deletion_timestamp.is_some()
    }

    /// The upload as it was persisted. A backup that began has one, unless somebody edited its status.
    pub fn upload(&self) -> Result<Upload, Obstacle> {
        self.backup
            .status
            .as_ref()
            .and_then(|status| status.upload.clone())
            .ok_or_else(|| {
                let message = "status.upload is gone: the status is the operator's alone";
                Obstacle::new(BackupReason::UploadMismatch, message)
            })
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        let begun = self.backup.status.as_ref().and_then(|s| s.started_at);
        begun.unwrap_or_else(Timestamp::now)
    }

    /// How long it may take and stand still, as it asks for and its instance allows.
    pub fn limits(&self) -> TimeLimits {
        let source = self.backup.status.as_ref().and_then(|s| s.source.as_ref());
        // Where the instance is not known, there is nothing to ask it for.
        let settings = source.and_then(|source| self.settings(&source.instance).ok()?);
        TimeLimits::of(&self.backup, settings.as_ref())
    }

    /// How long it may take.
    pub fn deadline(&self) -> SignedDuration {
        self.limits().deadline.time
    }

    /// The UID of the Job that was created for it, as it was persisted.
    pub fn job_uid(&self) -> Option<String> {
        let upload = self.backup.status.as_ref()?.upload.as_ref()?;
        upload.job_uid.clone()
    }

    /// The objects of a kind in its namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.context.client.clone(), &self.namespace())
    }

    /// The store that the backup was begun in.
    pub async fn destination(&self) -> Result<Destination, Obstacle> {
        let status = self.status();
        let name = status.source.map(|source| source.instance);
        let settings = match &name {
            Some(name) => self.settings(name)?,
            None => None,
        };
        let (Some(name), Some(mut settings)) = (name, settings) else {
            let message = "the instance that the backup was begun on, or its spec.backup, is gone";
            return Err(Obstacle::new(BackupReason::NoDestination, message));
        };
        if let Some(upload) = status.upload {
            settings.s3.bucket = upload.bucket;
        }
        let opened = self.context.destinations.open(
            &self.context.client,
            &self.context.namespace,
            &name,
            &settings,
        );
        Ok(opened.await?)
    }

    /// `spec.backup` of an instance. After a restart it may not have been looked at yet, which does not mean that it is gone.
    fn settings(&self, instance: &str) -> Result<Option<BackupDestination>, Error> {
        if let Some(entry) = self.context.instances.get(instance) {
            return Ok(entry.object.spec.backup.clone());
        }
        let found = self.context.instance_object(instance)?;
        Ok(found.and_then(|instance| instance.spec.backup))
    }

    /// Has the keys of its store read again.
    pub fn suspect_keys(&self) {
        let status = self.status();
        if let (Some(source), Some(upload)) = (status.source, status.upload) {
            self.context
                .destinations
                .suspect(&source.instance, &upload.bucket);
        }
    }

    /// The client asks nothing once this process does not lead; this is for what does not go through it.
    pub fn check_leadership(&self) -> Result<(), Error> {
        if self.context.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }

    /// Persists a status. What was decided on an old copy of the object is refused.
    pub async fn persist(&mut self, next: BackupStatus) -> Result<(), Error> {
        if let Some(written) =
            status::write(&self.api(), MANAGER, &self.backup, &next, When::Unchanged).await?
        {
            self.backup = written;
        }
        Ok(())
    }

    /// Persists a status with what the conditions say of it.
    pub async fn report(
        &mut self,
        mut next: BackupStatus,
        reason: BackupReason,
        message: impl Into<String>,
    ) -> Result<(), Error> {
        let generation = self.backup.metadata.generation;
        next.observed_generation = generation;
        Report::new(reason, message).record(&mut next.conditions, generation, Timestamp::now());
        self.persist(next).await
    }

    /// Has its Database looked at.
    pub fn tell_database(&self) {
        tell_database(self.context, &self.backup);
    }

    /// Tells a person. Never fails: in a namespace that is going there are no Events.
    pub async fn tell(&self, kind: EventType, reason: &str, note: &str) {
        tracing::info!(reason, note, "event");
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            // The API server's limit is 1,024 bytes.
            note: Some(note.chars().take(250).collect()),
            action: "BackUp".to_owned(),
            secondary: None,
        };
        let about = self.backup.object_ref(&());
        if let Err(error) = self.context.events.publish(&event, &about).await {
            tracing::debug!(%error, "an Event was not published");
        }
    }
}

/// Has the Database of a Backup looked at.
pub fn tell_database(context: &Context, backup: &Backup) {
    let key = ObjectRef::new(&backup.spec.database_ref.name)
        .within(&backup.database_namespace().unwrap_or_default());
    let known = context.databases.get().and_then(|store| store.get(&key));
    if let Some(database) = known {
        context.look_at(&database);
    }
}
