//! What the machine itself must have: root, and Debian packages for what is not built here.

use std::process::Command;

use crate::cache::Cache;
use crate::{Error, Result, command};

/// A program and the Debian package that brings it. None of these packages starts a service when it is installed.
const PROGRAMS: &[(&str, &str)] = &[
    ("buildah", "buildah"),
    ("mmdebstrap", "mmdebstrap"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("tar", "tar"),
    ("busybox", "busybox-static"),
    ("dot", "graphviz"),
    // What backups are compressed with: a person restores them with it, and so do the demo and the tests.
    ("zstd", "zstd"),
    // What tests commit with, for Argo CD to sync.
    ("git", "git"),
];

/// The CNI plugins that the cluster's pods are connected with, and where Debian's package puts them.
pub const CNI_FOLDER: &str = "/usr/lib/cni";
const CNI_PLUGINS: &[&str] = &["ptp", "host-local", "loopback"];
const CNI_PACKAGE: &str = "containernetworking-plugins";

/// Fails with a sentence unless this process is root.
pub fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Error::Precondition(
        "A cluster needs root (namespaces, mounts, cgroups): run this as root.".to_owned(),
    ))
}

/// Installs the Debian packages that are missing. Does nothing, and needs no network, when all are there.
pub fn ensure_packages(cache: &Cache) -> Result<()> {
    let missing = missing_packages();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !command::on_path("apt-get") {
        return Err(Error::Precondition(format!(
            "This machine lacks {list}, and has no apt-get to install them with: install them yourself."
        )));
    }
    command::say(&format!("Installing Debian packages: {list}"));
    // A package list that is already fresh saves the update; a stale or missing one shows as a failed install.
    if install(cache, &missing).is_err() {
        let mut update = apt();
        update.arg("update");
        command::run("apt-get update", &mut update, &cache.log("apt-update"))
            .map_err(|error| explain(&list, &error))?;
        install(cache, &missing).map_err(|error| explain(&list, &error))?;
    }
    let still = missing_packages();
    if still.is_empty() {
        return Ok(());
    }
    Err(Error::Precondition(format!(
        "{} were installed but their programs are not on the PATH: add /usr/sbin and /usr/bin to it.",
        still.join(" ")
    )))
}

/// Installs Debian packages, without what they merely recommend.
pub fn install(cache: &Cache, packages: &[&str]) -> Result<()> {
    let mut command = apt();
    command
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    command::run("apt-get install", &mut command, &cache.log("apt-install"))
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-o",
        "DPkg::Lock::Timeout=120",
        "-o",
        "Acquire::Retries=2",
    ]);
    command
}

fn explain(list: &str, error: &Error) -> Error {
    Error::Precondition(format!(
        "The Debian packages {list} could not be installed; check the network and apt's sources. {error}"
    ))
}

fn missing_packages() -> Vec<&'static str> {
    let programs = PROGRAMS
        .iter()
        .filter(|(program, _)| !command::on_path(program))
        .map(|(_, package)| *package);
    let plugins = CNI_PLUGINS
        .iter()
        .any(|plugin| !std::path::Path::new(CNI_FOLDER).join(plugin).is_file());
    let mut missing: Vec<&str> = programs.chain(plugins.then_some(CNI_PACKAGE)).collect();
    missing.dedup();
    missing
}
