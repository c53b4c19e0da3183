//! Runs the task of a restore and returns its result.

use std::ffi::OsString;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::failure::Failure;
use super::load::{Dump, Load};
use super::meter::Speed;
use super::prepare::prepare;
use super::{check, mysql, postgresql};
use crate::agent::log;
use crate::agent::prepare::Folders;
use crate::agent::protocol::restore::{Loaded, NotLoaded, Phase, RestoreCause, RestoreResult};
use crate::agent::protocol::task::Flavour;
use crate::agent::stall;
use crate::agent::stop::Stop;
use crate::agent::tool::Said;
use crate::agent::tool::messages::lock;
use crate::printable::several;

/// How long the tool and what is around it may take to end, when they are asked to.
const GRACE: Duration = Duration::from_secs(12);

/// Does the task with this command, and returns its result.
pub async fn run(folders: &Folders, command: &[OsString]) -> RestoreResult {
    let mut version = None;
    let said = Arc::default();
    let outcome = restore(folders, command, &mut version, &said).await;
    let result = match outcome {
        Ok(loaded) => RestoreResult::Done(loaded),
        Err(failure) => RestoreResult::Failed(NotLoaded {
            cause: failure.cause,
            message: failure.message,
            differences: failure.differences,
            last_lines: lock(&said).last.iter().cloned().collect(),
            tool_version: version,
        }),
    };
    log_result(&result);
    result
}

fn log_result(result: &RestoreResult) {
    match result {
        RestoreResult::Done(loaded) => {
            for sentence in &loaded.left_out {
                log::say(format_args!("left out: {sentence}"));
            }
            log::say(format_args!(
                "done: {} in {}, loaded in {} s, indexes in {} s, checks in {} s; the operator goes on now",
                several(loaded.rows, "row"),
                several(loaded.tables, "table"),
                loaded.load_seconds,
                loaded.index_seconds,
                loaded.check_seconds
            ));
        }
        RestoreResult::Failed(failed) => {
            log::say(format_args!(
                "failed ({:?}): {}",
                failed.cause, failed.message
            ));
        }
    }
}

async fn restore(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
    said: &Arc<Mutex<Said>>,
) -> Result<Loaded, Failure> {
    let mut stop = Stop::listen()
        .map_err(|error| Failure::misconfigured(format!("cannot listen to signals: {error}")))?;
    let load = tokio::select! {
        load = prepare(folders, command, version, said) => load?,
        signal = stop.asked() => return Err(terminated(signal)),
    };
    let mut speed = Speed::new(Arc::clone(&load.meter));
    let tool_version = version.clone().unwrap_or_default();
    let mut work = pin!(all(&load, tool_version));
    let interrupted = tokio::select! {
        outcome = &mut work => {
            log::say(speed.look(Instant::now()));
            return outcome;
        }
        () = stall::watch(&mut speed, load.stall()) => stalled(&load),
        signal = stop.asked() => terminated(signal),
    };
    // The tool cancels what it does in the server.
    load.cancelled.cancel();
    let _ = timeout(GRACE, work).await;
    log::say(speed.look(Instant::now()));
    Err(interrupted)
}

fn terminated(signal: &str) -> Failure {
    Failure::new(
        RestoreCause::Terminated,
        format!("the pod was asked to end ({signal}) before the restore was complete"),
    )
}

fn stalled(load: &Load) -> Failure {
    let seconds = load.stall().as_secs();
    let message = match load.meter.phase() {
        Phase::Load => format!(
            "nothing was fetched or loaded for {seconds} seconds: a lock in the database that another session holds, a \
             server that does not answer, or a store that gives nothing"
        ),
        Phase::Index | Phase::Check => format!(
            "the server was not at work for {seconds} seconds: a lock in the database that another session holds, or a \
             server that does not answer"
        ),
    };
    Failure::new(RestoreCause::NoProgress, message)
}

/// Loads and checks.
async fn all(load: &Load, tool_version: String) -> Result<Loaded, Failure> {
    let is_postgresql = load.task.target.flavour == Flavour::Postgresql;
    let mut phases = Vec::new();
    let dump: Dump = if is_postgresql {
        postgresql::load(load, &mut phases).await?
    } else {
        mysql::load(load).await?
    };
    let (found, took) = tokio::select! {
        checked = check::check(load, &dump) => checked?,
        () = load.cancelled.cancelled() => return Err(terminated("a signal")),
    };
    phases.push(took);
    let checked = check::compared(load, &dump);
    let mut left_out = dump.left_out;
    if !is_postgresql && !load.task.events_stay_off {
        left_out.extend(check::release_events(load).await?);
    }
    left_out.extend(lock(&load.tool.said).warnings.iter().cloned());
    Ok(Loaded {
        sha256: load.task.sha256.clone(),
        tool_version,
        tables: found.tables,
        rows: found.rows,
        checked,
        left_out,
        load_seconds: phases.first().copied().unwrap_or_default(),
        index_seconds: phases.get(1).copied().unwrap_or_default(),
        check_seconds: load.meter.elapsed().as_secs(),
    })
}
