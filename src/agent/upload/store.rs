//! A single attempt: one request with one part, and what the store's reply means.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::time::{Instant, interval};

use super::part::Part;
use crate::agent::meter::Meter;
use crate::causes;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The most that is read of a reply, in bytes: they are short, and the page of a proxy need not be read to its end.
const REPLY: usize = 64 * 1024;

/// Sends parts to the store.
#[derive(Clone)]
pub struct Store {
    client: Client<HttpsConnector<HttpConnector>, Content>,
    meter: Arc<Meter>,
    /// A request is given up after this time without progress.
    patience: Duration,
}

/// How an attempt failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PutError {
    /// The next attempt may succeed.
    Transient(String),
    /// The signature was not accepted; another one may be.
    Forbidden(String),
    /// No attempt will succeed.
    Permanent(String),
}

/// Why TLS with the store cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(std::path::PathBuf, io::Error),
    /// There is no certificate in it.
    #[error("{0} has no certificate in PEM: see the Secret of the destination's caSecretRef")]
    NoCertificate(std::path::PathBuf),
    /// TLS does not accept its settings.
    #[error("cannot prepare TLS: {0}")]
    Settings(#[from] rustls::Error),
}

impl Store {
    /// A client that trusts the authorities in this file or, if it does not exist, the well-known ones.
    pub fn new(
        authorities: &Path,
        patience: Duration,
        meter: Arc<Meter>,
    ) -> Result<Self, TlsError> {
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(authorities)?)
        .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .build(connector);
        Ok(Self {
            client,
            meter,
            patience,
        })
    }

    /// Tries to upload a part. Returns its ETag, without quotes.
    pub async fn put(&self, url: &str, part: &Part) -> Result<String, PutError> {
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
                PutError::Permanent(format!("the signed request is no URL: {error}"))
            })?;
        let exchange = async {
            let response = self.client.request(request).await;
            let response =
                response.map_err(|error| PutError::Transient(causes::in_words(&error)))?;
            read(response).await
        };
        tokio::select! {
            result = exchange => result,
            () = self.silence(&sent) => Err(PutError::Transient(format!(
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

fn roots(file: &Path) -> Result<rustls::RootCertStore, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    match std::fs::read(file) {
        Ok(pem) => {
            let certificates = CertificateDer::pem_slice_iter(&pem).flatten();
            roots.add_parsable_certificates(certificates);
            if roots.is_empty() {
                return Err(TlsError::NoCertificate(file.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Err(error) => return Err(TlsError::Read(file.to_owned(), error)),
    }
    Ok(roots)
}

async fn read<B>(response: Response<B>) -> Result<String, PutError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    if head.status == StatusCode::OK {
        // A connection can be used again only once the reply was read.
        let _ = Limited::new(body, REPLY).collect().await;
        return etag(&head.headers).map_err(PutError::Permanent);
    }
    let body = Limited::new(body, REPLY).collect().await;
    let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    Err(classify(head.status, &String::from_utf8_lossy(&body)))
}

/// The ETag in a reply, without its quotes.
fn etag(headers: &http::HeaderMap) -> Result<String, String> {
    let value = headers
        .get(header::ETAG)
        .ok_or("the store took a part without naming it: the reply has no ETag")?;
    let text = value.to_str().unwrap_or_default();
    let name = text.trim().trim_start_matches("W/").trim_matches('"');
    let usable = !name.is_empty()
        && name.len() <= 200
        && name
            .chars()
            .all(|char| char.is_ascii_graphic() && char != '"');
    if usable {
        Ok(name.to_owned())
    } else {
        Err(format!("the store named a part {text:?}, which is no ETag"))
    }
}

/// What a reply other than 200 means.
fn classify(status: StatusCode, body: &str) -> PutError {
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_default();
    let text = format!("{status} {code} {message}");
    let text = text.trim().to_owned();
    let transient = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
        || matches!(
            code,
            "BadDigest"
                | "RequestTimeout"
                | "SlowDown"
                | "InternalError"
                | "IncompleteBody"
                | "OperationAborted"
                | "ThrottlingException"
        );
    if transient {
        PutError::Transient(text)
    } else if status == StatusCode::FORBIDDEN
        || matches!(
            code,
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"
        )
    {
        PutError::Forbidden(text)
    } else {
        PutError::Permanent(text)
    }
}

/// The text of the first element of this name: the XML of an error is small and flat.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn replies_have_their_meaning() {
        let error = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let of = |status, code: &str| classify(StatusCode::from_u16(status).unwrap(), &error(code));
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (429, ""),
            (400, "BadDigest"),
            (400, "RequestTimeout"),
            (502, ""),
        ] {
            let failure = of(status, code);
            assert!(matches!(failure, PutError::Transient(_)), "{failure:?}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (400, "ExpiredToken"),
        ] {
            let failure = of(status, code);
            assert!(matches!(failure, PutError::Forbidden(_)), "{failure:?}");
        }
        assert_eq!(
            of(404, "NoSuchUpload"),
            PutError::Permanent("404 Not Found NoSuchUpload m".to_owned())
        );
        assert_eq!(
            classify(StatusCode::BAD_REQUEST, "<html>"),
            PutError::Permanent("400 Bad Request".to_owned())
        );
    }

    #[test]
    fn a_part_needs_a_usable_etag() {
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, HeaderValue::from_str(value).unwrap());
            etag(&headers)
        };
        assert_eq!(named("\"abc-1\"").unwrap(), "abc-1");
        assert_eq!(named("abc").unwrap(), "abc");
        assert!(etag(&HeaderMap::new()).unwrap_err().contains("no ETag"));
        for odd in ["", "\"\"", "\"a b\"", "\"a\"b\"", &"x".repeat(300)] {
            assert!(named(odd).is_err(), "{odd}");
        }
    }
}
