//! Act `Follow`: look at the Job, keep the signed parts ahead of it, and tell how far it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::blocked::Blocked;
use super::observe::{Found, Observation as Seen};
use super::retry::{self, Attempts, Decision};
use super::{Pass, commit, held_up, progress, sign};
use crate::agent::protocol::result::Done;
use crate::api::{BackupReason, Reason, Report};
use crate::controller::{Acted, Error, Outcome};
use crate::job::objects::{Job, Pod};
use crate::job::outcome::{self, Dumping, Failure, JobOutcome, Observation};
use crate::job::pod::is_running;
use crate::job::{self, manage};

/// How often a running backup is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// A pod that has not begun after this time is worth a word.
const USUAL_WAIT: SignedDuration = SignedDuration::from_secs(15);

/// How far the Job is.
enum Followed {
    /// It goes on.
    Runs,
    /// It has reported this.
    Reported(Done),
    /// The failure is transient, and another Job is to begin now.
    Passing(Failure),
    /// It cannot become a backup any more.
    Failed(Failure),
}

/// Finds out what became of the Job.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Seen) -> Acted<BackupReason> {
    seen.found = match follow(pass).await {
        Ok(Followed::Runs) => return Acted::Ends(Outcome::Again(LOOK)),
        Ok(Followed::Reported(done)) => Found::Reported(done, None),
        Ok(Followed::Passing(failure)) => Found::Passing(failure),
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
        (Some(job), None) => manage::refused(&pass.beside(), job, Timestamp::now()).await,
        (_, _) => None,
    };
    let observed = observe(pass, job.as_ref(), pod.as_ref(), refused.as_deref());
    match outcome::decide::<Dumping>(&observed) {
        JobOutcome::Done(done) => Ok(Followed::Reported(done)),
        JobOutcome::Failed(failure) => {
            let failed_at = pod.as_ref().and_then(outcome::ended_at);
            fail_or_try_again(pass, *failure, failed_at).await
        }
        JobOutcome::Runs => {
            let last_move = outcome::last_move(&observed);
            if let Some(job) = &job {
                sign::keep_ahead(pass, job).await?;
            }
            let meaning = BackupReason::BackingUp.meaning();
            let message = match held_up::look(pass, last_move).await {
                Some(by) => format!("{meaning} {by}"),
                None => meaning.to_owned(),
            };
            report_progress(pass, BackupReason::BackingUp, &message).await?;
            Ok(Followed::Runs)
        }
        JobOutcome::Waits(why) => {
            // A pod takes a moment to begin: what it goes through is not worth a write each.
            let created = job.as_ref().and_then(ResourceExt::creation_timestamp);
            let since = created.map_or(pass.started_at(), |created| created.0);
            if Timestamp::now().duration_since(since) > USUAL_WAIT {
                report_progress(pass, BackupReason::BackingUp, &why).await?;
            }
            Ok(Followed::Runs)
        }
    }
}

/// What follows from a failure: a transient one is retried a few times, as long as nothing was noted for a commit
/// and somebody wants the backup.
async fn fail_or_try_again(
    pass: &mut Pass<'_>,
    failure: Failure,
    failed_at: Option<Timestamp>,
) -> Result<Followed, Blocked> {
    let now = Timestamp::now();
    let made = pass.attempts();
    let decision = retry::decide(&Attempts {
        failure: &failure,
        failed_at: failed_at.unwrap_or(now),
        made,
        started_at: pass.started_at(),
        limits: pass.limits(),
        now,
    });
    if decision == Decision::Never || pass.status().and_then(commit::noted).is_some() {
        let failure = retry::explain(failure, made);
        return Ok(Followed::Failed(held_up::explain(pass, failure)));
    }
    match decision {
        Decision::At(due) if failed_at.is_some() => {
            let message = retry::message(&failure, made, due);
            report_progress(pass, BackupReason::BackingUp, &message).await?;
            Ok(Followed::Runs)
        }
        Decision::Never | Decision::At(_) | Decision::Now => {
            tracing::info!(
                attempt = made,
                reason = failure.message,
                "a transient failure: starting another attempt"
            );
            Ok(Followed::Passing(failure))
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

/// All that can be seen of the Job.
fn observe<'a>(
    pass: &Pass<'_>,
    job: Option<&'a Job>,
    pod: Option<&'a Pod>,
    refused: Option<&'a str>,
) -> Observation<'a> {
    let remembered = pass.context.remembered.progress(&pass.uid());
    Observation {
        job,
        pod,
        refused,
        started_at: pass.started_at(),
        last_advance: remembered.map(|(_, at)| at).max(pass.last_advance()),
        looked_at: pass.context.remembered.log_read(&pass.uid()),
        limits: pass.limits(),
        now: Timestamp::now(),
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
