//! One pass over a Backup: what it is about, and how it writes what it found.

use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};

use super::Context;
use super::blocked::Blocked;
use crate::api::backup::Upload;
use crate::api::destination::BackupDestination;
use crate::api::{Backup, BackupReason, BackupState, BackupStatus, Report};
use crate::controller::status::{self, When};
use crate::controller::{Error, events};
use crate::job;
use crate::job::time_limit::TimeLimits;
use crate::store::Destination;

/// Writes the status of a Backup.
const MANAGER: &str = "db-operator-backup";

/// A Backup in the course of a pass.
pub struct Pass<'a> {
    /// What every pass has at hand.
    pub context: &'a Context,
    /// The object as it was read, or as it was last written.
    pub backup: Backup,
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
    pub fn upload(&self) -> Result<Upload, Blocked> {
        self.backup
            .status
            .as_ref()
            .and_then(|status| status.upload.clone())
            .ok_or_else(|| {
                let message = "status.upload is gone: the status is the operator's alone";
                Blocked::new(BackupReason::UploadMismatch, message)
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
    pub async fn destination(&self) -> Result<Destination, Blocked> {
        let status = self.status();
        let name = status.source.map(|source| source.instance);
        let settings = match &name {
            Some(name) => self.settings(name)?,
            None => None,
        };
        let (Some(name), Some(mut settings)) = (name, settings) else {
            let message = "the instance that the backup was begun on, or its spec.backup, is gone";
            return Err(Blocked::new(BackupReason::NoDestination, message));
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
        let found = self.context.cache.instance(instance)?;
        Ok(found.and_then(|instance| instance.spec.backup))
    }

    /// Has the keys of its store read again.
    pub fn suspect_keys(&self) {
        let status = self.status();
        if let (Some(source), Some(upload)) = (status.source, status.upload) {
            self.context
                .destinations
                .invalidate(&source.instance, &upload.bucket);
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
    pub fn wake_database(&self) {
        wake_database(self.context, &self.backup);
    }

    /// Tells a person what was done.
    pub async fn record_event(&self, kind: EventType, reason: &str, note: &str) {
        let events = &self.context.events;
        events::record(
            events,
            &self.backup,
            "BackUp",
            kind,
            reason,
            note.to_owned(),
        )
        .await;
    }
}

/// Has the Database of a Backup looked at.
pub fn wake_database(context: &Context, backup: &Backup) {
    let key = ObjectRef::new(&backup.spec.database_ref.name)
        .within(&backup.database_namespace().unwrap_or_default());
    let known = context.cache.databases.get(&key);
    if let Some(database) = known {
        context.triggers.databases.send(&database);
    }
}
