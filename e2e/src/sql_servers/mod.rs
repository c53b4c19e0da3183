//! Database servers as processes of this machine, for tests that need no cluster; `mysql.rs` finds the cluster's, too.
//!
//! Each listens on loopback on a free port, keeps its data in a temporary folder, logs every statement, and is stopped
//! and removed when its value is dropped. It runs as `nobody`, because database servers refuse to run as root.

pub mod mariadb;
pub mod mysql;
pub mod postgresql;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::{Error, Result, command};

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// A folder below the system's temporary one that belongs to `nobody` and goes when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A new folder with `name` in its own name.
    pub fn new(name: &str) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("db-operator-{name}-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        let scratch = Self { path };
        give(&scratch.path, 0o700)?;
        Ok(scratch)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file that only `nobody` may read.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, content).map_err(Error::io("write", &path))?;
        give(&path, 0o600)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is below the system's temporary folder.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Gives a file or folder to `nobody`.
fn give(path: &Path, mode: u32) -> Result<()> {
    let what = || format!("give {} to nobody", path.display());
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::io("change", path))?;
    chown(
        path,
        Some(Uid::from_raw(NOBODY)),
        Some(Gid::from_raw(NOBODY)),
    )
    .map_err(Error::system(what()))
}

/// A program that runs until it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stop: Signal,
}

impl Process {
    /// Starts a program as `nobody` with its output at the end of `log`; `stop` is the signal that ends it.
    ///
    /// It also gets that signal when the thread that started it ends, so that nothing is left when a test is killed.
    pub fn start(program: &Path, arguments: &[String], log: &Path, stop: Signal) -> Result<Self> {
        let file = fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .map_err(Error::io("write", log))?;
        let errors = file.try_clone().map_err(Error::io("write", log))?;
        let mut command = as_nobody(Some(stop), program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors);
        let child = command.spawn().map_err(|source| Error::Spawn {
            program: program.display().to_string(),
            source,
        })?;
        Ok(Self { child, stop })
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until it is `ready`. That it ends before is an error at once, with the end of its log.
    pub fn wait_until_ready(
        &mut self,
        what: &str,
        within: Duration,
        log: &Path,
        mut ready: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        command::wait_until(what, within, Some(log), || {
            if self.is_running() {
                return ready();
            }
            Err(Error::Failed {
                what: what.to_owned(),
                status: "it ended".to_owned(),
                tail: command::tail(log),
            })
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends the signal that ends it and waits until it has ended.
    pub fn stop(&mut self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let id = i32::try_from(self.child.id()).unwrap_or(i32::MAX);
        kill(Pid::from_raw(id), self.stop).map_err(Error::system(format!("end process {id}")))?;
        let ended = command::wait_until("end a server", Duration::from_secs(20), None, || {
            Ok(!self.is_running())
        });
        if ended.is_err() {
            // It is this process's own child and did not listen.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// A command that runs as `nobody`, in a folder that everybody may enter.
#[must_use]
pub fn as_nobody(when_parent_ends: Option<Signal>, program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    if let Some(signal) = when_parent_ends {
        command.arg(format!(
            "--pdeathsig={}",
            signal.as_str().trim_start_matches("SIG")
        ));
    }
    command.arg("--").arg(program).current_dir("/");
    command
}

/// A port of the loopback address that nobody listened on a moment ago.
pub fn free_port() -> Result<u16> {
    let what = || Error::Precondition("No free port on 127.0.0.1: end what uses them.".to_owned());
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|_| what())?;
    Ok(listener.local_addr().map_err(|_| what())?.port())
}

/// A certification authority of a test, with one certificate for `localhost` (and for no address).
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate, in PEM.
    pub ca: String,
    /// The server's certificate, in PEM.
    pub certificate: String,
    /// The server's key, in PEM.
    pub key: String,
}

impl Certificates {
    /// A new authority and a certificate that it signed.
    pub fn new() -> Result<Self> {
        Self::make().map_err(|source| Error::Certificate {
            what: "make a test's certificates".to_owned(),
            source,
        })
    }

    fn make() -> std::result::Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "db-operator test servers");
        let ca_key = KeyPair::generate()?;
        let ca = params.self_signed(&ca_key)?;
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Self {
            ca: ca.pem(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}
