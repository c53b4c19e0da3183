//! What a line on a tool's standard error means.
//!
//! The tools speak English, because their environment says `LC_ALL=C.UTF-8`. The server's own words may be in another
//! language on PostgreSQL; then a failure that would pass is taken for one that stays.

use crate::agent::protocol::task::Flavour;

/// What the tools call themselves at the beginning of a line.
const NAMES: &[&str] = &["pg_dump: ", "pg_restore: ", "mysqldump: ", "mariadb-dump: "];

/// A line, as `--verbose` tells of the tool's way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Line<'a> {
    /// The tool begins with this table, or, on MySQL and MariaDB, with this view.
    Table(&'a str),
    /// What has just begun is a view.
    View,
    /// `pg_restore` makes this: `INDEX "public.orders_at"`.
    Made(&'a str),
    /// It tells what it does, and nothing needs to be known of it.
    Chatter,
    /// Everything else.
    Message,
}

/// How lines of `pg_dump --verbose` and `pg_restore --verbose` begin that say what they do. Messages have a level (`error: `)
/// in this place.
const CHATTER: &[&str] = &[
    "last built-in OID is ",
    "reading ",
    "identifying ",
    "finding ",
    "flagging ",
    "saving ",
    "dumping ",
    "processing ",
    "executing ",
    "connecting to database ",
    "implied ",
    "entering main parallel loop",
    "finished main parallel loop",
    "launching item ",
    "finished item ",
    "skipping item ",
    "no item ready",
    "restoring ",
    "restored ",
    "reducing dependencies ",
    "transferring dependency ",
    "table ",
    "disabling triggers ",
    "enabling triggers ",
    "dropping ",
    "setting owner and privileges ",
    "starting ",
];

impl<'a> Line<'a> {
    /// Recognizes a line.
    #[must_use]
    pub(crate) fn of(flavour: Flavour, line: &'a str) -> Self {
        match flavour {
            Flavour::Postgresql => postgresql(line),
            Flavour::Mysql | Flavour::Mariadb => mysql(line),
        }
    }
}

/// `pg_dump: dumping contents of table "public.orders"`, `pg_restore: processing data for table "public.orders"`; the tools do
/// not escape quotes in it.
fn postgresql(line: &str) -> Line<'_> {
    let text = line
        .strip_prefix("pg_dump: ")
        .or_else(|| line.strip_prefix("pg_restore: "));
    let Some(text) = text else {
        return Line::Message;
    };
    if let Some(made) = text.strip_prefix("creating ") {
        return Line::Made(made);
    }
    let table = text
        .strip_prefix("dumping contents of table \"")
        .or_else(|| text.strip_prefix("processing data for table \""))
        .and_then(|rest| rest.strip_suffix('"'));
    match table {
        Some(table) => Line::Table(table),
        None if CHATTER.iter().any(|begin| text.starts_with(begin)) => Line::Chatter,
        None => Line::Message,
    }
}

/// `-- Retrieving table structure for table orders...`. Warnings, too, may begin with dashes.
fn mysql(line: &str) -> Line<'_> {
    let Some(text) = line.strip_prefix("-- ") else {
        return Line::Message;
    };
    let table = text
        .strip_prefix("Retrieving table structure for table ")
        .and_then(|rest| rest.strip_suffix("..."));
    if let Some(table) = table {
        return Line::Table(table);
    }
    if text.starts_with("It's a view") {
        return Line::View;
    }
    let text = text.to_lowercase();
    if text.starts_with("warning") || text.starts_with("error") {
        return Line::Message;
    }
    Line::Chatter
}

/// The line without the tool's name.
#[must_use]
pub(crate) fn without_name(line: &str) -> &str {
    NAMES
        .iter()
        .find_map(|name| line.strip_prefix(name))
        .unwrap_or(line)
}

/// Whether a line means that the dump lacks something, whatever the exit status.
#[must_use]
pub(crate) fn is_error(flavour: Flavour, line: &str) -> bool {
    let text = line.to_lowercase();
    match flavour {
        Flavour::Postgresql => {
            text.starts_with("pg_dump: error: ") || text.starts_with("pg_restore: error: ")
        }
        // Warnings begin with `Warning`, `[Warning]`, `-- Warning` or `WARNING`, and any word may follow.
        Flavour::Mysql | Flavour::Mariadb => [
            "error",
            "got error",
            "got errno",
            "couldn't ",
            "[error]",
            "-- error",
        ]
        .iter()
        .any(|begin| without_name(&text).starts_with(begin)),
    }
}

/// What `pg_restore` says from 17 on where the server is older, once for each of its sessions, and nothing else.
#[must_use]
pub(crate) fn is_unknown_setting(line: &str) -> bool {
    line == "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\""
}

/// Whether `pg_restore` says that it has come to its end, after errors that it went on after.
#[must_use]
pub(crate) fn went_on(line: &str) -> bool {
    let errors = line.strip_prefix("pg_restore: warning: errors ignored on restore: ");
    errors.is_some_and(|errors| errors.parse::<u32>().is_ok())
}

/// Warnings that say nothing about the dump: of options that only some tools know, and of how the tool logs in.
const NOT_OF_THE_DUMP: &[&str] = &[
    "--loose-",
    "'loose-",
    "password on the command line",
    "--ssl-verify-server-cert",
];

/// What a warning says about the dump.
#[must_use]
pub(crate) fn warning(line: &str) -> Option<&str> {
    let text = without_name(line);
    let says = ["warning: ", "[warning] ", "-- warning: "]
        .iter()
        .find_map(|begin| {
            let head = text.get(..begin.len())?;
            head.eq_ignore_ascii_case(begin)
                .then(|| &text[begin.len()..])
        })?;
    let of_the_dump = !NOT_OF_THE_DUMP.iter().any(|words| says.contains(words));
    of_the_dump.then_some(says)
}

/// What a line adds to the warning before it: `pg_dump: detail: orders`.
#[must_use]
pub(crate) fn detail(line: &str) -> Option<&str> {
    line.strip_prefix("pg_dump: detail: ")
}

/// Errors of MySQL and MariaDB that pass by themselves, and leave the connection as it is.
const PASSING: &[u32] = &[
    1146, // a table that was dropped between its name and its rows
    1213, // a deadlock
    1412, // a table changed since the transaction began
];

/// Those with which a tool has no connection, or no longer.
const WITHOUT_CONNECTION: &[u32] = &[
    1040, // too many connections
    1047, // a node of Galera that has no quorum yet
    1053, // the server shuts down
    1158, 1159, 1160, 1161, // the connection failed
    1203, // more connections than max_user_connections
    2002, 2003, // nobody listens, as while a server restarts
    2006, 2013, 2055, // the connection was lost
];

/// What `mysqldump` says of a table that has more columns now than when the transaction began.
const MORE_COLUMNS: &str = "Error in field count for table";

/// An account's limit; it passes if the limit is that of connections, and not one for an hour.
const RESOURCE: u32 = 1226;

/// What PostgreSQL says of failures that pass by themselves.
const PASSING_WORDS: &[&str] = &[
    "too many connections for ",
    "too many clients already",
    "remaining connection slots are reserved",
    "the database system is ",
    "terminating connection due to administrator command",
    "terminating connection because of crash of another server process",
    "server closed the connection unexpectedly",
    "connection has been closed unexpectedly",
    "connection to server was lost",
    "Connection refused",
    "Connection reset by peer",
    "canceling statement due to conflict with recovery",
    "deadlock detected",
    // Tables that were dropped after pg_dump had read the catalog.
    "could not open relation with OID",
    "cache lookup failed for ",
];

/// Whether a line tells of a transient failure.
#[must_use]
pub(crate) fn is_passing(flavour: Flavour, line: &str) -> bool {
    match flavour {
        Flavour::Postgresql => PASSING_WORDS.iter().any(|words| line.contains(words)),
        Flavour::Mysql | Flavour::Mariadb => {
            without_name(line).starts_with(MORE_COLUMNS)
                || is_without_connection(line)
                || code(line).is_some_and(|code| PASSING.contains(&code))
        }
    }
}

/// Whether a tool of MySQL or MariaDB says that it has no connection to the server, or no longer.
#[must_use]
pub(crate) fn is_without_connection(line: &str) -> bool {
    let connections = line.contains("max_user_connections");
    code(line)
        .is_some_and(|code| WITHOUT_CONNECTION.contains(&code) || code == RESOURCE && connections)
}

/// The error's number: `Got error: 1045: …`, `Error 1412: …`, `Couldn't execute '…': … (1356)`.
fn code(line: &str) -> Option<u32> {
    let text = without_name(line);
    let number = |text: &str| {
        let end = text
            .find(|char: char| !char.is_ascii_digit())
            .unwrap_or(text.len());
        text[..end].parse().ok()
    };
    ["Got error: ", "Error: ", "Error "]
        .iter()
        .find_map(|begin| number(text.strip_prefix(begin)?))
        .or_else(|| {
            let (_, bracketed) = text.strip_suffix(')')?.rsplit_once('(')?;
            bracketed.parse().ok()
        })
}

/// A view that refers to something that is gone, or may no longer be used by its definer.
const INVALID_VIEW: u32 = 1356;

/// The view that the tool cannot dump because of what it refers to. The tool needs its columns:
/// ``Couldn't execute 'SHOW FIELDS FROM `v`': View 'd.v' references invalid table(s) … (1356)``.
#[must_use]
pub(crate) fn broken_view(line: &str) -> Option<String> {
    if code(line) != Some(INVALID_VIEW) {
        return None;
    }
    let text = without_name(line).strip_prefix("Couldn't execute 'SHOW FIELDS FROM ")?;
    let (name, rest) = quoted(text)?;
    rest.starts_with("': ").then_some(name)
}

/// A name in backquotes at the beginning of a text, and what follows it.
#[must_use]
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('`')?;
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('`')?;
        name.push_str(part);
        match after.strip_prefix('`') {
            Some(after) => {
                name.push('`');
                rest = after;
            }
            None => return Some((name, after)),
        }
    }
}

/// The table whose history `mariadb-dump --dump-history` cannot read: it is kept by transactions instead of times.
#[must_use]
pub(crate) fn history_by_transactions(line: &str) -> Option<String> {
    let text = without_name(line).strip_prefix("Cannot use --dump-history for table ")?;
    quoted(text).map(|(name, _)| name)
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
