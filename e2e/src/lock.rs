//! One clone uses a machine's cluster at a time.
//!
//! The lock is held while a command runs, not while the cluster does. A second file says which clone used the cluster
//! last, so that the next one knows whose things to clear away first.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, clone_root, command};

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The clone's root folder.
    pub clone: PathBuf,
    /// The process.
    pub pid: i32,
    /// Its command line.
    pub command: String,
}

impl Holder {
    /// This process, working for the clone that it was built from.
    #[must_use]
    pub fn current() -> Self {
        let command: Vec<String> = std::env::args().skip(1).collect();
        Self {
            clone: clone_root().to_owned(),
            pid: nix::unistd::getpid().as_raw(),
            command: command.join(" "),
        }
    }
}

/// The right to use the cluster, until this is dropped.
#[derive(Debug)]
pub struct Lock {
    /// None where a parent process holds the lock and this one works under it.
    _held: Option<Flock<File>>,
}

impl Lock {
    /// Takes the lock at `path`, waiting for as long as another process holds it, and saying who that is.
    ///
    /// A process below the holder (a test that `cargo xtask test` started) works under the holder's lock.
    pub fn take(path: &Path) -> Result<Self> {
        let open = || {
            File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
        };
        let file = open().map_err(Error::io("open", path))?;
        let (file, errno) = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Self::record(held, path),
            Err(refused) => refused,
        };
        if errno != Errno::EWOULDBLOCK {
            return Err(Error::System {
                what: format!("lock {}", path.display()),
                source: errno,
            });
        }
        if let Some(holder) = holder(path) {
            if is_ancestor(holder.pid) {
                return Ok(Self { _held: None });
            }
            command::say(&format!(
                "Waiting: {} uses the cluster (process {}, `{}`).",
                holder.clone.display(),
                holder.pid,
                holder.command
            ));
        }
        let held =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, source)| Error::System {
                what: format!("lock {}", path.display()),
                source,
            })?;
        Self::record(held, path)
    }

    fn record(mut held: Flock<File>, path: &Path) -> Result<Self> {
        let text = serde_json::to_string(&Holder::current()).unwrap_or_default();
        held.set_len(0)
            .and_then(|()| held.rewind())
            .and_then(|()| held.write_all(text.as_bytes()))
            .map_err(Error::io("write", path))?;
        Ok(Self { _held: Some(held) })
    }
}

/// Who holds the lock at `path` now, as far as its file tells.
#[must_use]
pub fn held_by(path: &Path) -> Option<Holder> {
    let file = File::open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Ok(_) => None,
        Err(_) => holder(path),
    }
}

/// The clone that used the cluster last, if that is known.
#[must_use]
pub fn last_clone(path: &Path) -> Option<PathBuf> {
    fs::read_to_string(path)
        .ok()
        .map(|text| PathBuf::from(text.trim_end()))
}

/// Records this clone as the one that used the cluster last.
pub fn record_clone(path: &Path) -> Result<()> {
    fs::write(path, format!("{}\n", clone_root().display())).map_err(Error::io("write", path))
}

fn holder(path: &Path) -> Option<Holder> {
    let mut text = String::new();
    File::open(path).ok()?.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Whether `pid` is this process or one above it.
fn is_ancestor(pid: i32) -> bool {
    let mut current = nix::unistd::getpid().as_raw();
    while current > 1 {
        if current == pid {
            return true;
        }
        let Some(parent) = parent(current) else {
            return false;
        };
        current = parent;
    }
    false
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_below_the_holder_works_under_its_lock_and_others_see_who_holds_it() {
        let path = std::env::temp_dir().join(format!("lock-test-{}", std::process::id()));
        let lock = Lock::take(&path).unwrap();
        assert_eq!(held_by(&path).unwrap(), Holder::current());
        // The same process again stands for a child here: it is its own ancestor.
        drop(Lock::take(&path).unwrap());
        assert!(
            held_by(&path).is_some(),
            "the inner lock's end must not release the outer one"
        );
        drop(lock);
        assert_eq!(held_by(&path), None);
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn only_processes_above_are_ancestors() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(!is_ancestor(i32::try_from(child.id()).unwrap()));
        assert!(
            is_ancestor(nix::unistd::getppid().as_raw()) || nix::unistd::getppid().as_raw() <= 1
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
