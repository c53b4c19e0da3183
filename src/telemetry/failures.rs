//! The log of repeated failures, at a rate that a person can read.
//!
//! The first failure of an object is a line at once; the same again is one ever more rarely, and says how often. What is
//! new about it is a line, too. Whatever a namespace's owner does to its objects, the lines of others are found.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::pace::{Pace, Paced};
use crate::backoff::Key;

/// The same failure is said again after this time at first, then after twice that, and so on.
const FIRST: Duration = Duration::from_mins(1);
/// The longest that nothing is said of an object that fails.
const LONGEST: Duration = Duration::from_mins(10);
/// One that fails each time in another way is said no sooner than this after the last time.
const CHANGED: Duration = Duration::from_secs(10);
/// An object that has worked for this long starts over.
const SERIES: Duration = Duration::from_mins(5);
/// The maximum number of objects that are remembered. Any further failing objects are not logged.
const MOST: usize = 10_000;

/// The lines about objects of one namespace.
const OF_A_NAMESPACE: Pace = Pace {
    burst: 10,
    every: Duration::from_secs(6),
};
/// All lines.
const OF_ALL: Pace = Pace {
    burst: 60,
    every: Duration::from_secs(1),
};

/// Writes the log of failures. What works again is a line, too, if its failure was one.
#[derive(Debug)]
pub struct FailureLog(Mutex<State>);

#[derive(Debug)]
struct State {
    objects: HashMap<Key, Series>,
    namespaces: Paced<String>,
    all: Paced<()>,
}

/// The failures of one object that are one story.
#[derive(Debug)]
struct Series {
    reason: &'static str,
    text: u64,
    first: Instant,
    last: Instant,
    times: u32,
    works: bool,
    /// When a line was last written about it, and how long nothing more is said of the same.
    said: Option<(Instant, Duration)>,
    /// When it was last said that it works again.
    praised: Option<Instant>,
}

/// What a line says beside what happened now.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    /// How often it failed by now.
    times: u32,
    /// Since when.
    since: Duration,
    /// How many other objects of its namespace fail without a line of their own.
    others: usize,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self(Mutex::new(State {
            objects: HashMap::new(),
            namespaces: Paced::new(OF_A_NAMESPACE),
            all: Paced::new(OF_ALL),
        }))
    }
}

impl FailureLog {
    /// Notes that an object failed, and logs it if that is due. `error` may differ in its numbers and still be the same.
    pub fn failed(&self, key: &Key, reason: &'static str, error: &dyn Display) {
        let (kind, namespace, name) = key;
        if let Some(line) = self
            .lock()
            .failed(key, reason, &error.to_string(), Instant::now())
        {
            let Line {
                times,
                since,
                others,
            } = line;
            let again = (times > 1).then_some(times);
            let since = again.map(|_| tracing::field::debug(since));
            let others = (others > 0).then_some(others);
            tracing::warn!(
                kind, namespace, name, reason, %error, times = again, since, other_objects = others,
                "failed, trying again"
            );
        }
    }

    /// Notes that nothing failed, and logs it if that is news.
    pub fn worked(&self, key: &Key) {
        if let Some(Line { times, since, .. }) = self.lock().worked(key, Instant::now()) {
            let (kind, namespace, name) = key;
            tracing::info!(
                kind,
                namespace,
                name,
                times,
                ?since,
                "goes through without a failure again; its conditions say how it is"
            );
        }
    }

    /// Forgets an object that is gone.
    pub fn forget(&self, key: &Key) {
        self.lock().objects.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    fn failed(
        &mut self,
        key: &Key,
        reason: &'static str,
        error: &str,
        now: Instant,
    ) -> Option<Line> {
        let text = without_numbers(error);
        self.make_room(now);
        if self.objects.len() >= MOST && !self.objects.contains_key(key) {
            return None;
        }
        let series = self
            .objects
            .entry(key.clone())
            .or_insert_with(|| Series::new(reason, text, now));
        if series.is_over(now) {
            *series = Series::new(reason, text, now);
        }
        series.times = series.times.saturating_add(1);
        series.last = now;
        series.works = false;
        let due = series.is_due(reason, text, now);
        if !due || !self.namespaces.take(key.1.clone(), now) || !self.all.take((), now) {
            return None;
        }
        let line = Line {
            others: self.unsaid(key),
            ..series_line(self.objects.get_mut(key)?, reason, text, now)
        };
        Some(line)
    }

    fn worked(&mut self, key: &Key, now: Instant) -> Option<Line> {
        let series = self.objects.get_mut(key)?;
        if std::mem::replace(&mut series.works, true) {
            return None;
        }
        let (_, pause) = series.said?;
        let due = series
            .praised
            .is_none_or(|praised| now.duration_since(praised) >= pause);
        if !due || !self.all.take((), now) {
            return None;
        }
        series.praised = Some(now);
        Some(series.line(now))
    }

    /// How many other objects of the namespace fail and have no line.
    fn unsaid(&self, key: &Key) -> usize {
        let of_it = self.objects.iter().filter(|(other, series)| {
            other.1 == key.1 && **other != *key && !series.works && series.said.is_none()
        });
        of_it.count()
    }

    /// Forgets what works, where there is much.
    fn make_room(&mut self, now: Instant) {
        if self.objects.len() >= MOST / 2 {
            self.objects.retain(|_, series| !series.is_over(now));
        }
    }
}

fn series_line(series: &mut Series, reason: &'static str, text: u64, now: Instant) -> Line {
    series.say(reason, text, now);
    series.line(now)
}

impl Series {
    fn new(reason: &'static str, text: u64, now: Instant) -> Self {
        Self {
            reason,
            text,
            first: now,
            last: now,
            times: 0,
            works: false,
            said: None,
            praised: None,
        }
    }

    fn is_same(&self, reason: &'static str, text: u64) -> bool {
        self.reason == reason && self.text == text
    }

    fn is_due(&self, reason: &'static str, text: u64, now: Instant) -> bool {
        self.said.is_none_or(|(said, pause)| {
            let pause = if self.is_same(reason, text) {
                pause
            } else {
                CHANGED
            };
            now.duration_since(said) >= pause
        })
    }

    /// A line is written.
    fn say(&mut self, reason: &'static str, text: u64, now: Instant) {
        let pause = match self.said {
            Some((_, pause)) if self.is_same(reason, text) => (pause * 2).min(LONGEST),
            Some(_) | None => FIRST,
        };
        self.said = Some((now, pause));
        self.reason = reason;
        self.text = text;
    }

    fn line(&self, now: Instant) -> Line {
        Line {
            times: self.times,
            since: Duration::from_secs(now.duration_since(self.first).as_secs()),
            others: 0,
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.works && now.duration_since(self.last) >= SERIES
    }
}

/// What of a text stays the same while it counts seconds, attempts or process ids.
fn without_numbers(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.chars()
        .filter(|character| !character.is_ascii_digit())
        .for_each(|character| character.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
#[path = "failures_tests.rs"]
mod tests;
