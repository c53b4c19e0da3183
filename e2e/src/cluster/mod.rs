//! A whole Kubernetes, from `up` to `down`.

mod pki;
mod settings;

pub use pki::{Authority, Identity};
pub use settings::{Range, Settings};

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Where every cluster keeps what it needs while it runs. A short path: Unix sockets below it have at most 107 characters.
const STATE: &str = "/var/lib/db-operator-e2e";

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
        self.state.join("logs/audit.log")
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
}
