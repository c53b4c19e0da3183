//! An operator's process, started from the built binary.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::eventually;

/// How long starting or stopping a process may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running `db-operator run`. It ends with this value.
pub(crate) struct Operator {
    child: Child,
    log: PathBuf,
}

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub folder: &'a Path,
    pub kubeconfig: &'a Path,
    pub namespace: &'a str,
    pub identity: &'a str,
    pub ttl: Duration,
    pub renew: Duration,
}

impl Operator {
    /// Starts a process; its log goes into a file of the folder.
    pub(crate) fn start(how: &Start<'_>) -> Self {
        let log = how.folder.join(format!("{}.log", how.identity));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(binary())
            .env_clear()
            .env("KUBECONFIG", how.kubeconfig)
            .arg("run")
            .args(["--namespace", how.namespace])
            .args(["--identity", how.identity])
            .args(["--lease-ttl", &format!("{}ms", how.ttl.as_millis())])
            .args(["--lease-renew", &format!("{}ms", how.renew.as_millis())])
            .args(["--cluster-id", how.namespace])
            .args(["--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .expect("the operator's binary starts");
        Self { child, log }
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a text in the log.
    pub(crate) async fn logged(&self, text: &str) {
        let what = format!("\"{text}\" in {}", self.log.display());
        eventually(&what, LIMIT, async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Asks for a page and returns its status and text; nothing while nobody answers.
    pub(crate) async fn page(&self, path: &str) -> Option<(u16, String)> {
        let log = self.log();
        let (_, rest) = log.split_once("address=")?;
        let address: SocketAddr = rest.split_whitespace().next()?.parse().ok()?;
        tokio::time::timeout(Duration::from_secs(2), get(address, path))
            .await
            .ok()?
    }

    /// Whether the process says that it is ready.
    pub(crate) async fn is_ready(&self) -> bool {
        matches!(self.page("/readyz").await, Some((200, _)))
    }

    /// Whether the process says that it leads.
    pub(crate) async fn leads(&self) -> bool {
        matches!(self.page("/metrics").await, Some((200, text)) if text.contains("\ndb_operator_leader 1\n"))
    }

    /// Waits until it leads.
    pub(crate) async fn leading(&self) {
        eventually("the operator leads", LIMIT, async || {
            self.leads().await.then_some(())
        })
        .await;
    }

    /// Waits until it stands by: it answered a probe, and does not lead.
    pub(crate) async fn standing_by(&self) {
        self.logged("standing by").await;
        eventually("the standby answers", LIMIT, async || {
            self.page("/healthz").await
        })
        .await;
        assert!(!self.leads().await);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits for its end and returns how it ended.
    pub(crate) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                began.elapsed() < limit,
                "it still runs after {limit:?}: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.log.display(), self.log());
        }
    }
}

/// `DB_OPERATOR_BIN`, or what cargo built in this checkout.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DB_OPERATOR_BIN") {
        return path.into();
    }
    let target = e2e::clone_root().join("target");
    let built = ["release", "debug"].map(|profile| target.join(profile).join("db-operator"));
    built
        .into_iter()
        .find(|path| path.exists())
        .expect("build the operator first (cargo build), or set DB_OPERATOR_BIN")
}

/// The least of HTTP that a probe needs.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
