//! The cluster's own control groups, in version 1 (one tree a controller) and version 2 (one tree).
//!
//! `/db-operator-e2e/<name>/system` holds the cluster's own processes, `…/kubepods` (the kubelet's) the pods'.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::{Error, Result};

const PARENT: &str = "db-operator-e2e";

/// The cgroups of one cluster.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    name: String,
    /// The hierarchies with controllers, which the cluster is put into.
    trees: Vec<Tree>,
    /// Beside those of version 1: the one of version 2 that runc puts containers into as well.
    unified: Option<Tree>,
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tree {
    root: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Version 1, with its controllers, of which two need something special.
    V1 { cpuset: bool, memory: bool },
    /// Version 2.
    V2,
}

impl Cgroup {
    /// The cgroups of the cluster with this name, in whatever hierarchies the machine has; nothing happens yet.
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = Path::new("/proc/self/mounts");
        let mounts = fs::read_to_string(path).map_err(Error::io("read", path))?;
        let (trees, unified) = trees(&mounts);
        if trees.is_empty() {
            return Err(Error::Precondition(
                "No cgroup hierarchy is mounted below /sys/fs/cgroup: mount one.".to_owned(),
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            trees,
            unified,
        })
    }

    /// The path below every hierarchy's root, as the kubelet wants it.
    #[must_use]
    pub(super) fn path(&self) -> String {
        format!("/{PARENT}/{}", self.name)
    }

    /// Makes them. It is fine if they are there.
    pub(super) fn create(&self) -> Result<()> {
        for tree in &self.trees {
            let levels = [
                PARENT.to_owned(),
                format!("{PARENT}/{}", self.name),
                format!("{PARENT}/{}/system", self.name),
            ];
            let mut above = tree.root.clone();
            for level in levels {
                let folder = tree.root.join(level);
                tree.delegate(&above)?;
                fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
                tree.initialise(&above, &folder)?;
                above = folder;
            }
        }
        Ok(())
    }

    /// The files that a process writes `0` to, to move itself into the cluster's own processes.
    #[must_use]
    pub(super) fn entrances(&self) -> Vec<PathBuf> {
        self.trees
            .iter()
            .map(|tree| {
                tree.root
                    .join(PARENT)
                    .join(&self.name)
                    .join("system/cgroup.procs")
            })
            .collect()
    }

    /// What the whole cluster uses, in bytes, without the cache of files that nobody has used lately; none where nobody counts.
    #[must_use]
    pub(super) fn memory(&self) -> Option<u64> {
        let tree = self
            .trees
            .iter()
            .find(|tree| matches!(tree.kind, Kind::V2 | Kind::V1 { memory: true, .. }))?;
        let folder = tree.root.join(PARENT).join(&self.name);
        let (usage, inactive) = match tree.kind {
            Kind::V1 { .. } => ("memory.usage_in_bytes", "total_inactive_file "),
            Kind::V2 => ("memory.current", "inactive_file "),
        };
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let usage = number(&fs::read_to_string(folder.join(usage)).ok()?)?;
        let stat = fs::read_to_string(folder.join("memory.stat")).ok()?;
        let inactive = stat
            .lines()
            .find_map(|line| line.strip_prefix(inactive))
            .and_then(number)?;
        Some(usage.saturating_sub(inactive))
    }

    /// All processes in them: the cluster's own and those of its pods, whatever else is known of them.
    #[must_use]
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        let mut processes = BTreeSet::new();
        for tree in &self.trees {
            collect_processes(&tree.root.join(PARENT).join(&self.name), &mut processes);
        }
        processes
    }

    /// Removes them once no process is left in them. It is fine if they are not there.
    pub(super) fn remove(&self) -> Result<()> {
        for tree in self.trees.iter().chain(&self.unified) {
            remove_tree(&tree.root.join(PARENT).join(&self.name))?;
            // Another cluster may still live there.
            let _ = fs::remove_dir(tree.root.join(PARENT));
        }
        Ok(())
    }
}

impl Tree {
    /// Version 2 hands controllers down one level at a time.
    fn delegate(&self, folder: &Path) -> Result<()> {
        if self.kind != Kind::V2 {
            return Ok(());
        }
        let available = folder.join("cgroup.controllers");
        let available = fs::read_to_string(&available).map_err(Error::io("read", &available))?;
        let enable = folder.join("cgroup.subtree_control");
        for controller in available.split_whitespace() {
            // Each alone: one that cannot be enabled here must not keep the others back. The kubelet names what it misses.
            let _ = fs::write(&enable, format!("+{controller}"));
        }
        Ok(())
    }

    /// A new cpuset of version 1 allows no CPU and no memory until it is told.
    fn initialise(&self, above: &Path, folder: &Path) -> Result<()> {
        let Kind::V1 { cpuset: true, .. } = self.kind else {
            return Ok(());
        };
        for file in ["cpus", "mems"] {
            // Mounted with `noprefix`, the files have the short names.
            let named = |folder: &Path| {
                [format!("cpuset.{file}"), file.to_owned()]
                    .map(|name| folder.join(name))
                    .into_iter()
                    .find(|path| path.is_file())
            };
            if let (Some(from), Some(to)) = (named(above), named(folder)) {
                let value = fs::read_to_string(&from).map_err(Error::io("read", &from))?;
                fs::write(&to, value.trim_end()).map_err(Error::io("write", &to))?;
            }
        }
        Ok(())
    }
}

/// The hierarchies in `/proc/self/mounts`, and version 2 apart from them where version 1 has the controllers.
fn trees(mounts: &str) -> (Vec<Tree>, Option<Tree>) {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
        let has = |name| options.split(',').any(|option| option == name);
        let kind = match kind {
            "cgroup" => Kind::V1 {
                cpuset: has("cpuset"),
                memory: has("memory"),
            },
            "cgroup2" => Kind::V2,
            _ => return None,
        };
        Some(Tree {
            root: PathBuf::from(root),
            kind,
        })
    });
    let (v2, v1): (Vec<Tree>, Vec<Tree>) = mounted.partition(|tree| tree.kind == Kind::V2);
    let unified = v2.into_iter().next();
    if v1.is_empty() {
        (unified.into_iter().collect(), None)
    } else {
        (v1, unified)
    }
}

fn collect_processes(folder: &Path, processes: &mut BTreeSet<i32>) {
    let listed = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    processes.extend(listed.lines().filter_map(|pid| pid.parse::<i32>().ok()));
    let below = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    below
        .filter(|path| path.is_dir())
        .for_each(|path| collect_processes(&path, processes));
}

/// Removes a cgroup and those below it. A process that was killed leaves its cgroup a moment later, so this waits a little.
fn remove_tree(folder: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.path().is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(Error::io("remove", folder)(error));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_1_wins_where_both_are_mounted() {
        let both = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                    cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset,noprefix 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                    /dev/vda / ext4 rw 0 0\n";
        let expected =
            [("memory", false, true), ("cpuset", true, false)].map(|(name, cpuset, memory)| Tree {
                root: Path::new("/sys/fs/cgroup").join(name),
                kind: Kind::V1 { cpuset, memory },
            });
        let unified = Tree {
            root: PathBuf::from("/sys/fs/cgroup/unified"),
            kind: Kind::V2,
        };
        assert_eq!(trees(both), (expected.to_vec(), Some(unified)));
    }

    #[test]
    fn version_2_is_one_tree() {
        let expected = Tree {
            root: PathBuf::from("/sys/fs/cgroup"),
            kind: Kind::V2,
        };
        assert_eq!(
            trees("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"),
            (vec![expected], None)
        );
    }
}
