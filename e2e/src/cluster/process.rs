//! Processes by pid *and* start time, so that a pid that the kernel gave to someone else is never taken for ours.

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Error, Result};

/// A process, identified for as long as the machine is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id in the machine's own pid namespace.
    pub pid: i32,
    /// When it started: field 22 of `/proc/<pid>/stat` (proc(5)), in clock ticks since boot.
    start: u64,
}

/// The clock ticks that `/proc/<pid>/stat` counts in: fixed at 100 a second on every architecture that Debian runs on.
const TICKS: u64 = 100;

impl Process {
    /// The process that has this pid now, unless it has ended and only waits to be reaped.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let (state, start) = parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, start })
    }

    /// The process that has this pid in the pid namespace of `first`.
    #[must_use]
    pub fn inside(first: Self, pid: i32) -> Option<Self> {
        let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let theirs = namespace(&first.pid.to_string())?;
        let names = fs::read_dir("/proc")
            .ok()?
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut candidates = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        let found = candidates.find(|name| {
            let status = fs::read_to_string(format!("/proc/{name}/status")).unwrap_or_default();
            // Its pid in each namespace, from the outermost that is seen to its own: proc_pid_status(5).
            let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let own = pids.and_then(|pids| pids.split_whitespace().next_back());
            own == Some(&pid.to_string()) && namespace(name).as_ref() == Some(&theirs)
        })?;
        Self::of(found.parse().ok()?)
    }

    /// The process that was recorded in this file, if it still runs.
    #[must_use]
    pub fn recorded(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let mut words = text.split_whitespace();
        let recorded = Self {
            pid: words.next()?.parse().ok()?,
            start: words.next()?.parse().ok()?,
        };
        (words.next()? == boot()? && recorded.is_alive()).then_some(recorded)
    }

    /// Records it in a file, for [`Process::recorded`].
    pub fn record(&self, path: &Path) -> Result<()> {
        let boot = boot().unwrap_or_default();
        super::pki::write_private(path, &format!("{} {} {boot}\n", self.pid, self.start))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends it at once (SIGKILL). It is fine if it has ended before.
    pub fn kill(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(source) => Err(Error::System {
                what: format!("end process {}", self.pid),
                source,
            }),
        }
    }

    /// How long it has been running.
    #[must_use]
    pub fn uptime(&self) -> Option<Duration> {
        let text = fs::read_to_string("/proc/uptime").ok()?;
        let since_boot: f64 = text.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(since_boot)
            .ok()?
            .checked_sub(Duration::from_millis(self.start * 1000 / TICKS))
    }

    /// Its resident memory, in bytes.
    #[must_use]
    pub fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    }
}

/// The machine's current boot: start times count from it.
fn boot() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .map(|id| id.trim_end().to_owned())
}

/// State and start time. The second field, the program's name in parentheses, may itself hold spaces and parentheses.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn stat_is_read_behind_the_last_parenthesis() {
        let stat =
            "42 (a) b (c)) S 1 42 42 0 -1 4194304 100 0 0 0 1 2 0 0 20 0 1 0 5417 8000 200 1 0 0";
        assert_eq!(parse_stat(stat), Some(('S', 5417)));
        assert_eq!(parse_stat("42 (cut"), None);
    }

    #[test]
    fn a_process_is_itself_until_it_ends_and_a_recycled_pid_is_not_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.is_alive());
        assert!(process.uptime().unwrap() < Duration::from_mins(1));
        assert!(process.memory().unwrap() > 0);
        let file = std::env::temp_dir().join(format!("process-test-{}", std::process::id()));
        process.record(&file).unwrap();
        assert_eq!(Process::recorded(&file), Some(process));
        let earlier = Process {
            start: process.start - 1,
            ..process
        };
        earlier.kill().unwrap();
        assert!(
            !earlier.is_alive() && process.is_alive(),
            "another process of the same pid is left alone"
        );
        process.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(Process::recorded(&file), None);
        fs::remove_file(file).unwrap();
    }
}
