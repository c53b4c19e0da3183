//! Loads a dump of MySQL or MariaDB: rewritten as it passes, into the vendor's client.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

use tokio::task::spawn_blocking;

use super::decode::{Decoded, Sink, decode};
use super::failure::Failure;
use super::load::{Dump, Load};
use super::meter::Meter;
use super::object;
use super::pulse::with_pulse;
use super::rewrite::{Account, Definers, Rename, Report, RewriteError, Rewriter, Wanted};
use crate::agent::dump::completeness::Completeness;
use crate::agent::protocol::restore::{RestoreCause, RestoreTask};

/// How many rewritten bytes are written at a time.
const BUFFER: usize = 256 * 1024;

/// The host of a database's user.
const ANY_HOST: &str = "%";

/// Takes one dump.
struct Intake {
    walker: Completeness,
    stage: Stage,
    meter: Arc<Meter>,
}

/// What becomes of the bytes now.
enum Stage {
    /// They are rewritten, and the client takes them.
    Client(Box<Rewriter>, BufWriter<Counted>),
    /// The client has ended, and says why.
    Unwanted,
    /// They cannot be rewritten.
    Odd(RewriteError),
}

/// Counts what the client takes.
struct Counted {
    stdin: File,
    meter: Arc<Meter>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.stdin.write(bytes)?;
        self.meter.loaded.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stdin.flush()
    }
}

impl Intake {
    /// Waits for the client.
    fn new(task: &RestoreTask, username: &str, client: &Receiver<File>, meter: Arc<Meter>) -> Self {
        let stage = match client.recv() {
            Ok(stdin) => {
                let counted = Counted {
                    stdin,
                    meter: Arc::clone(&meter),
                };
                let rewriter = Box::new(Rewriter::new(wanted(task, username)));
                Stage::Client(rewriter, BufWriter::with_capacity(BUFFER, counted))
            }
            Err(_) => Stage::Unwanted,
        };
        Self {
            walker: Completeness::new(task.target.flavour),
            stage,
            meter,
        }
    }

    /// After the last byte. Without an error, the client has got everything.
    fn end(self) -> (Completeness, Result<Option<Report>, RewriteError>) {
        let report = match self.stage {
            Stage::Client(rewriter, mut out) => match rewriter.finish(&mut out) {
                Ok(report) => Ok(out.flush().ok().map(|()| report)),
                Err(RewriteError::Write(_)) => Ok(None),
                Err(error) => {
                    // What is buffered must not follow.
                    let _ = out.into_parts();
                    Err(error)
                }
            },
            Stage::Unwanted => Ok(None),
            Stage::Odd(error) => Err(error),
        };
        (self.walker, report)
    }
}

impl Sink for Intake {
    fn take(&mut self, bytes: &[u8]) {
        self.walker.observe(bytes);
        let stage = mem::replace(&mut self.stage, Stage::Unwanted);
        self.stage = match stage {
            Stage::Client(mut rewriter, mut out) => match rewriter.push(bytes, &mut out) {
                Ok(()) => Stage::Client(rewriter, out),
                Err(RewriteError::Write(_)) => {
                    let _ = out.into_parts();
                    Stage::Unwanted
                }
                Err(error) => {
                    let _ = out.into_parts();
                    Stage::Odd(error)
                }
            },
            Stage::Unwanted => Stage::Unwanted,
            Stage::Odd(error) => Stage::Odd(error),
        };
        // Rows that are held back until a statement's end move, too.
        self.meter
            .received
            .fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }
}

/// What is rewritten: the former database's name, and definers. Where the database's own user loads, what has no definer
/// is this user's.
fn wanted(task: &RestoreTask, username: &str) -> Wanted {
    let (from, to) = (&task.source.database, &task.target.database);
    Wanted {
        rename: (from != to).then(|| Rename {
            from: from.clone(),
            to: to.clone(),
        }),
        only: Some(to.clone()),
        definers: Some(Definers {
            account: Account {
                user: task.target.owner.clone(),
                host: ANY_HOST.to_owned(),
            },
            former: task.source.user.clone(),
            replace: username != task.target.owner,
        }),
        hold_events: true,
    }
}

/// What no load may be without.
fn arguments(database: &str) -> Vec<OsString> {
    let mut all: Vec<OsString> = [
        // A dump is data: nothing in it is a command to the client, but for the delimiter.
        "--binary-mode",
        // Bodies keep their comments.
        "--comments",
        "--local-infile=0",
        "--batch",
    ]
    .map(OsString::from)
    .into();
    all.push(format!("--database={database}").into());
    all
}

/// Loads the dump, and says what it was.
pub(super) async fn load(load: &Load) -> Result<Dump, Failure> {
    let (pieces, decode_from) = tokio::sync::mpsc::channel(1);
    let (client, client_from) = channel();
    let decoding = spawn_blocking({
        let (task, meter) = (load.task.clone(), Arc::clone(&load.meter));
        let username = load.login.username().to_owned();
        move || {
            let mut intake = Intake::new(&task, &username, &client_from, Arc::clone(&meter));
            let decoded = decode(decode_from, &mut intake, &meter, task.dumped_bytes)?;
            let (walker, report) = intake.end();
            Ok::<_, std::io::Error>((decoded, walker, report))
        }
    });
    let loading = async {
        let arguments = arguments(&load.task.target.database);
        // One statement may take long, while nothing else moves.
        let tool = load.tool.run(arguments, |stdin| {
            // If nobody takes it, the decoder has failed and says so itself.
            let _ = client.send(stdin);
        });
        let loaded = with_pulse(&load.login, &load.meter, tool).await;
        drop(client);
        let decoded = decoding.await?;
        let decoded = decoded.map_err(object::cannot_decode)?;
        Ok((loaded, decoded))
    };
    let ((), (loaded, (decoded, walker, report))) = tokio::try_join!(load.fetch(pieces), loading)?;
    decide(load, loaded, decoded, walker, report)
}

/// What came of it: first whether it was the object, then whether it was a dump, then what the client says.
fn decide(
    load: &Load,
    loaded: Result<(), Failure>,
    decoded: Decoded,
    walker: Completeness,
    report: Result<Option<Report>, RewriteError>,
) -> Result<Dump, Failure> {
    let contents = object::check(&load.task, decoded, loaded.as_ref().err())?;
    let report = report.map_err(|error| Failure::new(RestoreCause::NotADump, error))?;
    loaded?;
    object::is_whole(&walker)?;
    let Some(report) = report else {
        return Err(Failure::new(
            RestoreCause::LoadFailed,
            format!(
                "{} ended as if all were well, but it did not take the whole dump",
                load.tool.name
            ),
        ));
    };
    Ok(Dump {
        left_out: left_out(&report, load.task.events_stay_off),
        foreign: Vec::new(),
        figures: object::figures(walker, contents),
    })
}

fn left_out(report: &Report, events_stay_off: bool) -> Vec<String> {
    let mut all = Vec::new();
    if events_stay_off && report.events_held > 0 {
        all.push(format!(
            "{} events were made and not enabled: in a test, none runs",
            report.events_held
        ));
    }
    if report.left_out > 0 {
        all.push(format!(
            "{} statements that concern the server and not the database",
            report.left_out
        ));
    }
    if report.events_of_replicas > 0 {
        all.push(format!(
            "{} events were disabled because they came from another server: here they are disabled as such",
            report.events_of_replicas
        ));
    }
    if report.definers_of_others > 0 {
        all.push(format!(
            "other users as definers of {} views, routines, triggers or events: they run as the database's user now",
            report.definers_of_others
        ));
    }
    if report.bodies_in_all > 0 {
        let bodies: Vec<&str> = report.bodies.iter().take(3).map(String::as_str).collect();
        all.push(format!(
            "the bodies of {} objects name the former database, and stay as they are: {}",
            report.bodies_in_all,
            bodies.join(", ")
        ));
    }
    all
}
