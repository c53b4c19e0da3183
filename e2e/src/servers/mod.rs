//! The database servers and the S3 server of the cluster: their Secrets, their pods, and the `DatabaseInstance`s that name them.

mod console;
mod secrets;

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::images::{self, Archive};
use crate::{Error, Result, cache::Cache, cache::Key, clone_root, command, objects};

pub use console::{STATEMENTS, statements_with, superuser};
use secrets::Secrets;

/// Where the servers run.
pub const NAMESPACE: &str = "databases";
/// Where the operator runs; what it logs in with is there.
pub const OPERATOR_NAMESPACE: &str = "db-operator-system";
/// The database servers: each is a Deployment, a Service and a DatabaseInstance of this name.
pub const DATABASES: [&str; 3] = ["mysql", "mariadb", "postgres"];
/// The object store: a Deployment and a Service.
pub const S3: &str = "s3";
/// The bucket that it has.
pub const BUCKET: &str = "backups";

/// On a pod template: what the pod was started from besides its manifest. Another image or Secret starts another pod.
const STARTED_FROM: &str = "db-operator.dev/started-from";
/// How long the servers may take to make their data and answer.
const READY_WITHIN: Duration = Duration::from_mins(3);

/// Builds the images that are missing, imports those that changed, applies the servers and waits until all of them answer.
///
/// True if anything changed. Passwords and keys are made once in a cluster's life.
pub fn up(cluster: &Cluster, cache: &Cache) -> Result<bool> {
    let archives = images::servers(cache)?;
    let imported = images::import(cluster, &archives)?;
    let applied = apply(cluster, &archives)?;
    wait_until_ready(cluster)?;
    Ok(applied || !imported.is_empty())
}

/// Applies the namespaces, Secrets, Deployments and Services; true if anything changed.
pub fn apply(cluster: &Cluster, archives: &[Archive]) -> Result<bool> {
    let secrets = Secrets::of(cluster)?;
    let mut all = vec![operator_namespace()];
    for mut object in objects::read_folder(&clone_root().join("e2e/manifests/databases"))? {
        if object["kind"] == "Deployment" {
            mark(&mut object, &secrets, archives);
        }
        all.push(object);
    }
    all.extend(secrets.objects()?);
    // What lives in a namespace needs it first.
    let (namespaces, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|object| object["kind"] == "Namespace");
    let first = objects::apply(cluster, &namespaces)?;
    let then = objects::apply(cluster, &rest)?;
    Ok(first || then)
}

/// Waits until every server answers. A failure shows the pods and the last lines of the one that is not ready.
pub fn wait_until_ready(cluster: &Cluster) -> Result<()> {
    DATABASES
        .iter()
        .chain([&S3])
        .try_for_each(|name| wait_for_rollout(cluster, NAMESPACE, name, READY_WITHIN))
}

/// Applies the `DatabaseInstance`s of the servers, whose definition has to be served; true if anything changed.
pub fn apply_instances(cluster: &Cluster) -> Result<bool> {
    let path = clone_root().join("e2e/manifests/instances.yaml");
    let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    objects::apply(cluster, &objects::parse(&text, &path)?)
}

/// Waits until a Deployment runs what was last asked of it.
pub fn wait_for_rollout(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    within: Duration,
) -> Result<()> {
    let mut status = cluster.kubectl();
    status
        .args(["rollout", "status", "--namespace", namespace])
        .arg(format!("deployment/{name}"))
        .arg(format!("--timeout={}s", within.as_secs()));
    let log = cluster.logs_dir().join(format!("rollout-{name}.log"));
    command::run(
        &format!("Waiting for {namespace}/{name}"),
        &mut status,
        &log,
    )
    .map_err(|error| {
        let explanation = explain(cluster, namespace, name);
        Error::Precondition(format!("{error}\n{explanation}"))
    })
}

/// What a person would look at first when a Deployment is not ready. It never fails: something failed already.
fn explain(cluster: &Cluster, namespace: &str, name: &str) -> String {
    let show = |arguments: &[&str]| {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["--namespace", namespace]).args(arguments);
        command::output(&mut kubectl).unwrap_or_else(|error| error.to_string())
    };
    let selector = format!("--selector=app.kubernetes.io/name={name}");
    format!(
        "{}\n{}\n{}",
        show(&["get", "pods", "--output=wide"]),
        show(&["events", "--types=Warning"]),
        show(&["logs", &selector, "--tail=20", "--all-containers"]),
    )
}

/// The Secrets of the operator have to be where it will look for them, before or after it is installed.
fn operator_namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}})
}

/// Marks a Deployment's pods with what they are started from.
fn mark(deployment: &mut Value, secrets: &Secrets, archives: &[Archive]) {
    let pod = &mut deployment["spec"]["template"];
    let texts = [&pod["spec"]["containers"], &pod["spec"]["volumes"]];
    let texts = texts.map(Value::to_string).concat();
    let images = archives
        .iter()
        .filter(|archive| texts.contains(&format!("\"{}\"", archive.reference)))
        .map(|archive| archive.key.clone());
    let mounted = secrets.keys(|name| texts.contains(&format!("\"{name}\"")));
    let key = images
        .chain(mounted)
        .fold(Key::new(), |key, part| key.text(&part));
    pod["metadata"]["annotations"][STARTED_FROM] = Value::from(key.hex());
}
