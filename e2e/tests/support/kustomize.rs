//! Kustomizations of a test's own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::cluster::Cluster;
use e2e::{clone_root, command};

/// A copy of what can be installed, with a kustomization of a test's own in it.
pub(crate) struct Copy(PathBuf);

impl Copy {
    /// With this kustomization; a name of its own, since tests run at the same time.
    pub(crate) fn with(name: &str, kustomization: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("kustomize-{name}"));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("own")).unwrap();
        for part in ["crds", "kustomize"] {
            let mut copy = Command::new("cp");
            copy.arg("-r").arg(clone_root().join(part)).arg(&folder);
            command::output(&mut copy).unwrap();
        }
        fs::write(folder.join("own/kustomization.yaml"), kustomization).unwrap();
        Self(folder)
    }

    /// The folder of the kustomization.
    pub(crate) fn folder(&self) -> PathBuf {
        self.0.join("own")
    }

    /// The copy as a whole.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Runs kubectl with the kustomization as its last argument.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let mut kubectl = Cluster::main().kubectl();
        command::output(kubectl.args(arguments).arg(self.folder())).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
