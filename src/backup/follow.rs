//! Act `Follow`: look at the Job, keep its window ahead of it, tell how far it is, and commit what it reports.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt};

use super::finish::{self, Finished};
use super::job;
use super::judge::{self, Evidence, Ruin, Verdict};
use super::pass::{Obstacle, Pass};
use super::pod::{MAIN, is_running};
use super::window::{self, Lack};
use super::{refusal, secret};
use crate::api::backup::Progress as ProgressStatus;
use crate::api::{BackupReason, Reason};
use crate::dump::progress::Progress;
use crate::dump::window::Window;
use crate::error::Error;

/// How often a running backup is looked at.
pub const LOOK: Duration = Duration::from_secs(2);
/// Progress is not written more often.
const TELL: SignedDuration = SignedDuration::from_secs(3);
/// The store is asked for parts no more often, where the log does not tell.
const ASK_STORE: Duration = Duration::from_secs(10);
/// A Job without a pod is asked about its Events when it is older than this.
const POD_GRACE: SignedDuration = SignedDuration::from_secs(4);
/// A pod that has not begun after this time is worth a word.
const USUAL_WAIT: SignedDuration = SignedDuration::from_secs(15);
/// The end of a log that is read: progress is a line every few seconds.
const TAIL: i64 = 30;

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
        look_at_progress(pass, pod).await;
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

/// The Job and its pod.
async fn work(pass: &Pass<'_>) -> Result<(Option<Job>, Option<Pod>), Error> {
    let context = pass.context;
    let name = pass.job_name();
    let job = context
        .backup
        .work
        .job(context, &pass.namespace(), &name)
        .await?;
    let job = job.filter(|job| job::is_of(job, &pass.backup));
    Ok((job, context.backup.work.pod(&pass.backup, &name)))
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
        deadline: pass.deadline(),
        stall: SignedDuration::from_secs(pass.backup.spec.stall_seconds),
        now: Timestamp::now(),
    })
}

/// Why a Job has no pod: the Job's controller says so in Events alone.
async fn refused(pass: &Pass<'_>, job: &Job) -> Option<String> {
    let created = job.creation_timestamp()?.0;
    if Timestamp::now().duration_since(created) < POD_GRACE {
        return None;
    }
    let events: Api<Event> = pass.api();
    let selector = format!(
        "involvedObject.uid={},reason=FailedCreate",
        job.uid().unwrap_or_default()
    );
    match events.list(&ListParams::default().fields(&selector)).await {
        Ok(list) => refusal::newest(list.items, Timestamp::now()),
        Err(error) => {
            tracing::debug!(%error, "cannot read the Events of a Job");
            None
        }
    }
}

/// Notes how far the dump is. What cannot be seen now is seen at the next look: nothing fails here.
async fn look_at_progress(pass: &Pass<'_>, pod: &Pod) {
    let memory = &pass.context.backup.memory;
    let uid = pass.uid();
    let seen = match from_log(pass, pod).await {
        Some(progress) => {
            memory.log_was_read(&uid, Timestamp::now());
            Some(progress)
        }
        None => from_store(pass).await,
    };
    if let Some(progress) = seen {
        memory.advance(&uid, progress, Timestamp::now());
    }
}

/// The last line about progress in the Job's log.
async fn from_log(pass: &Pass<'_>, pod: &Pod) -> Option<Progress> {
    let (memory, namespace) = (&pass.context.backup.memory, pass.namespace());
    if !memory.may_read_logs(&namespace, Instant::now()) {
        return None;
    }
    let pods: Api<Pod> = pass.api();
    let parameters = LogParams {
        container: Some(MAIN.to_owned()),
        tail_lines: Some(TAIL),
        ..LogParams::default()
    };
    match pods.logs(&pod.name_any(), &parameters).await {
        Ok(log) => last_progress(&log),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            if memory.logs_are_forbidden(&namespace, Instant::now()) {
                tracing::info!(
                    namespace,
                    "pods/log is not granted: progress is what the object stores received"
                );
            }
            None
        }
        Err(error) => {
            tracing::debug!(%error, "cannot read the log of a backup's pod");
            None
        }
    }
}

/// The last line about progress; each may have a time before it.
fn last_progress(log: &str) -> Option<Progress> {
    let parse = |line: &str| {
        let after_time = line.split_once(' ').map_or("", |(_, rest)| rest);
        line.parse().or_else(|_| after_time.trim().parse()).ok()
    };
    log.lines().rev().find_map(parse)
}

/// What the store received.
async fn from_store(pass: &Pass<'_>) -> Option<Progress> {
    let memory = &pass.context.backup.memory;
    if !memory.may_ask_for_parts(&pass.uid(), Instant::now(), ASK_STORE) {
        return None;
    }
    let upload = pass.upload().ok()?;
    let upload_id = upload.upload_id?;
    let destination = pass.destination().await.ok()?;
    let parts = destination.store.parts(&upload.key, &upload_id).await;
    let parts = parts
        .inspect_err(|error| tracing::debug!(%error, "cannot list the parts of an upload"))
        .ok()?;
    Some(Progress {
        uploaded: parts.iter().map(|part| part.size).sum(),
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        ..Progress::default()
    })
}

/// Writes progress and conditions: the first time, when the condition changes, and when something moved since some time.
async fn tell(pass: &mut Pass<'_>, reason: BackupReason, message: &str) -> Result<(), Error> {
    let mut next = pass.status();
    if let Some((seen, at)) = pass.context.backup.memory.progress(&pass.uid()) {
        next.progress = Some(shown(next.progress.as_ref(), &seen, at));
    }
    pass.report(next, reason, message).await
}

/// What the status says of progress: what it said, unless something moved and enough time went by.
fn shown(known: Option<&ProgressStatus>, seen: &Progress, at: Timestamp) -> ProgressStatus {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if let Some(known) = known {
        let moved =
            bytes(seen.dumped) > known.bytes_dumped || bytes(seen.uploaded) > known.bytes_uploaded;
        let recent = known
            .last_advance
            .is_some_and(|last| at.duration_since(last) < TELL);
        if !moved || recent {
            return known.clone();
        }
    }
    ProgressStatus {
        percent: seen.percent.map(i32::from),
        bytes_dumped: bytes(seen.dumped),
        bytes_uploaded: bytes(seen.uploaded),
        bytes_per_second: bytes(seen.rate),
        last_advance: Some(at),
    }
}

/// Signs what comes next, or anew what ends soon.
async fn keep_window(pass: &Pass<'_>, job: &Job) -> Result<(), Obstacle> {
    let context = pass.context;
    let uid = pass.uid();
    if context.backup.windows.get(&uid).is_none() {
        read_window(pass, &uid).await?;
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
async fn read_window(pass: &Pass<'_>, uid: &str) -> Result<(), Obstacle> {
    let handed = secret::read_window(pass).await?;
    let (window, max_parts): (Window, u32) = handed.unwrap_or_default();
    pass.context.backup.windows.put(uid, window, max_parts);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_last_line_about_progress_counts_wherever_its_time_is() {
        let line = |dumped| Progress {
            dumped,
            uploaded: 7,
            parts: 1,
            rate: 3,
            percent: Some(5),
        };
        let log = format!(
            "02:03:04 dumps\n02:03:05 {}\n{}\n02:03:09 pg_dump: a warning\n",
            line(10),
            line(20)
        );
        assert_eq!(last_progress(&log), Some(line(20)));
        assert_eq!(last_progress(log.lines().nth(1).unwrap()), Some(line(10)));
        assert_eq!(last_progress("nothing\n\n"), None);
    }

    #[test]
    fn progress_is_told_when_it_moved_and_not_too_often() {
        let seen = |dumped| Progress {
            dumped,
            percent: Some(9),
            ..Progress::default()
        };
        let first = shown(None, &seen(1), at(10));
        assert_eq!((first.bytes_dumped, first.last_advance), (1, Some(at(10))));
        for (dumped, second, changes) in [(2, 12, false), (2, 13, true), (1, 99, false)] {
            let next = shown(Some(&first), &seen(dumped), at(second));
            assert_eq!(next != first, changes, "{dumped} {second}");
        }
    }
}
