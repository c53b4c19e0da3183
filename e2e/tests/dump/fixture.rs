//! A store with a begun upload, the folders of a pod, and the process that runs in it.

#[path = "pod.rs"]
pub(crate) mod pod;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use db_operator::agent::contents::ContentsReader;
use db_operator::agent::protocol::contents::Contents;
use db_operator::agent::protocol::part_sizes::PartSizes;
use db_operator::agent::protocol::progress::Progress;
use db_operator::agent::protocol::result::{self, Cause, Done, Failed, TaskResult};
use db_operator::agent::protocol::signed_parts::SignedParts;
use db_operator::agent::protocol::task::{Flavour, Source, Task};
use db_operator::store::{Keys, Store, StoreConfig};
use e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY, s3_at};

const BUCKET: &str = "backups";
pub(crate) const KEY: &str = "prod/orders.dump.zst";
pub(crate) const PASSWORD: &str = "canary-p:w\\d'\"#;= é";
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Runs a test on this thread, which the servers' processes end with.
pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// A folder that goes with its value.
pub(crate) struct Folder(pub PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("db-operator-dump-{}-{count}", std::process::id()));
        for name in ["errand", "credentials", "work"] {
            fs::create_dir_all(path.join(name)).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Fixture {
    pub server: S3Server,
    pub store: Store,
    pub upload: String,
    pub folder: Folder,
    pub task: Task,
}

pub(crate) fn server() -> S3Server {
    let server = S3Server::start().unwrap();
    server.make_bucket(BUCKET).unwrap();
    server
}

impl Fixture {
    /// A store without anything before it, and a window of 100 parts.
    pub(crate) async fn new(flavour: Flavour) -> Self {
        let server = server();
        let endpoint = server.endpoint();
        let fixture = Self::at(flavour, server, &endpoint).await;
        fixture.sign(1, 100, HOUR).await;
        fixture
    }

    /// Requests go to this address; nothing is signed yet.
    pub(crate) async fn at(flavour: Flavour, server: S3Server, endpoint: &str) -> Self {
        let ca = server.certificates.as_ref().map(|all| all.ca.clone());
        let store = Store::open(StoreConfig {
            s3: s3_at(endpoint, BUCKET).unwrap(),
            keys: Keys::Static {
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: SECRET_ACCESS_KEY.into(),
                session_token: None,
            },
            ca: ca.clone().map(String::into_bytes),
        })
        .await
        .unwrap();
        let upload = store
            .begin(KEY, &BTreeMap::new(), "application/zstd")
            .await
            .unwrap();
        let folder = Folder::new();
        fs::write(folder.0.join("credentials/username"), "orders").unwrap();
        fs::write(folder.0.join("credentials/password"), PASSWORD).unwrap();
        if let Some(ca) = ca {
            fs::write(folder.0.join("errand/store-ca.crt"), ca).unwrap();
        }
        Self {
            task: task(flavour, store.destination(KEY)),
            server,
            store,
            upload,
            folder,
        }
    }

    /// Puts signed requests in the place of those that are there.
    pub(crate) async fn sign(&self, first: u32, count: u32, valid_for: Duration) {
        let batch = self
            .store
            .sign(KEY, &self.upload, first, count, valid_for)
            .await
            .unwrap();
        self.put_window(&SignedParts {
            batches: vec![batch],
        });
    }

    pub(crate) fn put_window(&self, window: &SignedParts) {
        let folder = self.folder.0.join("errand");
        let new = folder.join("window.json.new");
        fs::write(&new, serde_json::to_vec(window).unwrap()).unwrap();
        fs::rename(new, folder.join("window.json")).unwrap();
    }

    /// Writes a script that is a dump tool: it says that it is this version, or does this.
    pub(crate) fn tool(&self, version: &str, does: &str) -> String {
        pod::tool(&self.folder.0, version, does)
    }

    /// Starts the process with this dump command.
    pub(crate) fn start(&self, command: &[&str]) -> Pod {
        let task = ("errand.json", &self.task);
        Pod::start(&self.folder.0, "dump", task, command)
    }

    /// Starts it and waits for its end.
    pub(crate) async fn run(&self, command: &[&str]) -> Ended {
        self.start(command).ended().await
    }

    /// What the store has of it.
    pub(crate) async fn uploaded(&self) -> Vec<result::Part> {
        self.store.parts(KEY, &self.upload).await.unwrap()
    }

    /// Compares the report with the store, completes the upload, and returns the dump, uncompressed.
    pub(crate) async fn complete(&self, done: &Done) -> Vec<u8> {
        use sha2::{Digest, Sha256};
        let parts = self.uploaded().await;
        assert_eq!(u32::try_from(parts.len()).unwrap(), done.parts);
        assert_eq!(parts.iter().map(|part| part.size).sum::<u64>(), done.bytes);
        assert_eq!(result::digest(&parts), done.parts_digest);
        self.store
            .complete(KEY, &self.upload, &parts)
            .await
            .unwrap();
        let object = fs::read(self.server.object_path(BUCKET, KEY)).unwrap();
        let sha256 = hex::encode(Sha256::digest(&object));
        assert_eq!((object.len() as u64, &sha256), (done.bytes, &done.sha256));
        let dump = unpack(&self.folder.0, &object);
        assert_eq!(dump.len() as u64, done.dumped_bytes);
        dump
    }

    /// What the completed object says of each table, which the report agrees with.
    pub(crate) fn contents(&self, done: &Done) -> Contents {
        let object = fs::read(self.server.object_path(BUCKET, KEY)).unwrap();
        let mut reader = ContentsReader::new();
        object
            .chunks(100_000)
            .for_each(|piece| reader.observe(piece));
        reader
            .finish(done.totals.as_ref().unwrap())
            .unwrap()
            .unwrap()
    }

    /// Nothing can be seen in the bucket.
    pub(crate) fn nothing_is_visible(&self) {
        assert!(!self.server.object_path(BUCKET, KEY).exists());
    }
}

/// With the program that a person would restore with.
fn unpack(folder: &Path, object: &[u8]) -> Vec<u8> {
    let path = folder.join("object.zst");
    fs::write(&path, object).unwrap();
    let output = Command::new("zstd").arg("-dc").arg(path).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn task(flavour: Flavour, destination: String) -> Task {
    Task {
        source: Source {
            flavour,
            series: "10".to_owned(),
            server_version: "10.1".to_owned(),
            host: "localhost".to_owned(),
            port: 1,
            tls: "disable".to_owned(),
            database: "orders".to_owned(),
        },
        destination,
        estimated_bytes: 0,
        part_sizes: PartSizes::plan(0, 10_000, false).unwrap(),
        uploads: 4,
        compression_level: 1,
        stall_seconds: 60,
        sign_seconds: 60,
        has_broken_views: false,
        endless_events: Vec::new(),
    }
}

/// The process.
pub(crate) type Pod = pod::Pod<TaskResult>;

/// How it ended.
pub(crate) type Ended = pod::Ended<TaskResult>;

impl Ended {
    pub(crate) fn done(self) -> Done {
        match self.report {
            TaskResult::Done(done) => {
                assert_eq!(self.code, Some(0), "{}", self.log);
                let last = self.log.lines().rev().find_map(|line| line.parse().ok());
                let last: Progress = last.unwrap();
                assert_eq!((last.uploaded, last.parts), (done.bytes, done.parts));
                assert_eq!(last.dumped, done.dumped_bytes);
                done
            }
            TaskResult::Failed(failed) => panic!("{failed:?}\n{}", self.log),
        }
    }

    pub(crate) fn failed(self, cause: Cause) -> Failed {
        match self.report {
            TaskResult::Failed(failed) => {
                assert_eq!(failed.cause, cause, "{failed:?}\n{}", self.log);
                assert_eq!(self.code, Some(1), "{}", self.log);
                failed
            }
            TaskResult::Done(done) => panic!("{done:?}\n{}", self.log),
        }
    }
}

/// The operator's binary.
pub(crate) fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("DB_OPERATOR_BIN") {
        return path.into();
    }
    let target = e2e::clone_root().join("target");
    ["release", "debug"]
        .map(|profile| target.join(profile).join("db-operator"))
        .into_iter()
        .find(|path| path.exists())
        .expect("build the operator first (cargo build), or set DB_OPERATOR_BIN")
}
