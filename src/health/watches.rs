//! The watches that the operator depends on, and the health of each. Pure: callers pass the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A watch that failed and says nothing for this long is open again: nothing has changed that it could tell. It is longer
/// than the longest pause between two attempts, and the time that one may take.
const OPEN_AGAIN: Duration = Duration::from_secs(40);
/// How long a watch may fail before the process is not ready any more: it works on what it knew before.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the failures of a watch are worth a line in the log.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// All watches, by the kind of their objects.
#[derive(Debug, Default)]
pub(super) struct Watches(BTreeMap<&'static str, Watch>);

#[derive(Debug, Default)]
struct Watch {
    read: bool,
    failing: Option<Failing>,
    /// When a failure was last reported, and how many there have been since.
    told: Option<Instant>,
    untold: u64,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    last: Instant,
    why: String,
}

impl Watches {
    /// One more begins; it has read nothing yet.
    pub(super) fn begin(&mut self, kind: &'static str) {
        self.0.insert(kind, Watch::default());
    }

    /// All objects were read once.
    pub(super) fn read(&mut self, kind: &'static str) {
        self.0.entry(kind).or_default().read = true;
    }

    /// Records an event of a watch.
    pub(super) fn works(&mut self, kind: &'static str) {
        self.0.entry(kind).or_default().failing = None;
    }

    /// Notes a failure. How many there were since the last one that was worth a word, this one included, if it is.
    pub(super) fn failed(&mut self, kind: &'static str, why: String, now: Instant) -> Option<u64> {
        let watch = self.0.entry(kind).or_default();
        let before = watch.failing.take().filter(|before| before.lasts(now));
        watch.failing = Some(Failing {
            since: before.map_or(now, |before| before.since),
            last: now,
            why,
        });
        watch.untold += 1;
        let due = watch
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= TOLD_EVERY);
        if !due {
            return None;
        }
        watch.told = Some(now);
        Some(std::mem::take(&mut watch.untold))
    }

    /// Each watch, and whether it fails now.
    pub(super) fn failing(&self, now: Instant) -> Vec<(&'static str, bool)> {
        let all = self.0.iter();
        all.map(|(kind, watch)| (*kind, watch.failing(now).is_some()))
            .collect()
    }

    /// Whether the process can work, as far as it depends on watches; or why not.
    pub(super) fn ready(&self, now: Instant) -> Result<(), String> {
        let unread: Vec<_> = self
            .0
            .iter()
            .filter(|(_, watch)| !watch.read)
            .map(|(kind, watch)| match watch.failing(now) {
                Some(failing) => format!("{kind} ({})", failing.why),
                None => (*kind).to_owned(),
            })
            .collect();
        if !unread.is_empty() {
            return Err(format!(
                "not all objects were read yet: {}",
                unread.join(", ")
            ));
        }
        for (kind, watch) in &self.0 {
            if let Some(failing) = watch.failing(now) {
                let time = now.saturating_duration_since(failing.since);
                if time > PATIENCE {
                    let seconds = time.as_secs();
                    return Err(format!(
                        "changes of {kind} have not been seen for {seconds} s: {}",
                        failing.why
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Watch {
    fn failing(&self, now: Instant) -> Option<&Failing> {
        self.failing.as_ref().filter(|failing| failing.lasts(now))
    }
}

impl Failing {
    fn lasts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < OPEN_AGAIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = "Job";

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn failed(watches: &mut Watches, now: Instant) -> Option<u64> {
        watches.failed(JOB, "refused".to_owned(), now)
    }

    #[test]
    fn every_watch_has_to_be_read_once() {
        let (mut watches, now) = (Watches::default(), Instant::now());
        assert_eq!(watches.ready(now), Ok(()));
        watches.begin(JOB);
        watches.begin("Pod");
        let unread = |names: &str| Err(format!("not all objects were read yet: {names}"));
        assert_eq!(watches.ready(now), unread("Job, Pod"));
        watches.read("Pod");
        assert_eq!(watches.ready(now), unread("Job"));
        failed(&mut watches, now);
        assert_eq!(watches.ready(now), unread("Job (refused)"));
        watches.read(JOB);
        watches.works(JOB);
        assert_eq!(watches.ready(now), Ok(()));
    }

    #[test]
    fn one_that_fails_for_long_is_not_ready_and_one_that_is_silent_after_a_failure_is() {
        let (mut watches, start) = (Watches::default(), Instant::now());
        watches.begin(JOB);
        watches.read(JOB);
        for second in (0..=70).step_by(10) {
            failed(&mut watches, after(start, second));
        }
        let now = after(start, 71);
        let why = watches.ready(now).unwrap_err();
        assert!(
            why.contains("Job") && why.ends_with("71 s: refused"),
            "{why}"
        );
        assert_eq!(watches.failing(now), [(JOB, true)]);
        // Opened again, and nothing has changed since.
        let later = after(start, 70) + OPEN_AGAIN;
        assert_eq!(watches.ready(later), Ok(()));
        assert_eq!(watches.failing(later), [(JOB, false)]);
        failed(&mut watches, later);
        assert_eq!(watches.ready(later), Ok(()), "it only just failed again");
        watches.works(JOB);
        assert_eq!(watches.failing(later), [(JOB, false)]);
    }

    #[test]
    fn failures_are_told_at_once_and_then_once_a_minute_with_their_number() {
        let (mut watches, start) = (Watches::default(), Instant::now());
        assert_eq!(failed(&mut watches, start), Some(1));
        for second in 1..60 {
            assert_eq!(failed(&mut watches, after(start, second)), None);
            // One that comes and goes is no more interesting.
            watches.works(JOB);
        }
        assert_eq!(failed(&mut watches, after(start, 60)), Some(60));
        assert_eq!(failed(&mut watches, after(start, 61)), None);
        assert_eq!(failed(&mut watches, after(start, 600)), Some(2));
    }
}
