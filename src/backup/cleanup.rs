//! Act `CleanUp`: stop the Job where it runs, and abort what is open of the upload.

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{DeleteParams, Preconditions};

use super::Pass;
use super::blocked::Blocked;
use super::observe::Observation;
use crate::api::{Backup, BackupReason, BackupState};
use crate::controller::{Acted, Error};
use crate::job::objects::{Job, controller_uid};
use crate::job::pod;
use crate::store::StoreError;

/// A Backup that is being deleted does not wait longer for its store: the sweeper aborts what is left.
const PATIENCE: SignedDuration = SignedDuration::from_secs(10);

/// Leaves nothing behind that runs or is open. What is finished stays: the Job for its log, until its time to live ends.
pub async fn perform(
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
            Some(error) if !is_out_of_patience(&pass.object, Timestamp::now()) => Err(*error),
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

fn is_out_of_patience(backup: &Backup, now: Timestamp) -> bool {
    backup
        .metadata
        .deletion_timestamp
        .as_ref()
        .is_some_and(|since| now.duration_since(since.0) > PATIENCE)
}

/// Deletes a Job that is not finished, with its pod.
async fn stop_job(pass: &Pass<'_>) -> Result<(), Error> {
    const DOING: &str = "stop the Job";
    let jobs: Api<Job> = pass.beside();
    let name = pass.job_name();
    let found = jobs.get_opt(&name).await.map_err(Error::api(DOING))?;
    let Some(job) = found.filter(|job| may_be_ours(job, pass)) else {
        return Ok(());
    };
    // A pod that has ended keeps its log: its Job is about to say so, too.
    let pod = (job.metadata.uid.as_deref()).and_then(|uid| pass.context.work.pod(uid));
    let ended = pod.as_ref().is_some_and(pod::has_ended);
    if ended || is_finished(&job) || job.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match jobs.delete(&name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(Error::api(DOING)(error)),
    }
}

/// The Job that the status knows; where a crash came before it did, one that says that it is the Backup's.
fn may_be_ours(job: &Job, pass: &Pass<'_>) -> bool {
    match pass.job_uid() {
        Some(uid) => job.metadata.uid == Some(uid),
        None => controller_uid(job) == Some(&pass.uid()),
    }
}

fn is_finished(job: &Job) -> bool {
    job.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
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
        assert!(!is_out_of_patience(&backup, at(1_000)));
        backup.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1_000)),
        );
        assert!(!is_out_of_patience(&backup, at(1_010)));
        assert!(is_out_of_patience(&backup, at(1_011)));
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

    #[test]
    fn a_finished_job_keeps_its_log() {
        let job = |conditions: serde_json::Value| -> Job {
            serde_json::from_value(json!({"status": {"conditions": conditions}})).unwrap()
        };
        assert!(is_finished(&job(
            json!([{"type": "Failed", "status": "True"}])
        )));
        assert!(is_finished(&job(
            json!([{"type": "Complete", "status": "True"}])
        )));
        assert!(!is_finished(&job(
            json!([{"type": "FailureTarget", "status": "True"}])
        )));
        assert!(!is_finished(&job(json!([]))));
    }
}
