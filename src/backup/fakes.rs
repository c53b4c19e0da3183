//! For tests of this folder: a bucket and an API server that can only be read, and a context around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Context;
use crate::api::InstanceReason;
use crate::controller::fakes::{self, Asked, Objects, api_server, secret};
use crate::job::image::OwnImage;
use crate::queue::slots::Limits;
use crate::server::registry::{Availability, Entry};
use crate::store::Manifest;

/// The UID of the Backup whose object the bucket has.
pub(super) const UID: &str = "0f1e2d3c";
/// The key of that object.
pub(super) const KEY: &str = "prod/c/team/orders/one.dump.zst";

/// A bucket that can be read, with this object and this manifest in it; whatever would change it is refused.
#[derive(Clone)]
pub(super) struct Bucket {
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
    bucket.asked.note(&method, &path);
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
pub(super) async fn serve(state: Bucket) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().fallback(bucket).with_state(state);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
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
pub(super) fn database(deleting: bool) -> Value {
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
pub(super) fn context(database: Value, backup: &Value, endpoint: &str, asked: &Asked) -> Context {
    let keys = secret("keys", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    let objects = Objects {
        instances: vec![instance(endpoint)],
        databases: vec![database],
        backups: vec![backup.clone()],
        restores: Vec::new(),
    };
    let shared = fakes::context(api_server(asked, [keys].into()), objects);
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
pub(super) const LIMITS: Limits = Limits {
    overall: 1,
    per_instance: 1,
};
