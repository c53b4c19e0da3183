//! The process of a pod, from its task to a committed object; and how long the operator takes to sign its parts.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use db_operator::agent::protocol::part_sizes::PartSizes;
use db_operator::agent::protocol::result::{self, Done, TaskResult};
use db_operator::agent::protocol::signed_parts::SignedParts;
use db_operator::agent::protocol::task::Task;
use db_operator::store::Store;

use super::figures::Signing;
use super::meter::{self, Measured};
use super::source::Source;
use super::target::Target;
use crate::{Error, Result};

const KEY: &str = "ours.zst";
const HOUR: Duration = Duration::from_hours(1);
/// What the operator gives a pod whose database is of this size.
const SIGNED: u32 = 400;
const UPLOADS: u32 = 4;
/// The estimate for the database, which cuts parts of 8 MiB.
const ESTIMATE: u64 = 1_000_000_000;

/// Runs it once: the pod's process, then the commit.
pub(super) async fn run(
    source: &Source,
    target: &Target,
    binary: &Path,
    level: i32,
) -> Result<Measured> {
    let store = target.store().await?;
    let upload = store
        .begin(KEY, &BTreeMap::new(), "application/zstd")
        .await
        .map_err(failed("begin an upload"))?;
    let pod = Pod::new(target, source, &store, &upload, level).await?;
    let mut command = pod.command(binary, source);
    let log = target.folder.join("ours.log");
    // The process itself, with all that it may start but the dump tool.
    let counts = |name: &str, _: bool| name != source.process();
    let mut measured = meter::run(&mut command, &log, counts)?;
    let done = pod.done()?;
    let start = Instant::now();
    commit(&store, &upload, &done).await?;
    measured.commit_s = start.elapsed().as_secs_f64();
    measured.wall_s += measured.commit_s;
    measured.dumped_bytes = done.dumped_bytes;
    measured.stored_bytes = target.take(KEY)?;
    Ok(measured)
}

/// What the operator does with a report, apart from the manifest.
async fn commit(store: &Store, upload: &str, done: &Done) -> Result<()> {
    let parts = store
        .parts(KEY, upload)
        .await
        .map_err(failed("list the parts"))?;
    let bytes: u64 = parts.iter().map(|part| part.size).sum();
    if bytes != done.bytes || result::digest(&parts) != done.parts_digest {
        return Err(Error::Trial {
            what: "compare the parts".to_owned(),
            detail: "the store has others than were uploaded".to_owned(),
        });
    }
    store
        .complete(KEY, upload, &parts)
        .await
        .map_err(failed("complete the upload"))?;
    let object = store.head(KEY).await.map_err(failed("see the object"))?;
    match object {
        Some(object) if object.size == done.bytes => Ok(()),
        other => Err(Error::Trial {
            what: "see the object".to_owned(),
            detail: format!("{other:?}"),
        }),
    }
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Error {
    Error::trial(what.to_owned())
}

/// The folders of a pod.
struct Pod {
    folder: PathBuf,
}

impl Pod {
    async fn new(
        target: &Target,
        source: &Source,
        store: &Store,
        upload: &str,
        level: i32,
    ) -> Result<Self> {
        let batch = store
            .sign(KEY, upload, 1, SIGNED, HOUR)
            .await
            .map_err(failed("sign parts"))?;
        let window = SignedParts {
            batches: vec![batch],
        };
        let task = Task {
            source: source.task(),
            destination: store.destination(KEY),
            estimated_bytes: ESTIMATE,
            part_sizes: PartSizes::plan(ESTIMATE, 10_000, false)
                .map_err(failed("plan the parts"))?,
            uploads: UPLOADS,
            compression_level: level,
            stall_seconds: 600,
            sign_seconds: 600,
            has_broken_views: false,
            endless_events: Vec::new(),
        };
        let pod = Self {
            folder: target.folder.join("pod"),
        };
        let json = |value: serde_json::Result<String>| value.map_err(failed("write a task"));
        pod.write("errand/errand.json", &json(serde_json::to_string(&task))?)?;
        pod.write("errand/window.json", &json(serde_json::to_string(&window))?)?;
        pod.write("errand/store-ca.crt", target.ca())?;
        for (name, value) in source.credentials() {
            pod.write(&format!("credentials/{name}"), value)?;
        }
        pod.write("work/.keep", "")?;
        Ok(pod)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        fs::write(&path, text).map_err(Error::io("write", &path))
    }

    fn command(&self, binary: &Path, source: &Source) -> Command {
        let option = |name: &str| format!("--{name}={}", self.folder.join(name).display());
        let mut command = Command::new(binary);
        command
            .arg("dump")
            .args(["errand", "credentials", "work", "termination"].map(option))
            .arg("--")
            .args(source.command(&self.folder.join("work")));
        command
    }

    /// What the process reports.
    fn done(&self) -> Result<Done> {
        let path = self.folder.join("termination");
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        match serde_json::from_str(&text).map_err(failed("read the report"))? {
            TaskResult::Done(done) => Ok(done),
            TaskResult::Failed(failed) => Err(Error::Trial {
                what: "dump".to_owned(),
                detail: failed.message,
            }),
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        // It is in the bench's own folder, which goes, too.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// How long windows of these sizes take, by the library as this program was built.
pub(super) async fn signing(target: &Target) -> Result<Vec<Signing>> {
    let store = target.store().await?;
    let mut all = Vec::new();
    for parts in [200, 1_000, 4_000] {
        let start = Instant::now();
        store
            .sign(KEY, "upload", 1, parts, HOUR)
            .await
            .map_err(failed("sign parts"))?;
        all.push(Signing {
            parts,
            milliseconds: start.elapsed().as_secs_f64() * 1000.0,
        });
    }
    Ok(all)
}
