//! Act `Follow`: look at the Job, keep its window ahead of it, tell how far it is, and commit what it reports.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::finish::{self, Finished};
use super::judge::{self, Evidence, Ruin, Verdict};
use super::observed::{Job, Pod};
use super::pass::{Obstacle, Pass};
use super::pod::is_running;
use super::window::{self, Lack};
use super::{progress, refusal, secret};
use crate::agent::protocol::signed_parts::SignedParts;
use crate::api::{BackupReason, Reason};
use crate::client::lenient::Readable;
use crate::error::Error;

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
    Failed(Ruin),
}

/// Looks.
pub async fn follow(pass: &mut Pass<'_>) -> Result<Followed, Obstacle> {
    let (job, pod) = work(pass).await?;
    if let Some(pod) = pod.as_ref().filter(|pod| is_running(pod)) {
        progress::look(pass, pod).await;
    }
    let refused = match (&job, &pod) {
        (Some(job), None) => refused(pass, job).await,
        (_, _) => None,
    };
    let verdict = judge(pass, job.as_ref(), pod.as_ref(), refused.as_deref());
    match verdict {
        Verdict::Done(done) => finish::finish(pass, done).await,
        Verdict::Failed(ruin) => finish::unless_committed(pass, *ruin).await,
        Verdict::Runs => {
            if let Some(job) = &job {
                keep_window(pass, job).await?;
            }
            tell(
                pass,
                BackupReason::BackingUp,
                BackupReason::BackingUp.meaning(),
            )
            .await?;
            Ok(Followed::Runs)
        }
        Verdict::Waits(why) => {
            // A pod takes a moment to begin: what it goes through is not worth a write each.
            if Timestamp::now().duration_since(pass.started_at()) > USUAL_WAIT {
                tell(pass, BackupReason::BackingUp, &why).await?;
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
    let work = &context.backup.work;
    let job = work.job(context, &pass.namespace(), &name, &uid).await?;
    Ok((job, work.pod(&uid)))
}

fn judge(pass: &Pass<'_>, job: Option<&Job>, pod: Option<&Pod>, refused: Option<&str>) -> Verdict {
    let remembered = pass.context.backup.memory.progress(&pass.uid());
    let persisted = pass.status().progress.and_then(|p| p.last_advance);
    judge::judge(&Evidence {
        job,
        pod,
        refused,
        started_at: pass.started_at(),
        last_advance: remembered.map(|(_, at)| at).max(persisted),
        looked_at: pass.context.backup.memory.log_read(&pass.uid()),
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
            refusal::newest(said.collect(), Timestamp::now())
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read the Events of a Job");
            None
        }
    }
}

/// Writes progress and conditions: the first time, when the condition changes, and when something moved since some time.
async fn tell(pass: &mut Pass<'_>, reason: BackupReason, message: &str) -> Result<(), Error> {
    let mut next = pass.status();
    if let Some((seen, at)) = pass.context.backup.memory.progress(&pass.uid()) {
        let now = Timestamp::now();
        next.progress = Some(progress::shown(next.progress.as_ref(), &seen, at, now));
    }
    pass.report(next, reason, message).await
}

/// Signs what comes next, or anew what ends soon.
async fn keep_window(pass: &Pass<'_>, job: &Job) -> Result<(), Obstacle> {
    let context = pass.context;
    let uid = pass.uid();
    if context.backup.windows.get(&uid).is_none() {
        read_window(pass, job, &uid).await?;
    }
    let uploaded = context
        .backup
        .memory
        .progress(&uid)
        .map_or(0, |(progress, _)| progress.parts);
    let Some(lack) = context
        .backup
        .windows
        .lack(&uid, uploaded, Timestamp::now())
    else {
        return Ok(());
    };
    let Some(upload_id) = pass.upload()?.upload_id else {
        return Ok(());
    };
    let (Lack::More(range) | Lack::Fresher(range)) = lack;
    let batch = secret::sign(pass, &upload_id, range)
        .await
        .inspect_err(|_| pass.suspect_keys())?;
    let Some((known, max_parts)) = context.backup.windows.get(&uid) else {
        return Ok(());
    };
    if let Some(window) = window::with(&known, lack, batch, uploaded) {
        tracing::debug!(
            first = range.first,
            count = range.count,
            "signing further parts"
        );
        secret::write_window(pass, job, &window).await?;
        context.backup.windows.put(&uid, window, max_parts);
    }
    Ok(())
}

/// After a restart: what the Job has. Nothing to keep where its Secret is gone.
async fn read_window(pass: &Pass<'_>, job: &Job, uid: &str) -> Result<(), Obstacle> {
    let handed = secret::read_window(pass, job).await?;
    let (window, max_parts): (SignedParts, u32) = handed.unwrap_or_default();
    pass.context.backup.windows.put(uid, window, max_parts);
    Ok(())
}
