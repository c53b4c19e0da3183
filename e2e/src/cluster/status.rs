//! `status`: the cluster at a glance.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::process::Process;
use super::{Cluster, parts};
use crate::{Result, command, host, lock};

/// The cluster at a glance; `Display` is a table for a person.
#[derive(Debug)]
pub struct Status {
    name: &'static str,
    running: bool,
    parts: Vec<(&'static str, Option<Process>)>,
    memory: Option<u64>,
    node: Option<String>,
    last_clone: Option<PathBuf>,
    holder: Option<lock::Holder>,
}

impl Cluster {
    /// Looks at the cluster, and changes nothing.
    pub fn status(&self) -> Result<Status> {
        host::require_root()?;
        let running = self.init().is_some();
        let node = running.then(|| {
            command::output(self.kubectl().args([
                "get",
                "nodes",
                "-o",
                "wide",
                "--request-timeout=5s",
            ]))
        });
        Ok(Status {
            name: self.settings().name,
            running,
            parts: parts::all(self)
                .iter()
                .map(|part| (part.name, self.process(part.name)))
                .collect(),
            memory: Cgroup::new(self.settings().name)?.memory(),
            node: node.and_then(Result::ok),
            last_clone: lock::last_clone(&self.clone_file()),
            holder: lock::held_by(&self.lock_file()),
        })
    }
}

impl Status {
    /// Whether the cluster and all its parts run.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.running && self.parts.iter().all(|(_, process)| process.is_some())
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(holder) = &self.holder {
            writeln!(
                f,
                "in use by {} (process {}, `{}`)",
                holder.clone.display(),
                holder.pid,
                holder.command
            )?;
        }
        if !self.running {
            return write!(f, "cluster {} is down", self.name);
        }
        if let Some(clone) = &self.last_clone {
            writeln!(f, "last used by {}", clone.display())?;
        }
        writeln!(
            f,
            "{:<24} {:>8} {:>10} {:>11}",
            "PART", "PID", "UPTIME", "MEMORY"
        )?;
        for (name, process) in &self.parts {
            match process {
                Some(process) => writeln!(
                    f,
                    "{name:<24} {:>8} {:>10} {:>11}",
                    process.pid,
                    process.uptime().map(duration).unwrap_or_default(),
                    process.memory().map(mebibytes).unwrap_or_default(),
                )?,
                None => writeln!(f, "{name:<24} {:>8}", "ended")?,
            }
        }
        if let Some(memory) = self.memory {
            writeln!(
                f,
                "{:<24} {:>8} {:>10} {:>11}",
                "all, with pods",
                "",
                "",
                mebibytes(memory)
            )?;
        }
        write!(
            f,
            "\n{}",
            self.node
                .as_deref()
                .unwrap_or("the API server does not answer")
        )
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
    }
}
