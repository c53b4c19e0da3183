//! How far the load of a restore is: from the log that its pod writes.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};

use super::Pass;
use crate::agent::protocol::restore_progress::RestoreProgress;
use crate::api::conditions::whole_seconds;
use crate::api::restore::RestoreProgress as Shown;
use crate::api::{Report, RestoreReason};
use crate::controller::Error;
use crate::job::Kind;
use crate::job::objects::Pod;
use crate::job::progress::{Log, read_log};

/// Progress is not written more often.
const TELL: SignedDuration = SignedDuration::from_secs(3);

/// Notes how far the load in this pod is. What cannot be seen now is seen at the next look: nothing fails here.
pub(super) async fn look(pass: &Pass<'_>, pod: &Pod) {
    let (remembered, namespace, uid) = (&pass.context.remembered, pass.namespace(), pass.uid());
    if !remembered.may_read_logs(&namespace, Instant::now()) {
        return;
    }
    match read_log::<RestoreProgress>(&pass.beside(), pod, Kind::Restore).await {
        Log::Read(Some(progress)) => {
            remembered.advance(&uid, progress, whole_seconds(Timestamp::now()));
        }
        Log::Read(None) => remembered.log_was_read(&uid, Timestamp::now()),
        Log::Unreadable => {}
        Log::Forbidden => {
            if remembered.logs_are_forbidden(&namespace, Instant::now()) {
                tracing::info!(
                    namespace,
                    "pods/log is not granted: nothing is known of a restore's progress until its end"
                );
            }
        }
    }
}

/// Writes progress and conditions: the first time, when the condition changes, and when something moved since some time.
pub(super) async fn report(
    pass: &mut Pass<'_>,
    reason: RestoreReason,
    message: &str,
) -> Result<(), Error> {
    let mut next = pass.next_status();
    if let Some((seen, at)) = pass.context.remembered.progress(&pass.uid()) {
        let now = Timestamp::now();
        next.progress = Some(shown(next.progress.as_ref(), &seen, at, now));
    }
    pass.report(next, &Report::new(reason, message)).await
}

/// What the status says of progress: what it said, unless something moved and enough time went by. `at` is when it moved
/// last.
fn shown(known: Option<&Shown>, seen: &RestoreProgress, at: Timestamp, now: Timestamp) -> Shown {
    let last = known.and_then(|known| known.last_advance);
    if let Some(known) = known
        && (last.is_some_and(|last| now.duration_since(last) < TELL) || last == Some(at))
    {
        return known.clone();
    }
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let before = known.cloned().unwrap_or_default();
    match *seen {
        RestoreProgress::Load { fetched, rate, .. } => Shown {
            percent: seen.percent().map(i32::from),
            bytes_fetched: bytes(fetched),
            bytes_per_second: bytes(rate),
            last_advance: Some(at),
            shown: None,
        }
        .for_people(),
        RestoreProgress::Index(steps) => Shown {
            shown: Some(format!("indexes {}/{}", steps.done, steps.of)),
            ..read(before, at)
        },
        RestoreProgress::Check(steps) => Shown {
            shown: Some(format!("checks {}/{}", steps.done, steps.of)),
            ..read(before, at)
        },
    }
}

/// All of the object is read.
fn read(before: Shown, at: Timestamp) -> Shown {
    Shown {
        percent: Some(100),
        bytes_per_second: 0,
        last_advance: Some(at),
        ..before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::protocol::restore_progress::Steps;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn load(fetched: u64) -> RestoreProgress {
        RestoreProgress::Load {
            fetched,
            of: 10,
            rate: 2,
        }
    }

    #[test]
    fn progress_is_told_when_it_moved_and_not_too_often() {
        let first = shown(None, &load(1), at(10), at(10));
        assert_eq!(
            (first.bytes_fetched, first.shown.as_deref()),
            (1, Some("10%"))
        );
        for (fetched, moved, now, changes) in [
            (2, 12, 12, false),
            (2, 13, 13, true),
            // It stands still since.
            (1, 10, 99, false),
        ] {
            let next = shown(Some(&first), &load(fetched), at(moved), at(now));
            assert_eq!(next != first, changes, "{fetched} {moved} {now}");
        }
    }

    #[test]
    fn what_follows_the_rows_is_shown_in_words() {
        let loaded = shown(None, &load(10), at(10), at(10));
        let steps = Steps {
            done: 3,
            of: 9,
            seconds: 4,
        };
        let indexes = shown(
            Some(&loaded),
            &RestoreProgress::Index(steps),
            at(20),
            at(20),
        );
        assert_eq!(indexes.shown.as_deref(), Some("indexes 3/9"));
        assert_eq!((indexes.percent, indexes.bytes_fetched), (Some(100), 10));
        let checks = shown(
            Some(&indexes),
            &RestoreProgress::Check(steps),
            at(30),
            at(30),
        );
        assert_eq!(checks.shown.as_deref(), Some("checks 3/9"));
    }
}
