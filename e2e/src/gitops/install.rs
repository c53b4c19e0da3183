//! Installs and removes Argo CD.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::servers::wait_for_rollout;
use crate::{Error, Result, clone_root, command, objects};

/// Where Argo CD and the Git server run.
pub const NAMESPACE: &str = "argocd";
/// The Service of the Git server, in that namespace.
pub const GIT: &str = "git";
/// The repository that it serves.
pub const REPOSITORY: &str = "team.git";

/// Argo CD's own manifests without its web server, in its sources.
pub(super) const MANIFESTS: &str = "manifests/core-install.yaml";
/// What ours say about them.
const OURS: &str = "e2e/manifests/argocd";
/// Its health of our kinds.
const HEALTH: &str = "kustomize/health/argocd";
/// What its definitions are named after.
const GROUP: &str = ".argoproj.io";
/// Its definition of an Application, whose objects wait for it when they are deleted.
const APPLICATIONS: &str = "applications.argoproj.io";
/// How long each part of it may take to be ready.
const READY_WITHIN: Duration = Duration::from_mins(3);
/// How long it may take to be gone.
const GONE_WITHIN: Duration = Duration::from_mins(2);

/// Installs Argo CD and the Git server, and waits until they are ready.
pub(super) fn install(cluster: &Cluster) -> Result<()> {
    let rendered = rendered(cluster)?;
    let (definitions, rest): (Vec<_>, Vec<_>) = rendered
        .into_iter()
        .partition(|object| object["kind"] == "CustomResourceDefinition");
    objects::apply(cluster, &definitions)?;
    objects::wait_until_established(|| cluster.kubectl())?;
    let (namespaces, rest): (Vec<_>, Vec<_>) = rest
        .into_iter()
        .partition(|object| object["kind"] == "Namespace");
    objects::apply(cluster, &namespaces)?;
    objects::apply(cluster, &rest)?;
    for part in [GIT, "argocd-redis", "argocd-repo-server"] {
        wait_for_rollout(cluster, NAMESPACE, part, READY_WITHIN)?;
    }
    let controller = "statefulset/argocd-application-controller";
    let timeout = format!("--timeout={}s", READY_WITHIN.as_secs());
    kubectl(
        cluster,
        &["rollout", "status", "-n", NAMESPACE, controller, &timeout],
    )
    .map(drop)
}

/// Takes away what [`install`] brought, and every Application with it, but nothing that those applied. It is fine if nothing
/// is there.
pub(crate) fn take_away(cluster: &Cluster) -> Result<()> {
    let definitions = kubectl(
        cluster,
        &["get", "customresourcedefinitions", "--output=name"],
    )?;
    let definitions: Vec<&str> = definitions
        .lines()
        .filter(|name| name.ends_with(GROUP))
        .collect();
    // Nobody is to put anything back, or to wait for anything.
    kubectl(
        cluster,
        &[
            "delete",
            "statefulsets,deployments,pods",
            "--all",
            "--ignore-not-found",
            "--force",
            "--grace-period=0",
            "-n",
            NAMESPACE,
        ],
    )?;
    if definitions.iter().any(|name| name.ends_with(APPLICATIONS)) {
        let list = ["get", APPLICATIONS, "-n", NAMESPACE, "--output=name"];
        for application in kubectl(cluster, &list)?.lines() {
            let without = r#"{"metadata":{"finalizers":null}}"#;
            let patch = ["patch", application, "-n", NAMESPACE, "--type=merge", "-p"];
            kubectl(cluster, &[&patch[..], &[without]].concat())?;
        }
    }
    let timeout = format!("--timeout={}s", GONE_WITHIN.as_secs());
    let delete = ["delete", "--ignore-not-found", &timeout];
    for definition in definitions {
        kubectl(cluster, &[&delete[..], &[definition]].concat())?;
    }
    for kind in ["clusterrole", "clusterrolebinding"] {
        let part = [kind, "-l", "app.kubernetes.io/part-of=argocd"];
        kubectl(cluster, &[&delete[..], &part].concat())?;
    }
    kubectl(cluster, &[&delete[..], &["namespace", NAMESPACE]].concat()).map(drop)
}

/// What is installed: Argo CD's manifests with our settings.
fn rendered(cluster: &Cluster) -> Result<Vec<Value>> {
    let work = clone_root().join("target/gitops");
    if work.exists() {
        fs::remove_dir_all(&work).map_err(Error::io("remove", &work))?;
    }
    let folder = work.join("argocd");
    copy(&clone_root().join(OURS), &folder)?;
    copy(&clone_root().join(HEALTH), &work.join(HEALTH))?;
    let manifests = super::sources()?.join(MANIFESTS);
    let text = fs::read(&manifests).map_err(Error::io("read", &manifests))?;
    let here = folder.join("core-install.yaml");
    fs::write(&here, text).map_err(Error::io("write", &here))?;
    let mut render = cluster.kubectl();
    let rendered = command::output(render.arg("kustomize").arg(&folder))?;
    objects::parse(&rendered, &folder)
}

fn copy(from: &PathBuf, to: &PathBuf) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    command::output(Command::new("cp").arg("-r").arg(from).arg(to)).map(drop)
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    command::output(cluster.kubectl().args(arguments))
}
