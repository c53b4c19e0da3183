//! A single attempt: one request with one part, and what the store's reply means.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, interval};

use super::part::Part;
use crate::agent::meter::Meter;
use crate::agent::store::{self, Refusal, StoreClient, TlsError};
use crate::causes;

/// Sends parts to the store.
#[derive(Clone)]
pub(crate) struct Store {
    client: StoreClient<Content>,
    meter: Arc<Meter>,
    /// A request is given up after this time without progress.
    patience: Duration,
}

impl Store {
    /// A client that trusts the authorities in this file or, if it does not exist, the well-known ones.
    pub(crate) fn new(
        authorities: &Path,
        patience: Duration,
        meter: Arc<Meter>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            client: store::client(authorities)?,
            meter,
            patience,
        })
    }

    /// Tries to upload a part. Returns its ETag, without quotes.
    pub(crate) async fn put(&self, url: &str, part: &Part) -> Result<String, Refusal> {
        let sent = Arc::new(AtomicU64::new(0));
        let content = Content {
            pieces: part.content.iter().cloned().collect(),
            left: part.size,
            sent: Arc::clone(&sent),
            meter: Arc::clone(&self.meter),
        };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(url)
            .header("content-md5", &part.md5)
            .header(header::CONTENT_LENGTH, part.size)
            .body(content)
            .map_err(|error| {
                Refusal::Permanent(format!("the signed request is no URL: {error}"))
            })?;
        let exchange = async {
            let response = self.client.request(request).await;
            let response =
                response.map_err(|error| Refusal::Transient(causes::in_words(&error)))?;
            read(response).await
        };
        tokio::select! {
            result = exchange => result,
            () = self.silence(&sent) => Err(Refusal::Transient(format!(
                "the store has not moved for {:?}", self.patience
            ))),
        }
    }

    /// Returns once nothing has been sent for longer than `patience`.
    async fn silence(&self, sent: &AtomicU64) {
        let mut ticks = interval(self.patience / 8);
        let (mut last, mut since) = (0, Instant::now());
        loop {
            ticks.tick().await;
            let now = sent.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if since.elapsed() > self.patience {
                return;
            }
        }
    }
}

async fn read<B>(response: Response<B>) -> Result<String, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    if head.status == StatusCode::OK {
        store::drain(body).await;
        return store::etag(&head.headers).map_err(|why| {
            Refusal::Permanent(format!("the store took a part without naming it: {why}"))
        });
    }
    Err(store::refusal(head.status, body).await)
}

/// The body of a request: a part's content, piece by piece, without copying.
struct Content {
    pieces: VecDeque<Bytes>,
    left: u64,
    sent: Arc<AtomicU64>,
    meter: Arc<Meter>,
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.pieces.pop_front() else {
            return Poll::Ready(None);
        };
        let length = piece.len() as u64;
        self.left = self.left.saturating_sub(length);
        self.sent.fetch_add(length, Ordering::Relaxed);
        self.meter.sent.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
