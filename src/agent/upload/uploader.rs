//! Uploads several parts at once, retrying each until the store has it or has definitely refused it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::part::Part;
use super::put::Store;
use crate::agent::log;
use crate::agent::meter::Meter;
use crate::agent::protocol::progress::Size;
use crate::agent::protocol::result;
use crate::agent::protocol::signed_parts::SignedParts;
use crate::agent::store::{ATTEMPTS, NotSigned, Refusal, Signed, SignedFile, pause};

/// Why a part is not in the store.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum UploadError {
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
pub(crate) struct Uploader {
    /// Sends them.
    pub store: Store,
    /// Signs them.
    pub signatures: SignedFile<SignedParts>,
    /// How long there may be no progress.
    pub stall: Duration,
    /// Counts them.
    pub meter: Arc<Meter>,
}

impl Uploader {
    /// Uploads all parts that arrive, up to `at_once` at the same time. Returns what the store now has.
    pub(crate) async fn all(
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
        let mut signed = self.signed(number).await?;
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
                Err(Refusal::Permanent(reply)) => {
                    return Err(UploadError::Refused { number, reply });
                }
                Err(Refusal::Transient(last) | Refusal::Forbidden(last)) if attempt == ATTEMPTS => {
                    return Err(UploadError::GaveUp {
                        number,
                        attempts: attempt,
                        last,
                    });
                }
                Err(Refusal::Transient(what)) => {
                    let pause = pause(attempt, rand::random());
                    log::say(format_args!(
                        "part {number} ({}): {what}; trying again in {:.1} s",
                        Size(part.size),
                        pause.as_secs_f32()
                    ));
                    sleep(pause).await;
                    // Its signature may have expired during the pause.
                    signed = self.signed(number).await?;
                }
                Err(Refusal::Forbidden(reply)) => {
                    log::say(format_args!("part {number}: {reply}"));
                    signed = self.renewed(number, &signed, reply).await?;
                }
            }
        }
        unreachable!("the loop ends at the last attempt")
    }

    /// The request for a part, waited for where it is not there yet.
    async fn signed(&self, number: u32) -> Result<Signed, NotSigned> {
        let what = format!("part {number}");
        self.signatures
            .get(&what, |parts| part(parts, number))
            .await
    }

    /// A new request for a part whose present one was refused.
    async fn renewed(
        &self,
        number: u32,
        refused: &Signed,
        reply: String,
    ) -> Result<Signed, UploadError> {
        let what = format!("part {number}");
        let find = |parts: &SignedParts| part(parts, number);
        let renewed = self.signatures.renewed(&what, find, refused, self.stall);
        renewed
            .await
            .map_err(|_| UploadError::Refused { number, reply })
    }
}

fn part(parts: &SignedParts, number: u32) -> Option<Signed> {
    let part = parts.part(number)?;
    Some(Signed {
        url: part.url,
        expires_at: part.expires_at,
    })
}
