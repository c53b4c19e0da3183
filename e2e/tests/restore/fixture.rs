//! An object in a store, the folders of a pod, and the process that runs in it.

use std::fs;
use std::io;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use db_operator::agent::protocol::restore::{
    Level, Loaded, NotLoaded, Origin, RestoreCause, RestoreResult, RestoreTask, SignedObject,
    Target,
};
use db_operator::agent::protocol::restore_progress::RestoreProgress;
use db_operator::agent::protocol::result::Done;
use e2e::s3::presign::{Keys, presign};
use e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::dump::{self, Folder, KEY, pod};

const BUCKET: &str = "backups";

/// A restore of one object.
pub(crate) struct Restore {
    pub folder: Folder,
    pub task: RestoreTask,
    /// Where the store is asked, `127.0.0.1:port`.
    host: String,
}

impl Restore {
    /// Of what a dump left in its store, into this database.
    pub(crate) fn of(from: &dump::Fixture, done: &Done, database: &str, owner: &str) -> Self {
        let source = &from.task.source;
        let task = RestoreTask {
            target: Target {
                flavour: source.flavour,
                series: source.series.clone(),
                server_version: source.server_version.clone(),
                host: source.host.clone(),
                port: source.port,
                tls: source.tls.clone(),
                database: database.to_owned(),
                owner: owner.to_owned(),
            },
            source: Origin {
                flavour: source.flavour,
                tool_version: done.tool_version.clone(),
                database: source.database.clone(),
                user: Some("orders".to_owned()),
            },
            object: format!("s3://{BUCKET}/{KEY}"),
            bytes: done.bytes,
            sha256: done.sha256.clone(),
            dumped_bytes: done.dumped_bytes,
            totals: done.totals.clone(),
            check: Level::Rows,
            queries: Vec::new(),
            jobs: 2,
            accepts_extension_data: false,
            roles: Vec::new(),
            only: None,
            events_stay_off: false,
            stall_seconds: 60,
        };
        let folder = Folder::new();
        for name in ["username", "password", "ca.crt"] {
            let path = format!("credentials/{name}");
            if let Ok(content) = fs::read(from.folder.0.join(&path)) {
                fs::write(folder.0.join(&path), content).unwrap();
            }
        }
        let this = Self {
            folder,
            task,
            host: format!("127.0.0.1:{}", from.server.port),
        };
        this.sign(Duration::from_hours(1));
        this
    }

    /// The store is asked at another port of this machine.
    pub(crate) fn through(&mut self, port: u16) {
        self.host = format!("127.0.0.1:{port}");
        self.sign(Duration::from_hours(1));
    }

    /// Signs the request. The store takes it for a minute, whatever the file says.
    pub(crate) fn sign(&self, valid_for: Duration) {
        self.put(&self.url(SECRET_ACCESS_KEY), valid_for);
    }

    /// A request that the store does not accept.
    pub(crate) fn sign_wrongly(&self) {
        self.put(&self.url("another-secret"), Duration::from_hours(1));
    }

    fn url(&self, secret: &str) -> String {
        let keys = Keys {
            access: ACCESS_KEY_ID.to_owned(),
            secret: secret.to_owned(),
        };
        let path = format!("/{BUCKET}/{KEY}");
        let signed = presign("GET", &self.host, &path, &[], &keys).unwrap();
        format!("http://{}{signed}", self.host)
    }

    fn put(&self, url: &str, valid_for: Duration) {
        let object = SignedObject {
            url: url.to_owned(),
            expires_at: Timestamp::now() + valid_for,
        };
        let folder = self.folder.0.join("errand");
        let new = folder.join("object.json.new");
        fs::write(&new, serde_json::to_vec(&object).unwrap()).unwrap();
        fs::rename(new, folder.join("object.json")).unwrap();
    }

    /// Puts another object in the place of the one that was dumped; the task says what it is, however much comes out of it.
    pub(crate) fn replace(&mut self, server: &S3Server, object: &[u8]) {
        fs::write(server.object_path(BUCKET, KEY), object).unwrap();
        self.task.bytes = object.len() as u64;
        self.task.sha256 = hex::encode(Sha256::digest(object));
        self.task.dumped_bytes = u64::MAX;
        self.task.totals = None;
    }

    /// Writes a script that is a tool: it says that it is this version, or does this.
    pub(crate) fn tool(&self, version: &str, does: &str) -> String {
        pod::tool(&self.folder.0, version, does)
    }

    /// Starts the process with this command.
    pub(crate) fn start(&self, command: &[&str]) -> Pod {
        let task = ("restore.json", &self.task);
        Pod::start(&self.folder.0, "restore", task, command)
    }

    /// Starts it and waits for its end.
    pub(crate) async fn run(&self, command: &[&str]) -> Ended {
        self.start(command).ended().await
    }
}

/// The bytes of the object that a dump left.
pub(crate) fn object(from: &dump::Fixture) -> Vec<u8> {
    fs::read(from.server.object_path(BUCKET, KEY)).unwrap()
}

/// With the program that a person would use.
pub(crate) fn compress(bytes: &[u8]) -> Vec<u8> {
    through_zstd(bytes, "-c")
}

/// The same, back again.
pub(crate) fn decompress(bytes: &[u8]) -> Vec<u8> {
    through_zstd(bytes, "-dc")
}

fn through_zstd(bytes: &[u8], option: &str) -> Vec<u8> {
    let folder = Folder::new();
    let file = folder.0.join("bytes");
    fs::write(&file, bytes).unwrap();
    let output = Command::new("zstd")
        .arg(option)
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Takes the object away.
pub(crate) fn remove(from: &dump::Fixture) {
    fs::remove_file(from.server.object_path(BUCKET, KEY)).unwrap();
}

/// The process.
pub(crate) type Pod = pod::Pod<RestoreResult>;

/// How it ended.
pub(crate) type Ended = pod::Ended<RestoreResult>;

impl Ended {
    pub(crate) fn done(self) -> Loaded {
        match self.report {
            RestoreResult::Done(loaded) => {
                assert_eq!(self.code, Some(0), "{}", self.log);
                let last = self.log.lines().rev().find_map(|line| line.parse().ok());
                let last: RestoreProgress = last.unwrap();
                assert_eq!(last.percent(), Some(100), "{last} in {}", self.log);
                loaded
            }
            RestoreResult::Failed(failed) => panic!("{failed:?}\n{}", self.log),
        }
    }

    pub(crate) fn failed(self, cause: RestoreCause) -> NotLoaded {
        match self.report {
            RestoreResult::Failed(failed) => {
                assert_eq!(failed.cause, cause, "{failed:?}\n{}", self.log);
                assert_eq!(self.code, Some(1), "{}", self.log);
                failed
            }
            RestoreResult::Done(loaded) => panic!("{loaded:?}\n{}", self.log),
        }
    }
}

/// In front of a store: the answers of its first connections end after some bytes.
pub(crate) struct Breaking {
    pub port: u16,
    pub connections: Arc<AtomicU32>,
    task: tokio::task::JoinHandle<()>,
}

impl Breaking {
    /// The first `times` connections give no more than `bytes` of what the store says.
    pub(crate) async fn to(server: &S3Server, times: u32, bytes: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (far, connections) = (server.port, Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let number = count.fetch_add(1, Ordering::SeqCst);
                let limit = if number < times { bytes } else { u64::MAX };
                tokio::spawn(pass(near, far, limit));
            }
        });
        Self {
            port,
            connections,
            task,
        }
    }
}

impl Drop for Breaking {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(near: TcpStream, far: u16, limit: u64) -> io::Result<()> {
    let far = TcpStream::connect(("127.0.0.1", far)).await?;
    let (mut from_near, mut to_near) = near.into_split();
    let (from_far, mut to_far) = far.into_split();
    let there = async { tokio::io::copy(&mut from_near, &mut to_far).await };
    let back = async {
        let copied = tokio::io::copy(&mut from_far.take(limit), &mut to_near).await;
        let _ = to_near.shutdown().await;
        copied
    };
    // Whichever ends first ends the connection.
    tokio::select! {
        done = there => done?,
        done = back => done?,
    };
    Ok(())
}
