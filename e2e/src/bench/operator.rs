//! The operator as a process of this machine, so that `/proc` says what it uses.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Error, Result};

/// Gives the process the cluster's DNS in a mount namespace of its own. `exec` keeps the process id.
const ENTER: &str = r#"mount --bind "$0" /etc/resolv.conf && exec "$@""#;

/// How long a process that was asked to end may take.
const END_WITHIN: Duration = Duration::from_secs(30);

/// `USER_HZ`, in which `/proc` counts: 100 on every architecture that Linux has now.
const TICKS_PER_SECOND: f64 = 100.0;

/// Its name in the lease.
pub(super) const IDENTITY: &str = "bench";

/// A running operator. It ends with this value.
pub(super) struct Operator {
    child: Child,
}

/// Resident memory in MiB.
pub(super) struct Memory {
    /// At this moment.
    pub(super) now_mib: f64,
    /// At its highest since the process began.
    pub(super) peak_mib: f64,
}

/// What a process is started with.
pub(super) struct Start<'a> {
    pub(super) binary: &'a Path,
    pub(super) kubeconfig: &'a Path,
    pub(super) resolv_conf: &'a Path,
    pub(super) namespace: &'a str,
    pub(super) log: &'a Path,
    /// The operator's own default without it.
    pub(super) resync: Option<Duration>,
    /// What the pods of backups run.
    pub(super) image: Option<String>,
}

impl Operator {
    pub(super) fn start(how: &Start<'_>) -> Result<Self> {
        let log = std::fs::File::create(how.log).map_err(Error::io("create", how.log))?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", ENTER])
            .arg(how.resolv_conf)
            .arg(how.binary)
            .arg("run")
            .args(["--namespace", how.namespace, "--identity", IDENTITY])
            .args(["--listen", "127.0.0.1:0"]);
        if let Some(resync) = how.resync {
            command
                .arg("--resync")
                .arg(format!("{}s", resync.as_secs()));
        }
        if let Some(image) = &how.image {
            command.arg("--image").arg(image);
        }
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("KUBECONFIG", how.kubeconfig)
            // As the Deployment has it.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().map_err(|source| Error::Spawn {
            program: "unshare".to_owned(),
            source,
        })?;
        Ok(Self { child })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// From now on, [`Memory::peak_mib`] is about what follows.
    pub(super) fn forget_peak(&self) -> Result<()> {
        let path = std::path::PathBuf::from(format!("/proc/{}/clear_refs", self.pid()));
        std::fs::write(&path, "5").map_err(Error::io("write", &path))
    }

    /// Fails when the process has ended.
    pub(super) fn memory(&self) -> Result<Memory> {
        let status = read(self.pid(), "status")?;
        let mib = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let kib: Option<f64> =
                line.and_then(|line| line.trim().split(' ').next()?.parse().ok());
            kib.map(|kib| kib / 1024.0)
                .ok_or_else(|| Error::trial("read the operator's memory")(format!("no {key}")))
        };
        Ok(Memory {
            now_mib: mib("VmRSS:")?,
            peak_mib: mib("VmHWM:")?,
        })
    }
}

/// The processor time that a process has used so far, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(pid, "stat")?;
    // The second field is a name, which may hold spaces; utime and stime are the 14th and 15th.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    Ok(ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = std::path::PathBuf::from(format!("/proc/{pid}/{file}"));
    std::fs::read_to_string(&path).map_err(Error::io("read", &path))
}

impl Drop for Operator {
    /// Asks it to end, so that it gives its lease back.
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.pid()) {
            // It may have ended already.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < END_WITHIN {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
