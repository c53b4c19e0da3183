//! Whether a failed attempt is followed by another one, and what is different then.
//!
//! That is honest only while the store has seen nothing of it: parts of two attempts must not come together in one object.
//! A small dump can be begun again at any time, a large one only until its first part is full. Later, and after the last
//! attempt here, the operator is told that the failure passes.

use std::ffi::OsString;
use std::time::Duration;

use super::dump::views::{self, BrokenView};
use super::failure::Failure;
use super::protocol::result::Cause;
use super::protocol::task::Flavour;
use super::tool::{Said, lines};

/// The pauses before the next attempts after failures that pass by themselves.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
];

/// One attempt, and what was learnt by those before it.
#[derive(Clone, Debug, Default)]
pub(super) struct Attempt {
    /// The tool and its options.
    pub command: Vec<OsString>,
    /// What the object begins with, before what the tool writes.
    pub before: Vec<u8>,
    /// What the dump lacks because of what is different in this attempt.
    pub warnings: Vec<String>,
    /// How many attempts failed in a way that passes.
    pub passed: usize,
    /// Views that refer to something that is gone were looked for.
    pub looked: bool,
    /// The history of tables is left out.
    pub without_history: bool,
}

impl Attempt {
    /// The next one, without these views.
    #[must_use]
    pub(super) fn without_views(mut self, database: &str, broken: &[BrokenView]) -> Self {
        self.command = views::without(&self.command, database, broken);
        self.before = views::comment(broken);
        self.warnings.extend(views::warnings(broken));
        self.looked = true;
        self
    }

    /// The next one, without the history of tables, because of this one.
    #[must_use]
    pub(super) fn without_history(mut self, table: &str) -> Self {
        self.command = views::with_options(&self.command, ["--skip-dump-history".into()]);
        self.warnings.push(format!(
            "not in the dump: the history of system-versioned tables, since mariadb-dump cannot dump the table {table}, whose history is kept by transactions"
        ));
        self.without_history = true;
        self
    }
}

/// What follows a failed attempt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The same again, after a pause.
    Again(Duration),
    /// Again without the views that refer to something that is gone, once it is known which they are.
    WithoutBrokenViews,
    /// Again without the history of tables, since this table keeps it in a way that the tool cannot read.
    WithoutHistory(String),
    /// Nothing.
    Fail,
}

/// Whether the operator may start all of it again, after the last attempt here: what passes passes there, too, and the
/// operator looks at the catalog for views that are to be left out from the beginning.
#[must_use]
pub(super) fn passes_there(failure: &Failure, said: &Said, attempt: &Attempt) -> bool {
    failure.passing || !attempt.looked && said.find(lines::broken_view).is_some()
}

/// What a person can do about a failure that no attempt gets past.
#[must_use]
pub(super) fn advice(said: &Said) -> &'static str {
    match said.find(lines::history_by_transactions) {
        Some(_) => "; leave --loose-dump-history out of the template of this instance's Jobs",
        None => "",
    }
}

/// Decides what follows. The store has seen bytes of it if `has_sent`; nothing may pause for long in the time `stall`.
#[must_use]
pub(super) fn next(
    failure: &Failure,
    said: &Said,
    attempt: &Attempt,
    flavour: Flavour,
    has_sent: bool,
    stall: Duration,
) -> Next {
    if has_sent || failure.cause != Cause::DumpFailed {
        return Next::Fail;
    }
    if flavour != Flavour::Postgresql {
        if !attempt.looked && said.find(lines::broken_view).is_some() {
            return Next::WithoutBrokenViews;
        }
        let table = said.find(lines::history_by_transactions);
        if let Some(table) = table.filter(|_| !attempt.without_history) {
            return Next::WithoutHistory(table);
        }
    }
    pause(failure, attempt, stall).map_or(Next::Fail, Next::Again)
}

/// The pause before the same is tried again; `None` if the failure does not pass, or has not passed often enough. Nothing may pause for
/// long in the time `stall`.
#[must_use]
pub(super) fn pause(failure: &Failure, attempt: &Attempt, stall: Duration) -> Option<Duration> {
    let pause = PAUSES.get(attempt.passed).filter(|_| failure.passing)?;
    Some((*pause).min(stall / 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(600);

    fn said(line: &str) -> Said {
        let mut said = Said::default();
        said.last.push_back(line.to_owned());
        said
    }

    fn decide(line: &str, attempt: &Attempt, has_sent: bool) -> Next {
        let flavour = Flavour::Mariadb;
        let failure =
            Failure::new(Cause::DumpFailed, "x").passing(lines::is_passing(flavour, line));
        next(&failure, &said(line), attempt, flavour, has_sent, STALL)
    }

    const CHANGED: &str = "mariadb-dump: Error 1412: Table definition has changed, please retry transaction when dumping table `t` at row: 0";

    #[test]
    fn what_passes_is_tried_a_few_times_until_something_was_sent() {
        let mut attempt = Attempt::default();
        for pause in PAUSES {
            assert_eq!(decide(CHANGED, &attempt, true), Next::Fail);
            assert_eq!(decide(CHANGED, &attempt, false), Next::Again(pause));
            attempt.passed += 1;
        }
        assert_eq!(decide(CHANGED, &attempt, false), Next::Fail);
        let denied = "mariadb-dump: Got error: 1045: \"Access denied\" when trying to connect";
        assert_eq!(decide(denied, &Attempt::default(), false), Next::Fail);
        let incomplete = Failure::new(Cause::DumpIncomplete, "x").passing(true);
        let next = next(
            &incomplete,
            &said(CHANGED),
            &Attempt::default(),
            Flavour::Mysql,
            false,
            STALL,
        );
        assert_eq!(next, Next::Fail);
    }

    #[test]
    fn what_the_tool_cannot_dump_is_left_out_once() {
        let view = "mariadb-dump: Couldn't execute 'SHOW FIELDS FROM `v`': View 'd.v' references invalid (1356)";
        let history = "mariadb-dump: Cannot use --dump-history for table `h` with transaction-precise history";
        let mut attempt = Attempt::default();
        assert_eq!(decide(view, &attempt, false), Next::WithoutBrokenViews);
        assert_eq!(decide(view, &attempt, true), Next::Fail);
        let failure = Failure::new(Cause::DumpFailed, "x");
        assert!(passes_there(&failure, &said(view), &attempt));
        assert!(advice(&said(history)).contains("template"));
        let without = Next::WithoutHistory("h".to_owned());
        assert_eq!(decide(history, &attempt, false), without);
        (attempt.looked, attempt.without_history) = (true, true);
        assert_eq!(decide(view, &attempt, false), Next::Fail);
        assert!(!passes_there(&failure, &said(view), &attempt));
        assert_eq!(decide(history, &attempt, false), Next::Fail);
    }
}
