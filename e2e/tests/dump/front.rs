//! A proxy before the store that lets chosen attempts for chosen parts go wrong.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use e2e::s3::S3Server;
use e2e::s3::proxy::{broken, forward};
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use kube::{Client, Config};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The store does not see it; this is the answer.
    Answer(u16, &'static str),
    /// The connection ends while the part is on its way.
    Reset,
    /// The part arrives, the answer does not.
    Lost,
    /// The answer calls the part so; none: not at all.
    Named(Option<&'static str>),
    /// It takes longer.
    Slow(Duration),
    /// A byte is another one on its way.
    Flipped,
}

/// What goes wrong with the part of this number, at this attempt (from one).
pub type Plan = fn(number: u32, attempt: u32) -> Option<Fault>;

pub struct Front {
    address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    attempts: Arc<Mutex<BTreeMap<u32, u32>>>,
}

#[derive(Clone)]
struct Way {
    client: Client,
    plan: Plan,
    attempts: Arc<Mutex<BTreeMap<u32, u32>>>,
}

impl Front {
    pub async fn before(server: &S3Server, plan: Plan) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let attempts = Arc::default();
        let way = Way {
            client: Client::try_from(Config::new(server.endpoint().parse().unwrap())).unwrap(),
            plan,
            attempts: Arc::clone(&attempts),
        };
        let router = Router::new().fallback(pass).with_state(way);
        let task = tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            address,
            task,
            attempts,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often each part was tried.
    pub fn attempts(&self) -> BTreeMap<u32, u32> {
        self.attempts.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn part(request: &Request) -> Option<u32> {
    let query = request.uri().query()?;
    let number = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("partNumber="))?;
    (request.method() == http::Method::PUT).then_some(number.parse().ok()?)
}

async fn pass(State(way): State<Way>, request: Request) -> Response {
    let fault = part(&request).and_then(|number| {
        let mut attempts = way.attempts.lock().unwrap();
        let attempt = attempts.entry(number).or_default();
        *attempt += 1;
        (way.plan)(number, *attempt)
    });
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
            answer.headers_mut().remove(header::ETAG);
            if let Some(name) = name {
                let name = HeaderValue::from_static(name);
                answer.headers_mut().insert(header::ETAG, name);
            }
            answer
        }
        Some(Fault::Slow(time)) => {
            sleep(time).await;
            forward(&way.client, request).await
        }
        Some(Fault::Flipped) => forward(&way.client, flipped(request).await).await,
    }
}

/// With another first byte.
async fn flipped(request: Request) -> Request {
    let (parts, body) = request.into_parts();
    let mut body = Vec::from(to_bytes(body, usize::MAX).await.unwrap());
    if let Some(byte) = body.first_mut() {
        *byte ^= 1;
    }
    Request::from_parts(parts, Body::from(body))
}

fn refusal(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>a test</Message></Error>");
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}
