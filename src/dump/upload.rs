//! Several parts at once, each until the store has it or will never have it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::cut::Part;
use super::log;
use super::meter::Meter;
use super::progress::Size;
use super::report;
use super::signatures::{NotSigned, Signatures};
use super::store::{Failure, Store};
use super::window::SignedPart;

/// Attempts for a part: with the pauses between them a store may be away for more than a minute.
const ATTEMPTS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A Secret that was changed is seen in the pod after about two minutes.
const RENEWED_WITHIN: Duration = Duration::from_mins(4);

/// Why a part is not in the store.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UploadError {
    /// The store does not take it.
    #[error(
        "the store refused part {number}: {reply}; see the bucket, its policy and the destination's settings"
    )]
    Refused {
        /// The part.
        number: u32,
        /// The store's own words.
        reply: String,
    },
    /// It did not work often enough.
    #[error("part {number} did not reach the store in {attempts} attempts; the last one: {last}")]
    GaveUp {
        /// The part.
        number: u32,
        /// How often.
        attempts: u32,
        /// What the last one met.
        last: String,
    },
    /// There is no signature.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// Uploads parts.
pub struct Uploader {
    /// Sends them.
    pub store: Store,
    /// Signs them.
    pub signatures: Signatures,
    /// How long nothing may move.
    pub stall: Duration,
    /// Counts them.
    pub meter: Arc<Meter>,
}

impl Uploader {
    /// Uploads all parts that come, so many at the same time. The result is what the store has.
    pub async fn all(
        &self,
        mut parts: UnboundedReceiver<Part>,
        at_once: usize,
    ) -> Result<Vec<report::Part>, UploadError> {
        let mut under_way = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut more = true;
        while more || !under_way.is_empty() {
            tokio::select! {
                part = parts.recv(), if more && under_way.len() < at_once.max(1) => match part {
                    Some(part) => under_way.push(self.one(part)),
                    None => more = false,
                },
                Some(uploaded) = under_way.next() => done.push(uploaded?),
            }
        }
        done.sort_by_key(|part: &report::Part| part.number);
        Ok(done)
    }

    async fn one(&self, part: Part) -> Result<report::Part, UploadError> {
        let number = part.number;
        let mut signed = self.signatures.get(number, None).await?;
        for attempt in 1.. {
            match self.store.put(&signed.url, &part).await {
                Ok(etag) => {
                    self.meter.uploaded.fetch_add(part.size, Ordering::Relaxed);
                    self.meter.parts.fetch_add(1, Ordering::Relaxed);
                    return Ok(report::Part {
                        number,
                        size: part.size,
                        etag,
                    });
                }
                Err(Failure::Final(reply)) => return Err(UploadError::Refused { number, reply }),
                Err(Failure::Passing(last) | Failure::Forbidden(last)) if attempt == ATTEMPTS => {
                    return Err(UploadError::GaveUp {
                        number,
                        attempts: attempt,
                        last,
                    });
                }
                Err(Failure::Passing(what)) => {
                    let pause = pause(attempt, rand::random());
                    log::say(format_args!(
                        "part {number} ({}): {what}; trying again in {:.1} s",
                        Size(part.size),
                        pause.as_secs_f32()
                    ));
                    sleep(pause).await;
                    // While it paused its signature may have ended.
                    signed = self.signatures.get(number, None).await?;
                }
                Err(Failure::Forbidden(reply)) => {
                    log::say(format_args!("part {number}: {reply}"));
                    signed = self.renewed(number, &signed, reply).await?;
                }
            }
        }
        unreachable!("the loop ends at the last attempt")
    }

    /// A request that was signed anew.
    async fn renewed(
        &self,
        number: u32,
        refused: &SignedPart,
        reply: String,
    ) -> Result<SignedPart, UploadError> {
        let has_ended = refused.expires_at <= Timestamp::now();
        let limit = renewed_within(has_ended, self.signatures.limit(), self.stall);
        let renewed = self.signatures.wait(number, Some(&refused.url), limit);
        renewed
            .await
            .map_err(|_| UploadError::Refused { number, reply })
    }
}

/// How long a renewal is waited for. A request that has ended is the operator's to renew; one that should work still may be
/// signed with keys that were changed meanwhile, or the store means what it says.
fn renewed_within(has_ended: bool, signed_within: Duration, stall: Duration) -> Duration {
    let patience = if has_ended { signed_within } else { stall };
    RENEWED_WITHIN.min(patience)
}

/// The pause after a failed attempt: doubled each time, and a random half of it less, so that parts do not return together.
fn pause(attempt: u32, random: u32) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE);
    full.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_has_ended_is_waited_for_as_long_as_a_kubelet_needs() {
        let (signed_within, stall) = (Duration::from_mins(5), Duration::from_secs(30));
        let within = |has_ended| renewed_within(has_ended, signed_within, stall);
        assert_eq!((within(true), within(false)), (RENEWED_WITHIN, stall));
    }

    #[test]
    fn pauses_grow_to_a_limit_and_are_not_all_alike() {
        assert_eq!(pause(1, u32::MAX), FIRST_PAUSE);
        assert_eq!(pause(1, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(2, u32::MAX), 2 * FIRST_PAUSE);
        assert_eq!(pause(40, u32::MAX), LONGEST_PAUSE);
        let shortest: Duration = (1..ATTEMPTS).map(|attempt| pause(attempt, 0)).sum();
        assert!(shortest > Duration::from_secs(45), "{shortest:?}");
    }
}
