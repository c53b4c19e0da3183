//! Observing changes nothing: neither in Kubernetes, nor in the store, nor in what this process remembers.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::agent::protocol::task::Flavour;
use crate::api::{Backup, Database, InstanceReason};
use crate::backup::Context;
use crate::client::lenient::Readable;
use crate::controller;
use crate::controller::cache::Cache;
use crate::controller::trigger::Triggers;
use crate::instance::destination::Destinations;
use crate::job::image::OwnImage;
use crate::provider::Fence;
use crate::queue::Queues;
use crate::queue::slot_order::Neighbours;
use crate::queue::slots::{Candidate, Limits, Slots};
use crate::server::connections::Connections;
use crate::server::registry::{Availability, Entry, Instances};
use crate::store::{BackupId, Manifest, Restore, SourceServer};
use crate::telemetry::failures::FailureLog;
use crate::watch::Watches;
use tokio_util::sync::CancellationToken;

const UID: &str = "0f1e2d3c";
const KEY: &str = "prod/c/team/orders/one.dump.zst";

/// Requests that were asked of a server, by method and path.
type Asked = Arc<Mutex<Vec<(Method, String)>>>;

/// A bucket that can be read, with this object and this manifest in it; whatever would change it is refused.
#[derive(Clone)]
struct Bucket {
    object: Option<u64>,
    manifest: Option<Vec<u8>>,
    works: bool,
    asked: Asked,
}

async fn bucket(State(bucket): State<Bucket>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let asked = (method.clone(), path.clone());
    bucket.asked.lock().unwrap().push(asked);
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
async fn serve(state: Bucket) -> String {
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
        asked.lock().unwrap().push((method, path));
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

fn database(deleting: bool) -> Value {
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
fn context(database: Value, backup: &Value, endpoint: &str, asked: &Asked) -> Context {
    let client = client(Arc::clone(asked));
    let recorder = Recorder::new(client.clone(), Reporter::from("test"));
    let events = crate::telemetry::events::Events::new(recorder);
    let health = crate::health::Health::new(std::time::Duration::from_secs(30));
    let leadership = crate::leader::Leadership::new();
    leadership.extend(
        std::time::Instant::now(),
        std::time::Duration::from_secs(600),
    );
    let minute = std::time::Duration::from_mins(1);
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
        metrics: crate::metrics::Metrics::new(),
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

const LIMITS: Limits = Limits {
    overall: 1,
    per_instance: 1,
};

/// A Backup in this state, whose Job has reported.
fn backup(state: &Value, deleting: bool) -> Value {
    let mut backup = json!({
        "metadata": {
            "name": "one", "namespace": "team", "uid": UID, "finalizers": [FINALIZER],
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"databaseRef": {"name": "orders"}},
        "status": {
            "state": state, "startedAt": Timestamp::now(), "storedBytes": 5, "dumpedBytes": 9, "sha256": "00",
            "toolVersion": "pg_dump 17", "destination": "s3://backups/k",
            "source": {"instance": "main", "database": "orders", "serverVersion": "PostgreSQL 17.6", "databaseUid": "d"},
            "upload": {"bucket": "backups", "key": KEY, "uploadId": "u", "jobUid": "j", "parts": 1, "partsDigest": "p"},
        },
    });
    if deleting {
        backup["metadata"]["deletionTimestamp"] = json!(Timestamp::now());
    }
    if state.is_null() {
        backup["status"] = Value::Null;
    }
    backup
}

fn manifest() -> Vec<u8> {
    let manifest = Manifest {
        version: Manifest::VERSION,
        restore: Restore::new(Flavour::Postgresql, "s3://backups/k", None, "orders"),
        object: "s3://backups/k".to_owned(),
        bytes: 5,
        sha256: "00".to_owned(),
        parts: 1,
        dumped_bytes: 9,
        source: SourceServer {
            instance: "main".to_owned(),
            database: "orders".to_owned(),
            server_version: "17.6".to_owned(),
            flavour: Flavour::Postgresql,
        },
        tool_version: "pg_dump 17".to_owned(),
        backup: BackupId {
            namespace: "team".to_owned(),
            name: "one".to_owned(),
            uid: UID.to_owned(),
        },
        database_object: "orders".to_owned(),
        cluster_id: "c".to_owned(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
    };
    manifest.to_json().unwrap()
}

/// Observes this Backup of this Database, and checks that nothing was changed meanwhile. `bucket` is what its store has.
async fn observed(
    database: Value,
    backup: Value,
    bucket: (Option<u64>, Option<Vec<u8>>, bool),
) -> Observation {
    let asked = Asked::default();
    let (object, manifest, works) = bucket;
    let state = Bucket {
        object,
        manifest,
        works,
        asked: Arc::clone(&asked),
    };
    let context = context(database, &backup, &serve(state).await, &asked);
    let backup: Backup = serde_json::from_value(backup).unwrap();
    let pass = Pass::begin(&context, &backup, ());
    let seen = observe(&pass).await.unwrap();

    for (method, path) in asked.lock().unwrap().iter() {
        assert!(
            matches!(*method, Method::GET | Method::HEAD),
            "{method} {path}"
        );
    }
    // The only slot is free for any other one.
    let other = Candidate {
        uid: "other".to_owned(),
        namespace: "other".to_owned(),
        instance: "main".to_owned(),
        created: None,
        name: "other".to_owned(),
        active: false,
    };
    let (slots, nobody) = (&context.slots, Neighbours::default());
    assert!(Slots::is_free(slots, &other, Vec::new(), LIMITS, &nobody));
    seen
}

const NOTHING: (Option<u64>, Option<Vec<u8>>, bool) = (None, None, true);

#[tokio::test]
async fn observing_changes_nothing_in_any_state() {
    let states = BackupState::ALL.map(|state| json!(state.as_str()));
    for state in [Value::Null].iter().chain(&states) {
        for deleting in [false, true] {
            for database_deleting in [false, true] {
                let seen = observed(
                    database(database_deleting),
                    backup(state, deleting),
                    NOTHING,
                )
                .await;
                assert!(matches!(seen.found, Found::NotRunning), "{:?}", seen.found);
                assert!(seen.unknown.is_none(), "{:?}", seen.unknown);
            }
        }
    }
}

#[tokio::test]
async fn one_that_waits_says_for_what() {
    let seen = observed(database(false), backup(&Value::Null, false), NOTHING).await;
    let waits = seen.waits.unwrap().blocked;
    assert!(waits.message.contains("it does not answer"), "{waits:?}");
    assert!(seen.ready.is_none());
}

#[tokio::test]
async fn what_an_interrupted_commit_has_left_is_found_and_not_finished() {
    let running = || backup(&json!("BACKING_UP"), true);
    let find = async |bucket| observed(database(false), running(), bucket).await;

    let seen = find((Some(5), Some(manifest()), true)).await;
    assert_eq!(seen.facts().work, Work::Committed);
    let Found::Committed(committed) = seen.found else {
        panic!("{:?}", seen.found);
    };
    assert_eq!((committed.bytes, committed.parts), (5, 1));

    // The act `Commit` writes the manifest.
    let seen = find((Some(5), None, true)).await;
    assert_eq!(seen.facts().work, Work::Reported);

    // An object of another size is not this backup's.
    let seen = find((Some(6), None, true)).await;
    assert_eq!(seen.facts().work, Work::NotRunning);

    let seen = find((None, None, false)).await;
    assert!(
        seen.unknown.is_some(),
        "a store that refuses has not said that there is nothing"
    );
}

#[tokio::test]
async fn a_backup_whose_database_goes_looks_into_the_store_too() {
    let bucket = (Some(5), Some(manifest()), true);
    let seen = observed(database(true), backup(&json!("BACKING_UP"), false), bucket).await;
    assert!(seen.cancelled && !seen.deleting);
    assert_eq!(seen.facts().work, Work::Committed);
}
