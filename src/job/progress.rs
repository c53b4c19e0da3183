//! The progress of a dump or a load, from the log of its pod; and what the status says about it.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core;
use kube::api::LogParams;
use kube::{Api, ResourceExt};

use super::Kind;
use super::objects::Pod;
use crate::agent::protocol::progress::Progress;
use crate::api::backup::Progress as ProgressStatus;

/// Progress is not written more often.
const TELL: SignedDuration = SignedDuration::from_secs(3);
/// The end of a log that is read: progress is a line every few seconds.
const TAIL: i64 = 30;

/// What a pod's log says of progress.
pub enum Log<P = Progress> {
    /// It was read; the last line about progress, if there is one.
    Read(Option<P>),
    /// The operator may not read it.
    Forbidden,
    /// It cannot be read now.
    Unreadable,
}

/// Reads the log of a backup's pod, or of a restore's.
pub async fn read_log<P: FromStr>(pods: &Api<core::v1::Pod>, pod: &Pod, kind: Kind) -> Log<P> {
    let parameters = LogParams {
        container: Some(kind.container().to_owned()),
        tail_lines: Some(TAIL),
        ..LogParams::default()
    };
    match pods.logs(&pod.name_any(), &parameters).await {
        Ok(log) => Log::Read(last_progress(&log)),
        Err(kube::Error::Api(status)) if status.code == 403 => Log::Forbidden,
        Err(error) => {
            tracing::debug!(%error, "cannot read the log of a Job's pod");
            Log::Unreadable
        }
    }
}

/// The last line about progress; each may have a time before it.
fn last_progress<P: FromStr>(log: &str) -> Option<P> {
    let parse = |line: &str| {
        let after_time = line.split_once(' ').map_or("", |(_, rest)| rest);
        line.parse().or_else(|_| after_time.trim().parse()).ok()
    };
    log.lines().rev().find_map(parse)
}

/// What the status says of progress: what it said, unless something moved and enough time went by. `at` is when it moved
/// last: what moves once more and then stands still is told, too, a little later.
pub fn shown(
    known: Option<&ProgressStatus>,
    seen: &Progress,
    at: Timestamp,
    now: Timestamp,
) -> ProgressStatus {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    if let Some(known) = known {
        let moved =
            bytes(seen.dumped) > known.bytes_dumped || bytes(seen.uploaded) > known.bytes_uploaded;
        let recent = known
            .last_advance
            .is_some_and(|last| now.duration_since(last) < TELL);
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
        shown: None,
    }
    .for_people()
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
        assert_eq!(last_progress::<Progress>("nothing\n\n"), None);
    }

    #[test]
    fn progress_is_told_when_it_moved_and_not_too_often() {
        let seen = |dumped| Progress {
            dumped,
            percent: Some(9),
            ..Progress::default()
        };
        let first = shown(None, &seen(1), at(10), at(10));
        assert_eq!((first.bytes_dumped, first.last_advance), (1, Some(at(10))));
        for (dumped, moved, now, changes) in [
            (2, 12, 12, false),
            (2, 13, 13, true),
            // It stands still since.
            (2, 11, 13, true),
            (1, 99, 99, false),
        ] {
            let next = shown(Some(&first), &seen(dumped), at(moved), at(now));
            assert_eq!(next != first, changes, "{dumped} {moved} {now}");
        }
    }
}
