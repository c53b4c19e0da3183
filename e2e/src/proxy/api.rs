//! A proxy in front of an API server, as `kubectl proxy` is one: plain HTTP for the operator, which has no credentials
//! of its own behind it. It sees every request, so that one of them can be lost, be late or fail.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Effect, Faults, Moment};
use crate::{Error, Result};

/// More than any request of the operator.
const LARGEST: usize = 16 << 20;

/// A proxy that ends with this value.
pub struct ApiProxy {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Clone)]
struct Way {
    client: Client,
    faults: Faults,
    /// Only what is in this namespace counts, if there is one.
    namespace: Option<String>,
    /// How often they were dropped.
    watches: watch::Sender<u64>,
}

impl ApiProxy {
    /// Listens on a port of its own, and asks as this client. Leases and the opening of watches are not counted.
    pub async fn to(client: Client, faults: Faults) -> Result<Self> {
        Self::new(client, faults, None).await
    }

    /// The same, and only requests for what is in this namespace are counted.
    pub async fn within(client: Client, faults: Faults, namespace: &str) -> Result<Self> {
        Self::new(client, faults, Some(namespace.to_owned())).await
    }

    async fn new(client: Client, faults: Faults, namespace: Option<String>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(Error::trial("listen"))?;
        let address = listener.local_addr().map_err(Error::trial("listen"))?;
        let way = Way {
            client,
            faults,
            namespace,
            watches: watch::Sender::new(0),
        };
        let router = Router::new().fallback(pass).with_state(way);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, task })
    }

    /// Where clients connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ApiProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let watching = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let within = way
        .namespace
        .as_deref()
        .is_none_or(|namespace| path.contains(&format!("/namespaces/{namespace}/")));
    let counted = !watching && within && !path.contains("/leases");
    let fault = if counted {
        way.faults.next(|| format!("{} {path}", request.method()))
    } else {
        None
    };
    if let Some((Moment::Before, effect)) = fault
        && let Some(instead) = happens(effect, &way).await
    {
        return instead;
    }
    let answer = forward(&way, request, watching).await;
    if let Some((Moment::After, effect)) = fault
        && let Some(instead) = happens(effect, &way).await
    {
        return instead;
    }
    answer
}

/// Lets it happen; what the client gets in the place of the true answer, if not that.
async fn happens(effect: Effect, way: &Way) -> Option<Response> {
    match effect {
        Effect::Kill => {
            way.faults.kill();
            Some(broken())
        }
        Effect::Cut => Some(broken()),
        Effect::Answer(status) => Some(refusal(status)),
        Effect::Delay(time) => {
            tokio::time::sleep(time).await;
            None
        }
        Effect::DropWatches => {
            way.watches.send_modify(|times| *times += 1);
            None
        }
    }
}

async fn forward(way: &Way, request: Request, watching: bool) -> Response {
    let (mut parts, body) = request.into_parts();
    for name in [
        header::HOST,
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        parts.headers.remove(name);
    }
    let Ok(body) = to_bytes(body, LARGEST).await else {
        return broken();
    };
    let request = Request::from_parts(parts, kube::client::Body::from(body));
    let Ok(answer) = way.client.send(request).await else {
        return broken();
    };
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(header::TRANSFER_ENCODING);
    let body = if watching {
        let mut watches = way.watches.subscribe();
        Body::new(Watch {
            body,
            cut: Box::pin(async move {
                // An error is the proxy's own end, which is one, too.
                let _ = watches.changed().await;
            }),
        })
    } else {
        Body::new(body)
    };
    Response::from_parts(parts, body)
}

/// An answer that breaks off: its length is promised, and nothing comes.
fn broken() -> Response {
    Response::new(Body::new(Watch {
        body: kube::client::Body::empty(),
        cut: Box::pin(std::future::ready(())),
    }))
}

/// What the API server says when it refuses.
fn refusal(status: u16) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason = match status {
        409 => "Conflict",
        429 => "TooManyRequests",
        _ => "InternalError",
    };
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status,
        "reason": reason, "message": "this fault is a test"});
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::RETRY_AFTER, "1"),
    ];
    (code, headers, body.to_string()).into_response()
}

/// A body that can be broken off.
struct Watch {
    body: kube::client::Body,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Watch {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<http_body::Frame<Bytes>, Self::Error>>> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Poll::Ready(Some(Err("broken off".into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }
}
