//! Act `CleanUp`: stop the Job where it runs, and abort what is open of the upload.

use jiff::{SignedDuration, Timestamp};
use kube::Api;

use super::Pass;
use super::blocked::Blocked;
use super::observe::Observation;
use crate::api::{Backup, BackupReason, BackupState};
use crate::controller::{Acted, Error};
use crate::job::manage;
use crate::job::objects::{Job, controller_uid};
use crate::store::StoreError;

/// A Backup that is being deleted does not wait longer for its store: the sweeper aborts what is left.
const DELETION_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Leaves nothing behind that runs or is open. What is finished stays: the Job for its log, until its time to live ends.
pub(super) async fn perform(
    pass: &Pass<'_>,
    seen: &mut Observation,
) -> Result<Acted<BackupReason>, Error> {
    clean_up(pass).await?;
    seen.cleaned = true;
    Ok(Acted::Done)
}

async fn clean_up(pass: &Pass<'_>) -> Result<(), Error> {
    if pass.state() == Some(BackupState::Failed) {
        stop_job(pass).await?;
    }
    match abort_uploads(pass).await {
        Ok(()) => Ok(()),
        Err(blocked) => match blocked.retry {
            Some(error) if !has_waited_enough(&pass.object, Timestamp::now()) => Err(*error),
            // The instance or its keys are gone: nobody can ask that store, now or later.
            Some(_) | None => {
                tracing::warn!(
                    reason = blocked.message,
                    "uploads are left to the sweeper, or to the bucket's lifecycle rules"
                );
                Ok(())
            }
        },
    }
}

fn has_waited_enough(backup: &Backup, now: Timestamp) -> bool {
    backup
        .metadata
        .deletion_timestamp
        .as_ref()
        .is_some_and(|since| now.duration_since(since.0) > DELETION_WAIT)
}

/// Deletes a Job that is not finished, with its pod.
pub(super) async fn stop_job(pass: &Pass<'_>) -> Result<(), Error> {
    const DOING: &str = "stop the Job";
    let jobs: Api<Job> = pass.beside();
    let name = pass.job_name();
    let found = jobs.get_opt(&name).await.map_err(Error::api(DOING))?;
    let Some(job) = found.filter(|job| may_be_ours(job, pass)) else {
        return Ok(());
    };
    let pod = (job.metadata.uid.as_deref()).and_then(|uid| pass.context.work.pod(uid));
    Ok(manage::stop(&jobs, &job, pod.as_ref()).await?)
}

/// The Job that the status knows; where a crash came before it did, one that says that it is the Backup's.
fn may_be_ours(job: &Job, pass: &Pass<'_>) -> bool {
    match pass.job_uid() {
        Some(uid) => job.metadata.uid == Some(uid),
        None => controller_uid(job) == Some(&pass.uid()),
    }
}

/// Aborts every open upload of the backup's key: also one that a crash left before its id was persisted. After a
/// complete one there is mostly none.
async fn abort_uploads(pass: &Pass<'_>) -> Result<(), Blocked> {
    let Some(upload) = pass.next_status().upload else {
        return Ok(());
    };
    pass.check_leadership()?;
    let store = pass.destination().await?.store;
    if let (Some(BackupState::Failed), Some(upload_id)) = (pass.state(), &upload.upload_id) {
        aborted(store.abort(&upload.key, upload_id).await)?;
    }
    aborted(store.abort_all(&upload.key).await.map(|_| ()))
}

/// Keys that are refused now may be good again: the store is asked until it answers. With a bucket its uploads go.
fn aborted(answer: Result<(), StoreError>) -> Result<(), Blocked> {
    match answer {
        Ok(()) | Err(StoreError::NoBucket) => Ok(()),
        Err(error) => {
            let message = error.to_string();
            Err(Blocked::retried(
                BackupReason::StoreUnreachable,
                message,
                error,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deleted_backup_waits_ten_seconds_for_its_store() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut backup: Backup = serde_json::from_value(json!({
            "metadata": {"name": "b"}, "spec": {"databaseRef": {"name": "d"}},
        }))
        .unwrap();
        assert!(!has_waited_enough(&backup, at(1_000)));
        backup.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1_000)),
        );
        assert!(!has_waited_enough(&backup, at(1_010)));
        assert!(has_waited_enough(&backup, at(1_011)));
    }

    #[test]
    fn keys_that_are_refused_do_not_leave_an_upload_behind() {
        let refused = StoreError::Refused {
            code: "InvalidAccessKeyId".to_owned(),
            message: String::new(),
            status: 403,
        };
        let blocked = aborted(Err(refused)).unwrap_err();
        assert!(blocked.retry.is_some());
        aborted(Err(StoreError::NoBucket)).unwrap();
    }
}
