//! What the tests of the operator's process share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

pub(crate) mod access;
pub(crate) mod namespace;
pub(crate) mod operator;

use std::time::{Duration, Instant};

pub(crate) use e2e::testing::client;

/// Looks until `look` finds something, and says what was waited for when it never does.
pub(crate) async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Looks for as long as `time` whether `holds` stays true.
pub(crate) async fn always(what: &str, time: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while began.elapsed() < time {
        assert!(holds().await, "no more after {:?}: {what}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
