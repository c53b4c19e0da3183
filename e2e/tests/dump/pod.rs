//! The process that runs in a pod, whose folders are one folder of the test's; it dumps, or it restores.

use std::fs;
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use db_operator::agent::protocol::result::LIMIT;
use e2e::s3::SECRET_ACCESS_KEY;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use super::binary;

const WAIT: Duration = Duration::from_mins(3);

/// The process. It reports with an `R`.
pub(crate) struct Pod<R> {
    child: Child,
    folder: PathBuf,
    reports: PhantomData<R>,
}

/// How it ended.
pub(crate) struct Ended<R> {
    pub code: Option<i32>,
    pub report: R,
    pub log: String,
}

/// Writes a script into the folder that is a tool: it says that it is this version, or does this.
pub(crate) fn tool(folder: &Path, version: &str, does: &str) -> String {
    let path = folder.join("tool");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo '{version}'; exit 0; fi\n{does}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

impl<R> Pod<R> {
    /// Starts `subcommand` with the tool's command. Its task goes into the file of this name.
    pub(crate) fn start(
        folder: &Path,
        subcommand: &str,
        (name, task): (&str, &impl Serialize),
        command: &[&str],
    ) -> Self {
        let task = serde_json::to_vec(task).unwrap();
        fs::write(folder.join("errand").join(name), task).unwrap();
        let option = |name: &str| format!("--{name}={}", folder.join(name).display());
        let log = fs::File::create(folder.join("log")).unwrap();
        let child = Command::new(binary())
            .arg(subcommand)
            .args(["errand", "credentials", "work", "termination"].map(option))
            .arg("--")
            .args(command)
            // What could lead the tools astray.
            .envs([
                ("PGHOST", "nowhere.invalid"),
                ("MYSQL_HOST", "nowhere.invalid"),
            ])
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        Self {
            child,
            folder: folder.to_owned(),
            reports: PhantomData,
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Waits for a text in its log.
    pub(crate) async fn says(&self, text: &str) {
        self.until(text, || self.log().contains(text)).await;
    }

    pub(crate) async fn until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < WAIT, "no {what} in: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(id, signal).unwrap();
    }

    /// Its memory now, in KiB: of the process itself, without its tool, and without its code, which depends on the build.
    pub(crate) fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) async fn ended(mut self) -> Ended<R>
    where
        R: DeserializeOwned,
    {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < WAIT, "it does not end: {}", self.log());
            sleep(Duration::from_millis(20)).await;
        };
        let log = self.log();
        for secret in ["canary-p", SECRET_ACCESS_KEY, "X-Amz-Signature"] {
            assert!(!log.contains(secret), "{log}");
        }
        let message = fs::read_to_string(self.folder.join("termination"));
        let message = message.unwrap_or_else(|error| panic!("{error}: {log}"));
        assert!(message.len() <= LIMIT);
        Ended {
            code: status.code(),
            report: serde_json::from_str(&message).unwrap(),
            log,
        }
    }
}

impl<R> Drop for Pod<R> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
