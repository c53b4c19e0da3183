//! The operator in the cluster: its binary, its image, and `load`, which brings the newest of both there.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::images::{self, Context};
use crate::servers::{OPERATOR_NAMESPACE, wait_for_rollout};
use crate::{Result, clone_root, command, portable};

/// The image's name in the overlay `development`, as containerd spells it out.
const IMAGE: &str = "docker.io/library/db-operator:dev";
/// The Deployment.
pub const DEPLOYMENT: &str = "db-operator";
/// On the Deployment: the key of the image that its pods run.
const LOADED: &str = "db-operator.dev/loaded-image";
/// How long two new replicas may take to be ready, one after the other.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// What `load` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The operator was not there.
    Installed,
    /// Another binary runs now.
    Restarted,
    /// The cluster runs this very binary already.
    Unchanged,
}

/// Builds the operator and its image if their sources changed, imports it, installs it as the README says, restarts it
/// if its image is another one, and waits until it is ready.
pub fn load(cluster: &Cluster, cache: &Cache) -> Result<Load> {
    let binary = build(cache)?;
    portable::check(&binary)?;
    let root = clone_root();
    let context = Context::default()
        .with("Containerfile", &root.join("Containerfile"))
        .with("target/release/db-operator", &binary);
    let image = images::build(cache, "operator", IMAGE, &context)?;
    images::import(cluster, std::slice::from_ref(&image))?;

    let before = loaded(cluster)?;
    let mut install = cluster.kubectl();
    install
        .args(["apply", "--server-side", "--kustomize"])
        .arg(root.join("kustomize/overlays/development"));
    let log = cluster.logs_dir().join("install.log");
    command::run("Installing the operator", &mut install, &log)?;
    let load = match before.as_deref() {
        None => Load::Installed,
        Some(key) if key == image.key => Load::Unchanged,
        // The name of the image is the same: Kubernetes cannot see that it is another one.
        Some(_) => {
            kubectl(cluster, &["rollout", "restart", &target()])?;
            Load::Restarted
        }
    };
    wait_for_rollout(cluster, OPERATOR_NAMESPACE, DEPLOYMENT, READY_WITHIN)?;
    if load != Load::Unchanged {
        let annotation = format!("{LOADED}={}", image.key);
        kubectl(
            cluster,
            &["annotate", "--overwrite", &target(), &annotation],
        )?;
    }
    Ok(load)
}

/// The binary that is measured: the release build, or an earlier one that `DB_OPERATOR_BIN` names.
pub(crate) fn measured(cache: &Cache) -> Result<PathBuf> {
    match std::env::var_os("DB_OPERATOR_BIN") {
        Some(path) => Ok(path.into()),
        None => build(cache),
    }
}

/// The operator's binary, built if its sources changed.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args([
            "rustc",
            "--release",
            "--locked",
            "--package",
            "db-operator",
            "--bin",
            "db-operator",
        ])
        // Static, so that it runs in any image.
        .args(["--", "-C", "target-feature=+crt-static"])
        .current_dir(clone_root());
    command::run(
        "Building the operator",
        &mut build,
        &cache.log("build-operator"),
    )?;
    Ok(target_folder().join("release/db-operator"))
}

/// Where cargo puts what it builds for this clone.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || clone_root().join("target"),
        |folder| clone_root().join(folder),
    )
}

/// The key of the image that the Deployment runs: none without a Deployment, empty if it was never said.
fn loaded(cluster: &Cluster) -> Result<Option<String>> {
    let path = LOADED.replace('.', "\\.");
    let output = format!("--output=jsonpath=found {{.metadata.annotations.{path}}}");
    let found = kubectl(cluster, &["get", &target(), "--ignore-not-found", &output])?;
    Ok(found.strip_prefix("found").map(|key| key.trim().to_owned()))
}

fn target() -> String {
    format!("deployment/{DEPLOYMENT}")
}

fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let mut kubectl = cluster.kubectl();
    kubectl
        .args(["--namespace", OPERATOR_NAMESPACE])
        .args(arguments);
    command::output(&mut kubectl)
}
