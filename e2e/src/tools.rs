//! Programs built from Go modules that are pinned under `e2e/tools`, one folder each, into the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Key};
use crate::{Error, Result, clone_root, command};

/// What a whole build needs at its worst: Go's own build cache and the programs, in bytes.
const SPACE: u64 = 8 * 1024 * 1024 * 1024;

/// A Go module under `e2e/tools` and the programs built from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// The folder under `e2e/tools`, and the name in the cache.
    pub name: &'static str,
    /// The packages to build, each into a program named like its last path segment.
    packages: &'static [&'static str],
    /// Build tags.
    tags: &'static str,
    /// `-X` settings of the linker, with `VERSION` for that of the module named like the first package's start.
    version: Option<Version>,
}

/// Where a program keeps its own version, which would otherwise read as v0.0.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    /// The module in go.mod whose version it is.
    module: &'static str,
    /// The Go package with `gitVersion`, `gitMajor`, `gitMinor`.
    package: &'static str,
}

/// kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy, kubectl.
pub const KUBERNETES: Module = Module {
    name: "kubernetes",
    packages: &[
        "k8s.io/kubernetes/cmd/kube-apiserver",
        "k8s.io/kubernetes/cmd/kubectl",
        "k8s.io/kubernetes/cmd/kubelet",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-scheduler",
        "k8s.io/kubernetes/cmd/kube-proxy",
    ],
    tags: "",
    version: Some(Version {
        module: "k8s.io/kubernetes",
        package: "k8s.io/component-base/version",
    }),
};

/// etcd.
pub const ETCD: Module = Module {
    name: "etcd",
    packages: &["go.etcd.io/etcd/server/v3"],
    tags: "",
    version: None,
};

/// containerd, its shim for runc, and ctr. The tags leave out snapshotters that need C libraries or devices.
pub const CONTAINERD: Module = Module {
    name: "containerd",
    packages: &[
        "github.com/containerd/containerd/v2/cmd/containerd",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/ctr",
    ],
    tags: "no_btrfs,no_zfs,no_devmapper",
    version: None,
};

/// `CoreDNS`, with the few plugins that are used: all of them take twice as long to build.
pub const COREDNS: Module = Module {
    name: "coredns",
    packages: &["db-operator.dev/e2e/tools/coredns"],
    tags: "",
    version: None,
};

/// The S3 server; it runs in a pod, so its image is what needs it.
pub const VERSITYGW: Module = Module {
    name: "versitygw",
    packages: &["github.com/versity/versitygw/cmd/versitygw"],
    tags: "",
    version: None,
};

/// An uploader that backups are compared with.
pub const S5CMD: Module = Module {
    name: "s5cmd",
    packages: &["github.com/peak/s5cmd/v2"],
    tags: "",
    version: None,
};

/// What checks alerts as Prometheus does.
pub const PROMTOOL: Module = Module {
    name: "promtool",
    packages: &["github.com/prometheus/prometheus/cmd/promtool"],
    tags: "",
    version: None,
};

/// The reference library of kstatus and Argo CD's Lua, behind a program of our own.
pub const HEALTH: Module = Module {
    name: "health",
    packages: &["db-operator.dev/e2e/tools/health"],
    tags: "",
    version: None,
};

/// What syncs a cluster with a Git repository: one program, which is a component by the name that it is started under.
pub const ARGOCD: Module = Module {
    name: "argocd",
    packages: &["github.com/argoproj/argo-cd/v3/cmd"],
    tags: "",
    version: None,
};

/// What Argo CD renders overlays with.
pub const KUSTOMIZE: Module = Module {
    name: "kustomize",
    packages: &["sigs.k8s.io/kustomize/kustomize/v5"],
    tags: "",
    version: None,
};

/// All that the cluster itself runs.
pub const CLUSTER: [Module; 4] = [ETCD, KUBERNETES, CONTAINERD, COREDNS];

/// Builds what is not in the cache yet, and returns the folder that holds each module's programs, in the same order.
pub fn ensure(cache: &Cache, modules: &[Module]) -> Result<Vec<PathBuf>> {
    if !command::on_path("go") {
        return Err(Error::Precondition(
            "The cluster's programs are built with Go, which is not on the PATH: install it."
                .to_owned(),
        ));
    }
    let go = command::output(Command::new("go").args(["env", "GOVERSION", "GOOS", "GOARCH"]))?;
    modules
        .iter()
        .map(|module| module.ensure(cache, &go))
        .collect()
}

/// The folder of a Go module that one of ours requires, as its authors published it.
pub fn sources(module: Module, of: &str) -> Result<PathBuf> {
    let mut download = Command::new("go");
    download
        .args(["mod", "download", "-json", of])
        .current_dir(module.source());
    let answer = command::output(&mut download)?;
    let answer: serde_json::Value =
        serde_json::from_str(&answer).map_err(Error::trial("read what go says"))?;
    let folder = answer["Dir"].as_str().map(PathBuf::from);
    folder.ok_or_else(|| Error::Precondition(format!("go did not say where {of} is: {answer}")))
}

impl Module {
    fn source(&self) -> PathBuf {
        clone_root().join("e2e/tools").join(self.name)
    }

    fn ensure(&self, cache: &Cache, go: &str) -> Result<PathBuf> {
        let source = self.source();
        let go_mod = source.join("go.mod");
        let text = std::fs::read_to_string(&go_mod).map_err(Error::io("read", &go_mod))?;
        let arguments = self.arguments(&text);
        let mut key = Key::new()
            .text(go)
            .text(&text)
            .file(&source.join("go.sum"))?
            .text(&arguments.join("\n"));
        let own = source.join("main.go");
        if own.is_file() {
            key = key.file(&own)?;
        }
        cache.built(&format!("tools-{}", self.name), &key, |folder| {
            self.fetch(cache, &arguments)?;
            cache.require_space(SPACE, "building the cluster's programs")?;
            // One package at a time: linking several of them at once takes more memory than small machines have.
            for package in self.packages {
                let program = program(package);
                let mut build = self.go("build", &arguments);
                build.arg("-o").arg(folder.join(program)).arg(package);
                command::run(
                    &format!("Building {program}"),
                    &mut build,
                    &cache.log(&format!("build-{program}")),
                )?;
            }
            Ok(())
        })
    }

    /// Fetches the sources of everything that is built, before room is asked for: who has no network is told that.
    fn fetch(&self, cache: &Cache, arguments: &[String]) -> Result<()> {
        let mut list = self.go("list", arguments);
        list.args(["-deps", "-f", "{{.ImportPath}}"])
            .args(self.packages);
        let log = cache.log(&format!("fetch-{}", self.name));
        command::run(
            &format!("Fetching the source of {}", self.name),
            &mut list,
            &log,
        )
        .map_err(|error| explain(self.name, error))
    }

    /// A `go` command in the module's folder, as everything of it is built.
    fn go(&self, subcommand: &str, arguments: &[String]) -> Command {
        let mut go = Command::new("go");
        go.arg(subcommand)
            .args(arguments)
            .current_dir(self.source())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-buildvcs=false");
        go
    }

    fn arguments(&self, go_mod: &str) -> Vec<String> {
        let mut linker = "-s -w".to_owned();
        if let Some(version) = self.version
            && let Some(number) = required_version(go_mod, version.module)
        {
            let package = version.package;
            let mut parts = number.trim_start_matches('v').split('.');
            let (major, minor) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            linker = format!(
                "{linker} -X {package}.gitVersion={number} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            );
        }
        let mut arguments = vec!["-trimpath".to_owned()];
        if !self.tags.is_empty() {
            arguments.extend(["-tags".to_owned(), self.tags.to_owned()]);
        }
        arguments.extend(["-ldflags".to_owned(), linker]);
        arguments
    }
}

/// What to do about a source that could not be fetched, where that is known.
fn explain(module: &str, error: Error) -> Error {
    match error {
        // Go's words for a module proxy, or its name, that cannot be reached.
        Error::Failed { ref tail, .. } if tail.contains("dial tcp") => {
            Error::Precondition(format!(
                "The source of {module} could not be fetched: check the network, and GOPROXY if you need one. {error}"
            ))
        }
        error => error,
    }
}

/// The program a package is built into: its last path segment, unless that is a version or says nothing.
fn program(package: &str) -> &str {
    match package {
        "go.etcd.io/etcd/server/v3" => return "etcd",
        "github.com/peak/s5cmd/v2" => return "s5cmd",
        "github.com/argoproj/argo-cd/v3/cmd" => return "argocd",
        "sigs.k8s.io/kustomize/kustomize/v5" => return "kustomize",
        _ => {}
    }
    Path::new(package)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(package)
}

/// The version of a module that go.mod requires.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
    go_mod.lines().find_map(|line| {
        let mut words = line
            .trim()
            .trim_start_matches("require ")
            .split_whitespace();
        (words.next() == Some(module))
            .then(|| words.next())
            .flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_comes_from_go_mod() {
        let go_mod = "require (\n\tk8s.io/kubernetes v1.36.3 // indirect\n)\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n";
        assert_eq!(
            required_version(go_mod, "k8s.io/kubernetes"),
            Some("v1.36.3")
        );
        assert_eq!(required_version(go_mod, "k8s.io/none"), None);
        let arguments = KUBERNETES.arguments(go_mod).join(" ");
        assert!(
            arguments.contains("gitVersion=v1.36.3 ") && arguments.ends_with("gitMinor=36"),
            "{arguments}"
        );
    }

    #[test]
    fn programs_are_named_as_people_know_them() {
        assert_eq!(program("go.etcd.io/etcd/server/v3"), "etcd");
        assert_eq!(
            program("github.com/containerd/containerd/v2/cmd/ctr"),
            "ctr"
        );
        for module in [S5CMD, ARGOCD, KUSTOMIZE] {
            assert_eq!(program(module.packages[0]), module.name);
        }
    }
}
