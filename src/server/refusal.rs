//! When to ask a server again that refused: an error that a person has to fix is not retried every other second. Pure.

use std::time::{Duration, Instant};

use super::Finding;
use crate::api::{
    ACKNOWLEDGE_IDENTITY, DatabaseInstance, InstanceReason, Outcome, RECONCILE_REQUESTED_AT, Reason,
};
use crate::backoff;

/// The wait after a first refusal.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait where each look is a handshake that is broken off: MySQL blocks a host after `max_connect_errors` (100)
/// of these.
const LONGEST_BROKEN_OFF: Duration = Duration::from_hours(1);

/// What someone changes in an instance to fix it. (Other Secrets are another access, and so another connection.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFingerprint {
    generation: Option<i64>,
    annotations: [Option<String>; 2],
}

impl SpecFingerprint {
    /// Those of an instance as it is now.
    pub fn of(instance: &DatabaseInstance) -> Self {
        let annotations = instance.metadata.annotations.as_ref();
        Self {
            generation: instance.metadata.generation,
            annotations: [RECONCILE_REQUESTED_AT, ACKNOWLEDGE_IDENTITY]
                .map(|key| annotations?.get(key).cloned()),
        }
    }
}

/// Whether only a person can mend it, and the server itself said so: what breaks off while TLS is agreed on may be a
/// server that is just coming up.
fn is_a_persons(reason: InstanceReason) -> bool {
    reason.outcome() == Outcome::Stalled && reason != InstanceReason::TlsFailed
}

/// A server that was asked and refused.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    finding: Finding,
    fingerprint: SpecFingerprint,
    times: u32,
    until: Instant,
}

impl Refused {
    /// What is remembered of an answer after another one; nothing, where it goes away by itself or is none.
    pub(crate) fn after(
        before: Option<Self>,
        said: &Finding,
        fingerprint: SpecFingerprint,
        now: Instant,
        spread: f64,
    ) -> Option<Self> {
        if !is_a_persons(said.0) {
            return None;
        }
        let before =
            before.filter(|before| before.fingerprint == fingerprint && before.finding.0 == said.0);
        let longest = match said.0 {
            InstanceReason::TlsRequired => LONGEST_BROKEN_OFF,
            _ => LONGEST,
        };
        let times = before.map_or(1, |before| before.times.saturating_add(1));
        Some(Self {
            finding: said.clone(),
            fingerprint,
            times,
            until: now + backoff::delay_within(FIRST..=longest, times, spread),
        })
    }

    /// The refusal, if nothing has changed since and it is too soon to ask again.
    pub(crate) fn holds(&self, fingerprint: &SpecFingerprint, now: Instant) -> Option<Finding> {
        (self.fingerprint == *fingerprint && now < self.until).then(|| self.finding.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(generation: i64) -> SpecFingerprint {
        SpecFingerprint {
            generation: Some(generation),
            annotations: [None, None],
        }
    }

    fn said(reason: InstanceReason) -> Finding {
        (reason, "why".to_owned())
    }

    #[test]
    fn a_person_is_waited_for_ever_longer() {
        let now = Instant::now();
        let mut refused = None;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let finding = said(InstanceReason::LoginFailed);
            refused = Refused::after(refused, &finding, fingerprint(1), now, 1.0);
            waits.push((refused.as_ref().unwrap().until - now).as_secs());
        }
        assert_eq!(waits, [2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn whoever_changes_something_is_answered_at_once() {
        let now = Instant::now();
        let finding = said(InstanceReason::LoginFailed);
        let refused = Refused::after(None, &finding, fingerprint(1), now, 1.0).unwrap();
        assert_eq!(refused.holds(&fingerprint(1), now), Some(finding.clone()));
        assert_eq!(refused.holds(&fingerprint(2), now), None);
        assert_eq!(refused.holds(&fingerprint(1), now + FIRST), None);
        let again = Refused::after(Some(refused), &finding, fingerprint(2), now, 1.0).unwrap();
        assert_eq!(again.times, 1);
    }

    #[test]
    fn what_goes_away_by_itself_is_asked_for_as_before() {
        let now = Instant::now();
        for (reason, waits) in [
            (InstanceReason::Connected, false),
            (InstanceReason::Unreachable, false),
            (InstanceReason::TooManyConnections, false),
            (InstanceReason::ReadOnly, false),
            (InstanceReason::TlsFailed, false),
            (InstanceReason::LoginFailed, true),
            (InstanceReason::MissingPrivileges, true),
            (InstanceReason::IdentityChanged, true),
        ] {
            let noted = Refused::after(None, &said(reason), fingerprint(1), now, 0.5);
            assert_eq!(noted.is_some(), waits, "{reason:?}");
        }
    }
}
