//! Objects as JSON: a typed client, and its lists, would refuse them.

use std::time::Duration;

use e2e::testing::{Fixture, eventually};
use serde_json::{Value, json};

use crate::TOO_LATE;

/// How long everything may take to go.
const GONE_WITHIN: Duration = Duration::from_mins(2);
/// Objects that are looked at, and let go, at a time.
const SOME: usize = 100;
const AT_A_TIME: usize = 12;

/// Where the objects of a kind are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Database,
    Backup,
    Job,
    Pod,
    Secret,
    Event,
    ConfigMap,
}

impl Kind {
    pub(crate) const ALL: [Self; 7] = [
        Self::Database,
        Self::Backup,
        Self::Job,
        Self::Pod,
        Self::Secret,
        Self::Event,
        Self::ConfigMap,
    ];

    /// The path of the objects of a namespace.
    pub(crate) fn path(self, namespace: &str) -> String {
        let (group, plural) = match self {
            Self::Database => ("apis/db-operator.dev/v1alpha1", "databases"),
            Self::Backup => ("apis/db-operator.dev/v1alpha1", "backups"),
            Self::Job => ("apis/batch/v1", "jobs"),
            Self::Pod => ("api/v1", "pods"),
            Self::Secret => ("api/v1", "secrets"),
            Self::Event => ("api/v1", "events"),
            Self::ConfigMap => ("api/v1", "configmaps"),
        };
        format!("/{group}/namespaces/{namespace}/{plural}")
    }

    /// What an object of a kind of our own has to say of itself.
    pub(crate) fn introduced(self, object: &mut Value) {
        let kind = match self {
            Self::Database => "Database",
            Self::Backup => "Backup",
            Self::Job | Self::Pod | Self::Secret | Self::Event | Self::ConfigMap => return,
        };
        object["apiVersion"] = json!("db-operator.dev/v1alpha1");
        object["kind"] = json!(kind);
    }
}

/// Asks for something that works.
pub(crate) async fn asked(fixture: &Fixture, method: &str, path: &str, body: &Value) -> Value {
    let (code, text) = fixture.ask(method, path, body).await;
    assert!((200..300).contains(&code), "{method} {path}: {code} {text}");
    serde_json::from_str(&text).unwrap()
}

/// What the managed fields are about: whoever changes it in the same request is its manager instead.
pub(crate) fn managed() -> Value {
    json!({"metadata": {"annotations": {"example.com/late": "1"}}})
}

/// A patch of an object at this path that writes a managed field with a time that is too late, as another manager than
/// whoever sends it.
pub(crate) fn late(path: &str) -> Value {
    let parts: Vec<&str> = path.split('/').collect();
    // The API server keeps no entry of another version than the object's.
    let version = match parts[1] {
        "api" => parts[2].to_owned(),
        _ => format!("{}/{}", parts[2], parts[3]),
    };
    json!({"metadata": {
        "managedFields": [{
            "manager": "late", "operation": "Update", "apiVersion": version, "time": TOO_LATE,
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:annotations": {"f:example.com/late": {}}}},
        }],
    }})
}

/// Has `who` write that, and sees that it is stored.
pub(crate) async fn date(who: &Fixture, path: &str) {
    asked(who, "PATCH", path, &managed()).await;
    let stored = asked(who, "PATCH", path, &late(path)).await;
    let stored = stored["metadata"]["managedFields"].to_string();
    assert!(stored.contains(TOO_LATE), "{path}: {stored}");
}

/// Takes everything away that is in a namespace, whatever it looks like; finalizers of others first.
pub(crate) async fn clear(admin: &Fixture) {
    for kind in Kind::ALL {
        let path = kind.path(&admin.namespace);
        let at_once = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        admin.ask("DELETE", &path, &at_once).await;
    }
    for kind in Kind::ALL {
        let path = kind.path(&admin.namespace);
        eventually(
            &format!("{path} are gone"),
            GONE_WITHIN,
            async || match clear_some(admin, &path).await {
                0 => Ok(()),
                left => Err(format!("{left} or more are left")),
            },
        )
        .await;
    }
}

/// Lets some of those go that are left. Returns how many these were.
async fn clear_some(admin: &Fixture, path: &str) -> usize {
    let found = asked(admin, "GET", &format!("{path}?limit={SOME}"), &Value::Null).await;
    let mut left: Vec<&Value> = found["items"].as_array().unwrap().iter().collect();
    // What the cluster itself puts into each namespace.
    left.retain(|object| {
        object["metadata"]["name"] != "kube-root-ca.crt"
            && object["type"] != "kubernetes.io/service-account-token"
    });
    for some in left.chunks(AT_A_TIME) {
        let going = some.iter().map(|object| let_go(admin, path, object));
        futures::future::join_all(going).await;
    }
    left.len()
}

/// Leaves no finalizer but the operator's on its own kinds, and asks for the deletion. Either may have been done.
async fn let_go(admin: &Fixture, path: &str, object: &Value) {
    let path = &format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
    let finalizers: Vec<&str> = object["metadata"]["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let own_kind = path.contains("/databases/") || path.contains("/backups/");
    let ours: Vec<&&str> = finalizers
        .iter()
        .filter(|name| own_kind && name.starts_with("db-operator.dev/"))
        .collect();
    if ours.len() < finalizers.len() {
        let patch = json!({"metadata": {"finalizers": ours}});
        admin.ask("PATCH", path, &patch).await;
    }
    if object["metadata"]["deletionTimestamp"].is_null() {
        let at_once = json!({"gracePeriodSeconds": 0, "propagationPolicy": "Background"});
        admin.ask("DELETE", path, &at_once).await;
    }
    // What cannot be read stays until it can.
    if own_kind {
        let status = json!({"status": null});
        if object["status"].to_string().contains(TOO_LATE) {
            admin.ask("PATCH", &format!("{path}/status"), &status).await;
        }
    }
}
