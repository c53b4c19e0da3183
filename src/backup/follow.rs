//! Act `Follow`: look at the Job, keep the signed parts ahead of it, and tell how far it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::blocked::Blocked;
use super::observe::{Found, Observation as Seen};
use super::{Pass, commit, progress, sign};
use crate::agent::protocol::result::Done;
use crate::api::{BackupReason, Reason, Report};
use crate::client::lenient::Readable;
use crate::controller::{Acted, Error, Outcome};
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

/// How far the Job is.
enum Followed {
    /// It goes on.
    Runs,
    /// It has reported this.
    Reported(Done),
    /// It cannot become a backup any more.
    Failed(Failure),
}

/// Finds out what became of the Job.
pub async fn perform(pass: &mut Pass<'_>, seen: &mut Seen) -> Acted<BackupReason> {
    seen.found = match follow(pass).await {
        Ok(Followed::Runs) => return Acted::Ends(Outcome::Again(LOOK)),
        Ok(Followed::Reported(done)) => Found::Reported(done, None),
        // What was noted is committed, whatever became of the Job and its pod since.
        Ok(Followed::Failed(failure)) => match pass.status().and_then(commit::noted) {
            Some(done) => Found::Reported(done, Some(failure)),
            None => Found::Failed(failure),
        },
        Err(blocked) => return Acted::Blocked(blocked),
    };
    Acted::Done
}

async fn follow(pass: &mut Pass<'_>) -> Result<Followed, Blocked> {
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
        JobOutcome::Done(done) => Ok(Followed::Reported(done)),
        JobOutcome::Failed(failure) => Ok(Followed::Failed(*failure)),
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
    let remembered = pass.context.remembered.progress(&pass.uid());
    outcome::decide(&Observation {
        job,
        pod,
        refused,
        started_at: pass.started_at(),
        last_advance: remembered.map(|(_, at)| at).max(pass.last_advance()),
        looked_at: pass.context.remembered.log_read(&pass.uid()),
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
    let events: Api<Readable<Event>> = pass.beside();
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
    let mut next = pass.next_status();
    if let Some((seen, at)) = pass.context.remembered.progress(&pass.uid()) {
        let now = Timestamp::now();
        next.progress = Some(job::progress::shown(next.progress.as_ref(), &seen, at, now));
    }
    pass.report(next, &Report::new(reason, message)).await
}
