//! Several ranges at once, each until it has come or certainly will not, in bounded memory.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;

use super::get::{GetError, Getter};
use super::ranges::Range;
use crate::agent::log;
use crate::agent::protocol::restore::SignedObject;
use crate::agent::store::{ATTEMPTS, NotSigned, Refusal, Signed, SignedFile, pause};

/// How many ranges are in memory: those that are fetched, and those that have come and wait for their turn. With the one
/// that waits in the channel and the one that is decompressed they are 32 MiB.
const AT_ONCE: usize = 6;

/// Why an object could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum FetchError {
    /// It is not the object of the manifest.
    #[error("{0}: the object is not the one that the manifest describes")]
    Mismatch(String),
    /// The store does not give it.
    #[error(
        "the store refused to give the object: {reply}; see the bucket, its policy, its lifecycle rules and the destination's settings"
    )]
    Refused {
        /// The store's reply.
        reply: String,
    },
    /// Every attempt failed.
    #[error(
        "bytes {first} to {last} of the object did not come in {ATTEMPTS} attempts; the last one: {reply}"
    )]
    GaveUp {
        /// The first byte of the range.
        first: u64,
        /// Its last byte.
        last: u64,
        /// How the last attempt failed.
        reply: String,
    },
    /// Its request was not signed in time.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
}

/// Fetches one object.
pub(crate) struct Fetcher {
    /// Reads ranges.
    pub getter: Getter,
    /// Its signed request.
    pub signed: SignedFile<SignedObject>,
    /// How long there may be no progress.
    pub stall: Duration,
    /// The object's size in bytes.
    pub bytes: u64,
}

impl Fetcher {
    /// Hands on all bytes of the object, in order, until nobody wants them any more.
    pub(crate) async fn all(&self, pieces: Sender<Bytes>) -> Result<(), FetchError> {
        let mut ranges = Range::all(self.bytes);
        let mut coming = FuturesOrdered::new();
        let mut ready = VecDeque::new();
        loop {
            while coming.len() + ready.len() < AT_ONCE
                && let Some(range) = ranges.next()
            {
                coming.push_back(self.one(range));
            }
            if coming.is_empty() && ready.is_empty() {
                return Ok(());
            }
            tokio::select! {
                permit = pieces.reserve(), if !ready.is_empty() => {
                    // Whatever stopped wanting it says why.
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(piece) = ready.pop_front() {
                        permit.send(piece);
                    }
                }
                Some(piece) = coming.next() => ready.push_back(piece?),
            }
        }
    }

    async fn one(&self, range: Range) -> Result<Bytes, FetchError> {
        let mut buffer = BytesMut::with_capacity(usize::try_from(range.length).unwrap_or_default());
        let mut signed = self.signed().await?;
        let mut attempt = 0;
        loop {
            let before = buffer.len();
            let left = range.after(before as u64);
            let refusal = match self.getter.get(&signed.url, left, &mut buffer).await {
                Ok(()) => return Ok(buffer.freeze()),
                Err(GetError::Mismatch(what)) => return Err(FetchError::Mismatch(what)),
                Err(GetError::Refusal(refusal)) => refusal,
            };
            // What comes in small pieces comes, too.
            attempt = if buffer.len() > before {
                1
            } else {
                attempt + 1
            };
            match refusal {
                Refusal::Permanent(reply) => return Err(FetchError::Refused { reply }),
                Refusal::Transient(reply) | Refusal::Forbidden(reply) if attempt == ATTEMPTS => {
                    let (first, last) = (left.first, left.last());
                    return Err(FetchError::GaveUp { first, last, reply });
                }
                Refusal::Transient(what) => {
                    let pause = pause(attempt, rand::random());
                    log::say(format_args!(
                        "bytes {} to {} of the object: {what}; trying again in {:.1} s",
                        left.first,
                        left.last(),
                        pause.as_secs_f32()
                    ));
                    sleep(pause).await;
                    // Its signature may have expired during the pause.
                    signed = self.signed().await?;
                }
                Refusal::Forbidden(reply) => {
                    log::say(format_args!("the object: {reply}"));
                    let renewed = self
                        .signed
                        .renewed(OBJECT, request, &signed, self.stall)
                        .await;
                    signed = renewed.map_err(|_| FetchError::Refused { reply })?;
                }
            }
        }
    }

    async fn signed(&self) -> Result<Signed, NotSigned> {
        self.signed.get(OBJECT, request).await
    }
}

/// What a signed request is for.
const OBJECT: &str = "the object";

#[expect(
    clippy::unnecessary_wraps,
    reason = "of a file with many requests, not each is there"
)]
fn request(object: &SignedObject) -> Option<Signed> {
    Some(Signed {
        url: object.url.clone(),
        expires_at: object.expires_at,
    })
}
