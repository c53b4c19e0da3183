//! A corner of the cluster for one test: a namespace of its own, and requests that keep nothing.

use std::time::Duration;

use http::Request;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams,
};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::Rule;

/// How long a removal may take.
const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) struct Scratch {
    client: Client,
    namespace: String,
    /// Objects outside the namespace, or that something may hold: kind and name.
    kept: Mutex<Vec<(String, String)>>,
}

impl Drop for Scratch {
    /// Takes everything away, also when the test fails: on a thread of its own, because dropping cannot wait.
    fn drop(&mut self) {
        let namespace = self.namespace.clone();
        let kept = std::mem::take(&mut *self.kept.lock());
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let client = Client::try_default().await.unwrap();
                for (kind, name) in &kept {
                    remove(&api(&client, &namespace, kind), name).await;
                }
                let namespaces: Api<Namespace> = Api::all(client);
                namespaces
                    .delete(&namespace, &DeleteParams::default())
                    .await
                    .unwrap();
            });
        });
        assert!(
            removal.join().is_ok() || std::thread::panicking(),
            "cleaning up failed"
        );
    }
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk("db-operator.dev", "v1alpha1", kind));
    if kind == "DatabaseInstance" {
        Api::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    }
}

/// Deletes an object, takes away what would hold it, and waits until it is gone.
async fn remove(api: &Api<DynamicObject>, name: &str) {
    let gone = async {
        let release = json!({"metadata": {"finalizers": null}});
        while api.get_opt(name).await.unwrap().is_some() {
            let deleted = api.delete(name, &DeleteParams::default()).await.map(drop);
            assert!(deleted.is_ok() || is_not_found(&deleted), "{deleted:?}");
            let released = api
                .patch(name, &PatchParams::default(), &Patch::Merge(&release))
                .await;
            assert!(released.is_ok() || is_not_found(&released), "{released:?}");
        }
    };
    tokio::time::timeout(DEADLINE, gone)
        .await
        .expect("the object goes");
}

impl Scratch {
    pub(crate) async fn new(test: &str) -> Self {
        let client = Client::try_default()
            .await
            .expect("KUBECONFIG names a cluster that answers");
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let namespace = Namespace {
            metadata: ObjectMeta {
                generate_name: Some(format!("e2e-crds-{test}-")),
                labels: Some([("db-operator.dev/e2e".to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let created = namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        Self {
            client,
            namespace: created.metadata.name.unwrap(),
            kept: Mutex::new(Vec::new()),
        }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        api(&self.client, &self.namespace, kind)
    }

    /// Creates an object, without keeping it.
    pub(crate) async fn create(&self, kind: &str, object: &Value) -> Result<Value, Error> {
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        self.post(kind, object, &params).await
    }

    async fn post(&self, kind: &str, object: &Value, params: &PostParams) -> Result<Value, Error> {
        let mut object = object.clone();
        object["apiVersion"] = json!("db-operator.dev/v1alpha1");
        object["kind"] = json!(kind);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let created = self.api(kind).create(params, &object).await?;
        Ok(serde_json::to_value(created).unwrap())
    }

    /// Creates an object that stays until [`Self::remove`], with this status.
    pub(crate) async fn keep(&self, kind: &str, object: &Value, status: Option<&Value>) -> String {
        let created = self
            .post(kind, object, &PostParams::default())
            .await
            .unwrap();
        let name = created["metadata"]["name"].as_str().unwrap().to_owned();
        self.kept.lock().push((kind.to_owned(), name.clone()));
        if let Some(status) = status {
            self.set_status(kind, &name, status).await;
        }
        name
    }

    async fn set_status(&self, kind: &str, name: &str, status: &Value) {
        let status = json!({"status": status});
        self.api(kind)
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    /// [`Self::change`], and again where the operator that runs here has changed the object's status meanwhile.
    pub(crate) async fn change_in(
        &self,
        kind: &str,
        name: &str,
        change: &Value,
        status: Option<&Value>,
    ) -> Result<Value, Error> {
        let has = |changed: &Value, status: &Value| {
            let mut fields = status.as_object().unwrap().iter();
            fields.all(|(name, value)| changed["status"][name] == *value)
        };
        for _ in 0..20 {
            let answer = self.change(kind, name, change).await;
            match (&answer, status) {
                (Ok(changed), Some(status)) if !has(changed, status) => {
                    self.set_status(kind, name, status).await;
                }
                _ => return answer,
            }
        }
        panic!("{kind} {name} does not keep {status:?}");
    }

    /// Changes an object by a merge patch, without keeping the change.
    pub(crate) async fn change(
        &self,
        kind: &str,
        name: &str,
        change: &Value,
    ) -> Result<Value, Error> {
        let params = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        let changed = self
            .api(kind)
            .patch(name, &params, &Patch::Merge(change))
            .await?;
        Ok(serde_json::to_value(changed).unwrap())
    }

    /// Applies a status as one of several writers.
    pub(crate) async fn apply_status(
        &self,
        kind: &str,
        name: &str,
        writer: &str,
        status: &Value,
    ) -> Result<Value, Error> {
        let mut status = status.clone();
        status["apiVersion"] = json!("db-operator.dev/v1alpha1");
        status["kind"] = json!(kind);
        let params = PatchParams::apply(writer);
        let applied = self
            .api(kind)
            .patch_status(name, &params, &Patch::Apply(&status))
            .await?;
        Ok(serde_json::to_value(applied).unwrap())
    }

    /// Removes an object that was kept.
    pub(crate) async fn remove(&self, kind: &str, name: &str) {
        remove(&self.api(kind), name).await;
        self.kept
            .lock()
            .retain(|kept| kept != &(kind.to_owned(), name.to_owned()));
    }

    /// Reads a path of the API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let request = Request::get(path).body(Vec::new()).unwrap();
        self.client.request(request).await.unwrap()
    }

    /// Reads a list as `kubectl get` does.
    pub(crate) async fn table(&self, path: &str) -> Value {
        let request = Request::get(path)
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .unwrap();
        self.client.request(request).await.unwrap()
    }
}

fn is_not_found<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Api(status)) if status.code == 404)
}

/// The rules (and limits of the schema) that refused an object, from the API server's answer.
pub(crate) fn refusal(kind: &str, error: &Error) -> Vec<Rule> {
    let Error::Api(status) = error else {
        panic!("not an answer of the API server: {error}");
    };
    let causes = status
        .details
        .as_ref()
        .map(|d| d.causes.clone())
        .unwrap_or_default();
    causes
        .into_iter()
        .map(|cause| Rule {
            kind: kind.to_owned(),
            field: without_indices(&cause.field),
            message: without_value(&cause.message).to_owned(),
        })
        .collect()
}

/// `spec.adoptable[0].user` is the rule of `spec.adoptable[].user`; the root has no name.
fn without_indices(field: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for c in field.chars() {
        inside &= c != ']';
        if !inside {
            plain.push(c);
        }
        inside |= c == '[';
    }
    if plain == "<nil>" {
        String::new()
    } else {
        plain
    }
}

/// `Invalid value: "postgres": message` and `Invalid value: message` say the same.
fn without_value(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("Invalid value: ") else {
        return message;
    };
    let Some(quoted) = rest.strip_prefix('"') else {
        // An object or a number, or no value at all.
        return rest
            .strip_prefix("object: ")
            .or_else(|| {
                rest.split_once(": ")
                    .filter(|(v, _)| v.parse::<f64>().is_ok() || *v == "false")
                    .map(|(_, m)| m)
            })
            .unwrap_or(rest);
    };
    let mut escaped = false;
    for (i, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => {
                let after = &quoted[i + 1..];
                return after.strip_prefix(": ").unwrap_or(after);
            }
            _ => escaped = false,
        }
    }
    rest
}

/// What the API server answered, for a person.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
