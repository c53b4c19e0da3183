//! How long a pass holds a thread of the runtime: while it does, nothing else runs there, be it another team's pass, a
//! probe or a watch. Work that takes long belongs into `spawn_blocking`.
//!
//! What counts is the processor time of each poll. The time on the clock would blame a pass for what the machine gave to
//! others meanwhile.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What a pass may take at once. Code that is not optimized takes many times as long.
pub const LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 200 } else { 10 });

/// Runs a pass. `end` gets the longest time for which it held a thread, also if it is given up.
pub async fn watched<F: Future>(pass: F, end: impl FnOnce(Duration)) -> F::Output {
    let mut longest = Longest {
        time: Duration::ZERO,
        end: Some(end),
    };
    let mut pass = pin!(pass);
    poll_fn(|context| {
        let before = processor_time();
        let polled = pass.as_mut().poll(context);
        longest.time = longest.time.max(processor_time().saturating_sub(before));
        polled
    })
    .await
}

/// Reports when it goes.
struct Longest<E: FnOnce(Duration)> {
    time: Duration,
    end: Option<E>,
}

impl<E: FnOnce(Duration)> Drop for Longest<E> {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            end(self.time);
        }
    }
}

/// What this thread has taken by now; nothing where the system does not tell.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    async fn longest(pass: impl Future<Output = ()>) -> Duration {
        let mut longest = None;
        watched(pass, |time| longest = Some(time)).await;
        longest.unwrap()
    }

    fn work(time: Duration) {
        let before = processor_time();
        while processor_time().saturating_sub(before) < time {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn the_longest_poll_is_told() {
        let part = Duration::from_millis(20);
        let took = longest(async {
            for _ in 0..5 {
                work(part);
                tokio::task::yield_now().await;
            }
        });
        let took = took.await;
        assert!(took >= part && took < part * 3, "{took:?}");
    }

    #[tokio::test]
    async fn whoever_waits_takes_nothing() {
        let began = Instant::now();
        // Also one whose thread the machine gave to somebody else.
        let took = longest(async { std::thread::sleep(Duration::from_millis(50)) }).await;
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert!(took < Duration::from_millis(25), "{took:?}");
    }

    #[tokio::test]
    async fn a_pass_that_is_given_up_is_told_too() {
        let mut told = false;
        {
            let pass = watched(std::future::pending::<()>(), |_| told = true);
            let given_up = tokio::time::timeout(Duration::from_millis(1), pass).await;
            assert!(given_up.is_err());
        }
        assert!(told);
    }
}
