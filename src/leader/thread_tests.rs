use std::net::SocketAddr;
use std::time::Instant;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use kube::Config;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

use super::*;
use crate::client;
use crate::metrics::Metrics;

/// So long that a busy machine does not lose it.
const TTL: Duration = Duration::from_secs(5);

/// An API server that has one Lease, on a thread of its own.
#[derive(Clone, Default)]
struct ApiServer {
    lease: Arc<Mutex<Option<Value>>>,
    delay: Duration,
}

impl ApiServer {
    /// Starts it; says where.
    fn start(&self) -> SocketAddr {
        let (address, found) = std::sync::mpsc::channel();
        let server = self.clone();
        thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                address.send(listener.local_addr().unwrap()).unwrap();
                let router = Router::new().fallback(answer).with_state(server);
                axum::serve(listener, router).await.unwrap();
            });
        });
        found.recv().unwrap()
    }

    fn holder(&self) -> String {
        let lease = self.lease.lock();
        let holder = lease
            .as_ref()
            .map(|lease| lease["spec"]["holderIdentity"].clone());
        holder
            .and_then(|holder| holder.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    fn apply(&self, method: &Method, body: &Bytes) -> (StatusCode, Value) {
        let refused = |code: StatusCode, reason: &str| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                "code": code.as_u16(), "reason": reason, "message": reason});
            (code, status)
        };
        let mut lease = self.lease.lock();
        let sent = || serde_json::from_slice::<Value>(body).unwrap();
        let version = |lease: &Value| {
            lease["metadata"]["resourceVersion"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        match (method, lease.as_mut()) {
            (&Method::GET, Some(lease)) => (StatusCode::OK, lease.clone()),
            (&Method::POST, None) => {
                let mut made = sent();
                made["metadata"]["resourceVersion"] = json!("1");
                *lease = Some(made.clone());
                (StatusCode::CREATED, made)
            }
            (&Method::PATCH, Some(lease)) => {
                let mut patch = sent();
                let demanded = &patch["metadata"]["resourceVersion"];
                if !demanded.is_null() && *demanded != json!(version(lease)) {
                    return refused(StatusCode::CONFLICT, "Conflict");
                }
                let next = version(lease).parse::<u64>().unwrap() + 1;
                for (key, value) in patch["spec"].as_object_mut().unwrap() {
                    lease["spec"][key] = value.take();
                }
                lease["metadata"]["resourceVersion"] = json!(next.to_string());
                (StatusCode::OK, lease.clone())
            }
            (_, Some(_)) => refused(StatusCode::CONFLICT, "Conflict"),
            (_, None) => refused(StatusCode::NOT_FOUND, "NotFound"),
        }
    }
}

async fn answer(State(server): State<ApiServer>, request: Request) -> Response {
    let method = request.method().clone();
    let body = to_bytes(request.into_body(), 1 << 20).await.unwrap();
    tokio::time::sleep(server.delay / 2).await;
    let (code, answer) = server.apply(&method, &body);
    tokio::time::sleep(server.delay / 2).await;
    (
        code,
        [(header::CONTENT_TYPE, "application/json")],
        answer.to_string(),
    )
        .into_response()
}

async fn started(server: &ApiServer, leadership: &Leadership, gives_way: Duration) -> LeaseThread {
    let uri = format!("http://{}", server.start()).parse().unwrap();
    let settings = Settings {
        name: "lease".to_owned(),
        namespace: "home".to_owned(),
        identity: "me".to_owned(),
        ttl: TTL,
        renew: TTL / 10,
        gives_way,
    };
    let (config, metrics) = (Config::new(uri), Metrics::new());
    let thread = LeaseThread::start(
        move |precondition, limit| client::for_lease(config, precondition, limit, &metrics),
        settings,
        leadership.clone(),
        Health::new(TTL),
    );
    let mut thread = thread.await.unwrap();
    let leads = timeout(TTL * 10, thread.leads()).await;
    assert!(leads.expect("it leads in time") && leadership.is_held());
    thread
}

fn is_lost(thread: &mut LeaseThread) -> bool {
    !matches!(
        thread.lost.try_recv(),
        Err(oneshot::error::TryRecvError::Empty)
    )
}

/// One thread does all that the process does, and it is busy for longer than the lease lives.
#[tokio::test]
async fn work_that_hogs_the_runtime_does_not_lose_the_lease() {
    let (server, leadership) = (ApiServer::default(), Leadership::new());
    let mut lease = started(&server, &leadership, TTL * 10).await;
    thread::sleep(TTL * 3 / 2);
    assert!(leadership.is_held());
    assert!(!is_lost(&mut lease));
    assert_eq!(server.holder(), "me");
    lease.step_down().await;
    assert!(!leadership.is_held());
    assert_eq!(server.holder(), "");
}

/// A tenth of the lease for each answer, as three seconds are of the default.
#[tokio::test]
async fn a_slow_api_server_does_not_lose_the_lease() {
    let server = ApiServer {
        delay: TTL / 10,
        ..ApiServer::default()
    };
    let leadership = Leadership::new();
    let mut lease = started(&server, &leadership, TTL * 10).await;
    let until = Instant::now() + TTL * 2;
    while Instant::now() < until {
        assert!(leadership.is_held());
        tokio::time::sleep(TTL / 100).await;
    }
    assert!(!is_lost(&mut lease));
    lease.step_down().await;
    assert_eq!(server.holder(), "");
}

/// Whatever is on its way when it is asked for: a renewal that was cut off may still change the version that a release is
/// for, and to find that out takes longer than there is.
#[tokio::test]
async fn a_slow_api_server_gets_the_lease_back() {
    for moment in 0..6 {
        let server = ApiServer {
            delay: TTL / 6,
            ..ApiServer::default()
        };
        let leadership = Leadership::new();
        let lease = started(&server, &leadership, TTL * 10).await;
        tokio::time::sleep(TTL * moment / 12).await;
        lease.step_down().await;
        assert_eq!(server.holder(), "", "at moment {moment}");
        assert!(!leadership.is_held());
    }
}

#[tokio::test]
async fn a_process_that_hangs_gives_way() {
    let (server, leadership) = (ApiServer::default(), Leadership::new());
    let mut lease = started(&server, &leadership, TTL / 2).await;
    thread::sleep(TTL + TTL / 2);
    assert!(!leadership.is_held());
    let lost = lease.lost().await.unwrap();
    assert!(matches!(lost, LostLease::Hangs { .. }), "{lost}");
    // What this process sent may still be on its way: nobody is let in before the lease ran out.
    assert_eq!(server.holder(), "me");
}

#[tokio::test]
async fn whoever_lets_go_of_the_thread_does_not_lead() {
    let (server, leadership) = (ApiServer::default(), Leadership::new());
    drop(started(&server, &leadership, TTL).await);
    let limit = Instant::now() + TTL;
    while leadership.is_held() && Instant::now() < limit {
        tokio::time::sleep(TTL / 100).await;
    }
    assert!(!leadership.is_held());
    assert_eq!(server.holder(), "me");
}
