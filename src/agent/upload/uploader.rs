//! Uploads several parts at once, retrying each until the store has it or has definitely refused it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::part::Part;
use super::signatures::{NotSigned, Signatures};
use super::store::{PutError, Store};
use crate::agent::log;
use crate::agent::meter::Meter;
use crate::agent::protocol::progress::Size;
use crate::agent::protocol::result;
use crate::agent::protocol::signed_parts::SignedPart;

/// How often a part is tried: with the pauses in between, a store may be away for more than a minute.
const ATTEMPTS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// A pod sees a changed Secret after about two minutes.
const RENEWED_WITHIN: Duration = Duration::from_mins(4);

/// Why a part is not in the store.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UploadError {
    /// The store does not accept it.
    #[error(
        "the store refused part {number}: {reply}; see the bucket, its policy and the destination's settings"
    )]
    Refused {
        /// The part.
        number: u32,
        /// The store's reply.
        reply: String,
    },
    /// Every attempt failed.
    #[error("part {number} did not reach the store in {attempts} attempts; the last one: {last}")]
    GaveUp {
        /// The part.
        number: u32,
        /// How often it was tried.
        attempts: u32,
        /// How the last attempt failed.
        last: String,
    },
    /// Its request was not signed in time.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// Uploads parts.
pub struct Uploader {
    /// Sends them.
    pub store: Store,
    /// Signs them.
    pub signatures: Signatures,
    /// How long there may be no progress.
    pub stall: Duration,
    /// Counts them.
    pub meter: Arc<Meter>,
}

impl Uploader {
    /// Uploads all parts that arrive, up to `at_once` at the same time. Returns what the store now has.
    pub async fn all(
        &self,
        mut parts: UnboundedReceiver<Part>,
        at_once: usize,
    ) -> Result<Vec<result::Part>, UploadError> {
        let mut uploads = FuturesUnordered::new();
        let mut done = Vec::new();
        let mut more = true;
        while more || !uploads.is_empty() {
            tokio::select! {
                part = parts.recv(), if more && uploads.len() < at_once.max(1) => match part {
                    Some(part) => uploads.push(self.one(part)),
                    None => more = false,
                },
                Some(uploaded) = uploads.next() => done.push(uploaded?),
            }
        }
        done.sort_by_key(|part: &result::Part| part.number);
        Ok(done)
    }

    async fn one(&self, part: Part) -> Result<result::Part, UploadError> {
        let number = part.number;
        let mut signed = self.signatures.get(number, None).await?;
        for attempt in 1.. {
            match self.store.put(&signed.url, &part).await {
                Ok(etag) => {
                    self.meter.uploaded.fetch_add(part.size, Ordering::Relaxed);
                    self.meter.parts.fetch_add(1, Ordering::Relaxed);
                    return Ok(result::Part {
                        number,
                        size: part.size,
                        etag,
                    });
                }
                Err(PutError::Permanent(reply)) => {
                    return Err(UploadError::Refused { number, reply });
                }
                Err(PutError::Transient(last) | PutError::Forbidden(last))
                    if attempt == ATTEMPTS =>
                {
                    return Err(UploadError::GaveUp {
                        number,
                        attempts: attempt,
                        last,
                    });
                }
                Err(PutError::Transient(what)) => {
                    let pause = pause(attempt, rand::random());
                    log::say(format_args!(
                        "part {number} ({}): {what}; trying again in {:.1} s",
                        Size(part.size),
                        pause.as_secs_f32()
                    ));
                    sleep(pause).await;
                    // Its signature may have expired during the pause.
                    signed = self.signatures.get(number, None).await?;
                }
                Err(PutError::Forbidden(reply)) => {
                    log::say(format_args!("part {number}: {reply}"));
                    signed = self.renewed(number, &signed, reply).await?;
                }
            }
        }
        unreachable!("the loop ends at the last attempt")
    }

    /// A new request for a part whose present one was refused.
    async fn renewed(
        &self,
        number: u32,
        refused: &SignedPart,
        reply: String,
    ) -> Result<SignedPart, UploadError> {
        let has_expired = refused.expires_at <= Timestamp::now();
        let limit = renewed_within(has_expired, self.signatures.limit(), self.stall);
        let renewed = self.signatures.wait(number, Some(&refused.url), limit);
        renewed
            .await
            .map_err(|_| UploadError::Refused { number, reply })
    }
}

/// How long to wait for a renewal. The operator renews a request that has expired. One that was refused although it is
/// still valid may have been signed with keys that have changed since, or the store may mean what it says.
fn renewed_within(has_expired: bool, signed_within: Duration, stall: Duration) -> Duration {
    let patience = if has_expired { signed_within } else { stall };
    RENEWED_WITHIN.min(patience)
}

/// The pause after a failed attempt. It doubles each time, and is shortened by up to half at random, so that parts do not all
/// come back at once.
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
    fn an_expired_request_is_waited_for_as_long_as_a_kubelet_needs() {
        let (signed_within, stall) = (Duration::from_mins(5), Duration::from_secs(30));
        let within = |has_expired| renewed_within(has_expired, signed_within, stall);
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
