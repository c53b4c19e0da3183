//! Decides what to do about a lease as it was read: from the record and two clocks, without a request.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;

/// What a Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The holder; `None` if it was released or never taken.
    pub holder: Option<String>,
    /// When it was renewed last, by the holder's clock.
    pub renewed: Option<Timestamp>,
    /// For how long that is good.
    pub duration: Option<Duration>,
    /// How often it changed hands.
    pub transitions: i32,
    /// Whether every field is there that the library needs to take it.
    pub complete: bool,
    /// The API server's version of the object.
    pub version: String,
}

impl Record {
    /// Reads a Lease, whoever wrote it.
    pub(super) fn of(lease: &Lease) -> Self {
        let spec = lease.spec.clone().unwrap_or_default();
        let complete = spec.holder_identity.is_some()
            && spec.renew_time.is_some()
            && spec.lease_duration_seconds.is_some()
            && spec.lease_transitions.is_some();
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            renewed: spec.renew_time.map(|time| time.0),
            duration: spec
                .lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            transitions: spec.lease_transitions.unwrap_or(0),
            complete,
            version: lease.metadata.resource_version.clone().unwrap_or_default(),
        }
    }

    /// Whether the library will take it, which compares its own clock with the holder's.
    fn is_expired_for_library(&self, wall: Timestamp) -> bool {
        match (self.renewed, self.duration) {
            (Some(renewed), Some(duration)) => {
                self.complete
                    && renewed
                        .checked_add(duration)
                        .is_ok_and(|expires| wall > expires)
            }
            (None, _) | (_, None) => false,
        }
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Someone holds it, or may.
    Wait,
    /// Ask the library for it.
    Take,
    /// Nobody holds it, but the library would not take it as it stands: rewrite it first. The words
    /// are for the log.
    Clear(&'static str),
}

/// Remembers since when the lease stands still.
#[derive(Debug)]
pub(super) struct Watched {
    /// Used where the Lease itself does not say.
    ttl: Duration,
    last: Option<Look>,
}

#[derive(Debug)]
struct Look {
    version: String,
    /// When this version was seen first.
    since: Instant,
    /// Until when its holder may lead without being heard of again.
    until: Instant,
}

impl Watched {
    pub(super) fn new(ttl: Duration) -> Self {
        Self { ttl, last: None }
    }

    /// Decides about a lease that was seen at `now`, which is `wall` by the calendar.
    pub(super) fn step(
        &mut self,
        record: Option<&Record>,
        me: &str,
        now: Instant,
        wall: Timestamp,
    ) -> Step {
        let Some(record) = record else {
            // Deleted under a living leader, which will make it again.
            return match &self.last {
                Some(last) if now < last.until => Step::Wait,
                Some(_) | None => Step::Take,
            };
        };
        let since = match &self.last {
            Some(last) if last.version == record.version => last.since,
            Some(_) | None => now,
        };
        let duration = match &record.holder {
            Some(holder) if holder != me => record.duration.unwrap_or(self.ttl),
            Some(_) | None => Duration::ZERO,
        };
        self.last = Some(Look {
            version: record.version.clone(),
            since,
            until: since + duration,
        });
        let stood_still = now >= since + duration;
        match &record.holder {
            Some(holder) if holder == me && record.complete => Step::Take,
            Some(holder) if holder != me && !stood_still => Step::Wait,
            Some(_) | None if record.is_expired_for_library(wall) => Step::Take,
            None if !record.complete => Step::Clear("it is not complete"),
            None => Step::Clear("it was given back"),
            Some(_) if !record.complete => Step::Clear("its holder left it incomplete"),
            Some(_) => Step::Clear("its holder is silent, and the clocks do not agree"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    /// A lease that `other` renewed 3 s ago.
    fn held(wall: Timestamp) -> Record {
        Record {
            holder: Some("other".to_owned()),
            renewed: Some(wall - Duration::from_secs(3)),
            duration: Some(TTL),
            transitions: 4,
            complete: true,
            version: "7".to_owned(),
        }
    }

    fn first_look(record: &Record, wall: Timestamp) -> Step {
        Watched::new(TTL).step(Some(record), "me", Instant::now(), wall)
    }

    fn look_after(record: &Record, wall: Timestamp, time: Duration) -> Step {
        let (mut watched, now) = (Watched::new(TTL), Instant::now());
        watched.step(Some(record), "me", now, wall);
        watched.step(Some(record), "me", now + time, wall + time)
    }

    #[test]
    fn a_missing_lease_is_taken() {
        let step = Watched::new(TTL).step(None, "me", Instant::now(), Timestamp::now());
        assert_eq!(step, Step::Take);
    }

    #[test]
    fn a_lease_deleted_under_its_holder_is_waited_for() {
        let (mut watched, now, wall) = (Watched::new(TTL), Instant::now(), Timestamp::now());
        watched.step(Some(&held(wall)), "me", now, wall);
        assert_eq!(watched.step(None, "me", now, wall), Step::Wait);
        assert_eq!(watched.step(None, "me", now + TTL, wall), Step::Take);
    }

    #[test]
    fn our_own_is_renewed_even_when_it_ran_out() {
        let wall = Timestamp::now();
        let mut record = held(wall);
        record.holder = Some("me".to_owned());
        assert_eq!(first_look(&record, wall), Step::Take);
        record.renewed = Some(Timestamp::UNIX_EPOCH);
        assert_eq!(first_look(&record, wall), Step::Take);
    }

    #[test]
    fn another_holder_is_waited_for() {
        let wall = Timestamp::now();
        let record = held(wall);
        assert_eq!(first_look(&record, wall), Step::Wait);
        let almost = TTL.checked_sub(Duration::from_millis(1)).unwrap();
        assert_eq!(look_after(&record, wall, almost), Step::Wait);
        assert_eq!(look_after(&record, wall, TTL), Step::Take);
    }

    #[test]
    fn a_renewal_starts_the_wait_anew() {
        let (mut watched, now, wall) = (Watched::new(TTL), Instant::now(), Timestamp::now());
        let mut record = held(wall);
        watched.step(Some(&record), "me", now, wall);
        record.version = "8".to_owned();
        let later = now + TTL;
        assert_eq!(
            watched.step(Some(&record), "me", later, wall + TTL),
            Step::Wait
        );
        assert_eq!(
            watched.step(Some(&record), "me", later + TTL, wall + TTL * 2),
            Step::Take
        );
    }

    #[test]
    fn a_fast_clock_does_not_steal() {
        let wall = Timestamp::now();
        let mut record = held(wall);
        record.renewed = Some(wall - Duration::from_hours(1));
        assert_eq!(first_look(&record, wall), Step::Wait);
    }

    #[test]
    fn a_slow_clock_does_not_wait_forever() {
        let wall = Timestamp::now();
        let mut record = held(wall);
        record.renewed = Some(wall + Duration::from_hours(1));
        assert!(matches!(
            look_after(&record, wall, TTL),
            Step::Clear("its holder is silent, and the clocks do not agree")
        ));
    }

    #[test]
    fn what_nobody_holds_is_taken_at_once() {
        let wall = Timestamp::now();
        let mut released = held(wall);
        released.holder = None;
        released.renewed = Some(wall);
        released.duration = Some(Duration::from_secs(1));
        assert_eq!(
            first_look(&released, wall),
            Step::Clear("it was given back")
        );
        let later = wall + Duration::from_secs(2);
        assert_eq!(first_look(&released, later), Step::Take);
    }

    #[test]
    fn a_lease_without_its_fields_never_wedges() {
        let wall = Timestamp::now();
        let empty = Record::of(&Lease::default());
        assert_eq!(first_look(&empty, wall), Step::Clear("it is not complete"));

        let mut headless = held(wall);
        headless.holder = None;
        headless.complete = false;
        assert_eq!(
            first_look(&headless, wall),
            Step::Clear("it is not complete")
        );

        // Someone's name stands on it: it is theirs until it stood still for our ttl.
        let mut torn = held(wall);
        torn.complete = false;
        torn.duration = None;
        assert_eq!(first_look(&torn, wall), Step::Wait);
        assert_eq!(
            look_after(&torn, wall, TTL),
            Step::Clear("its holder left it incomplete")
        );
        torn.holder = Some("me".to_owned());
        assert_eq!(
            first_look(&torn, wall),
            Step::Clear("its holder left it incomplete")
        );
    }

    #[test]
    fn reads_what_the_library_needs() {
        let lease: Lease = serde_json::from_value(serde_json::json!({
            "metadata": {"resourceVersion": "9"},
            "spec": {"holderIdentity": "", "renewTime": "2026-01-01T00:00:00.000000Z",
                     "leaseDurationSeconds": 1, "leaseTransitions": 3}
        }))
        .unwrap();
        let record = Record::of(&lease);
        assert_eq!(record.holder, None);
        assert_eq!(record.duration, Some(Duration::from_secs(1)));
        assert_eq!(record.transitions, 3);
        assert!(record.complete);
        assert_eq!(record.version, "9");
    }
}
