//! Act `Follow`: look at the Job, keep its window ahead of it, tell how far it is, and commit what it reports.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::blocked::Blocked;
use super::commit::{self, Finished};
use super::pass::Pass;
use super::{progress, sign};
use crate::api::{BackupReason, Reason};
use crate::client::lenient::Readable;
use crate::controller::Error;
use crate::job::objects::{Job, Pod};
use crate::job::outcome::{self, Failure, JobOutcome, Observation};
use crate::job::pod::is_running;
use crate::job::{self, pod_creation};

/// How often a running backup is looked at.
pub const LOOK: Duration = Duration::from_secs(2);
/// A Job without a pod is asked about its Events when it is older than this.
const POD_GRACE: SignedDuration = SignedDuration::from_secs(4);
/// Events of one Job that are looked at: a team may write some, too.
const EVENTS: u32 = 50;
/// A pod that has not begun after this time is worth a word.
const USUAL_WAIT: SignedDuration = SignedDuration::from_secs(15);

/// How far it is.
pub enum Followed {
    /// It goes on.
    Runs,
    /// The object is in the store.
    Committed(Finished),
    /// It cannot become a backup any more.
    Failed(Failure),
}

/// Finds out what became of the Job, and commits what it reports.
pub async fn follow(pass: &mut Pass<'_>) -> Result<Followed, Blocked> {
    let (job, pod) = work(pass).await?;
    if let Some(pod) = pod.as_ref().filter(|pod| is_running(pod)) {
        progress::look(pass, pod).await;
    }
    let refused = match (&job, &pod) {
        (Some(job), None) => refused(pass, job).await,
        (_, _) => None,
    };
    let outcome = outcome_of(pass, job.as_ref(), pod.as_ref(), refused.as_deref());
    match outcome {
        JobOutcome::Done(done) => commit::finish(pass, done).await,
        JobOutcome::Failed(failure) => commit::unless_committed(pass, *failure).await,
        JobOutcome::Runs => {
            if let Some(job) = &job {
                sign::keep_ahead(pass, job).await?;
            }
            report_progress(
                pass,
                BackupReason::BackingUp,
                BackupReason::BackingUp.meaning(),
            )
            .await?;
            Ok(Followed::Runs)
        }
        JobOutcome::Waits(why) => {
            // A pod takes a moment to begin: what it goes through is not worth a write each.
            if Timestamp::now().duration_since(pass.started_at()) > USUAL_WAIT {
                report_progress(pass, BackupReason::BackingUp, &why).await?;
            }
            Ok(Followed::Runs)
        }
    }
}

/// The Job that the status knows, and its pod.
async fn work(pass: &Pass<'_>) -> Result<(Option<Job>, Option<Pod>), Error> {
    let (context, name) = (pass.context, pass.job_name());
    let Some(uid) = pass.job_uid() else {
        return Ok((None, None));
    };
    let work = &context.work;
    let job = work
        .job(&context.client, &pass.namespace(), &name, &uid)
        .await?;
    Ok((job, work.pod(&uid)))
}

fn outcome_of(
    pass: &Pass<'_>,
    job: Option<&Job>,
    pod: Option<&Pod>,
    refused: Option<&str>,
) -> JobOutcome {
    let remembered = pass.context.memory.progress(&pass.uid());
    let persisted = pass.status().progress.and_then(|p| p.last_advance);
    outcome::decide(&Observation {
        job,
        pod,
        refused,
        started_at: pass.started_at(),
        last_advance: remembered.map(|(_, at)| at).max(persisted),
        looked_at: pass.context.memory.log_read(&pass.uid()),
        limits: pass.limits(),
        now: Timestamp::now(),
    })
}

/// Why a Job has no pod: the Job's controller says so in Events alone.
async fn refused(pass: &Pass<'_>, job: &Job) -> Option<String> {
    let created = job.creation_timestamp()?.0;
    if Timestamp::now().duration_since(created) < POD_GRACE {
        return None;
    }
    // A team may write Events.
    let events: Api<Readable<Event>> = pass.api();
    let selector = format!(
        "involvedObject.uid={},reason=FailedCreate",
        job.uid().unwrap_or_default()
    );
    let newest = ListParams::default().fields(&selector).limit(EVENTS);
    match events.list(&newest).await {
        Ok(list) => {
            let said = list.items.into_iter().filter_map(|event| event.0.ok());
            pod_creation::newest(said.collect(), Timestamp::now())
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read the Events of a Job");
            None
        }
    }
}

/// Writes progress and conditions: the first time, when the condition changes, and when something moved since some time.
async fn report_progress(
    pass: &mut Pass<'_>,
    reason: BackupReason,
    message: &str,
) -> Result<(), Error> {
    let mut next = pass.status();
    if let Some((seen, at)) = pass.context.memory.progress(&pass.uid()) {
        let now = Timestamp::now();
        next.progress = Some(job::progress::shown(next.progress.as_ref(), &seen, at, now));
    }
    pass.report(next, reason, message).await
}
