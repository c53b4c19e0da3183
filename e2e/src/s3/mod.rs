//! An S3 server of a test's own: versitygw over a folder, as a process of this machine.

pub mod presign;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use db_operator::api::destination::S3;
use nix::sys::signal::Signal;

use crate::cache::Cache;
use crate::sql_servers::{Certificates, Process, Scratch, free_port};
use crate::{Error, Result, tools};

/// Who may do everything. Tests look for the secret in what they print, so it is found only where it is.
pub const ACCESS_KEY_ID: &str = "canary-access";

/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "canary-secret-51c0a7de93";

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

/// A running server, in the clear or with a certificate for `localhost` that an authority of its own signed.
#[derive(Debug)]
pub struct S3Server {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What its certificate was signed by, if it has one.
    pub certificates: Option<Certificates>,
    program: PathBuf,
    // Dropped in this order: first the process, then its files.
    process: Option<Process>,
    scratch: Scratch,
}

impl S3Server {
    /// A server that speaks HTTP. To be called on a thread that lives as long as the server is needed.
    pub fn start() -> Result<Self> {
        Self::new(None)
    }

    /// A server that speaks HTTPS.
    pub fn start_tls() -> Result<Self> {
        Self::new(Some(Certificates::new()?))
    }

    fn new(certificates: Option<Certificates>) -> Result<Self> {
        let scratch = Scratch::new("s3")?;
        let folders = tools::ensure(&Cache::open()?, &[tools::VERSITYGW])?;
        let program = reachable(folders, &scratch)?;
        if let Some(certificates) = &certificates {
            scratch.write("tls.crt", &certificates.certificate)?;
            scratch.write("tls.key", &certificates.key)?;
        }
        let mut server = Self {
            port: free_port()?,
            certificates,
            program,
            process: None,
            scratch,
        };
        server.folder("data")?;
        server.start_again()?;
        Ok(server)
    }

    /// Starts it after [`Self::stop`], on the same port with the same objects.
    pub fn start_again(&mut self) -> Result<()> {
        let path = |name: &str| self.scratch.path().join(name).display().to_string();
        let mut arguments = vec![format!("--port=127.0.0.1:{}", self.port)];
        arguments.push(format!("--access={ACCESS_KEY_ID}"));
        arguments.push(format!("--secret={SECRET_ACCESS_KEY}"));
        if self.certificates.is_some() {
            arguments.push(format!("--cert={}", path("tls.crt")));
            arguments.push(format!("--key={}", path("tls.key")));
        }
        arguments.extend(["posix".to_owned(), path("data")]);
        let log = self.log_path();
        let mut process = Process::start(&self.program, &arguments, &log, Signal::SIGTERM)?;
        let port = self.port;
        let ready = || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok());
        process.wait_until_ready("start versitygw", Duration::from_secs(30), &log, ready)?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it; its objects stay.
    pub fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop(),
            None => Ok(()),
        }
    }

    /// Makes a bucket, which is a folder.
    pub fn make_bucket(&self, name: &str) -> Result<()> {
        self.folder(&format!("data/{name}")).map(|_| ())
    }

    /// Where an object's content is on the disk, if it is visible.
    #[must_use]
    pub fn object_path(&self, bucket: &str, key: &str) -> PathBuf {
        self.scratch.path().join("data").join(bucket).join(key)
    }

    /// The address for an instance's `spec.backup.s3.endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let port = self.port;
        if self.certificates.is_some() {
            format!("https://localhost:{port}")
        } else {
            format!("http://127.0.0.1:{port}")
        }
    }

    /// What an instance says of a bucket here.
    pub fn s3(&self, bucket: &str) -> Result<S3> {
        s3_at(&self.endpoint(), bucket)
    }

    /// What it printed: a line a request.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.scratch.path().join("versitygw.log")
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        chown(&path, Some(NOBODY), Some(NOBODY)).map_err(Error::io("give away", &path))?;
        Ok(path)
    }
}

/// What an instance says of a bucket at this address.
pub fn s3_at(endpoint: &str, bucket: &str) -> Result<S3> {
    let s3 = serde_json::json!({"bucket": bucket, "endpoint": endpoint, "pathStyle": true});
    serde_json::from_value(s3).map_err(Error::trial("describe a bucket"))
}

/// The program where `nobody` can run it: the cache may be in a home that only its owner may enter.
fn reachable(folders: Vec<PathBuf>, scratch: &Scratch) -> Result<PathBuf> {
    let copy = scratch.path().join("versitygw");
    for folder in folders {
        let program = folder.join("versitygw");
        fs::copy(&program, &copy).map_err(Error::io("copy", &program))?;
        executable(&copy)?;
    }
    Ok(copy)
}

fn executable(path: &Path) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io("change", path))
}
