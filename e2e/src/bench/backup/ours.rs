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

/// The object.
pub(in crate::bench) const KEY: &str = "ours.zst";
pub(in crate::bench) const HOUR: Duration = Duration::from_hours(1);
/// What the operator gives a pod whose database is of this size.
const SIGNED: u32 = 400;
const UPLOADS: u32 = 4;
/// The estimate for the database, which cuts parts of 8 MiB.
const ESTIMATE: u64 = 1_000_000_000;

/// Runs it once; the object goes again.
pub(super) async fn run(
    source: &Source,
    target: &Target,
    binary: &Path,
    level: i32,
) -> Result<Measured> {
    let (mut measured, _) = make(source, target, binary, level).await?;
    measured.stored_bytes = target.take(KEY)?;
    Ok(measured)
}

/// Makes the object: the pod's process, then the commit.
pub(in crate::bench) async fn make(
    source: &Source,
    target: &Target,
    binary: &Path,
    level: i32,
) -> Result<(Measured, Done)> {
    let store = target.store().await?;
    let upload = store
        .begin(KEY, &BTreeMap::new(), "application/zstd")
        .await
        .map_err(failed("begin an upload"))?;
    let pod = Pod::new(target, source)?;
    write_task(&pod, source, &store, &upload, level).await?;
    let mut command = pod.command(binary, "dump", &source.command(&pod.work()));
    let log = target.folder.join("ours.log");
    // The process itself, with all that it may start but the dump tool.
    let counts = |name: &str, _: bool| name != source.process();
    let mut measured = meter::run(&mut command, &log, counts)?;
    let done = match pod.report()? {
        TaskResult::Done(done) => done,
        TaskResult::Failed(failed) => return Err(Error::trial("dump")(failed.message)),
    };
    let start = Instant::now();
    commit(&store, &upload, &done).await?;
    measured.commit_s = start.elapsed().as_secs_f64();
    measured.wall_s += measured.commit_s;
    measured.dumped_bytes = done.dumped_bytes;
    Ok((measured, done))
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

async fn write_task(
    pod: &Pod,
    source: &Source,
    store: &Store,
    upload: &str,
    level: i32,
) -> Result<()> {
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
        part_sizes: PartSizes::plan(ESTIMATE, 10_000, false).map_err(failed("plan the parts"))?,
        uploads: UPLOADS,
        compression_level: level,
        stall_seconds: 600,
        sign_seconds: 600,
        has_broken_views: false,
        endless_events: Vec::new(),
    };
    pod.write_json("errand/errand.json", &task)?;
    pod.write_json("errand/window.json", &window)
}

pub(in crate::bench) fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Error {
    Error::trial(what.to_owned())
}

/// The folders of a pod.
pub(in crate::bench) struct Pod {
    folder: PathBuf,
}

impl Pod {
    /// With all that a pod has but its task.
    pub(in crate::bench) fn new(target: &Target, source: &Source) -> Result<Self> {
        let pod = Self {
            folder: target.folder.join("pod"),
        };
        pod.write("errand/store-ca.crt", target.ca())?;
        for (name, value) in source.credentials() {
            pod.write(&format!("credentials/{name}"), value)?;
        }
        pod.write("work/.keep", "")?;
        Ok(pod)
    }

    pub(in crate::bench) fn write_json(
        &self,
        name: &str,
        value: &impl serde::Serialize,
    ) -> Result<()> {
        let text = serde_json::to_string(value).map_err(failed("write a task"))?;
        self.write(name, &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        fs::write(&path, text).map_err(Error::io("write", &path))
    }

    /// Where a tool's files are.
    pub(in crate::bench) fn work(&self) -> PathBuf {
        self.folder.join("work")
    }

    /// The process, which does this with the tool that is called so.
    pub(in crate::bench) fn command(&self, binary: &Path, does: &str, tool: &[String]) -> Command {
        let option = |name: &str| format!("--{name}={}", self.folder.join(name).display());
        let mut command = Command::new(binary);
        command
            .arg(does)
            .args(["errand", "credentials", "work", "termination"].map(option))
            .arg("--")
            .args(tool);
        command
    }

    /// What the process reports.
    pub(in crate::bench) fn report<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        let path = self.folder.join("termination");
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        serde_json::from_str(&text).map_err(failed("read the report"))
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
