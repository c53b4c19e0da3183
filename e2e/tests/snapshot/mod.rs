//! What a cluster could leave behind on a machine, as far as it is not inside the machine's own cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::cache::Cache;
use e2e::command;

/// All that may tell that a cluster was there, by kind.
#[derive(Debug)]
pub(crate) struct Snapshot(BTreeMap<&'static str, BTreeSet<String>>);

impl Snapshot {
    /// Looks at the machine now.
    pub(crate) fn take() -> Self {
        let kinds = [
            ("links", program("ip", &["-oneline", "-brief", "link"])),
            (
                "addresses",
                program("ip", &["-oneline", "-brief", "address"]),
            ),
            ("routes", program("ip", &["route", "show", "table", "all"])),
            ("routing rules", program("ip", &["rule"])),
            ("packet filter", program("nft", &["list", "ruleset"])),
            ("mounts", mounts()),
            ("cgroups", cgroups()),
            ("processes", processes()),
            ("sockets", sockets()),
            ("kernel settings", sysctls()),
            ("folders", folders()),
        ];
        Self(kinds.into_iter().collect())
    }

    /// Fails with what is new and what is gone.
    pub(crate) fn assert_same(&self, after: &Self) {
        for (kind, before) in &self.0 {
            let after = &after.0[kind];
            let (gone, new): (Vec<_>, Vec<_>) = (
                before.difference(after).collect(),
                after.difference(before).collect(),
            );
            assert!(
                gone.is_empty() && new.is_empty(),
                "{kind}: new {new:#?}, gone {gone:#?}"
            );
        }
    }
}

fn program(name: &str, arguments: &[&str]) -> BTreeSet<String> {
    lines(&command::output(Command::new(name).args(arguments)).unwrap())
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// Without those of image builds, which may run at the same time.
fn mounts() -> BTreeSet<String> {
    let cache = Cache::open().unwrap().root().display().to_string();
    let points = fs::read_to_string("/proc/self/mounts").unwrap();
    points
        .lines()
        .filter(|line| !line.contains(&cache) && !line.contains("buildah"))
        .map(str::to_owned)
        .collect()
}

fn cgroups() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![Path::new("/sys/fs/cgroup").to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries
            .flatten()
            .filter(|entry| entry.file_type().unwrap().is_dir())
            .map(|entry| entry.path())
        {
            // The machine's own cluster has pods that come and go.
            if !path.ends_with("db-operator-e2e/e2e") {
                found.insert(path.display().to_string());
                open.push(path);
            }
        }
    }
    found
}

/// Those in the neighbour's cgroups: every process it started, and every process of its pods.
fn processes() -> BTreeSet<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let cgroup = |path: &Path| fs::read_to_string(path.join("cgroup")).unwrap_or_default();
    processes
        .map(|entry| entry.path())
        .filter(|path| cgroup(path).contains("db-operator-e2e/beside"))
        .map(|path| path.display().to_string())
        .collect()
}

fn sockets() -> BTreeSet<String> {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    sockets
        .lines()
        .filter_map(|line| line.split_whitespace().nth(7))
        .filter(|path| path.contains("beside"))
        .map(str::to_owned)
        .collect()
}

fn sysctls() -> BTreeSet<String> {
    let names = [
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "kernel/keys/root_maxkeys",
        "kernel/keys/root_maxbytes",
        "net/ipv4/ip_forward",
        "net/netfilter/nf_conntrack_max",
    ];
    let value =
        |name: &str| fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
    names
        .into_iter()
        .map(|name| format!("{name} = {}", value(name).trim_end()))
        .collect()
}

/// Where programs of a cluster write by fixed path unless they are kept from it.
fn folders() -> BTreeSet<String> {
    [
        "/var/lib",
        "/var/lib/db-operator-e2e",
        "/var/log",
        "/run",
        "/run/netns",
        "/opt",
        "/opt/containerd",
        "/etc",
        "/etc/cni",
    ]
    .into_iter()
    .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
    .map(|entry| entry.path().display().to_string())
    .collect()
}
