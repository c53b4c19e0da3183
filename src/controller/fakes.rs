//! For tests: a context with objects in its cache, around an API server that can be read and refuses everything else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use kube::Client;
use kube::client::Body;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Context;
use super::cache::Cache;
use super::trigger::Triggers;
use super::written::Written;
use crate::api::{Backup, Database, DatabaseInstance, Restore};
use crate::client::lenient::Readable;
use crate::health::Health;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::provider::Fence;
use crate::queue::Queues;
use crate::server::connections::Connections;
use crate::server::registry::Instances;
use crate::store::Destinations;
use crate::telemetry::events::Events;
use crate::telemetry::failures::FailureLog;
use crate::watch::Watches;

/// The operator's own namespace.
pub(crate) const HOME: &str = "operator";

/// Requests that were asked of a server, by method and path.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<(Method, String)>>>);

impl Asked {
    /// Notes a request.
    pub(crate) fn note(&self, method: &Method, path: &str) {
        self.0.lock().push((method.clone(), path.to_owned()));
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Fails if one of them was not for reading.
    pub(crate) fn only_read(&self) {
        for (method, path) in self.0.lock().iter() {
            let reads = matches!(*method, Method::GET | Method::HEAD);
            assert!(reads, "{method} {path}");
        }
    }
}

/// An API server that has what is at these paths, and nothing else.
pub(crate) fn api_server(asked: &Asked, objects: BTreeMap<String, Value>) -> Client {
    let asked = asked.clone();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        asked.note(request.method(), request.uri().path());
        let found = objects.get(request.uri().path());
        let found = found.filter(|_| request.method() == Method::GET).cloned();
        let status = found
            .as_ref()
            .map_or(StatusCode::NOT_FOUND, |_| StatusCode::OK);
        let missing = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound",
            "message": "no"});
        let body = found.unwrap_or(missing);
        let answer = http::Response::builder().status(status);
        let answer = answer.body(Body::from(body.to_string().into_bytes()));
        std::future::ready(answer)
    });
    Client::new(service, HOME)
}

/// A Secret in the operator's own namespace, with its path. Each value is "a".
pub(crate) fn secret(name: &str, keys: &[&str]) -> (String, Value) {
    let data: BTreeMap<&str, &str> = keys.iter().map(|key| (*key, "YQ==")).collect();
    (
        format!("/api/v1/namespaces/{HOME}/secrets/{name}"),
        json!({"metadata": {"name": name, "uid": name, "resourceVersion": "1"}, "data": data}),
    )
}

/// The objects of all kinds.
#[derive(Default)]
pub(crate) struct Objects {
    /// Instances.
    pub instances: Vec<Value>,
    /// Databases.
    pub databases: Vec<Value>,
    /// Backups.
    pub backups: Vec<Value>,
    /// Restores.
    pub restores: Vec<Value>,
}

/// A context whose cache has these objects, and whose leadership is held. Nothing is known of any server.
pub(crate) fn context(client: Client, objects: Objects) -> Context {
    let recorder = Recorder::new(client.clone(), Reporter::from("test"));
    let events = Events::new(recorder);
    let health = Health::new(Duration::from_secs(30));
    let leadership = Leadership::new();
    leadership.extend(Instant::now(), Duration::from_secs(600));
    let minute = Duration::from_mins(1);
    Context {
        watches: Watches::new(client.clone(), health, events.clone()),
        client,
        events,
        cache: Cache {
            instances: cache::<DatabaseInstance>(objects.instances),
            databases: cache::<Database>(objects.databases),
            backups: cache::<Backup>(objects.backups),
            restores: cache::<Restore>(objects.restores),
        },
        triggers: Triggers::default(),
        metrics: Metrics::new(),
        namespace: HOME.to_owned(),
        cluster_id: "c".to_owned(),
        resync: minute,
        deep_resync: minute,
        instances: Instances::default(),
        connections: Connections::default(),
        destinations: Destinations::default(),
        queues: Queues::new(4),
        failures: Arc::default(),
        written: Written::default(),
        failure_log: FailureLog::default(),
        leadership,
        fence: Fence::new("c".to_owned(), || true),
        superseded: CancellationToken::default(),
    }
}

fn cache<K>(objects: Vec<Value>) -> Store<Readable<K>>
where
    K: kube::Resource<DynamicType = ()> + DeserializeOwned + Clone + 'static,
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
