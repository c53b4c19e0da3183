//! One dump, from its errand to its report.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::buffers::Buffers;
use super::failure::Failure;
use super::messages::{Said, lock};
use super::meter::Speed;
use super::prepare::{cannot_start, prepare};
use super::progress::Size;
use super::report::{self, Cause, Done, Failed, Report};
use super::watch::watch;
use super::work::Work;
use super::{child, log, parts};

/// Where things are; in a pod, as [`paths`](super::errand::paths) says.
#[derive(Clone, Debug)]
pub struct Folders {
    /// The errand, the window, and perhaps the store's authority.
    pub errand: PathBuf,
    /// The Secret of the database.
    pub credentials: PathBuf,
    /// For the tool's own files, in memory.
    pub work: PathBuf,
}

/// Dumps as the errand says, with this command, and says what came of it. The operator compares that with the store.
pub async fn run(folders: &Folders, command: &[OsString]) -> Report {
    let mut version = None;
    let said = Arc::default();
    let outcome = dump(folders, command, &mut version, &said).await;
    let report = match outcome {
        Ok(done) => Report::Done(done),
        Err(failure) => Report::Failed(Failed {
            cause: failure.cause,
            message: failure.message,
            last_lines: lock(&said).last.iter().cloned().collect(),
            tool_version: version,
        }),
    };
    tell(&report);
    report
}

fn tell(report: &Report) {
    match report {
        Report::Done(done) => log::say(format_args!(
            "done: the store has {} in {} {}, made from {}; SHA-256 {}; the operator checks and completes the object now",
            Size(done.bytes),
            done.parts,
            if done.parts == 1 { "part" } else { "parts" },
            Size(done.dumped_bytes),
            done.sha256
        )),
        Report::Failed(failed) => {
            log::say(format_args!(
                "failed ({:?}): {}",
                failed.cause, failed.message
            ));
        }
    }
}

/// SIGTERM and SIGINT, from the beginning on.
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
    let (errand, meter) = (&ready.errand, &ready.meter);
    let (mut running, output) = child::start(command, &ready.environment)
        .map_err(|error| cannot_start(&command[0], &error))?;

    let buffers = Buffers::new(parts::buffers(errand.schedule.first));
    let mut speed = Speed::new(errand.estimated_bytes);
    let work = Work {
        errand,
        name: &ready.name,
        buffers: buffers.clone(),
        meter: Arc::clone(meter),
        said: Arc::clone(said),
    };
    let stall = Duration::from_secs(errand.stall_seconds);
    let outcome = tokio::select! {
        outcome = work.stream(&mut running, output, &ready.uploader) => outcome,
        failure = watch(meter, &mut speed, stall) => Err(failure),
        failure = stop.asked() => Err(failure),
    };
    // Whoever waits for memory waits no more.
    buffers.close();
    if outcome.is_err() {
        running.stop().await;
    }
    let mut last = speed.progress(meter, Instant::now());
    if outcome.is_ok() {
        last.percent = last.percent.map(|_| 100);
    }
    log::say(last);
    let (cut, uploaded) = outcome?;
    Ok(Done {
        parts: cut.parts,
        bytes: cut.bytes,
        sha256: cut.sha256,
        parts_digest: report::digest(&uploaded),
        dumped_bytes: meter.dumped.load(Ordering::Relaxed),
        tool_version: version.clone().unwrap_or_default(),
    })
}
