//! A Job is created, removed where it is in the way, or stopped.

use k8s_openapi::api::batch;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use jiff::{SignedDuration, Timestamp};

use super::objects::{Job, Pod};
use super::{pod, pod_creation};
use crate::client::ApiError;
use crate::client::lenient::Readable;

/// Characters of a name that a message shows.
const MAX_SHOWN: usize = 60;
/// A Job without a pod is asked about its Events when it is older than this.
const POD_GRACE: SignedDuration = SignedDuration::from_secs(4);
/// Events of one Job that are looked at: a team may write some, too.
const EVENTS: u32 = 50;

/// Creates a Job; returns its UID.
pub async fn create(jobs: &Api<batch::v1::Job>, job: &batch::v1::Job) -> Result<String, ApiError> {
    let created = jobs.create(&PostParams::default(), job).await;
    let created = created.map_err(ApiError::of("create the Job"))?;
    Ok(created.uid().unwrap_or_default())
}

/// What became of a Job in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// There is none.
    Nothing,
    /// It is being removed, with its pods; its UID.
    Removed(String),
    /// It is being deleted and waits for somebody's finalizer, as the sentence says.
    HeldUp(String),
}

/// Removes a Job of this name whose UID nobody knows, with its pods.
pub async fn clear_the_way(jobs: &Api<Job>, name: &str) -> Result<Cleared, ApiError> {
    const DOING: &str = "delete a Job that is in the way";
    let found = jobs.get_opt(name).await.map_err(ApiError::of(DOING))?;
    let Some(other) = found else {
        return Ok(Cleared::Nothing);
    };
    if let Some(message) = held_up(&other) {
        return Ok(Cleared::HeldUp(message));
    }
    delete(jobs, &other, DOING).await?;
    Ok(Cleared::Removed(other.uid().unwrap_or_default()))
}

/// Stops a Job, unless it or its pod has ended: then its log is kept.
pub async fn stop(jobs: &Api<Job>, job: &Job, pod: Option<&Pod>) -> Result<(), ApiError> {
    // A pod that has ended keeps its log: its Job is about to say so, too.
    let ended = pod.is_some_and(pod::has_ended);
    if ended || is_finished(job) || job.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    delete(jobs, job, "stop the Job").await
}

async fn delete(jobs: &Api<Job>, job: &Job, doing: &'static str) -> Result<(), ApiError> {
    let parameters = DeleteParams {
        preconditions: Some(Preconditions {
            uid: job.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match jobs.delete(&job.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        // It is gone, or another one is there by now.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(error) => Err(ApiError::of(doing)(error)),
    }
}

/// Whether a Job has ended.
#[must_use]
pub fn is_finished(job: &Job) -> bool {
    job.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True")
}

/// Why a Job in the way cannot be removed: it is being deleted, and waits for somebody's finalizer.
fn held_up(job: &Job) -> Option<String> {
    job.metadata.deletion_timestamp.as_ref()?;
    let finalizers = job.finalizers();
    let shown: Vec<String> = finalizers
        .iter()
        .take(3)
        .map(|name| name.chars().take(MAX_SHOWN).collect())
        .collect();
    Some(format!(
        "a Job {} that is not known here is being deleted, which waits for its finalizers ({}): take them away",
        job.name_any(),
        shown.join(", ")
    ))
}

/// Why a Job has no pod: the Job's controller says so in Events alone.
pub async fn refused(events: &Api<Readable<Event>>, job: &Job, now: Timestamp) -> Option<String> {
    let created = job.creation_timestamp()?.0;
    if now.duration_since(created) < POD_GRACE {
        return None;
    }
    let selector = format!(
        "involvedObject.uid={},reason=FailedCreate",
        job.uid().unwrap_or_default()
    );
    let newest = ListParams::default().fields(&selector).limit(EVENTS);
    match events.list(&newest).await {
        Ok(list) => {
            // A team may write Events.
            let said = list.items.into_iter().filter_map(|event| event.0.ok());
            pod_creation::newest(said.collect(), now)
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read the Events of a Job");
            None
        }
    }
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
