//! Creating a backup's Job. One of its name that is there already is somebody else's, or of a process that did not live
//! to persist its UID: it goes, and ours is made anew.

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::events::EventType;

use super::Pass;
use super::blocked::{Blocked, not_written};
use crate::api::BackupReason;
use crate::job::manage::{self, Cleared};

/// Creates the Job; returns its UID.
pub(super) async fn create(pass: &Pass<'_>, job: &Job) -> Result<String, Blocked> {
    let created = manage::create(&pass.beside(), job).await;
    created.map_err(|error| {
        if error.code() == Some(409) {
            let message = format!(
                "somebody made a Job {} at this moment: that name is the backup's own",
                pass.job_name()
            );
            Blocked::new(BackupReason::Starting, message)
        } else {
            not_written(error)
        }
    })
}

/// Removes a Job of our name whose UID nobody knows, with its pods; tells whether there was one.
pub(super) async fn clear_the_way(pass: &Pass<'_>) -> Result<bool, Blocked> {
    let name = pass.job_name();
    match manage::clear_the_way(&pass.beside(), &name).await? {
        Cleared::Nothing => Ok(false),
        Cleared::HeldUp(message) => Err(Blocked::new(BackupReason::Starting, message)),
        Cleared::Removed(uid) => {
            let note = format!(
                "the Job {name} (UID {uid}) is not one that this backup knows: it is deleted, and made anew"
            );
            pass.record_event(EventType::Warning, "UnknownJob", note)
                .await;
            Ok(true)
        }
    }
}
