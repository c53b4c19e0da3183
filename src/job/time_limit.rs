//! How long a backup or a restore may take, and how long it may stall: what it asks for, and what its instance allows. Pure.

use std::fmt;

use jiff::SignedDuration;

use crate::api::Backup;
use crate::api::destination::{BackupDestination, BackupJob};

/// The limits of one backup or restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimits {
    /// From its start to its end.
    pub deadline: TimeLimit,
    /// Without anything dumped and uploaded, or fetched and loaded.
    pub stall: TimeLimit,
}

/// A limit, and which field says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit {
    /// How long.
    pub time: SignedDuration,
    /// The field that says so, as messages name it.
    pub field: &'static str,
}

impl TimeLimits {
    /// The lower of what a Backup asks for and what its instance allows. Without settings the instance's defaults count.
    #[must_use]
    pub fn of(backup: &Backup, settings: Option<&BackupDestination>) -> Self {
        let job = settings.and_then(|settings| settings.job.clone());
        let job = job.unwrap_or_default();
        Self {
            deadline: lower(
                (backup.spec.deadline_seconds, "spec.deadlineSeconds"),
                (
                    job.effective_max_deadline_seconds(),
                    "spec.backup.job.maxDeadlineSeconds of the instance",
                ),
            ),
            stall: lower(
                (backup.spec.stall_seconds, "spec.stallSeconds"),
                (
                    job.effective_max_stall_seconds(),
                    "spec.backup.job.maxStallSeconds of the instance",
                ),
            ),
        }
    }

    /// The lower of what a Restore asks for, in seconds, and what these settings of its instance allow.
    #[must_use]
    pub fn of_restore(deadline_seconds: i64, stall_seconds: i64, job: &BackupJob) -> Self {
        Self {
            deadline: lower(
                (deadline_seconds, "spec.deadlineSeconds"),
                (
                    job.effective_max_deadline_seconds(),
                    "spec.restore.job.maxDeadlineSeconds of the instance",
                ),
            ),
            stall: lower(
                (stall_seconds, "spec.stallSeconds"),
                (
                    job.effective_max_stall_seconds(),
                    "spec.restore.job.maxStallSeconds of the instance",
                ),
            ),
        }
    }

    /// How long the dump tool may wait for a lock of another session: a little less than it may stand still, so that the
    /// tool itself says which table it is.
    #[must_use]
    pub fn lock_wait(&self) -> SignedDuration {
        let seconds = self.stall.time.as_secs();
        SignedDuration::from_secs((seconds - seconds / 10).max(1))
    }
}

fn lower(asked: (i64, &'static str), allowed: (i64, &'static str)) -> TimeLimit {
    let (seconds, field) = if allowed.0 < asked.0 { allowed } else { asked };
    TimeLimit {
        time: SignedDuration::from_secs(seconds),
        field,
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} s)", self.field, self.time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits(backup: &serde_json::Value, job: &serde_json::Value) -> TimeLimits {
        let mut spec = json!({"databaseRef": {"name": "d"}});
        spec.as_object_mut()
            .unwrap()
            .extend(backup.as_object().unwrap().clone());
        let backup = serde_json::from_value(json!({"metadata": {"name": "b"}, "spec": spec}));
        let settings = json!({"s3": {"bucket": "b", "region": "r"}, "job": job});
        let settings: BackupDestination = serde_json::from_value(settings).unwrap();
        TimeLimits::of(&backup.unwrap(), Some(&settings))
    }

    #[test]
    fn the_lower_limit_counts_and_is_named() {
        let job = json!({"maxDeadlineSeconds": 3600, "maxStallSeconds": 300});
        let long = limits(
            &json!({"deadlineSeconds": 604_800, "stallSeconds": 86_400}),
            &job,
        );
        assert_eq!(
            (long.deadline.to_string(), long.stall.to_string()),
            (
                "spec.backup.job.maxDeadlineSeconds of the instance (3600 s)".to_owned(),
                "spec.backup.job.maxStallSeconds of the instance (300 s)".to_owned()
            )
        );
        let short = limits(&json!({"deadlineSeconds": 60, "stallSeconds": 30}), &job);
        assert_eq!(
            (short.deadline.to_string(), short.stall.to_string()),
            (
                "spec.deadlineSeconds (60 s)".to_owned(),
                "spec.stallSeconds (30 s)".to_owned()
            )
        );
        // Of equal ones the Backup's own.
        let equal = limits(&json!({"deadlineSeconds": 3600, "stallSeconds": 300}), &job);
        assert_eq!(equal.deadline.field, "spec.deadlineSeconds");
    }

    #[test]
    fn a_restores_limits_are_named_by_their_own_fields() {
        let job: BackupJob = serde_json::from_value(json!({"maxDeadlineSeconds": 3600})).unwrap();
        let limits = TimeLimits::of_restore(7200, 60, &job);
        assert_eq!(
            (limits.deadline.to_string(), limits.stall.to_string()),
            (
                "spec.restore.job.maxDeadlineSeconds of the instance (3600 s)".to_owned(),
                "spec.stallSeconds (60 s)".to_owned()
            )
        );
    }

    #[test]
    fn an_instance_that_says_nothing_allows_a_day_and_an_hour() {
        let none = serde_json::Value::Null;
        let week = json!({"deadlineSeconds": 604_800, "stallSeconds": 86_400});
        let long = limits(&week, &none);
        assert_eq!(
            (long.deadline.time.as_secs(), long.stall.time.as_secs()),
            (86_400, 3_600)
        );
        assert_eq!(limits(&json!({}), &none).deadline.time.as_secs(), 21_600);
    }

    #[test]
    fn the_tool_gives_a_lock_up_before_a_stall_is_seen() {
        let none = serde_json::Value::Null;
        for (stall, wait) in [(30, 27), (600, 540), (3_600, 3_240)] {
            let limits = limits(&json!({"stallSeconds": stall}), &none);
            assert_eq!(limits.lock_wait().as_secs(), wait);
        }
    }
}
