//! An HTTP proxy that hands requests on to a server, and lets happen what is decided for each of them.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderName, HeaderValue, StatusCode, header};
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Effect, Faults, Moment};
use crate::{Error, Result};

/// What every refusal says.
const MESSAGE: &str = "this fault is a test";

/// More than any request that passes.
const LARGEST: usize = 64 << 20;

/// What goes wrong with a request, which may be rewritten first.
pub(super) type Decide = Arc<dyn Fn(Request) -> (Request, Option<(Moment, Effect)>) + Send + Sync>;

/// What the server speaks besides HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The client that asks has the credentials; watches can be dropped.
    Kubernetes,
    /// The `Host` header is signed, so it is passed on.
    S3,
}

/// A running proxy. It ends with this value.
pub(super) struct HttpProxy {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
}

#[derive(Clone)]
struct Way {
    client: Client,
    dialect: Dialect,
    decide: Decide,
    faults: Faults,
    /// How often they were dropped.
    watches: watch::Sender<u64>,
}

impl HttpProxy {
    /// Listens on a free port of this address. `faults` kills the operator, where that is decided.
    pub(super) async fn start(
        here: IpAddr,
        client: Client,
        dialect: Dialect,
        faults: Faults,
        decide: Decide,
    ) -> Result<Self> {
        let listener = TcpListener::bind((here, 0))
            .await
            .map_err(Error::trial("listen"))?;
        let address = listener.local_addr().map_err(Error::trial("listen"))?;
        let way = Way {
            client,
            dialect,
            decide,
            faults,
            watches: watch::Sender::new(0),
        };
        let router = Router::new().fallback(pass).with_state(way);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, task })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let (request, fault) = (way.decide)(request);
    match fault {
        None => way.forward(request).await,
        Some((Moment::Before, effect)) => match way.before(effect, request).await {
            Ok(request) => way.forward(request).await,
            Err(instead) => instead,
        },
        Some((Moment::After, effect)) => {
            let answer = way.forward(request).await;
            way.after(effect, answer).await
        }
    }
}

impl Way {
    /// Lets it happen to a request. `Err` is what the client gets without the server's seeing the request.
    async fn before(
        &self,
        effect: Effect,
        request: Request,
    ) -> std::result::Result<Request, Response> {
        match effect {
            Effect::Kill => {
                self.faults.kill();
                Err(broken())
            }
            Effect::Cut => Err(broken()),
            Effect::Reset => {
                let mut body = request.into_body().into_data_stream();
                let _ = body.next().await;
                Err(broken())
            }
            Effect::Answer(status) => Err(self.refusal(status, None)),
            Effect::AnswerAs(status, code) => {
                let _ = to_bytes(request.into_body(), usize::MAX).await;
                Err(self.refusal(status, Some(code)))
            }
            Effect::Delay(time) => {
                tokio::time::sleep(time).await;
                Ok(request)
            }
            Effect::DropWatches => {
                self.drop_watches();
                Ok(request)
            }
            Effect::Flip => Ok(flipped(request).await),
            // There is no answer yet.
            Effect::Etag(_) => Ok(request),
        }
    }

    /// Lets it happen to the answer of a request that was done; what the client gets in its place.
    async fn after(&self, effect: Effect, mut answer: Response) -> Response {
        match effect {
            Effect::Kill => {
                self.faults.kill();
                broken()
            }
            Effect::Cut | Effect::Reset => broken(),
            Effect::Answer(status) => self.refusal(status, None),
            Effect::AnswerAs(status, code) => self.refusal(status, Some(code)),
            Effect::Delay(time) => {
                tokio::time::sleep(time).await;
                answer
            }
            Effect::DropWatches => {
                self.drop_watches();
                answer
            }
            Effect::Etag(name) => {
                let headers = answer.headers_mut();
                headers.remove(header::ETAG);
                if let Some(name) = name {
                    headers.insert(header::ETAG, HeaderValue::from_static(name));
                }
                answer
            }
            // The request is done.
            Effect::Flip => answer,
        }
    }

    fn drop_watches(&self) {
        self.watches.send_modify(|times| *times += 1);
    }

    /// Passes a request on, and its answer back.
    async fn forward(&self, request: Request) -> Response {
        let watching = self.dialect == Dialect::Kubernetes && is_watch(&request);
        let (mut parts, body) = request.into_parts();
        for name in self.dialect.dropped() {
            parts.headers.remove(name);
        }
        let Ok(body) = to_bytes(body, LARGEST).await else {
            return broken();
        };
        let request = Request::from_parts(parts, kube::client::Body::from(body));
        let Ok(answer) = self.client.send(request).await else {
            return broken();
        };
        let (mut parts, body) = answer.into_parts();
        parts.headers.remove(header::TRANSFER_ENCODING);
        if !watching {
            return Response::from_parts(parts, Body::new(body));
        }
        let mut watches = self.watches.subscribe();
        let body = Body::new(Breaking {
            body,
            cut: Box::pin(async move {
                // An error is the proxy's own end, which is one, too.
                let _ = watches.changed().await;
            }),
        });
        Response::from_parts(parts, body)
    }

    /// What the server would say if it refused.
    fn refusal(&self, status: u16, code: Option<&str>) -> Response {
        let answer = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self.dialect {
            Dialect::Kubernetes => {
                let reason = code.unwrap_or(match status {
                    409 => "Conflict",
                    429 => "TooManyRequests",
                    _ => "InternalError",
                });
                let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "code": status, "reason": reason, "message": MESSAGE});
                let headers = [
                    (header::CONTENT_TYPE, "application/json"),
                    (header::RETRY_AFTER, "1"),
                ];
                (answer, headers, body.to_string()).into_response()
            }
            Dialect::S3 => {
                let code = code.unwrap_or(match status {
                    503 => "SlowDown",
                    403 => "AccessDenied",
                    _ => "InternalError",
                });
                let body = format!(
                    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{MESSAGE}</Message></Error>"
                );
                let headers = [(header::CONTENT_TYPE, "application/xml")];
                (answer, headers, body).into_response()
            }
        }
    }
}

impl Dialect {
    /// Headers that are about the connection with the proxy, or about who asks.
    fn dropped(self) -> Vec<HeaderName> {
        match self {
            Self::Kubernetes => vec![
                header::HOST,
                header::AUTHORIZATION,
                header::CONNECTION,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ],
            Self::S3 => vec![header::CONNECTION, header::TRANSFER_ENCODING],
        }
    }
}

/// Whether a request of Kubernetes opens a watch.
pub(super) fn is_watch(request: &Request) -> bool {
    let query = request.uri().query();
    query.is_some_and(|query| query.contains("watch=true"))
}

/// With another first byte.
async fn flipped(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let mut body = Vec::from(to_bytes(body, LARGEST).await.unwrap_or_default());
    if let Some(byte) = body.first_mut() {
        *byte ^= 1;
    }
    Request::from_parts(parts, Body::from(body))
}

/// An answer that breaks off: something is promised, and nothing comes.
fn broken() -> Response {
    Response::new(Body::new(Breaking {
        body: kube::client::Body::empty(),
        cut: Box::pin(std::future::ready(())),
    }))
}

/// A body that can be broken off.
struct Breaking {
    body: kube::client::Body,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for Breaking {
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
