//! For tests of this folder: a bucket and an API server that can only be read, and a context around them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::api::{Backup, Database, InstanceReason};
use crate::client::lenient::Readable;
use crate::controller;
use crate::controller::cache::Cache;
use crate::controller::trigger::Triggers;
use crate::health::Health;
use crate::job::image::OwnImage;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::provider::Fence;
use crate::queue::Queues;
use crate::queue::slots::Limits;
use crate::server::connections::Connections;
use crate::server::registry::{Availability, Entry, Instances};
use crate::store::Destinations;
use crate::store::Manifest;
use crate::telemetry::events::Events;
use crate::telemetry::failures::FailureLog;
use crate::watch::Watches;

/// The UID of the Backup whose object the bucket has.
pub const UID: &str = "0f1e2d3c";
/// The key of that object.
pub const KEY: &str = "prod/c/team/orders/one.dump.zst";

/// Requests that were asked of a server, by method and path.
pub type Asked = Arc<Mutex<Vec<(Method, String)>>>;

/// A bucket that can be read, with this object and this manifest in it; whatever would change it is refused.
#[derive(Clone)]
pub struct Bucket {
    /// The size of the object.
    pub object: Option<u64>,
    /// The manifest.
    pub manifest: Option<Vec<u8>>,
    /// Whether it answers questions.
    pub works: bool,
    /// What it was asked.
    pub asked: Asked,
}

async fn bucket(State(bucket): State<Bucket>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let asked = (method.clone(), path.clone());
    bucket.asked.lock().push(asked);
    let answer = Response::builder();
    let is = |key: &str| path == format!("/backups/{key}");
    let (answer, body) = if !bucket.works || !matches!(method, Method::GET | Method::HEAD) {
        let refused = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        (answer.status(StatusCode::FORBIDDEN), refused.into())
    } else if is(KEY) {
        match bucket.object {
            Some(size) => {
                let answer = answer.header("content-length", size);
                let answer = answer.header("x-amz-meta-backup-uid", UID);
                (answer.header("etag", "\"e\""), Vec::new())
            }
            None => (answer.status(StatusCode::NOT_FOUND), Vec::new()),
        }
    } else if is(&Manifest::key(KEY)) {
        let missing = "<Error><Code>NoSuchKey</Code><Message>no</Message></Error>";
        match bucket.manifest {
            Some(manifest) => (answer, manifest),
            None => (answer.status(StatusCode::NOT_FOUND), missing.into()),
        }
    } else {
        (answer, "<ListBucketResult></ListBucketResult>".into())
    };
    answer.body(body.into()).unwrap()
}

/// An address at which the bucket answers.
pub async fn serve(state: Bucket) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(bucket).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// An API server that has a Secret with keys, and nothing else.
fn client(asked: Asked) -> Client {
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let is_secret = path == "/api/v1/namespaces/operator/secrets/keys";
        let (status, body) = if method == Method::GET && is_secret {
            let data = json!({"AWS_ACCESS_KEY_ID": "YQ==", "AWS_SECRET_ACCESS_KEY": "Yg=="});
            (
                StatusCode::OK,
                json!({"metadata": {"name": "keys"}, "data": data}),
            )
        } else {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "message": "no"});
            (StatusCode::NOT_FOUND, status)
        };
        asked.lock().push((method, path));
        let answer = http::Response::builder().status(status);
        let answer = answer.body(Body::from(body.to_string().into_bytes()));
        std::future::ready(answer)
    });
    Client::new(service, "operator")
}

fn cache<K>(objects: Vec<Value>) -> Store<Readable<K>>
where
    K: kube::Resource<DynamicType = ()> + serde::de::DeserializeOwned + Clone + 'static,
    Readable<K>: reflector::Lookup<DynamicType = ()>,
{
    let (store, mut writer) = reflector::store::<Readable<K>>();
    writer.apply_watcher_event(&Event::Init);
    for object in objects {
        let object = Readable(Ok(serde_json::from_value(object).unwrap()));
        writer.apply_watcher_event(&Event::InitApply(object));
    }
    writer.apply_watcher_event(&Event::InitDone);
    store
}

fn instance(endpoint: &str) -> Value {
    json!({
        "metadata": {"name": "main"},
        "spec": {
            "provider": "postgresql", "host": "db.example", "adminSecretRef": {"name": "admin"},
            "allowedNamespaces": {"all": true},
            "backup": {"s3": {
                "bucket": "backups", "endpoint": endpoint, "pathStyle": true, "credentialsSecretRef": {"name": "keys"},
            }},
        },
    })
}

/// A Database whose turn it is to be backed up.
pub fn database(deleting: bool) -> Value {
    let mut database = json!({
        "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
        "spec": {"instanceRef": {"name": "main"}},
        "status": {"state": "BACKUP_REQUESTED", "backup": {"name": "one", "uid": UID}},
    });
    if deleting {
        database["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    database
}

/// A context with these objects, whose leadership is held.
pub fn context(database: Value, backup: &Value, endpoint: &str, asked: &Asked) -> Context {
    let client = client(Arc::clone(asked));
    let recorder = Recorder::new(client.clone(), Reporter::from("test"));
    let events = Events::new(recorder);
    let health = Health::new(Duration::from_secs(30));
    let leadership = Leadership::new();
    leadership.extend(Instant::now(), Duration::from_secs(600));
    let minute = Duration::from_mins(1);
    let shared = controller::Context {
        watches: Watches::new(client.clone(), health, events.clone()),
        client,
        events,
        cache: Cache {
            instances: cache(vec![instance(endpoint)]),
            databases: cache::<Database>(vec![database]),
            backups: cache::<Backup>(vec![backup.clone()]),
        },
        triggers: Triggers::default(),
        metrics: Metrics::new(),
        namespace: "operator".to_owned(),
        cluster_id: "c".to_owned(),
        resync: minute,
        deep_resync: minute,
        instances: Instances::default(),
        connections: Connections::default(),
        destinations: Destinations::default(),
        queues: Queues::new(4),
        failures: Arc::default(),
        failure_log: FailureLog::default(),
        leadership,
        fence: Fence::new("c".to_owned(), || true),
        superseded: CancellationToken::default(),
    };
    let object = serde_json::from_value(instance(endpoint)).unwrap();
    let entry = Entry {
        object: Arc::new(object),
        availability: Availability::Unusable {
            reason: InstanceReason::Unreachable,
            message: "it does not answer".to_owned(),
        },
    };
    shared.instances.put("main", entry);
    let image = OwnImage::new(Some("operator:1".to_owned()), None);
    Context::new(Arc::new(shared), LIMITS, 60, image)
}

/// One backup at a time.
pub const LIMITS: Limits = Limits {
    overall: 1,
    per_instance: 1,
};
