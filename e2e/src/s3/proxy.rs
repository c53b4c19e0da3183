//! A proxy in front of an S3 server, request by request. It passes the `Host` header on, which is signed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri, header};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::S3Server;
use crate::proxy::{Effect, Faults, Moment};
use crate::{Error, Result};

/// More than any request that passes.
const LARGEST: usize = 64 << 20;

/// Says which requests count, and may go wrong.
pub type Counted = fn(&Method, &Uri) -> bool;

/// A proxy in front of a server without TLS. It ends with this value.
pub struct S3Proxy {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Clone)]
struct Way {
    client: Client,
    faults: Faults,
    counted: Counted,
}

impl S3Proxy {
    /// Listens on a port of its own. [`Effect::Answer`] with 200 is what S3 says when a request fails after the answer
    /// began: an error in the body.
    pub async fn to(server: &S3Server, faults: Faults, counted: Counted) -> Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into(), server, faults, counted).await
    }

    /// The same, at another address of this machine.
    pub async fn at(
        here: IpAddr,
        server: &S3Server,
        faults: Faults,
        counted: Counted,
    ) -> Result<Self> {
        let listener = TcpListener::bind((here, 0))
            .await
            .map_err(Error::trial("listen"))?;
        let address = listener.local_addr().map_err(Error::trial("listen"))?;
        let uri = server
            .endpoint()
            .parse()
            .map_err(Error::trial("read the server's address"))?;
        let way = Way {
            client: Client::try_from(Config::new(uri)).map_err(Error::trial("make a client"))?,
            faults,
            counted,
        };
        let router = Router::new().fallback(pass).with_state(way);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, task })
    }

    /// The address for an instance's `spec.backup.s3.endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether a request completes an upload.
#[must_use]
pub fn completes(method: &Method, uri: &Uri) -> bool {
    *method == Method::POST && uri.query().is_some_and(|query| query.contains("uploadId="))
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let fault = if (way.counted)(request.method(), request.uri()) {
        let path = request.uri().path().to_owned();
        way.faults.next(|| format!("{} {path}", request.method()))
    } else {
        None
    };
    if let Some((Moment::Before, effect)) = fault
        && let Some(instead) = happens(effect, &way.faults).await
    {
        return instead;
    }
    let answer = forward(&way.client, request).await;
    if let Some((Moment::After, effect)) = fault
        && let Some(instead) = happens(effect, &way.faults).await
    {
        return instead;
    }
    answer
}

/// Lets it happen; what the client gets in the place of the true answer, if not that.
async fn happens(effect: Effect, faults: &Faults) -> Option<Response> {
    match effect {
        Effect::Kill => {
            faults.kill();
            Some(broken())
        }
        Effect::Cut => Some(broken()),
        Effect::Answer(status) => Some(refusal(status)),
        Effect::Delay(time) => {
            tokio::time::sleep(time).await;
            None
        }
        // There are none here.
        Effect::DropWatches => None,
    }
}

/// Passes a request on as it is, and its answer back.
pub async fn forward(client: &Client, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return broken();
    };
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    match client.send(request).await {
        Ok(answer) => {
            let (mut parts, body) = answer.into_parts();
            parts.headers.remove(header::TRANSFER_ENCODING);
            Response::from_parts(parts, Body::new(body))
        }
        Err(_) => broken(),
    }
}

/// An answer that breaks off.
#[must_use]
pub fn broken() -> Response {
    let nothing = futures::stream::iter([Err::<Bytes, _>("broken off")]);
    Response::new(Body::from_stream(nothing))
}

/// What S3 says when it fails.
fn refusal(status: u16) -> Response {
    let code = match status {
        503 => "SlowDown",
        403 => "AccessDenied",
        _ => "InternalError",
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>this fault is a test</Message></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
