//! The signed requests that a Job has, and when it needs new ones. Pure, apart from remembering what was issued.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};

use crate::agent::protocol::signed_parts::{Batch, SignedParts};

/// The most parts that are signed at a time: a Secret holds three times as many.
const MOST: u32 = 4_000;
/// The most parts that are added at a time.
const STEP: u32 = MOST / 2;
/// Parts of the first window, where the catalog does not know how many there will be.
const UNKNOWN: u32 = 1_000;
/// What is signed beyond twice the parts that are expected.
const SPARE: u32 = 200;
/// Parts before the last uploaded one that may still be on their way, or be tried again.
const BEHIND: u32 = 32;
/// Signatures that end so soon are renewed. A kubelet takes two minutes to show them, keys are renewed 20 minutes early.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_mins(15);
/// Signatures that could not be made longer are not tried again before.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// The longest that a signature may be valid, by AWS; less a minute for clocks.
const LONGEST: SignedDuration = SignedDuration::from_secs(7 * 24 * 3600 - 60);
/// What is left after the deadline, so that the last part does not meet its signature's end.
const AFTER_DEADLINE: SignedDuration = SignedDuration::from_hours(1);

/// Parts to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first of them.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What a window lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// These parts follow.
    More(Range),
    /// These parts' signatures end soon.
    Fresher(Range),
}

/// The parts of the first window: twice as many as are expected. Each costs the operator time, and a Job whose parts are
/// not signed yet waits for the kubelet, which is slow.
#[must_use]
pub fn first(expected: Option<u32>, max_parts: u32) -> Range {
    let count = expected.map_or(UNKNOWN, |parts| {
        parts.saturating_mul(2).saturating_add(SPARE)
    });
    Range {
        first: 1,
        count: count.min(MOST).min(max_parts),
    }
}

/// What a window lacks when the store has `uploaded` parts.
#[must_use]
pub fn lack(window: &SignedParts, uploaded: u32, max_parts: u32, now: Timestamp) -> Option<Lack> {
    let last = window.last();
    let next = uploaded.saturating_sub(BEHIND).saturating_add(1);
    let ends_soon =
        |batch: &Batch| end(batch) >= next && batch.expires_at.duration_since(now) < RENEW_BEFORE;
    if next <= last && window.batches.iter().any(ends_soon) {
        let count = last - next + 1;
        return Some(Lack::Fresher(Range { first: next, count }));
    }
    let latest = window.batches.last().map_or(0, size);
    (last < max_parts && uploaded.saturating_add(latest / 2) >= last).then(|| {
        let count = latest
            .saturating_mul(2)
            .clamp(1, STEP)
            .min(max_parts - last);
        Lack::More(Range {
            first: last + 1,
            count,
        })
    })
}

/// The window with a new batch, without what is not needed any more; `None` where the batch is no better.
#[must_use]
pub fn with(window: &SignedParts, lack: Lack, batch: Batch, uploaded: u32) -> Option<SignedParts> {
    let next = uploaded.saturating_sub(BEHIND).saturating_add(1);
    let mut batches = window.batches.clone();
    batches.retain(|known| end(known) >= next);
    if let Lack::Fresher(_) = lack {
        let soonest = batches.iter().map(|known| known.expires_at).min();
        if soonest.is_some_and(|soonest| batch.expires_at <= soonest) {
            return None;
        }
        batches.clear();
    }
    batches.push(batch);
    Some(SignedParts { batches })
}

/// Whether a window that was read back can be one that was handed out: batches in order, within what the store takes, and
/// no more signatures than are ever given at a time.
#[must_use]
pub fn is_sound(window: &SignedParts, max_parts: u32) -> bool {
    let mut last = 0;
    let mut signatures = 0_u32;
    window.batches.iter().all(|batch| {
        let follows = batch.first > last && !batch.signatures.is_empty();
        last = end(batch);
        signatures = signatures.saturating_add(size(batch));
        follows && last <= max_parts && signatures <= 3 * MOST
    })
}

/// How long signatures should be valid.
#[must_use]
pub fn valid_for(started: Timestamp, deadline: SignedDuration, now: Timestamp) -> Duration {
    let left = started.duration_since(now).saturating_add(deadline);
    let wanted = left.max(SignedDuration::ZERO) + AFTER_DEADLINE;
    Duration::try_from(wanted.min(LONGEST)).unwrap_or_default()
}

fn size(batch: &Batch) -> u32 {
    u32::try_from(batch.signatures.len()).unwrap_or(u32::MAX)
}

/// The last part of a batch.
fn end(batch: &Batch) -> u32 {
    batch.first.saturating_add(size(batch)).saturating_sub(1)
}

/// The windows that this process handed out, by the Backup's UID: reading them back would be half a megabyte each time.
#[derive(Default)]
pub struct Windows {
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    window: SignedParts,
    max_parts: u32,
    tried: Option<Instant>,
}

impl Windows {
    /// The window of a Backup, and the most parts that its store takes.
    pub fn get(&self, uid: &str) -> Option<(SignedParts, u32)> {
        let known = self.lock();
        known
            .get(uid)
            .map(|known| (known.window.clone(), known.max_parts))
    }

    /// What a Backup's window lacks, if that was not tried just now.
    pub fn lack(&self, uid: &str, uploaded: u32, now: Timestamp) -> Option<Lack> {
        let mut all = self.lock();
        let known = all.get_mut(uid)?;
        let lack = lack(&known.window, uploaded, known.max_parts, now)?;
        if known.tried.is_some_and(|tried| tried.elapsed() < TRY_AGAIN) {
            return None;
        }
        if let Lack::Fresher(_) = lack {
            known.tried = Some(Instant::now());
        }
        Some(lack)
    }

    /// Notes what was handed out.
    pub fn put(&self, uid: &str, window: SignedParts, max_parts: u32) {
        let tried = None;
        let known = Known {
            window,
            max_parts,
            tried,
        };
        self.lock().insert(uid.to_owned(), known);
    }

    /// Forgets a Backup that has ended.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the Backups that are not among these.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn batch(range: Range, expires: i64) -> Batch {
        Batch {
            url: "u".to_owned(),
            expires_at: at(expires),
            first: range.first,
            signatures: vec!["s".to_owned(); usize::try_from(range.count).unwrap()],
        }
    }

    fn range(first: u32, count: u32) -> Range {
        Range { first, count }
    }

    /// Every part is signed in time from the first to the last, and a window stays small enough for a Secret.
    #[test]
    fn a_window_leads_through_all_parts() {
        let stores = [1, 1_000, 3_999, 4_000, 4_001, 10_000];
        let expected = [None, Some(1), Some(150), Some(10_000)];
        for (max_parts, expected) in stores.iter().flat_map(|m| expected.map(|e| (*m, e))) {
            let mut window = SignedParts {
                batches: vec![batch(first(expected, max_parts), 1_000_000)],
            };
            for uploaded in 0..max_parts {
                assert!(window.part(uploaded + 1).is_some(), "{uploaded}");
                while let Some(lack) = lack(&window, uploaded, max_parts, at(0)) {
                    let Lack::More(range) = lack else {
                        panic!("{lack:?}")
                    };
                    assert_eq!(range.first, window.last() + 1);
                    window = with(&window, lack, batch(range, 1_000_000), uploaded).unwrap();
                    assert!(window.last() <= max_parts);
                }
                assert!(window.last() == max_parts || window.last() - uploaded > SPARE / 2);
                let signed: usize = window.batches.iter().map(|b| b.signatures.len()).sum();
                assert!(signed <= 9_000, "{signed}");
            }
        }
    }

    #[test]
    fn a_window_that_nobody_handed_out_is_not_believed() {
        let window = |ranges: &[(u32, u32)]| SignedParts {
            batches: ranges
                .iter()
                .map(|(first, count)| batch(range(*first, *count), 9))
                .collect(),
        };
        assert!(is_sound(&window(&[]), 10));
        assert!(is_sound(&window(&[(1, 5), (6, 5)]), 10));
        assert!(is_sound(&window(&[(40, 5)]), 100));
        for forged in [
            &[(1, 5), (6, 6)][..],
            &[(6, 5), (1, 5)],
            &[(1, 5), (5, 5)],
            &[(1, 0)],
            &[(u32::MAX, 5)],
        ] {
            assert!(!is_sound(&window(forged), 10), "{forged:?}");
        }
        assert!(!is_sound(&window(&[(1, 3 * MOST + 1)]), 1 << 20));
    }

    #[test]
    fn what_ends_soon_is_signed_again_from_where_the_upload_is() {
        let window = SignedParts {
            batches: vec![batch(range(1, 4_000), 3_600)],
        };
        assert_eq!(lack(&window, 100, 10_000, at(3_600 - 900)), None);
        let lack = lack(&window, 100, 10_000, at(3_600 - 899)).unwrap();
        assert_eq!(lack, Lack::Fresher(range(69, 3_932)));
        // Keys that were not renewed give nothing better.
        assert_eq!(
            with(&window, lack, batch(range(69, 3_932), 3_600), 100),
            None
        );
        let fresh = with(&window, lack, batch(range(69, 3_932), 7_200), 100).unwrap();
        assert_eq!((fresh.batches.len(), fresh.last()), (1, 4_000));
        assert!(fresh.part(69).is_some());
    }

    #[test]
    fn signatures_outlive_the_deadline_as_far_as_they_may() {
        let hours = |n| SignedDuration::from_hours(n);
        assert_eq!(
            valid_for(at(0), hours(6), at(3_600)),
            Duration::from_hours(6)
        );
        assert_eq!(
            valid_for(at(0), hours(6), at(90_000)),
            Duration::from_hours(1)
        );
        let week = Duration::from_secs(7 * 24 * 3600 - 60);
        assert_eq!(valid_for(at(0), hours(168), at(0)), week);
    }

    #[test]
    fn a_renewal_that_gave_nothing_is_not_tried_all_the_time() {
        let windows = Windows::default();
        let window = SignedParts {
            batches: vec![batch(range(1, 10), 100)],
        };
        windows.put("u", window, 10);
        assert!(windows.lack("u", 0, at(0)).is_some());
        assert!(windows.lack("u", 0, at(0)).is_none());
        assert!(windows.lack("v", 0, at(0)).is_none());
    }
}
