//! A single attempt: one request for one range, and what the store's reply means.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use tokio::time::timeout;

use super::ranges::Range;
use crate::agent::restore::meter::Meter;
use crate::agent::store::{self, Refusal, StoreClient, TlsError};
use crate::causes;

/// Reads ranges of one object.
pub(crate) struct Getter {
    client: StoreClient<Empty<Bytes>>,
    meter: Arc<Meter>,
    /// A request is given up after this time without progress.
    patience: Duration,
    /// How large the object has to be.
    bytes: u64,
    /// What the store calls it: the same in each reply.
    etag: OnceLock<String>,
}

/// How an attempt failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum GetError {
    /// The store's refusal, or what the network did.
    Refusal(Refusal),
    /// It is not the object that is expected.
    Mismatch(String),
}

impl Getter {
    /// For an object of this size, from a store that these authorities vouch for.
    pub(crate) fn new(
        authorities: &Path,
        patience: Duration,
        bytes: u64,
        meter: Arc<Meter>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            client: store::client(authorities)?,
            meter,
            patience,
            bytes,
            etag: OnceLock::new(),
        })
    }

    /// Tries to append a range to `into`. What came before a failure is in it, too.
    pub(super) async fn get(
        &self,
        url: &str,
        range: Range,
        into: &mut BytesMut,
    ) -> Result<(), GetError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(url)
            .header(
                header::RANGE,
                format!("bytes={}-{}", range.first, range.last()),
            )
            .body(Empty::new())
            .map_err(|error| permanent(format!("the signed request is no URL: {error}")))?;
        let reply = self.in_time(self.client.request(request)).await?;
        let reply = reply.map_err(|error| transient(causes::in_words(&error)))?;
        let (head, mut body) = reply.into_parts();
        match head.status {
            StatusCode::PARTIAL_CONTENT | StatusCode::OK => {
                self.check(head.status, &head.headers, range)?;
            }
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Err(GetError::Mismatch(format!(
                    "the object has fewer than {} bytes",
                    self.bytes
                )));
            }
            other => {
                return Err(GetError::Refusal(
                    self.in_time(store::refusal(other, body)).await?,
                ));
            }
        }
        let end = into.len() as u64 + range.length;
        while let Some(frame) = self.in_time(body.frame()).await? {
            let frame = frame.map_err(|error| transient(causes::in_words(&error)))?;
            let Ok(piece) = frame.into_data() else {
                continue;
            };
            self.meter
                .received
                .fetch_add(piece.len() as u64, Ordering::Relaxed);
            if into.len() as u64 + piece.len() as u64 > end {
                return Err(permanent(
                    "the store sent more bytes than were asked for".to_owned(),
                ));
            }
            into.extend_from_slice(&piece);
        }
        if (into.len() as u64) < end {
            return Err(transient("the store broke off in the middle".to_owned()));
        }
        Ok(())
    }

    /// Waits for something that must not take longer than a request may stand still.
    async fn in_time<T>(&self, future: impl Future<Output = T>) -> Result<T, GetError> {
        timeout(self.patience, future)
            .await
            .map_err(|_| transient(format!("the store has not moved for {:?}", self.patience)))
    }

    /// Whether the reply is of this range of the object that is expected.
    fn check(&self, status: StatusCode, headers: &HeaderMap, range: Range) -> Result<(), GetError> {
        let text = |name| {
            let value = headers.get(name)?;
            value.to_str().ok()
        };
        let (of, size) = if status == StatusCode::OK {
            // A store that knows no ranges: all of it.
            let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
            let length = length.unwrap_or(range.length);
            let all = Range { first: 0, length };
            (all, length)
        } else {
            text(header::CONTENT_RANGE)
                .and_then(content_range)
                .ok_or_else(|| {
                    permanent("the store does not say which bytes its reply has".to_owned())
                })?
        };
        if size != self.bytes {
            return Err(GetError::Mismatch(format!(
                "the object has {size} bytes instead of {}",
                self.bytes
            )));
        }
        if of != range {
            return Err(permanent(
                "the store does not answer with the range that was asked for (a proxy that ignores the header Range?)"
                    .to_owned(),
            ));
        }
        // A store that names nothing: the SHA-256 of the whole says it in the end.
        if let Ok(etag) = store::etag(headers)
            && *self.etag.get_or_init(|| etag.clone()) != etag
        {
            return Err(GetError::Mismatch(
                "another object was put in its place while it was read".to_owned(),
            ));
        }
        Ok(())
    }
}

fn transient(what: String) -> GetError {
    GetError::Refusal(Refusal::Transient(what))
}

fn permanent(what: String) -> GetError {
    GetError::Refusal(Refusal::Permanent(what))
}

/// `bytes 0-4194303/9000000`: which range, and of how many bytes.
fn content_range(text: &str) -> Option<(Range, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let length = last.checked_sub(first)?.checked_add(1)?;
    Some((Range { first, length }, size.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_says_which_bytes_it_has() {
        let range = Range {
            first: 4,
            length: 3,
        };
        assert_eq!(content_range("bytes 4-6/10"), Some((range, 10)));
        for odd in ["", "bytes */10", "bytes 4-6", "bytes 6-4/10", "4-6/10"] {
            assert_eq!(content_range(odd), None, "{odd}");
        }
    }
}
