//! Creating a backup's Job. One of its name that is there already is somebody else's, or of a process that did not live
//! to persist its UID: it goes, and ours is made anew.

use k8s_openapi::api::batch;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::runtime::events::EventType;
use kube::{Api, ResourceExt};

use super::Pass;
use super::blocked::{Blocked, not_written};
use crate::api::BackupReason;
use crate::client::ApiError;
use crate::controller::Error;
use crate::job::objects::Job;

/// Characters of a name that a message shows.
const SHOWN: usize = 60;

/// Creates the Job; returns its UID.
pub async fn create(pass: &Pass<'_>, job: &batch::v1::Job) -> Result<String, Blocked> {
    let jobs: Api<batch::v1::Job> = pass.beside();
    match jobs.create(&PostParams::default(), job).await {
        Ok(created) => Ok(created.uid().unwrap_or_default()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let message = format!(
                "somebody made a Job {} at this moment: that name is the backup's own",
                pass.job_name()
            );
            Err(Blocked::new(BackupReason::Starting, message))
        }
        Err(error) => Err(not_written(ApiError::of("create the Job")(error))),
    }
}

/// Removes a Job of our name whose UID nobody knows, with its pods; tells whether there was one.
pub async fn clear_the_way(pass: &Pass<'_>) -> Result<bool, Blocked> {
    const DOING: &str = "delete a Job that is in the way";
    let jobs: Api<Job> = pass.beside();
    let name = pass.job_name();
    let found = jobs.get_opt(&name).await.map_err(Error::api(DOING))?;
    let Some(other) = found else {
        return Ok(false);
    };
    if let Some(message) = held_up(&other) {
        return Err(Blocked::new(BackupReason::Starting, message));
    }
    let note = format!(
        "the Job {name} (UID {}) is not one that this backup knows: it is deleted, and made anew",
        other.uid().unwrap_or_default()
    );
    pass.record_event(EventType::Warning, "UnknownJob", note)
        .await;
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: other.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match jobs.delete(&name, &parameters).await {
        Ok(_) => Ok(true),
        // It is gone, or another one is there by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(true),
        Err(error) => Err(Error::api(DOING)(error).into()),
    }
}

/// Why a Job in the way cannot be removed: it is being deleted, and waits for somebody's finalizer.
fn held_up(job: &Job) -> Option<String> {
    job.metadata.deletion_timestamp.as_ref()?;
    let finalizers = job.finalizers();
    let shown: Vec<String> = finalizers
        .iter()
        .take(3)
        .map(|name| name.chars().take(SHOWN).collect())
        .collect();
    Some(format!(
        "a Job {} that this backup does not know is being deleted, which waits for its finalizers ({}): take them away",
        job.name_any(),
        shown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_that_cannot_go_is_named_with_what_holds_it() {
        let job = |deleting: Option<&str>| -> Job {
            serde_json::from_value(
                json!({"metadata": {"name": "backup-u", "deletionTimestamp": deleting,
                "finalizers": ["team.example/mine"]}}),
            )
            .unwrap()
        };
        assert_eq!(held_up(&job(None)), None);
        let message = held_up(&job(Some("2026-01-01T00:00:00Z"))).unwrap();
        assert!(
            message.contains("backup-u") && message.contains("team.example/mine"),
            "{message}"
        );
    }
}
