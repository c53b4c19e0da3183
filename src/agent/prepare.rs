//! Everything that must be right before the tool is started.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::log;
use super::meter::Meter;
use super::protocol::result::Cause;
use super::protocol::task::{Task, paths};
use super::store::SignedFile;
use super::tool::credentials::{self, Environment};
use super::tool::{Purpose, Tool, child};
use super::upload::{Store, Uploader};

/// How long the tool may take to print its version: the first start from a cold disk takes time.
pub(super) const VERSION_WITHIN: Duration = Duration::from_mins(1);

/// What the sessions of a dump are called in the server.
const APPLICATION: &str = "db-operator backup";

/// Where things are; in a pod, as [`paths`] says.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The task, the signed parts and, where needed, the authorities for the store's certificate.
    pub task: PathBuf,
    /// The Secret of the database.
    pub credentials: PathBuf,
    /// The tool's own files, in memory.
    pub work: PathBuf,
}

/// What a dump needs.
pub(super) struct Ready {
    /// What the operator asks for.
    pub task: Task,
    /// What the tool calls itself.
    pub name: String,
    /// The tool's environment.
    pub environment: Environment,
    /// Uploads its output.
    pub uploader: Uploader,
    /// Counts what moves.
    pub meter: Arc<Meter>,
}

impl Ready {
    /// How long nothing may move.
    #[must_use]
    pub(super) fn stall(&self) -> Duration {
        Duration::from_secs(self.task.stall_seconds)
    }
}

/// Reads the task, asks the tool for its version (which goes into `version`, for the result), and writes the tool's files.
pub(super) async fn prepare(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
) -> Result<Ready, Failure> {
    let task = read_task(&folders.task)?;
    let program = command
        .first()
        .ok_or_else(|| Failure::misconfigured("the template gives no dump tool after \"--\""))?;
    let source = &task.source;
    log::say(format_args!(
        "dumping the database {:?} of {} {} at {}:{} to {}",
        source.database,
        source.flavour.name(),
        source.server_version,
        source.host,
        source.port,
        task.destination
    ));
    let plain = Environment(credentials::base(&folders.work, "db-operator"));
    let printed = child::version(program, &plain, VERSION_WITHIN)
        .await
        .map_err(|error| cannot_start(program, &error))?;
    let mismatch = |error| Failure::new(Cause::ToolMismatch, error);
    let tool = Tool::parse(&printed, Purpose::Dump).map_err(mismatch)?;
    *version = Some(tool.version.clone());
    tool.fits(source).map_err(mismatch)?;
    log::say(format_args!("the tool is {}", tool.version));

    let environment = credentials::prepare(
        source,
        &tool,
        APPLICATION,
        &folders.credentials,
        &folders.work,
    )
    .map_err(Failure::misconfigured)?;
    let meter = Arc::new(Meter::new(task.estimated_bytes));
    let uploader = uploader(folders, &task, &meter)?;
    Ok(Ready {
        name: tool_name(program),
        environment,
        uploader,
        meter,
        task,
    })
}

fn read_task(folder: &Path) -> Result<Task, Failure> {
    let path = folder.join(paths::TASK_KEY);
    let bytes = std::fs::read(&path).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot read {}: {error}; the Secret that the operator writes for this Job must be mounted there",
            path.display()
        ))
    })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Failure::misconfigured(format!(
            "cannot understand {}: {error}; the operator and this image must be of one release",
            path.display()
        ))
    })
}

/// The failure of a program that cannot be started.
pub(super) fn cannot_start(program: &OsString, error: &std::io::Error) -> Failure {
    Failure::misconfigured(format!(
        "cannot start {}: {error}; the image must have that program (spec.backup.job.image of the instance)",
        program.display()
    ))
}

/// What the tool calls itself: the last element of its path.
pub(super) fn tool_name(program: &OsString) -> String {
    Path::new(program)
        .file_name()
        .map_or_else(|| "tool".to_owned(), |name| name.display().to_string())
}

fn uploader(folders: &Folders, task: &Task, meter: &Arc<Meter>) -> Result<Uploader, Failure> {
    let stall = Duration::from_secs(task.stall_seconds);
    let patience = (stall / 4).clamp(Duration::from_secs(2), Duration::from_mins(1));
    let authorities = folders.task.join(paths::STORE_CA_KEY);
    Ok(Uploader {
        store: Store::new(&authorities, patience, Arc::clone(meter))
            .map_err(Failure::misconfigured)?,
        signatures: SignedFile::new(
            folders.task.join(paths::SIGNED_PARTS_KEY),
            Duration::from_secs(task.sign_seconds),
            Arc::clone(&meter.waiting),
        ),
        stall,
        meter: Arc::clone(meter),
    })
}
