//! What the tool says on its standard error. It is passed on to the log as it comes, its last lines are kept for the result,
//! and it is searched for errors, because `mysqldump` may run into one and still exit with 0. Of what `--verbose` adds, only
//! the table that the tool has come to is kept.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::lines::{self, Line};
use crate::agent::log;
use crate::agent::protocol::task::Flavour;

/// How many lines the result may show.
const KEPT: usize = 20;
/// How many characters of a line are kept.
const LENGTH: usize = 400;
/// How many lines are passed on: a flooded log is useless, and may fill the node's disk.
const PASSED_ON: u64 = 2000;
/// How many warnings are kept.
const WARNINGS: usize = 50;

/// What a tool has said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    /// The last lines.
    pub last: VecDeque<String>,
    /// The first line which says that something is missing from the dump.
    pub error: Option<String>,
    /// The tool's warnings about the dump, without its name.
    pub warnings: Vec<String>,
    /// The line before was a warning, whose details may follow.
    warned: bool,
    /// The lines before were of a statement.
    in_statement: bool,
    count: u64,
    /// What happened of the error that is none, where there may be such a one.
    forgiving: Option<Forgiving>,
}

/// The error about a setting that the server does not know.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Forgiving {
    /// It was said.
    said: bool,
    /// The tool has come to its end all the same.
    went_on: bool,
}

impl Said {
    /// A run of the tool begins. One error may come, about a setting that the server does not know, which is none.
    pub(crate) fn forgive(&mut self) {
        self.forgiving = Some(Forgiving::default());
    }

    /// Whether the tool has come to its end, and that error alone is why it ends as if it had failed.
    #[must_use]
    pub(crate) fn is_forgiven(&self) -> bool {
        let all = Some(Forgiving {
            said: true,
            went_on: true,
        });
        self.error.is_none() && self.forgiving == all
    }

    /// Whether a line is only about that error.
    fn forgives(&mut self, line: &str) -> bool {
        let Some(forgiving) = &mut self.forgiving else {
            return false;
        };
        let (said, went_on) = (lines::is_unknown_setting(line), lines::went_on(line));
        forgiving.said |= said;
        forgiving.went_on |= went_on;
        said || went_on
    }

    /// The line that says what is wrong: the newest one with an error, since hints and details come after it.
    #[must_use]
    pub(crate) fn complaint(&self) -> Option<&str> {
        let error = |line: &&String| line.to_lowercase().contains("error");
        let named = |line: &&String| line.contains(": error: ");
        let more = |line: &&String| line.contains(": hint: ") || line.contains(": detail: ");
        let newest = || self.last.iter().rev();
        let line = newest()
            .find(named)
            .or_else(|| newest().find(error))
            .or_else(|| newest().find(|line| !more(line)))
            .or(self.last.back());
        line.map(|line| lines::without_name(line))
    }

    /// The newest line which says that the tool waited too long for a lock that another session holds.
    #[must_use]
    pub(crate) fn lock(&self, flavour: Flavour) -> Option<&str> {
        let says = |words: &str| {
            let mut newest = self.last.iter().rev();
            newest
                .find(|line| line.contains(words))
                .map(|line| lines::without_name(line))
        };
        match flavour {
            // The statements of pg_dump have a time limit only while it takes its locks.
            Flavour::Postgresql => says("statement timeout").and(says("LOCK TABLE ")),
            Flavour::Mysql | Flavour::Mariadb => says("Lock wait timeout exceeded"),
        }
    }

    /// Whether what it says is transient.
    #[must_use]
    pub(crate) fn is_passing(&self, flavour: Flavour) -> bool {
        let mut all = self.last.iter().chain(&self.error);
        all.any(|line| lines::is_passing(flavour, line)) || self.was_dropped(flavour)
    }

    /// Whether a table was dropped between its name and its lock. `pg_dump` says that in two lines: what is wrong, and the statement.
    fn was_dropped(&self, flavour: Flavour) -> bool {
        let says = |words: &str| self.last.iter().any(|line| line.contains(words));
        flavour == Flavour::Postgresql && says(" does not exist") && says("Query was: LOCK TABLE ")
    }

    /// The first of its last lines that means something.
    pub(crate) fn find<T>(&self, meaning: impl Fn(&str) -> Option<T>) -> Option<T> {
        self.last.iter().find_map(|line| meaning(line))
    }

    /// Whether a line is of the statement that `pg_restore` repeats after an error: it may be as long as a function and hold
    /// a password.
    fn is_of_a_statement(&mut self, line: &str) -> bool {
        self.in_statement = line.starts_with("Command was: ")
            || self.in_statement && lines::without_name(line) == line;
        self.in_statement
    }

    fn hear(&mut self, name: &str, flavour: Flavour, line: &str) {
        if self.forgives(line) {
            return;
        }
        self.count += 1;
        if self.count <= PASSED_ON {
            // Most tools begin each line with their name.
            if lines::without_name(line) == line {
                log::say(format_args!("{name}: {line}"));
            } else {
                log::say(line);
            }
        } else if self.count == PASSED_ON + 1 {
            log::say(format_args!(
                "{name} says too much; from here on only its last lines are kept"
            ));
        }
        if self.error.is_none() && lines::is_error(flavour, line) {
            self.error = Some(line.to_owned());
        }
        self.hear_warning(line);
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    fn hear_warning(&mut self, line: &str) {
        if let Some(warning) = lines::warning(line) {
            self.warned = self.warnings.len() < WARNINGS;
            if self.warned {
                self.warnings.push(warning.to_owned());
            }
            return;
        }
        let details = lines::detail(line);
        match (details, self.warnings.last_mut()) {
            (Some(detail), Some(last)) if self.warned && last.len() < LENGTH => {
                let colon = if last.ends_with(':') { " " } else { ": " };
                last.push_str(colon);
                last.push_str(detail);
            }
            (Some(_), _) => {}
            (None, _) => self.warned = false,
        }
    }
}

/// What it has said so far.
pub(crate) fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock()
}

/// Hears what a tool says.
pub(crate) struct Listener<'a, H> {
    /// What the tool calls itself.
    pub name: &'a str,
    /// The kind of server that it is made for.
    pub flavour: Flavour,
    /// Collects what it says.
    pub said: &'a Mutex<Said>,
    /// Hears how far it has come.
    pub hears: H,
}

impl<H: Fn(Line<'_>)> Listener<'_, H> {
    /// Listens until the tool closes its standard error.
    pub(crate) async fn hear(&self, mut stderr: impl AsyncRead + Unpin) {
        let mut line: Vec<u8> = Vec::new();
        let mut bytes = [0_u8; 8192];
        while let Ok(count @ 1..) = stderr.read(&mut bytes).await {
            for &byte in &bytes[..count] {
                if byte == b'\n' {
                    self.line(&line);
                    line.clear();
                } else if line.len() < 4 * LENGTH {
                    line.push(byte);
                }
            }
        }
        self.line(&line);
    }

    fn line(&self, line: &[u8]) {
        let line = cleaned(&String::from_utf8_lossy(line));
        if line.is_empty() {
            return;
        }
        let mut said = lock(self.said);
        match Line::of(self.flavour, &line) {
            Line::Message => {
                if !said.is_of_a_statement(&line) {
                    said.hear(self.name, self.flavour, &line);
                }
            }
            // It is no message, but shows where the tool is.
            of_its_way => {
                said.in_statement = false;
                (self.hears)(of_its_way);
            }
        }
    }
}

/// A line for logs and results: of limited length, without control characters.
fn cleaned(line: &str) -> String {
    let line: String = line
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(LENGTH)
        .collect();
    line.trim_end().to_owned()
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
