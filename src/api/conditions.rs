//! Conditions as kstatus reads them: `Ready` always, `Reconciling` and `Stalled` only while they are true.
//!
//! A pass ends in one [`Report`]; [`Report::record`] writes it into a status. Pure: the caller brings the time.

use std::borrow::Cow;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::reason::{Outcome, Reason};

/// Type of the condition that says whether an object can be used.
pub const READY: &str = "Ready";

/// Type of the condition that is present while something is being done or retried.
pub const RECONCILING: &str = "Reconciling";

/// Type of the condition that is present while only a person can help.
pub const STALLED: &str = "Stalled";

/// Type of the condition of what ends: false until it has ended, whichever way, and true from then on, as `Complete` and
/// `Failed` together say it of a Kubernetes Job. kstatus does not look at it.
pub const FINISHED: &str = "Finished";

/// The most bytes of a condition's message (the limit of `metav1.Condition`, which clients validate against).
pub const MESSAGE_LIMIT: usize = 32_768;

/// One aspect of an object's state, in the shape of Kubernetes' own `metav1.Condition`.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about: Ready, Reconciling (present while something is being done or retried), Stalled (present
    /// while someone has to act) or, of a Backup or a Restore, Finished (true when it is COMPLETED or FAILED).
    #[serde(rename = "type")]
    pub type_: String,

    /// True, False or Unknown.
    pub status: ConditionStatus,

    /// The reason, as one stable CamelCase word that scripts can rely on.
    pub reason: String,

    /// An explanation, and what to do about it.
    pub message: String,

    /// When the status last changed from one value to another.
    #[schemars(schema_with = "timestamp")]
    pub last_transition_time: Timestamp,

    /// The metadata.generation of the object that this condition describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ConditionStatus {
    /// It does.
    True,
    /// It does not.
    False,
    /// It could not be checked.
    Unknown,
}

/// The schema of a point in time: RFC 3339, UTC.
#[must_use]
pub fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time"})
}

/// What one pass over an object found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    ready: (ConditionStatus, Finding),
    progress: Option<(&'static str, Finding)>,
    finished: Option<bool>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Finding {
    reason: &'static str,
    message: String,
}

impl Report {
    /// What `reason` means for an object ([`Reason::outcome`]): usable, in progress, or in need of a person.
    pub fn new(reason: impl Reason, message: impl Into<String>) -> Self {
        let finding = Finding {
            reason: reason.as_str(),
            message: message.into(),
        };
        match reason.outcome() {
            Outcome::Ready => Self {
                ready: (ConditionStatus::True, finding),
                progress: None,
                finished: None,
            },
            Outcome::Reconciling => Self {
                ready: (ConditionStatus::False, finding.clone()),
                progress: Some((RECONCILING, finding)),
                finished: None,
            },
            Outcome::Stalled => Self {
                ready: (ConditionStatus::False, finding.clone()),
                progress: Some((STALLED, finding)),
                finished: None,
            },
        }
    }

    /// The object can still be used: `Ready` is true for this other reason, while `Reconciling` or `Stalled` keep the
    /// first. (A wrong template does not make a working database unusable.)
    #[must_use]
    pub fn while_ready(mut self, reason: impl Reason, message: impl Into<String>) -> Self {
        self.ready = (
            ConditionStatus::True,
            Finding {
                reason: reason.as_str(),
                message: message.into(),
            },
        );
        self
    }

    /// Whether the object has ended, for a kind that does ([`FINISHED`]).
    #[must_use]
    pub fn finished(mut self, has_ended: bool) -> Self {
        self.finished = Some(has_ended);
        self
    }

    /// Writes the report into the conditions of a status and tells whether anything changed.
    ///
    /// `generation` is the object's `metadata.generation`. A condition's time moves only when its status does.
    /// Conditions of other types are left alone.
    pub fn record(
        &self,
        conditions: &mut Vec<Condition>,
        generation: Option<i64>,
        now: Timestamp,
    ) -> bool {
        let before = conditions.clone();
        let absent = |type_: &str| {
            self.progress
                .as_ref()
                .is_none_or(|(present, _)| *present != type_)
        };
        conditions.retain(|c| match c.type_.as_str() {
            RECONCILING | STALLED => !absent(&c.type_),
            _ => true,
        });
        let (status, finding) = &self.ready;
        set(conditions, READY, *status, finding, generation, now);
        if let Some(has_ended) = self.finished {
            let (status, message) = if has_ended {
                // With the reason and the message, so that one look tells which end it was.
                (ConditionStatus::True, finding.message.clone())
            } else {
                (ConditionStatus::False, "it has not ended".to_owned())
            };
            let finding = Finding {
                reason: finding.reason,
                message,
            };
            set(conditions, FINISHED, status, &finding, generation, now);
        }
        if let Some((type_, finding)) = &self.progress {
            set(
                conditions,
                type_,
                ConditionStatus::True,
                finding,
                generation,
                now,
            );
        }
        *conditions != before
    }
}

/// True when the condition of this type is there and true.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    conditions
        .iter()
        .any(|c| c.type_ == type_ && c.status == ConditionStatus::True)
}

fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: ConditionStatus,
    finding: &Finding,
    generation: Option<i64>,
    now: Timestamp,
) {
    let known = conditions.iter_mut().find(|c| c.type_ == type_);
    let since = known
        .as_deref()
        .filter(|c| c.status == status)
        .map_or(whole_seconds(now), |c| c.last_transition_time);
    let condition = Condition {
        type_: type_.to_owned(),
        status,
        reason: finding.reason.to_owned(),
        message: shorten(&finding.message).into_owned(),
        last_transition_time: since,
        observed_generation: generation,
    };
    match known {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// Kubernetes keeps whole seconds; so do we, or what is read back would differ from what was written.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// Cuts a message to [`MESSAGE_LIMIT`], never inside a character.
fn shorten(message: &str) -> Cow<'_, str> {
    const MARK: &str = "…";
    if message.len() <= MESSAGE_LIMIT {
        return message.into();
    }
    let mut end = MESSAGE_LIMIT - MARK.len();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message
        .get(..end)
        .map_or_else(|| message.into(), |kept| format!("{kept}{MARK}").into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

    use super::*;
    use crate::reason::DatabaseReason;

    fn at(second: i64) -> Timestamp {
        Timestamp::new(second, 123_000_000).unwrap()
    }

    fn of<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
        conditions.iter().find(|c| c.type_ == type_)
    }

    #[test]
    fn reconciling_and_stalled_are_there_only_while_true() {
        let mut conditions = Vec::new();
        for (reason, present, absent) in [
            (DatabaseReason::Creating, Some(RECONCILING), STALLED),
            (DatabaseReason::ClaimedByAnother, Some(STALLED), RECONCILING),
            (DatabaseReason::Created, None, RECONCILING),
        ] {
            assert!(Report::new(reason, "why").record(&mut conditions, Some(1), at(1)));
            assert!(of(&conditions, absent).is_none(), "{reason:?}");
            assert_eq!(conditions.len(), 1 + usize::from(present.is_some()));
            if let Some(present) = present {
                assert!(is_true(&conditions, present));
                assert!(!is_true(&conditions, READY));
            }
        }
        assert!(is_true(&conditions, READY));
        assert!(of(&conditions, STALLED).is_none());
    }

    #[test]
    fn the_time_moves_only_when_the_status_does() {
        let mut conditions = Vec::new();
        Report::new(DatabaseReason::Creating, "a").record(&mut conditions, Some(1), at(10));
        Report::new(DatabaseReason::InstanceNotReady, "b").record(&mut conditions, Some(2), at(20));
        let ready = of(&conditions, READY).unwrap();
        assert_eq!(
            ready.last_transition_time,
            Timestamp::from_second(10).unwrap()
        );
        assert_eq!(ready.reason, "InstanceNotReady");
        assert_eq!(ready.observed_generation, Some(2));

        Report::new(DatabaseReason::Created, "c").record(&mut conditions, Some(2), at(30));
        let ready = of(&conditions, READY).unwrap();
        assert_eq!(
            ready.last_transition_time,
            Timestamp::from_second(30).unwrap()
        );
    }

    #[test]
    fn the_same_report_again_changes_nothing() {
        let mut conditions = Vec::new();
        let report = Report::new(DatabaseReason::Creating, "a");
        assert!(report.record(&mut conditions, Some(1), at(1)));
        assert!(!report.record(&mut conditions, Some(1), at(99)));
        assert!(report.record(&mut conditions, Some(2), at(99)));
    }

    #[test]
    fn a_trouble_beside_a_working_database_leaves_it_ready() {
        let mut conditions = Vec::new();
        Report::new(DatabaseReason::InvalidTemplate, "line 1")
            .while_ready(DatabaseReason::Created, "login works")
            .record(&mut conditions, Some(1), at(1));
        assert!(is_true(&conditions, READY));
        assert!(is_true(&conditions, STALLED));
        assert_eq!(of(&conditions, READY).unwrap().reason, "Created");
    }

    #[test]
    fn what_has_ended_is_finished_whichever_way() {
        use crate::reason::BackupReason;
        let mut conditions = Vec::new();
        for (reason, has_ended, status, said) in [
            (
                BackupReason::BackingUp,
                false,
                ConditionStatus::False,
                "it has not ended",
            ),
            (
                BackupReason::DatabaseNotFound,
                false,
                ConditionStatus::False,
                "it has not ended",
            ),
            (BackupReason::DumpFailed, true, ConditionStatus::True, "why"),
            (BackupReason::Completed, true, ConditionStatus::True, "why"),
        ] {
            let report = Report::new(reason, "why").finished(has_ended);
            report.record(&mut conditions, Some(1), at(1));
            let finished = of(&conditions, FINISHED).unwrap();
            assert_eq!((finished.status, &*finished.message), (status, said));
            // What kstatus looks at says the same as ever.
            for type_ in [READY, FINISHED] {
                assert_eq!(of(&conditions, type_).unwrap().reason, reason.as_str());
            }
        }
        // A kind that has no end has no such condition.
        let mut conditions = Vec::new();
        Report::new(DatabaseReason::Created, "").record(&mut conditions, Some(1), at(1));
        assert_eq!(of(&conditions, FINISHED), None);
    }

    #[test]
    fn conditions_of_others_stay() {
        let other = Condition {
            type_: "Audited".to_owned(),
            status: ConditionStatus::Unknown,
            reason: "Somebody".to_owned(),
            message: String::new(),
            last_transition_time: at(1),
            observed_generation: None,
        };
        let mut conditions = vec![other.clone()];
        Report::new(DatabaseReason::Created, "").record(&mut conditions, Some(1), at(1));
        assert_eq!(conditions.first(), Some(&other));
    }

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "ä".repeat(MESSAGE_LIMIT);
        let short = shorten(&long);
        assert!(short.len() <= MESSAGE_LIMIT && short.len() > MESSAGE_LIMIT - 4);
        assert!(short.ends_with('…'));
        assert_eq!(shorten("short"), "short");
    }
}
