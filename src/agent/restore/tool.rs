//! Runs the vendor's tool that loads, once, and says how it ended.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::meter::Meter;
use crate::agent::memory;
use crate::agent::protocol::restore::{Phase, RestoreCause};
use crate::agent::protocol::task::Flavour;
use crate::agent::tool::credentials::Environment;
use crate::agent::tool::lines::Line;
use crate::agent::tool::messages::{Listener, lock};
use crate::agent::tool::{Said, child};

/// What every run of the tool has in common.
pub(super) struct Tool {
    /// What it calls itself.
    pub name: String,
    /// The kind of server that it is made for.
    pub flavour: Flavour,
    /// The template's command.
    pub command: Vec<OsString>,
    /// All of its environment.
    pub environment: Environment,
    /// Collects what it says.
    pub said: Arc<Mutex<Said>>,
    /// Is told how far it has come.
    pub meter: Arc<Meter>,
    /// Ends it before its time.
    pub cancelled: CancellationToken,
    /// It sets something that the server does not know, and has to go on after that error, though after no other.
    pub forgives: bool,
}

/// How often it is looked whether a tool that goes on after errors has said one.
const LOOK: Duration = Duration::from_millis(200);

/// How a run ends.
enum End {
    /// By itself.
    Ended(io::Result<ExitStatus>),
    /// It has said an error, and would go on.
    Complained,
    /// It is to end.
    Cancelled,
}

impl Tool {
    /// Runs it with these arguments after the template's, and hands its standard input to `feed`.
    pub(super) async fn run(
        &self,
        arguments: Vec<OsString>,
        feed: impl FnOnce(File),
    ) -> Result<(), Failure> {
        let words = [&self.command[..], &arguments[..]].concat();
        if self.forgives {
            lock(&self.said).forgive();
        }
        let (mut running, input) = child::start_loading(&words, &self.environment)
            .map_err(|error| cannot_start(&self.command, &error))?;
        feed(input.stdin);
        let listener = Listener {
            name: &self.name,
            flavour: self.flavour,
            said: &self.said,
            hears: |line: Line<'_>| self.hear(line),
        };
        let ended = async {
            child::hear_out(listener.hear(input.stderr), &mut running).await;
            running.wait().await
        };
        let ended = tokio::select! {
            ended = ended => End::Ended(ended),
            () = self.complains() => End::Complained,
            () = self.cancelled.cancelled() => End::Cancelled,
        };
        match ended {
            End::Ended(Ok(status)) if status.success() => self.check(),
            End::Ended(Ok(status)) if self.is_forgiven(status) => Ok(()),
            End::Ended(Ok(status)) => Err(self.failed(status)),
            End::Ended(Err(error)) => Err(Failure::new(
                RestoreCause::LoadFailed,
                format!("cannot tell how {} ended: {error}", self.name),
            )),
            End::Complained => {
                running.stop().await;
                let message = format!("{} was ended after an error", self.name);
                Err(self.with_complaint(message))
            }
            End::Cancelled => {
                running.stop().await;
                Err(Failure::new(
                    RestoreCause::Terminated,
                    format!("{} was ended", self.name),
                ))
            }
        }
    }

    /// Until a tool that goes on after errors has said one that is none to go on after; never, where it ends by itself.
    async fn complains(&self) {
        if !self.forgives {
            return std::future::pending().await;
        }
        while lock(&self.said).error.is_none() {
            sleep(LOOK).await;
        }
    }

    fn is_forgiven(&self, status: ExitStatus) -> bool {
        status.code() == Some(1) && lock(&self.said).is_forgiven()
    }

    fn hear(&self, line: Line<'_>) {
        match line {
            Line::Table(table) => self.meter.at(format_args!("at table {table}")),
            Line::Made(what) if self.meter.phase() == Phase::Index => {
                self.meter.at(format_args!("at {what}"));
                self.meter.step();
            }
            Line::Made(what) => self.meter.at(format_args!("at {what}")),
            Line::View | Line::Chatter | Line::Message => {}
        }
    }

    /// An exit status of zero is not believed where an error was heard.
    fn check(&self) -> Result<(), Failure> {
        match &lock(&self.said).error {
            None => Ok(()),
            Some(error) => Err(Failure::new(
                RestoreCause::LoadFailed,
                format!(
                    "{} ended as if all were well, but it said: {error}",
                    self.name
                ),
            )),
        }
    }

    fn failed(&self, status: ExitStatus) -> Failure {
        let mut message = format!("{} {}", self.name, child::ended(status));
        if child::was_killed(status) {
            message.push_str(&memory::about(None, None));
        }
        self.with_complaint(message)
    }

    fn with_complaint(&self, mut message: String) -> Failure {
        let said = lock(&self.said);
        if let Some(line) = said.error.as_deref().or(said.complaint()) {
            message.push_str("; it said: ");
            message.push_str(crate::agent::tool::lines::without_name(line));
            if let Some(advice) = advice(line) {
                message.push_str("; ");
                message.push_str(advice);
            }
        }
        Failure::new(RestoreCause::LoadFailed, message)
    }
}

/// What a person can do about an error.
fn advice(line: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        (
            "ERROR 1419 ",
            "the server keeps a binary log and lets only administrators make functions and triggers: set \
             log_bin_trust_function_creators",
        ),
        (
            "ERROR 4150 ",
            "something tries to log in with a former password again and again: stop it for the time of the restore, or \
             raise max_password_errors",
        ),
        (
            "ERROR 1227 ",
            "the dump holds something that only an administrator can make, such as another user's definer",
        ),
    ];
    let known = KNOWN.iter().find(|(begin, _)| line.starts_with(begin));
    known.map(|(_, advice)| *advice)
}

pub(super) fn cannot_start(command: &[OsString], error: &io::Error) -> Failure {
    let program = command.first().map(|word| word.display().to_string());
    Failure::misconfigured(format!(
        "cannot start {}: {error}; the image must have that program (spec.restore.job.image of the instance)",
        program.unwrap_or_default()
    ))
}
