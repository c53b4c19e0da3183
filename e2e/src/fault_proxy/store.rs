//! In front of an object store without TLS, request by request.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::Request;
use http::{Method, Uri};
use kube::{Client, Config};
use parking_lot::{Mutex, MutexGuard};

use super::http::{Decide, Dialect, HttpProxy};
use super::resign::{token, without_token};
use super::{Effect, Faults, Moment};
use crate::cluster::Settings;
use crate::s3::S3Server;
use crate::{Error, Result};

/// Says which requests count, and may go wrong.
pub type Counted = fn(&Method, &Uri) -> bool;

/// A proxy in which one request of those that are counted goes wrong. It ends with this value.
pub struct S3Proxy(HttpProxy);

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
        let count = faults.clone();
        let decide: Decide = Arc::new(move |request: Request| {
            let (method, uri) = (request.method(), request.uri());
            let fault = if counted(method, uri) {
                count.next(|| format!("{method} {}", uri.path()))
            } else {
                None
            };
            (request, fault)
        });
        Ok(Self(start(here, server, faults, decide).await?))
    }

    /// The address for an instance's `spec.backup.s3.endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint()
    }
}

/// Whether a request completes an upload.
#[must_use]
pub fn completes(method: &Method, uri: &Uri) -> bool {
    call(method, uri) == Call::Complete
}

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

/// What goes wrong with a call, at which attempt, counted from one.
pub type Plan = fn(Call, u32) -> Option<(Moment, Effect)>;

/// A proxy in which chosen attempts of chosen calls go wrong. It ends with this value.
pub struct StoreProxy {
    proxy: HttpProxy,
    calls: Arc<Mutex<Calls>>,
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

impl StoreProxy {
    /// Listens on loopback.
    pub async fn to(server: &S3Server, plan: Plan) -> Result<Self> {
        Self::at(Ipv4Addr::LOCALHOST.into(), server, plan).await
    }

    /// Listens at this machine's address in the cluster's network, for the operator and the pods; nothing goes wrong yet.
    pub async fn in_cluster(server: &S3Server) -> Result<Self> {
        let here = Settings::main().host_address().into();
        Self::at(here, server, |_, _| None).await
    }

    async fn at(here: IpAddr, server: &S3Server, plan: Plan) -> Result<Self> {
        let calls = Arc::new(Mutex::new(Calls {
            plan,
            seen: BTreeMap::new(),
            tokens: Tokens::default(),
        }));
        let of_proxy = Arc::clone(&calls);
        let decide: Decide = Arc::new(move |request: Request| {
            let call = call(request.method(), request.uri());
            let token = token(&request);
            let request = match token {
                None => request,
                Some(_) => without_token(request),
            };
            (request, lock(&of_proxy).meet(call, token))
        });
        let proxy = start(here, server, Faults::none(), decide).await?;
        Ok(Self { proxy, calls })
    }

    /// From now on this goes wrong; attempts are counted anew.
    pub fn plan(&self, plan: Plan) {
        let mut calls = lock(&self.calls);
        calls.plan = plan;
        calls.seen.clear();
    }

    /// How often this was asked.
    #[must_use]
    pub fn asked(&self, call: Call) -> u32 {
        lock(&self.calls)
            .seen
            .get(&call)
            .copied()
            .unwrap_or_default()
    }

    /// How often each part was tried.
    #[must_use]
    pub fn parts_tried(&self) -> BTreeMap<u32, u32> {
        let calls = lock(&self.calls);
        let parts = calls.seen.iter().filter_map(|(call, count)| match call {
            Call::Part(number) => Some((*number, *count)),
            Call::Begin
            | Call::Parts
            | Call::Complete
            | Call::Abort
            | Call::Uploads
            | Call::Head
            | Call::Put
            | Call::Other => None,
        });
        parts.collect()
    }

    /// From now on parts are refused that come with a session token which was seen until now.
    pub fn expire_tokens(&self) {
        let tokens = &mut lock(&self.calls).tokens;
        tokens.expired = tokens.seen.clone();
    }

    /// How many parts were refused for their session token.
    #[must_use]
    pub fn refused(&self) -> u32 {
        lock(&self.calls).tokens.refused
    }

    /// The address for an instance's `spec.backup.s3.endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.proxy.endpoint()
    }
}

impl Calls {
    /// Counts a call, and says what goes wrong with it.
    fn meet(&mut self, call: Call, token: Option<String>) -> Option<(Moment, Effect)> {
        let attempt = self.seen.entry(call).or_default();
        *attempt += 1;
        if token.is_some_and(|token| self.tokens.is_expired(call, token)) {
            return Some((Moment::Before, Effect::AnswerAs(400, "ExpiredToken")));
        }
        (self.plan)(call, *attempt)
    }
}

impl Tokens {
    fn is_expired(&mut self, call: Call, token: String) -> bool {
        let expired = matches!(call, Call::Part(_)) && self.expired.contains(&token);
        self.refused += u32::from(expired);
        self.seen.insert(token);
        expired
    }
}

fn lock(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    calls.lock()
}

async fn start(
    here: IpAddr,
    server: &S3Server,
    faults: Faults,
    decide: Decide,
) -> Result<HttpProxy> {
    let uri = server
        .endpoint()
        .parse()
        .map_err(Error::trial("read the server's address"))?;
    let client = Client::try_from(Config::new(uri)).map_err(Error::trial("make a client"))?;
    HttpProxy::start(here, client, Dialect::S3, faults, decide).await
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
        ("PUT", Some(_), _) => value("partNumber")
            .and_then(|number| number.parse().ok())
            .map_or(Call::Other, Call::Part),
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
