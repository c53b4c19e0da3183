//! A proxy before the store, where the operator and the pods reach it: what goes wrong with which request.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::cluster::Settings;
use crate::s3::presign::{Keys, presign};
use crate::s3::proxy::{broken, forward};
use crate::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// An upload begins.
    Begin,
    /// A part, by its number.
    Part(u32),
    /// Which parts there are.
    Parts,
    /// An upload becomes an object.
    Complete,
    /// An upload is thrown away.
    Abort,
    /// Which uploads are open.
    Uploads,
    /// What an object is.
    Head,
    /// An object in one piece: a manifest.
    Put,
    /// Something else.
    Other,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The store does not see it; this is the answer.
    Answer(u16, &'static str),
    /// The connection ends while the content is on its way.
    Reset,
    /// It is done, and the answer does not arrive.
    Lost,
    /// The answer has another ETag.
    Named(&'static str),
}

/// What goes wrong with a call, at which attempt, counted from one.
type Plan = fn(Call, u32) -> Option<Fault>;

/// The proxy. It ends with this value.
pub struct Front {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    state: Arc<Mutex<Calls>>,
}

struct Calls {
    plan: Plan,
    seen: BTreeMap<Call, u32>,
    tokens: Tokens,
}

/// Session tokens of temporary keys.
#[derive(Default)]
struct Tokens {
    seen: BTreeSet<String>,
    /// Parts are not taken with these any more.
    expired: BTreeSet<String>,
    refused: u32,
}

impl Tokens {
    /// Whether a request has to be refused.
    fn meet(&mut self, call: Call, token: Option<String>) -> bool {
        let Some(token) = token else { return false };
        let expired = matches!(call, Call::Part(_)) && self.expired.contains(&token);
        self.refused += u32::from(expired);
        self.seen.insert(token);
        expired
    }
}

#[derive(Clone)]
struct Way {
    client: Client,
    state: Arc<Mutex<Calls>>,
}

impl Front {
    /// Listens at this machine's address in the cluster's network; nothing goes wrong yet.
    pub async fn before(server: &S3Server) -> Self {
        let here = Settings::main().host_address();
        let listener = TcpListener::bind((here, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(Calls {
            plan: |_, _| None,
            seen: BTreeMap::new(),
            tokens: Tokens::default(),
        }));
        let way = Way {
            client: Client::try_from(Config::new(server.endpoint().parse().unwrap())).unwrap(),
            state: Arc::clone(&state),
        };
        let router = Router::new().fallback(pass).with_state(way);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            task,
            state,
        }
    }

    /// From now on this goes wrong; attempts are counted anew.
    pub fn plan(&self, plan: Plan) {
        let mut calls = self.state.lock();
        calls.plan = plan;
        calls.seen.clear();
    }

    /// How often this was asked.
    #[must_use]
    pub fn asked(&self, call: Call) -> u32 {
        let state = self.state.lock();
        state.seen.get(&call).copied().unwrap_or_default()
    }

    /// From now on parts are refused that come with a session token which was seen until now.
    pub fn expire_tokens(&self) {
        let tokens = &mut self.state.lock().tokens;
        tokens.expired = tokens.seen.clone();
    }

    /// How many parts were refused for their session token.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.state.lock().tokens.refused
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn call(method: &Method, uri: &Uri) -> Call {
    let query = uri.query().unwrap_or_default();
    let value = |name: &str| {
        query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .find_map(|(key, value)| (key == name).then_some(value))
    };
    match (method.as_str(), value("uploadId"), value("uploads")) {
        ("PUT", Some(_), _) => {
            value("partNumber").map_or(Call::Other, |number| Call::Part(number.parse().unwrap()))
        }
        ("GET", Some(_), _) => Call::Parts,
        ("POST", Some(_), _) => Call::Complete,
        ("DELETE", Some(_), _) => Call::Abort,
        ("POST", None, Some(_)) => Call::Begin,
        ("GET", None, Some(_)) => Call::Uploads,
        ("HEAD", ..) => Call::Head,
        ("PUT", ..) => Call::Put,
        _ => Call::Other,
    }
}

/// That of a header, or of a signed URL.
fn token(request: &Request) -> Option<String> {
    if let Some(value) = request.headers().get("x-amz-security-token") {
        return value.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Security-Token="))
        .map(str::to_owned)
}

/// The server behind knows no temporary keys, so a request with a token is signed anew with those that it knows.
fn without_token(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut query: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("X-Amz-"))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let host = parts.headers[header::HOST].to_str().unwrap().to_owned();
    let keys = Keys {
        access: ACCESS_KEY_ID.to_owned(),
        secret: SECRET_ACCESS_KEY.to_owned(),
    };
    let signed = presign(
        parts.method.as_str(),
        &host,
        parts.uri.path(),
        &query,
        &keys,
    )
    .unwrap();
    parts.uri = signed.parse().unwrap();
    parts.headers.remove(header::AUTHORIZATION);
    // Those would have to be signed, too.
    let theirs = parts.headers.keys();
    let theirs = theirs.filter(|name| name.as_str().starts_with("x-amz-"));
    for name in theirs.cloned().collect::<Vec<_>>() {
        parts.headers.remove(name);
    }
    Request::from_parts(parts, body)
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let call = call(request.method(), request.uri());
    let token = token(&request);
    let request = match token {
        None => request,
        Some(_) => without_token(request),
    };
    let fault = {
        let mut state = way.state.lock();
        let attempt = state.seen.entry(call).or_default();
        *attempt += 1;
        let attempt = *attempt;
        if state.tokens.meet(call, token) {
            Some(Fault::Answer(400, "ExpiredToken"))
        } else {
            (state.plan)(call, attempt)
        }
    };
    match fault {
        None => forward(&way.client, request).await,
        Some(Fault::Answer(status, code)) => {
            // Like a store that reads first.
            let _ = to_bytes(request.into_body(), usize::MAX).await;
            refusal(status, code)
        }
        Some(Fault::Reset) => {
            let mut body = request.into_body().into_data_stream();
            let _ = body.next().await;
            broken()
        }
        Some(Fault::Lost) => {
            forward(&way.client, request).await;
            broken()
        }
        Some(Fault::Named(name)) => {
            let mut answer = forward(&way.client, request).await;
            let name = HeaderValue::from_static(name);
            answer.headers_mut().insert(header::ETAG, name);
            answer
        }
    }
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>a test</Message></Error>"
    );
    let kind = [(header::CONTENT_TYPE, "application/xml")];
    (StatusCode::from_u16(status).unwrap(), kind, body).into_response()
}
