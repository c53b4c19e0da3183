//! Everything that must be right before the object is fetched.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::fetch::{Fetcher, Getter};
use super::load::Load;
use super::login::{APPLICATION, Login};
use super::meter::Meter;
use super::tool::{Tool as Loader, cannot_start};
use crate::agent::log;
use crate::agent::prepare::{Folders, VERSION_WITHIN, tool_name};
use crate::agent::protocol::progress::Size;
use crate::agent::protocol::restore::{RestoreCause, RestoreTask, SIGNED_OBJECT_KEY, TASK_KEY};
use crate::agent::protocol::task::{paths, signed_within};
use crate::agent::store::SignedFile;
use crate::agent::tool::credentials::{self, Environment};
use crate::agent::tool::{Purpose, Said, Tool, child};

/// Reads the task, asks the tool for its version (which goes into `version`, for the result), and writes the tool's files.
pub(super) async fn prepare(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
    said: &Arc<Mutex<Said>>,
) -> Result<Load, Failure> {
    let task = read_task(&folders.task)?;
    let program = command
        .first()
        .ok_or_else(|| Failure::misconfigured("the template gives no tool after \"--\""))?;
    let target = &task.target;
    log::say(format_args!(
        "loading {} ({}) into the database {:?} of {} {} at {}:{}",
        task.object,
        Size(task.bytes),
        target.database,
        target.flavour.name(),
        target.server_version,
        target.host,
        target.port,
    ));
    if task.bytes == 0 {
        return Err(Failure::new(
            RestoreCause::NotADump,
            "an object without a byte is no dump",
        ));
    }
    let plain = Environment(credentials::base(&folders.work, "db-operator"));
    let printed = child::version(program, &plain, VERSION_WITHIN)
        .await
        .map_err(|error| cannot_start(command, &error))?;
    let tool = fitting(&printed, &task, version)?;
    let server = target.server();
    let environment = credentials::prepare(
        &server,
        &tool,
        APPLICATION,
        &folders.credentials,
        &folders.work,
    )
    .map_err(Failure::misconfigured)?;
    let login = Login::read(target, &folders.credentials).map_err(Failure::misconfigured)?;
    let meter = Arc::new(Meter::new(task.bytes));
    let cancelled = CancellationToken::new();
    Ok(Load {
        work: folders.work.clone(),
        tool: Loader {
            name: tool_name(program),
            flavour: target.flavour,
            command: command.to_vec(),
            environment,
            said: Arc::clone(said),
            meter: Arc::clone(&meter),
            cancelled: cancelled.clone(),
            forgives: tool.sets_what_is_unknown(&server),
        },
        login,
        fetcher: fetcher(folders, &task, &meter)?,
        meter,
        cancelled,
        task,
    })
}

/// The tool, if it fits the server and the dump.
fn fitting(
    printed: &str,
    task: &RestoreTask,
    version: &mut Option<String>,
) -> Result<Tool, Failure> {
    let mismatch = |error| Failure::new(RestoreCause::ToolMismatch, error);
    let tool = Tool::parse(printed, Purpose::Load).map_err(mismatch)?;
    *version = Some(tool.version.clone());
    tool.fits(&task.target.server()).map_err(mismatch)?;
    let dumped = &task.source.tool_version;
    let dumped = Tool::parse(dumped, Purpose::Dump).map_err(mismatch)?;
    tool.understands(&dumped).map_err(mismatch)?;
    log::say(format_args!(
        "the tool is {}; the dump is of {}",
        tool.version, dumped.version
    ));
    if tool.sets_what_is_unknown(&task.target.server()) {
        log::say(
            "it sets transaction_timeout, which this server does not know: that error is passed over",
        );
    }
    Ok(tool)
}

fn read_task(folder: &Path) -> Result<RestoreTask, Failure> {
    let path = folder.join(TASK_KEY);
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

fn fetcher(folders: &Folders, task: &RestoreTask, meter: &Arc<Meter>) -> Result<Fetcher, Failure> {
    let stall = Duration::from_secs(task.stall_seconds);
    let patience = (stall / 4).clamp(Duration::from_secs(2), Duration::from_mins(1));
    let authorities = folders.task.join(paths::STORE_CA_KEY);
    let signed_within = signed_within(jiff::SignedDuration::try_from(stall).unwrap_or_default());
    Ok(Fetcher {
        getter: Getter::new(&authorities, patience, task.bytes, Arc::clone(meter))
            .map_err(Failure::misconfigured)?,
        signed: SignedFile::new(
            folders.task.join(SIGNED_OBJECT_KEY),
            Duration::try_from(signed_within).unwrap_or(stall),
            Arc::clone(&meter.waiting),
        ),
        stall,
        bytes: task.bytes,
    })
}
