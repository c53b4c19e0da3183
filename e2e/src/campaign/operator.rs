//! The operator's process, started from the built binary, killed and started again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::{Mutex, MutexGuard};

use super::control_plane::dying_with_us;
use crate::{Error, Result, clone_root, command};

/// The namespace of the lease and of the administrators' Secrets.
pub const NAMESPACE: &str = "db-operator-system";

/// What a process is started with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The way to the API server.
    pub kubeconfig: PathBuf,
    /// The name under which it leads; also that of its log.
    pub identity: String,
    /// The id under which it claims databases.
    pub cluster_id: String,
    /// More arguments: the lease's times, mostly.
    pub arguments: Vec<String>,
    /// More of its environment, which is empty but for the way to the API server.
    pub environment: Vec<(String, String)>,
    /// Where its log goes.
    pub folder: PathBuf,
}

/// An operator. Clones are the same one. Its process ends with the last of them.
#[derive(Clone)]
pub struct Operator(Arc<Shared>);

struct Shared {
    start: Start,
    child: Mutex<Option<Child>>,
}

impl Operator {
    /// One that does not run yet.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self(Arc::new(Shared {
            start,
            child: Mutex::new(None),
        }))
    }

    /// Starts the process where none runs. One that ended by itself is an error.
    pub fn ensure(&self) -> Result<()> {
        let mut child = self.lock();
        if let Some(running) = child.as_mut() {
            return match running.try_wait() {
                Ok(None) => Ok(()),
                Ok(Some(status)) => Err(Error::Failed {
                    what: "the operator, which was not killed,".to_owned(),
                    status: status.to_string(),
                    tail: command::tail(&self.log_file()),
                }),
                Err(error) => Err(Error::trial("look after the operator")(error)),
            };
        }
        *child = Some(self.spawn()?);
        Ok(())
    }

    /// Ends the process at once (`SIGKILL`), if it runs.
    pub fn kill(&self) {
        if let Some(mut child) = self.lock().take() {
            // It may have ended by itself in this moment.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal to the process, if it runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.lock();
        let pid = child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        match pid {
            Some(pid) => kill(Pid::from_raw(pid), signal).map_err(Error::system("send a signal")),
            None => Ok(()),
        }
    }

    /// How the process ended, if it did.
    #[must_use]
    pub fn ended(&self) -> Option<std::process::ExitStatus> {
        self.lock()
            .as_mut()
            .and_then(|child| child.try_wait().ok().flatten())
    }

    /// What all processes of this operator logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        let start = &self.0.start;
        start.folder.join(format!("{}.log", start.identity))
    }

    fn spawn(&self) -> Result<Child> {
        let start = &self.0.start;
        let log = self.log_file();
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::io("open", &log))?;
        dying_with_us(&binary()?)
            .env("KUBECONFIG", &start.kubeconfig)
            .env("DB_OPERATOR_LOG", "info,db_operator=debug")
            .envs(start.environment.iter().cloned())
            .args(["run", "--namespace", NAMESPACE])
            .args(["--identity", &start.identity])
            .args(["--cluster-id", &start.cluster_id])
            .args(["--listen", "127.0.0.1:0"])
            .args(&start.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .map_err(|source| Error::Spawn {
                program: "db-operator".to_owned(),
                source,
            })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Child>> {
        self.0.child.lock()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        if let Some(mut child) = child.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// `DB_OPERATOR_BIN`, or the newest that cargo built in this checkout.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("DB_OPERATOR_BIN") {
        return Ok(path.into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || clone_root().join("target"),
        |folder| clone_root().join(folder),
    );
    let age = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    let built = ["release", "debug"].map(|profile| target.join(profile).join("db-operator"));
    built
        .into_iter()
        .filter(|path| path.is_file())
        .max_by_key(|path| age(path))
        .ok_or_else(|| {
            Error::Precondition(
                "the operator is not built: run `cargo build`, or set DB_OPERATOR_BIN".to_owned(),
            )
        })
}
