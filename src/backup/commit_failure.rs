//! What a commit that did not come about means: an end, or to be tried again. Pure.

use jiff::{SignedDuration, Timestamp};

use super::blocked::Blocked;
use crate::api::BackupReason;
use crate::controller::Error;
use crate::job::outcome::Failure;
use crate::store::CommitError;

/// A store that does not answer is asked until the deadline, and at least for so long after the dump.
const AFTER_DUMP: SignedDuration = SignedDuration::from_mins(10);
/// A Backup that is being deleted does not wait longer for its store.
const AFTER_DELETION: SignedDuration = SignedDuration::from_secs(10);

/// Why a commit did not come about.
pub(super) enum Attempt {
    /// The store could not be asked.
    Blocked(Blocked),
    /// It was asked.
    Commit(CommitError),
}

impl From<Blocked> for Attempt {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(blocked)
    }
}

/// What follows from that.
pub(super) enum CommitFailure {
    /// There is no object, or nobody can say so in time.
    Final(Box<Failure>),
    /// It is tried again.
    Retry(Blocked),
}

/// How long the store is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryDeadline {
    /// When the backup began.
    pub started_at: Timestamp,
    /// How long it may take.
    pub deadline: SignedDuration,
    /// When the last of it was dumped or uploaded.
    pub uploaded_at: Option<Timestamp>,
    /// Since when the Backup is being deleted.
    pub deleted_at: Option<Timestamp>,
}

impl RetryDeadline {
    fn until(&self) -> Timestamp {
        let after = |begin: Timestamp, time| begin.saturating_add(time).unwrap_or(Timestamp::MAX);
        if let Some(deleted_at) = self.deleted_at {
            return after(deleted_at, AFTER_DELETION);
        }
        let dumped = self.uploaded_at.unwrap_or(self.started_at);
        after(dumped, AFTER_DUMP).max(after(self.started_at, self.deadline))
    }
}

/// What a commit that did not come about means. Only what says that there is no object ends a backup at once: one that is
/// there, for everybody to see, is not called lost because the store is away or refuses the keys of today.
pub(super) fn classify(
    attempt: Attempt,
    deadline: &RetryDeadline,
    now: Timestamp,
) -> CommitFailure {
    let (reason, message, retry) = match attempt {
        Attempt::Blocked(blocked) if blocked.reason == BackupReason::UploadMismatch => {
            return never(blocked.reason, blocked.message);
        }
        // The API server, or a process that does not lead: nothing was asked of the store.
        Attempt::Blocked(blocked) if !blocked.is_final() => return CommitFailure::Retry(blocked),
        Attempt::Blocked(blocked) => (blocked.reason, blocked.message, None),
        Attempt::Commit(error) => {
            let message = error.to_string();
            match error {
                CommitError::Mismatch { .. } => {
                    return never(BackupReason::UploadMismatch, message);
                }
                CommitError::Refused(ref refused) if !refused.is_retryable() => {
                    return never(BackupReason::StoreRefused, message);
                }
                CommitError::Refused(error)
                | CommitError::Unknown(error)
                | CommitError::NoManifest(error) => {
                    let retry = Box::new(Error::Store(error));
                    (BackupReason::StoreRefused, message, Some(retry))
                }
            }
        }
    };
    if now > deadline.until() {
        let message = format!("{message}; it was tried until {now}");
        return never(reason, message);
    }
    CommitFailure::Retry(Blocked {
        reason: BackupReason::StoreUnreachable,
        message,
        // Whoever waits for a deletion waits for seconds: no longer rest is needed.
        retry: retry.filter(|_| deadline.deleted_at.is_none()),
        breaks: false,
    })
}

fn never(reason: BackupReason, message: String) -> CommitFailure {
    CommitFailure::Final(Box::new(Failure::new(reason, message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn deadline(deadline: i64, deleted_at: Option<i64>) -> RetryDeadline {
        RetryDeadline {
            started_at: at(1_000),
            deadline: SignedDuration::from_secs(deadline),
            uploaded_at: Some(at(2_000)),
            deleted_at: deleted_at.map(at),
        }
    }

    fn away() -> StoreError {
        StoreError::Unreachable("no answer in time".to_owned())
    }

    fn refusal() -> StoreError {
        StoreError::Refused {
            code: "AccessDenied".to_owned(),
            message: String::new(),
            status: 403,
        }
    }

    fn ends(error: CommitError, now: i64) -> bool {
        let lack = classify(Attempt::Commit(error), &deadline(3_600, None), at(now));
        matches!(lack, CommitFailure::Final(_))
    }

    #[test]
    fn only_what_is_known_not_to_be_there_ends_a_backup_at_once() {
        let what = String::new();
        assert!(ends(CommitError::Mismatch { what }, 2_001));
        assert!(ends(CommitError::Refused(StoreError::NoUpload), 2_001));
        assert!(ends(CommitError::Refused(refusal()), 2_001));
        for error in [away(), refusal()] {
            assert!(!ends(CommitError::Unknown(error.clone()), 4_600));
            assert!(!ends(CommitError::NoManifest(error.clone()), 4_600));
            assert!(ends(CommitError::Unknown(error), 4_601));
        }
        assert!(!ends(CommitError::Refused(away()), 4_600));
    }

    #[test]
    fn a_store_is_asked_for_ten_minutes_after_the_dump_and_for_ten_seconds_after_a_deletion() {
        assert_eq!(deadline(60, None).until(), at(2_600));
        assert_eq!(deadline(60_000, None).until(), at(61_000));
        assert_eq!(deadline(60_000, Some(2_100)).until(), at(2_110));
    }

    #[test]
    fn what_is_tried_again_says_so_and_soon_where_a_deletion_waits() {
        let retried = |deleted_at| {
            let attempt = Attempt::Commit(CommitError::Unknown(refusal()));
            match classify(attempt, &deadline(3_600, deleted_at), at(2_005)) {
                CommitFailure::Retry(blocked) => blocked,
                CommitFailure::Final(failure) => panic!("{failure:?}"),
            }
        };
        let waits = retried(None);
        assert_eq!(waits.reason, BackupReason::StoreUnreachable);
        assert!(waits.retry.is_some() && waits.message.contains("AccessDenied"));
        assert!(retried(Some(2_000)).retry.is_none());
    }

    #[test]
    fn keys_that_are_not_there_today_do_not_end_what_may_be_in_the_store() {
        let of = |reason, now| {
            let attempt = Attempt::Blocked(Blocked::new(reason, "m"));
            classify(attempt, &deadline(3_600, None), at(now))
        };
        let missing = BackupReason::NoDestination;
        assert!(matches!(of(missing, 2_001), CommitFailure::Retry(_)));
        assert!(matches!(of(missing, 4_601), CommitFailure::Final(_)));
        let edited = BackupReason::UploadMismatch;
        assert!(matches!(of(edited, 2_001), CommitFailure::Final(_)));
    }
}
