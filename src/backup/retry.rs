//! Whether a dump that failed is tried again inside the same backup: with a new Job and a new upload, so that nothing of
//! the former one counts. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::api::Reason;
use crate::job::outcome::Failure;
use crate::job::time_limit::TimeLimits;

/// How many Jobs one backup may have.
pub(super) const MOST: i32 = 3;
/// How long after the first failure the second attempt begins; the next pause is four times as long.
const PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// An attempt that had less time than this before the deadline would only hide why the former one failed.
const WORTH_IT: SignedDuration = SignedDuration::from_secs(30);

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The backup fails.
    Never,
    /// It is tried again from this moment on.
    At(Timestamp),
    /// It is tried again now.
    Now,
}

/// What there is to decide from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempts<'a> {
    /// Why the last one failed.
    pub failure: &'a Failure,
    /// When it did.
    pub failed_at: Timestamp,
    /// How many there were.
    pub made: i32,
    /// When the backup began.
    pub started_at: Timestamp,
    /// How long it may take.
    pub limits: TimeLimits,
    /// Now.
    pub now: Timestamp,
}

/// Decides what follows.
#[must_use]
pub(super) fn decide(attempts: &Attempts<'_>) -> Decision {
    if !attempts.failure.passing || attempts.made >= MOST {
        return Decision::Never;
    }
    let pause =
        PAUSE.saturating_mul(4_i32.saturating_pow(attempts.made.saturating_sub(1).unsigned_abs()));
    let after = |begin: Timestamp, time| begin.saturating_add(time).unwrap_or(Timestamp::MAX);
    let due = after(attempts.failed_at, pause);
    let deadline = after(attempts.started_at, attempts.limits.deadline.time);
    if after(due.max(attempts.now), WORTH_IT) > deadline {
        Decision::Never
    } else if attempts.now < due {
        Decision::At(due)
    } else {
        Decision::Now
    }
}

/// What people are told while it waits.
#[must_use]
pub(super) fn message(failure: &Failure, made: i32, due: Timestamp) -> String {
    format!(
        "attempt {made} of {MOST} failed with a transient error ({}: {}); the next one starts at {due}",
        failure.reason.as_str(),
        failure.message
    )
}

/// A failure, with how many attempts there were if there was more than one.
#[must_use]
pub(super) fn explain(mut failure: Failure, made: i32) -> Failure {
    if made > 1 {
        failure.message = format!("{} (attempt {made} of {MOST})", failure.message);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BackupReason;
    use crate::job::time_limit::TimeLimit;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(passing: bool, made: i32, deadline: i64, now: i64) -> Decision {
        let failure = Failure {
            passing,
            ..Failure::new(BackupReason::DumpFailed, "m")
        };
        let limit = |seconds| TimeLimit {
            time: SignedDuration::from_secs(seconds),
            field: "f",
        };
        decide(&Attempts {
            failure: &failure,
            failed_at: at(1_000),
            made,
            started_at: at(900),
            limits: TimeLimits {
                deadline: limit(deadline),
                stall: limit(600),
            },
            now: at(now),
        })
    }

    #[test]
    fn only_what_passes_is_tried_again_and_a_few_times() {
        assert_eq!(after(false, 1, 21_600, 2_000), Decision::Never);
        assert_eq!(after(true, 1, 21_600, 2_000), Decision::Now);
        assert_eq!(after(true, 2, 21_600, 2_000), Decision::Now);
        assert_eq!(after(true, MOST, 21_600, 2_000), Decision::Never);
    }

    #[test]
    fn the_last_failure_says_which_attempt_it_was() {
        let explained = |made| explain(Failure::new(BackupReason::DumpFailed, "m"), made).message;
        assert_eq!(explained(1), "m");
        assert_eq!(explained(3), "m (attempt 3 of 3)");
    }

    #[test]
    fn each_pause_is_longer() {
        assert_eq!(after(true, 1, 21_600, 1_029), Decision::At(at(1_030)));
        assert_eq!(after(true, 1, 21_600, 1_030), Decision::Now);
        assert_eq!(after(true, 2, 21_600, 1_030), Decision::At(at(1_120)));
        assert_eq!(after(true, 2, 21_600, 1_120), Decision::Now);
    }

    #[test]
    fn an_attempt_that_has_no_time_left_is_not_begun() {
        // The deadline is at 1060.
        assert_eq!(after(true, 1, 160, 1_000), Decision::At(at(1_030)));
        assert_eq!(after(true, 1, 159, 1_000), Decision::Never);
        assert_eq!(after(true, 1, 160, 1_031), Decision::Never);
    }
}
