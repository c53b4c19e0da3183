//! Runs a task and returns its result.

use std::ffi::OsString;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::dump::{Buffers, Pipeline, Streamed, events, views};
use super::failure::Failure;
use super::log;
use super::meter::{Meter, Speed};
use super::prepare::{Folders, Ready, cannot_start, prepare};
use super::protocol::part_sizes;
use super::protocol::progress::Size;
use super::protocol::result::{self, Cause, Done, Failed, TaskResult};
use super::retry::{self, Attempt, Next};
use super::stall::{self, Moving};
use super::stop::Stop;
use super::tool::messages::lock;
use super::tool::{Said, child};
use crate::printable::several;

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
            passing: failure.passing,
            last_lines: lock(&said).last.iter().cloned().collect(),
            tool_version: version,
        }),
    };
    log_result(&result);
    result
}

fn log_result(result: &TaskResult) {
    match result {
        TaskResult::Done(done) => {
            for warning in &done.warnings {
                log::say(format_args!("warning: {warning}"));
            }
            if let Some(totals) = &done.totals {
                log::say(format_args!(
                    "counted: {} in {}, {}",
                    several(totals.rows, "row"),
                    several(totals.tables, "table"),
                    several(totals.large_objects, "large object")
                ));
            }
            log::say(format_args!(
                "done: the store has {} in {} {}, made from {}; SHA-256 {}; the operator checks and completes the object now",
                Size(done.bytes),
                done.parts,
                if done.parts == 1 { "part" } else { "parts" },
                Size(done.dumped_bytes),
                done.sha256
            ));
        }
        TaskResult::Failed(failed) => {
            log::say(format_args!(
                "failed ({:?}): {}",
                failed.cause, failed.message
            ));
        }
    }
}

/// The failure of a dump that a signal ends.
fn terminated(signal: &str) -> Failure {
    Failure::new(
        Cause::Terminated,
        format!("the pod was asked to end ({signal}) before the dump was complete"),
    )
}

/// Logs progress, and returns a failure once nothing has moved for too long.
async fn watch(meter: &Meter, speed: &mut Speed, stall: Duration) -> Failure {
    stall::watch(&mut Watched { meter, speed }, stall).await;
    let last = meter.tables.place().map_or_else(String::new, |place| {
        format!("; the last table that was begun is {}", place.table())
    });
    Failure::new(
        Cause::NoProgress,
        format!(
            "nothing was dumped or uploaded for {} seconds: a lock in the database that another session holds, a server that does not answer, or a store that takes nothing{last}",
            stall.as_secs()
        ),
    )
}

/// A dump, as it moves.
struct Watched<'a> {
    meter: &'a Meter,
    speed: &'a mut Speed,
}

impl Moving for Watched<'_> {
    type Position = (u64, u64, u32);

    fn position(&self) -> Self::Position {
        self.meter.position()
    }

    fn waits(&self) -> bool {
        self.meter.waiting.load(Ordering::Relaxed) > 0
    }

    fn place(&self) -> Option<String> {
        self.meter.tables.place().map(|place| place.to_string())
    }

    fn progress(&mut self, now: Instant) -> impl Display {
        self.speed.progress(self.meter, now)
    }
}

async fn dump(
    folders: &Folders,
    command: &[OsString],
    version: &mut Option<String>,
    said: &Arc<Mutex<Said>>,
) -> Result<Done, Failure> {
    let mut stop = Stop::listen()
        .map_err(|error| Failure::misconfigured(format!("cannot listen to signals: {error}")))?;
    let ready = tokio::select! {
        ready = prepare(folders, command, version) => ready?,
        signal = stop.asked() => return Err(terminated(signal)),
    };
    let mut attempt = Attempt {
        command: command.to_vec(),
        ..Attempt::default()
    };
    let version = version.clone().unwrap_or_default();
    if ready.task.has_broken_views {
        attempt = without_broken_views(&ready, attempt, &mut stop).await?;
    }
    if !ready.task.endless_events.is_empty() {
        try_events(&ready, &attempt, &mut stop).await?;
    }
    loop {
        let failure = match try_once(&ready, &attempt, said, &mut stop).await {
            Ok(streamed) => return Ok(done(&ready, attempt.warnings, streamed, version)),
            Err(failure) => failure,
        };
        attempt = another(&ready, attempt, failure, said, &mut stop).await?;
        *lock(said) = Said::default();
        ready.meter.start_again();
    }
}

/// What the object is, and what it lacks.
fn done(
    ready: &Ready,
    mut warnings: Vec<String>,
    streamed: Streamed,
    tool_version: String,
) -> Done {
    warnings.extend(streamed.warnings);
    Done {
        parts: streamed.totals.parts,
        bytes: streamed.totals.bytes,
        sha256: streamed.totals.sha256,
        parts_digest: result::digest(&streamed.uploaded),
        dumped_bytes: ready.meter.dumped.load(Ordering::Relaxed),
        tool_version,
        totals: streamed.contents,
        warnings,
    }
}

/// Runs the tool, and everything behind it.
async fn try_once(
    ready: &Ready,
    attempt: &Attempt,
    said: &Arc<Mutex<Said>>,
    stop: &mut Stop,
) -> Result<Streamed, Failure> {
    let (task, meter) = (&ready.task, &ready.meter);
    let (mut running, output) = child::start(&attempt.command, &ready.environment)
        .map_err(|error| cannot_start(&attempt.command[0], &error))?;

    let buffers = Buffers::new(part_sizes::buffers(task.part_sizes.first));
    let mut speed = Speed::new(task.estimated_bytes);
    let pipeline = Pipeline {
        task,
        name: &ready.name,
        buffers: buffers.clone(),
        meter: Arc::clone(meter),
        said: Arc::clone(said),
        before: attempt.before.clone(),
    };
    let outcome = tokio::select! {
        outcome = pipeline.stream(&mut running, output, &ready.uploader) => outcome,
        failure = watch(meter, &mut speed, ready.stall()) => Err(failure),
        signal = stop.asked() => Err(terminated(signal)),
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
    outcome
}

/// The attempt that follows a failed one, after a pause; or the failure, if none does.
async fn another(
    ready: &Ready,
    attempt: Attempt,
    failure: Failure,
    said: &Mutex<Said>,
    stop: &mut Stop,
) -> Result<Attempt, Failure> {
    let next = retry::next(
        &failure,
        &lock(said),
        &attempt,
        ready.task.source.flavour,
        ready.meter.has_sent(),
        ready.stall(),
    );
    match next {
        Next::Fail => {
            let said = lock(said);
            let passing = retry::passes_there(&failure, &said, &attempt);
            let message = format!("{}{}", failure.message, retry::advice(&said));
            Err(Failure { message, ..failure }.passing(passing))
        }
        Next::Again(pause) => after(pause, &failure, attempt, stop).await,
        Next::WithoutBrokenViews => without_broken_views(ready, attempt, stop).await,
        Next::WithoutHistory(table) => {
            log::say(format_args!(
                "the tool cannot dump the history of the table {table}: trying again without the history of any"
            ));
            Ok(attempt.without_history(&table))
        }
    }
}

/// The attempt without the views that refer to something that is gone, once the tool has shown which they are.
async fn without_broken_views(
    ready: &Ready,
    mut attempt: Attempt,
    stop: &mut Stop,
) -> Result<Attempt, Failure> {
    log::say("looking for the views that refer to something that is gone");
    loop {
        ready.meter.start_again();
        let mut speed = Speed::new(0);
        let (flavour, command) = (ready.task.source.flavour, &attempt.command);
        let views = tokio::select! {
            views = views::look(flavour, command, &ready.environment, &ready.meter) => views,
            failure = watch(&ready.meter, &mut speed, ready.stall()) => return Err(failure),
            signal = stop.asked() => return Err(terminated(signal)),
        };
        let failure = match views {
            Ok(views) => {
                ready.meter.start_again();
                return Ok(attempt.without_views(&ready.task.source.database, &views));
            }
            Err(failure) => failure,
        };
        match retry::pause(&failure, &attempt, ready.stall()) {
            Some(pause) => attempt = after(pause, &failure, attempt, stop).await?,
            None => return Err(failure),
        }
    }
}

/// Whether the tool gets past the events, before anything is dumped.
async fn try_events(ready: &Ready, attempt: &Attempt, stop: &mut Stop) -> Result<(), Failure> {
    log::say("trying whether the tool gets past the events with two semicolons in a row");
    ready.meter.start_again();
    let mut speed = Speed::new(0);
    let events = &ready.task.endless_events;
    tokio::select! {
        tried = events::check(&attempt.command, events, &ready.environment, &ready.meter) => tried?,
        failure = watch(&ready.meter, &mut speed, ready.stall()) => return Err(failure),
        signal = stop.asked() => return Err(terminated(signal)),
    }
    ready.meter.start_again();
    Ok(())
}

/// The same attempt again, after a pause.
async fn after(
    pause: Duration,
    failure: &Failure,
    attempt: Attempt,
    stop: &mut Stop,
) -> Result<Attempt, Failure> {
    log::say(format_args!(
        "{}; nothing was uploaded yet, and this passes: trying again in {} s",
        failure.message,
        pause.as_secs()
    ));
    tokio::select! {
        () = sleep(pause) => Ok(Attempt { passed: attempt.passed + 1, ..attempt }),
        signal = stop.asked() => Err(terminated(signal)),
    }
}
