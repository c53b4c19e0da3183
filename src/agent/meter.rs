//! The bytes dumped and uploaded so far, counted as they move, for progress lines and stall detection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::protocol::progress::Progress;
use super::tables::Tables;
use super::tool::lines::Line;

/// Counters. All but `waiting` only ever grow, until another attempt begins.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes that the tool has written.
    pub dumped: AtomicU64,
    /// Bytes that were handed to connections, including those of failed attempts.
    pub sent: AtomicU64,
    /// Bytes of the parts that the store has received.
    pub uploaded: AtomicU64,
    /// Parts that the store has received.
    pub parts: AtomicU32,
    /// Parts that are waiting for a signed request. Meanwhile it is the operator that has to act, so nothing stalls here.
    pub waiting: Arc<AtomicU32>,
    /// The tables that the tool has come to.
    pub tables: Tables,
}

impl Meter {
    /// For a dump of about so many bytes; 0 if unknown.
    #[must_use]
    pub(super) fn new(estimate: u64) -> Self {
        Self {
            tables: Tables::new(estimate),
            ..Self::default()
        }
    }

    /// Whether the store may have seen any byte.
    #[must_use]
    pub(super) fn has_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed) > 0
    }

    /// Forgets what was dumped, for another attempt. Nothing of it was sent.
    pub(super) fn start_again(&self) {
        self.dumped.store(0, Ordering::Relaxed);
        self.tables.reset();
    }

    /// Hears how far the tool has come.
    pub(super) fn hear(&self, line: Line<'_>) {
        match line {
            Line::Table(table) => self
                .tables
                .begin(table, self.dumped.load(Ordering::Relaxed)),
            Line::View => self.tables.is_view(),
            Line::Made(_) | Line::Chatter | Line::Message => {}
        }
    }

    /// Everything that counts as progress.
    #[must_use]
    pub(super) fn position(&self) -> (u64, u64, u32) {
        (
            self.dumped.load(Ordering::Relaxed),
            self.sent.load(Ordering::Relaxed),
            self.parts.load(Ordering::Relaxed),
        )
    }
}

/// Computes rate and percentage, from one look to the next.
#[derive(Debug)]
pub(super) struct Speed {
    estimate: u64,
    looks: VecDeque<(Instant, u64)>,
}

/// The time that the rate is an average over.
const LATELY: Duration = Duration::from_secs(12);

impl Speed {
    /// Begins now, with an estimate of the dump's size; 0 if unknown.
    #[must_use]
    pub(super) fn new(estimate: u64) -> Self {
        Self {
            estimate,
            looks: VecDeque::from([(Instant::now(), 0)]),
        }
    }

    /// How far the dump has come.
    pub(super) fn progress(&mut self, meter: &Meter, now: Instant) -> Progress {
        let dumped = meter.dumped.load(Ordering::Relaxed);
        while self.looks.len() > 1 && now.duration_since(self.looks[0].0) > LATELY {
            self.looks.pop_front();
        }
        let (since, before) = self.looks.front().copied().unwrap_or((now, 0));
        self.looks.push_back((now, dumped));
        let millis = now.duration_since(since).as_millis().max(1);
        let rate = u128::from(dumped.saturating_sub(before)) * 1000 / millis;
        Progress {
            dumped,
            uploaded: meter.uploaded.load(Ordering::Relaxed),
            parts: meter.parts.load(Ordering::Relaxed),
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            percent: percent(meter.tables.done(dumped), self.estimate),
        }
    }
}

/// At most 99, because an estimate cannot tell that the dump is done.
fn percent(done: u64, estimate: u64) -> Option<u8> {
    let percent = u128::from(done) * 100 / u128::from(estimate.max(1));
    (estimate > 0).then(|| u8::try_from(percent.min(99)).unwrap_or(99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_recent_and_the_percentage_never_says_that_it_is_done() {
        let meter = Meter::default();
        let mut speed = Speed::new(1000);
        let start = speed.looks[0].0;
        meter.dumped.store(100, Ordering::Relaxed);
        let progress = speed.progress(&meter, start + Duration::from_secs(1));
        assert_eq!((progress.rate, progress.percent), (100, Some(10)));
        for second in 2..40 {
            meter.dumped.fetch_add(10, Ordering::Relaxed);
            speed.progress(&meter, start + Duration::from_secs(second));
        }
        meter.dumped.store(5000, Ordering::Relaxed);
        let progress = speed.progress(&meter, start + Duration::from_secs(40));
        assert_eq!(progress.percent, Some(99));
        assert!(
            progress.rate > 300 && progress.rate < 500,
            "{}",
            progress.rate
        );
        assert_eq!(percent(5, 0), None);
    }
}
