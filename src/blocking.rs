//! Work that takes longer than a moment, on a thread that holds up no one.
//!
//! The runtime's threads also answer probes, read the watches and renew what others wait for. What hashes, renders or
//! parses something whose size others choose is done here.

use std::panic::resume_unwind;

/// Computes something away from the runtime's threads. What it computes for may be dropped meanwhile; it is finished all
/// the same, so its cost has to be bounded by itself.
pub async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime is going down, and nobody waits for this any more.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// On the only thread that there is, something else goes on.
    #[tokio::test]
    async fn the_runtime_goes_on_meanwhile() {
        let slow = compute(|| std::thread::sleep(Duration::from_millis(300)));
        let longest = async {
            let mut longest = Duration::ZERO;
            loop {
                let began = Instant::now();
                tokio::time::sleep(Duration::from_millis(1)).await;
                longest = longest.max(began.elapsed());
                if longest > Duration::from_millis(250) {
                    return longest;
                }
            }
        };
        tokio::select! {
            () = slow => {}
            longest = longest => panic!("nothing went on for {longest:?}"),
        }
    }
}
