//! What a pass over a Backup knows of it, beside what every pass knows of its object.

use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, ResourceExt};

use super::blocked::Blocked;
use crate::api::backup::Upload;
use crate::api::destination::BackupDestination;
use crate::api::{Backup, BackupReason, BackupState, BackupStatus, Condition};
use crate::controller::{self, Error, Reports};
use crate::job;
use crate::job::time_limit::TimeLimits;
use crate::store::Destination;

/// A Backup in the course of a pass.
pub(super) type Pass<'a> = controller::Pass<'a, Backup>;

impl Reports for Backup {
    const MANAGER: &'static str = "db-operator-backup";
    const ACTION: &'static str = "BackUp";

    fn api(&self, client: &Client) -> Api<Self> {
        Api::namespaced(client.clone(), &self.namespace().unwrap_or_default())
    }

    fn reported(status: &mut BackupStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }

    fn has_ended(status: &BackupStatus) -> Option<bool> {
        Some(status.state.is_some_and(BackupState::is_terminal))
    }
}

impl Pass<'_> {
    /// Where it is in its life.
    pub(super) fn state(&self) -> Option<BackupState> {
        self.object.state()
    }

    /// The name of its Job.
    pub(super) fn job_name(&self) -> String {
        job::name(&self.object)
    }

    /// The upload as it was persisted. A backup that began has one, unless somebody edited its status.
    pub(super) fn upload(&self) -> Result<Upload, Blocked> {
        self.status()
            .and_then(|status| status.upload.clone())
            .ok_or_else(|| {
                let message = "status.upload is gone: the status is the operator's alone";
                Blocked::new(BackupReason::UploadMismatch, message)
            })
    }

    /// When it began.
    pub(super) fn started_at(&self) -> Timestamp {
        let begun = self.status().and_then(|status| status.started_at);
        begun.unwrap_or_else(Timestamp::now)
    }

    /// How many Jobs were started for it, the one of now among them.
    pub(super) fn attempts(&self) -> i32 {
        let attempts = self.status().and_then(|status| status.attempts);
        attempts.unwrap_or(1)
    }

    /// When one of the figures of its progress last grew, as it was persisted.
    pub(super) fn last_advance(&self) -> Option<Timestamp> {
        self.status()?.progress.as_ref()?.last_advance
    }

    /// How long it may take and stand still, as it asks for and its instance allows.
    pub(super) fn limits(&self) -> TimeLimits {
        // Where the instance is not known, there is nothing to ask it for.
        let settings = self.instance().and_then(|name| self.settings(name).ok()?);
        TimeLimits::of(&self.object, settings.as_ref())
    }

    /// How long it may take.
    pub(super) fn deadline(&self) -> SignedDuration {
        self.limits().deadline.time
    }

    /// The UID of the Job that was created for it, as it was persisted.
    pub(super) fn job_uid(&self) -> Option<String> {
        self.status()?.upload.as_ref()?.job_uid.clone()
    }

    /// The instance that it was begun on.
    pub(super) fn instance(&self) -> Option<&str> {
        let source = self.status()?.source.as_ref()?;
        Some(&source.instance)
    }

    /// The store that the backup was begun in.
    pub(super) async fn destination(&self) -> Result<Destination, Blocked> {
        let settings = match self.instance() {
            Some(name) => self.settings(name)?.map(|settings| (name, settings)),
            None => None,
        };
        let Some((name, mut settings)) = settings else {
            let message = "the instance that the backup was begun on, or its spec.backup, is gone";
            return Err(Blocked::new(BackupReason::NoDestination, message));
        };
        if let Some(upload) = self.status().and_then(|status| status.upload.as_ref()) {
            settings.s3.bucket.clone_from(&upload.bucket);
        }
        let opened = self.context.destinations.open(
            &self.context.client,
            &self.context.namespace,
            name,
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
    pub(super) fn suspect_keys(&self) {
        let upload = self.status().and_then(|status| status.upload.as_ref());
        if let (Some(instance), Some(upload)) = (self.instance(), upload) {
            let destinations = &self.context.destinations;
            destinations.invalidate(instance, &upload.bucket);
        }
    }

    /// The client asks nothing once this process does not lead; this is for what does not go through it.
    pub(super) fn check_leadership(&self) -> Result<(), Error> {
        if self.context.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }
}
