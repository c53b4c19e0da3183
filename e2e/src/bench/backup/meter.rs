//! Time, processor time and memory of a process and all that it starts.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::{Error, Result, command};

/// The unit of times in /proc: USER_HZ, which is 100 on every Linux that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// How often memory is looked at.
const LOOK_EACH: Duration = Duration::from_millis(10);

/// One run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(in crate::bench) struct Measured {
    /// From its start to the object being there, in seconds.
    pub(in crate::bench) wall_s: f64,
    /// Of that, the commit: the parts listed, the upload completed, the object seen. In a pipe it is in the uploader.
    pub(in crate::bench) commit_s: f64,
    /// Processor time of all its processes, in seconds, the dump tool's included.
    pub(in crate::bench) cpu_s: f64,
    /// The highest resident memory of its processes, added up, without the dump tool, in MiB.
    pub(in crate::bench) peak_memory_mib: f64,
    /// Size of the object in the store.
    pub(in crate::bench) stored_bytes: u64,
    /// Size of the dump before its compression, where that is known.
    pub(in crate::bench) dumped_bytes: u64,
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} s (commit {:.2}), {:.2} CPU s, {:.0} MiB",
            self.wall_s, self.commit_s, self.cpu_s, self.peak_memory_mib
        )
    }
}

/// Runs a command to its end; what it prints goes to `log`. `counts` says whose memory counts: it gets a process's name
/// and whether it is the command itself.
pub(in crate::bench) fn run(
    command: &mut Command,
    log: &Path,
    counts: impl Fn(&str, bool) -> bool,
) -> Result<Measured> {
    let file = std::fs::File::create(log).map_err(Error::io("create", log))?;
    let errors = file.try_clone().map_err(Error::io("write", log))?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    let before = children_cpu()?;
    let start = Instant::now();
    let mut child = command.spawn().map_err(|source| Error::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let mut peaks = HashMap::new();
    let status = loop {
        if let Some(status) = ended(&mut child)? {
            break status;
        }
        look(child.id(), &counts, &mut peaks);
        std::thread::sleep(LOOK_EACH);
    };
    let measured = Measured {
        wall_s: start.elapsed().as_secs_f64(),
        cpu_s: children_cpu()? - before,
        peak_memory_mib: peaks.values().fold(0.0, |sum, peak| sum + peak) / 1024.0,
        ..Measured::default()
    };
    if !status.success() {
        return Err(Error::Failed {
            what: "a run of the bench".to_owned(),
            status: status.to_string(),
            tail: command::tail(log),
        });
    }
    Ok(measured)
}

fn ended(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    child
        .try_wait()
        .map_err(Error::trial("wait for a run of the bench"))
}

/// Notes the highest resident memory of each process, in KiB.
fn look(root: u32, counts: &impl Fn(&str, bool) -> bool, peaks: &mut HashMap<u32, f64>) {
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        // A process may end at any time.
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) {
            let value = |name: &str| {
                let mut lines = status.lines();
                let line = lines.find_map(|line| line.strip_prefix(name))?;
                line.split_whitespace().next()
            };
            let name = value("Name:").unwrap_or_default();
            let peak = value("VmHWM:").and_then(|value| value.parse().ok());
            // What has ended has no memory; what was forked has its parent's until it runs its own program.
            match peak {
                Some(peak) if counts(name, pid == root) => _ = peaks.insert(pid, peak),
                Some(_) => _ = peaks.remove(&pid),
                None => {}
            }
        }
        waiting.extend(children(pid));
    }
}

/// Processes that were started by any thread of this one.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let Ok(tasks) = tasks else { return Vec::new() };
    tasks
        .filter_map(std::result::Result::ok)
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<u32>>()
        })
        .collect()
}

/// Processor time of all processes that this one started, and that they started, and that have ended.
fn children_cpu() -> Result<f64> {
    let path = Path::new("/proc/self/stat");
    let stat = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    // The second field is a name, which may hold spaces; cutime and cstime are the 16th and 17th.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: f64 = ticks.filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn time_and_memory_of_everything_that_was_started_count() {
        let log = std::env::temp_dir().join(format!("db-operator-meter-{}", std::process::id()));
        let mut command = Command::new("bash");
        command.args([
            "-c",
            "head -c 80000000 /dev/zero | tail -n 1 > /dev/null; sleep 0.1",
        ]);
        // `tail` keeps the line that does not end.
        let measured = run(&mut command, &log, |name, root| !root && name == "tail").unwrap();
        assert!(measured.peak_memory_mib > 70.0, "{measured:?}");
        assert!(
            measured.wall_s > 0.1 && measured.cpu_s > 0.0,
            "{measured:?}"
        );
        let refused = run(Command::new("bash").args(["-c", "exit 3"]), &log, |_, _| {
            true
        });
        assert!(refused.is_err());
        std::fs::remove_file(log).unwrap();
    }
}
