//! When the leader clears up what no object's reconcile sees: soon after its start, and then from time to time.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::backoff;

/// How long after its start a process sweeps first: the instances were looked at by then.
const FIRST_DELAY: Duration = Duration::from_secs(60);
/// How often it sweeps.
const INTERVAL: Duration = Duration::from_mins(15);

/// Calls `sweep` at each interval, until `stop`, which also ends one that runs.
pub async fn run<F: Future<Output = ()>>(stop: &CancellationToken, sweep: impl Fn() -> F) {
    let mut rest = FIRST_DELAY;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(backoff::spread_evenly(rest, rand::random())) => {}
        }
        rest = INTERVAL;
        tokio::select! {
            () = stop.cancelled() => return,
            () = sweep() => {}
        }
    }
}
