//! Runs a task and returns its result.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::dump::messages::{Said, lock};
use super::dump::{Buffers, Pipeline, child};
use super::failure::Failure;
use super::log;
use super::meter::Speed;
use super::prepare::{Folders, cannot_start, prepare};
use super::protocol::part_sizes;
use super::protocol::progress::Size;
use super::protocol::result::{self, Cause, Done, Failed, TaskResult};
use super::stall::watch;

/// Does the task with this command, and returns its result, which the operator compares with the store.
pub async fn run(folders: &Folders, command: &[OsString]) -> TaskResult {
    let mut version = None;
    let said = Arc::default();
    let outcome = dump(folders, command, &mut version, &said).await;
    let result = match outcome {
        Ok(done) => TaskResult::Done(done),
        Err(failure) => TaskResult::Failed(Failed {
            cause: failure.cause,
            message: failure.message,
            last_lines: lock(&said).last.iter().cloned().collect(),
            tool_version: version,
        }),
    };
    log_result(&result);
    result
}

fn log_result(result: &TaskResult) {
    match result {
        TaskResult::Done(done) => log::say(format_args!(
            "done: the store has {} in {} {}, made from {}; SHA-256 {}; the operator checks and completes the object now",
            Size(done.bytes),
            done.parts,
            if done.parts == 1 { "part" } else { "parts" },
            Size(done.dumped_bytes),
            done.sha256
        )),
        TaskResult::Failed(failed) => {
            log::say(format_args!(
                "failed ({:?}): {}",
                failed.cause, failed.message
            ));
        }
    }
}

/// SIGTERM and SIGINT, heard from the very beginning.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::misconfigured(format!("cannot listen to signals: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) -> Failure {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        Failure::new(
            Cause::Terminated,
            format!("the pod was asked to end ({name}) before the dump was complete"),
        )
    }
}

async fn dump(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
    said: &Arc<Mutex<Said>>,
) -> Result<Done, Failure> {
    let mut stop = Stop::listen()?;
    let ready = tokio::select! {
        ready = prepare(folders, command, version) => ready?,
        failure = stop.asked() => return Err(failure),
    };
    let (task, meter) = (&ready.task, &ready.meter);
    let (mut running, output) = child::start(command, &ready.environment)
        .map_err(|error| cannot_start(&command[0], &error))?;

    let buffers = Buffers::new(part_sizes::buffers(task.part_sizes.first));
    let mut speed = Speed::new(task.estimated_bytes);
    let pipeline = Pipeline {
        task,
        name: &ready.name,
        buffers: buffers.clone(),
        meter: Arc::clone(meter),
        said: Arc::clone(said),
    };
    let stall = Duration::from_secs(task.stall_seconds);
    let outcome = tokio::select! {
        outcome = pipeline.stream(&mut running, output, &ready.uploader) => outcome,
        failure = watch(meter, &mut speed, stall) => Err(failure),
        failure = stop.asked() => Err(failure),
    };
    // Nothing waits for memory any longer.
    buffers.close();
    if outcome.is_err() {
        running.stop().await;
    }
    let mut last = speed.progress(meter, Instant::now());
    if outcome.is_ok() {
        last.percent = last.percent.map(|_| 100);
    }
    log::say(last);
    let (totals, uploaded) = outcome?;
    Ok(Done {
        parts: totals.parts,
        bytes: totals.bytes,
        sha256: totals.sha256,
        parts_digest: result::digest(&uploaded),
        dumped_bytes: meter.dumped.load(Ordering::Relaxed),
        tool_version: version.clone().unwrap_or_default(),
    })
}
