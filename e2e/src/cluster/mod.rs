//! A whole Kubernetes, from `up` to `down`.
//!
//! - `settings`, `parts`, `files`: what a cluster consists of
//! - `namespaces`, `network`, `cgroup`, `process`, `launch`: what holds it together, and apart from everything else
//! - `up`, `ready`, `down`, `status`, `takeover`: what can be done with it
//! - `pki`, `pause`: what it needs besides

mod cgroup;
mod down;
mod files;
mod launch;
mod namespaces;
mod network;
mod parts;
mod pause;
mod pki;
mod process;
mod ready;
mod settings;
mod status;
mod takeover;
mod up;

pub use pki::{Authority, Identity, signing_key};
pub use process::Process;
pub use settings::{Range, Settings};
pub use status::Status;
pub use up::Up;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Where every cluster keeps what it needs while it runs. A short path: Unix sockets below it have at most 107 characters.
const STATE: &str = "/var/lib/db-operator-e2e";

/// Where Debian keeps lock files.
const LOCKS: &str = "/run/lock";

/// A cluster of this machine, running or not.
#[derive(Debug, Clone)]
pub struct Cluster {
    settings: Settings,
    state: PathBuf,
}

impl Cluster {
    /// The cluster with these settings; nothing happens yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let state = Path::new(STATE).join(settings.name);
        Self { settings, state }
    }

    /// The machine's one cluster.
    #[must_use]
    pub fn main() -> Self {
        Self::new(Settings::main())
    }

    /// Its name and addresses.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of all it writes. It is gone after `down`.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// The kubeconfig of a cluster administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// The log of all requests to the API server, one JSON object a line.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.logs_dir().join("audit.log")
    }

    /// Where each part writes what it has to say: `<part>.log`.
    #[must_use]
    pub fn logs_dir(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> String {
        format!("{}-node", self.settings.name)
    }

    /// The API server's URL.
    #[must_use]
    pub fn api_server(&self) -> String {
        format!("https://{}:6443", self.settings.node_address())
    }

    /// The programs that this cluster runs, and kubectl and ctr. It is there once `up` has begun.
    #[must_use]
    pub fn tools_dir(&self) -> PathBuf {
        self.state.join("bin")
    }

    /// containerd's socket.
    #[must_use]
    pub fn containerd_socket(&self) -> PathBuf {
        self.state.join("run/containerd.sock")
    }

    /// kubectl as administrator of this cluster.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.tools_dir().join("kubectl"));
        command.arg("--kubeconfig").arg(self.kubeconfig());
        command
    }

    /// ctr on the kubelet's images and containers.
    #[must_use]
    pub fn ctr(&self) -> Command {
        let mut command = Command::new(self.tools_dir().join("ctr"));
        command
            .arg("--address")
            .arg(self.containerd_socket())
            .args(["--namespace", "k8s.io"]);
        command
    }

    /// The authority for TLS of servers that run in the cluster. It is made anew with each fresh cluster.
    pub fn ca(&self) -> Result<Authority> {
        Authority::open(&self.state.join("pki"), "test")
    }

    /// The process of a part (`etcd`, `kubelet`, …), if it runs.
    #[must_use]
    pub fn process(&self, part: &str) -> Option<Process> {
        Process::recorded(&self.process_file(part))
    }

    /// The first process of the cluster's namespaces, if the cluster runs.
    #[must_use]
    pub fn init(&self) -> Option<Process> {
        Process::recorded(&self.init_file())
    }

    fn run_dir(&self) -> PathBuf {
        self.state.join("run")
    }

    fn init_file(&self) -> PathBuf {
        self.run_dir().join("init.pid")
    }

    fn process_file(&self, part: &str) -> PathBuf {
        self.run_dir().join(format!("{part}.pid"))
    }

    /// What the running cluster was started from.
    fn key_file(&self) -> PathBuf {
        self.run_dir().join("key")
    }

    /// Which clone used the running cluster last.
    fn clone_file(&self) -> PathBuf {
        self.run_dir().join("clone")
    }

    /// Apart from the state folder, which comes and goes.
    fn lock_file(&self) -> PathBuf {
        Path::new(LOCKS).join(format!("db-operator-e2e-{}.lock", self.settings.name))
    }
}
