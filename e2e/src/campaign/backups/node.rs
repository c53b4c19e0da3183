//! The processes of a pod. The cluster's node is this machine: they are processes here.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Error, Result};

/// A process of a pod.
#[derive(Clone, Debug)]
pub struct Process {
    pid: Pid,
    folder: PathBuf,
}

impl Process {
    /// The process of this name in the pod with this UID, in no other. One that is only asked for its version, which
    /// each dump tool is before its work, is not meant; nor is what is left of it, which has no arguments any more.
    #[must_use]
    pub fn find(pod: &str, name: &str) -> Option<Self> {
        let group = format!("/pod{pod}/");
        fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            let folder = entry.path();
            let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
            let arguments = read("cmdline")?;
            let is = read("comm")?.trim() == name
                && read("cgroup")?.contains(&group)
                && !arguments.is_empty()
                && !arguments.contains("--version");
            is.then(|| Self {
                pid: Pid::from_raw(number),
                folder: folder.clone(),
            })
        })
    }

    /// Bytes that it has written so far; none when it is gone.
    #[must_use]
    pub fn written(&self) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join("io")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("wchar: "))?;
        line.trim().parse().ok()
    }

    /// Ends it at once (`SIGKILL`); it may have ended by itself.
    pub fn kill(&self) -> Result<()> {
        match kill(self.pid, Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(Error::system("kill a process of a pod")(error)),
        }
    }
}
