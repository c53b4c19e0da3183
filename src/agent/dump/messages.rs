//! What the tool says on its standard error. It is passed on to the log as it comes, its last lines are kept for the result,
//! and it is searched for errors, because `mysqldump` may run into one and still exit with 0.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::agent::log;
use crate::agent::protocol::task::Flavour;

/// How many lines the result may show.
const KEPT: usize = 20;
/// How many characters of a line are kept.
const LENGTH: usize = 400;
/// How many lines are passed on: a flooded log is useless, and may fill the node's disk.
const PASSED_ON: u64 = 2000;

/// What a tool has said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Said {
    /// The last lines.
    pub last: VecDeque<String>,
    /// The first line which says that something is missing from the dump.
    pub error: Option<String>,
    count: u64,
}

impl Said {
    /// The line that says what is wrong: the newest one with an error, since hints and details come after it.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        let error = |line: &&String| line.to_lowercase().contains("error");
        let more = |line: &&String| line.contains(": hint: ") || line.contains(": detail: ");
        let newest = || self.last.iter().rev();
        let line = newest()
            .find(error)
            .or_else(|| newest().find(|line| !more(line)))
            .or(self.last.back());
        line.map(String::as_str)
    }

    /// The newest line which says that the tool waited too long for a lock that another session holds.
    #[must_use]
    pub fn lock(&self, flavour: Flavour) -> Option<&str> {
        let says = |words: &str| {
            let mut newest = self.last.iter().rev();
            newest.find(|line| line.contains(words)).map(String::as_str)
        };
        match flavour {
            // The statements of pg_dump have a time limit only while it takes its locks.
            Flavour::Postgresql => says("statement timeout").and(says("LOCK TABLE ")),
            Flavour::Mysql | Flavour::Mariadb => says("Lock wait timeout exceeded"),
        }
    }

    fn hear(&mut self, name: &str, flavour: Flavour, line: &str) {
        let line: String = line
            .trim_end()
            .chars()
            .map(|char| if char.is_control() { ' ' } else { char })
            .take(LENGTH)
            .collect();
        if line.is_empty() {
            return;
        }
        self.count += 1;
        if self.count <= PASSED_ON {
            log::say(format_args!("{name}: {line}"));
        } else if self.count == PASSED_ON + 1 {
            log::say(format_args!(
                "{name} says too much; from here on only its last lines are kept"
            ));
        }
        if self.error.is_none() && is_error(flavour, &line) {
            self.error = Some(line.clone());
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

/// What it has said so far.
pub fn lock(said: &Mutex<Said>) -> MutexGuard<'_, Said> {
    said.lock()
}

/// Listens to the tool until it closes its standard error.
pub async fn hear(
    mut stderr: impl AsyncRead + Unpin,
    name: &str,
    flavour: Flavour,
    said: &Mutex<Said>,
) {
    let mut line: Vec<u8> = Vec::new();
    let mut bytes = [0_u8; 8192];
    let heard = |line: &[u8]| {
        lock(said).hear(name, flavour, &String::from_utf8_lossy(line));
    };
    while let Ok(count @ 1..) = stderr.read(&mut bytes).await {
        for &byte in &bytes[..count] {
            if byte == b'\n' {
                heard(&line);
                line.clear();
            } else if line.len() < 4 * LENGTH {
                line.push(byte);
            }
        }
    }
    heard(&line);
}

/// Whether a line means that the dump lacks something, whatever the exit status.
fn is_error(flavour: Flavour, line: &str) -> bool {
    let text = line.to_lowercase();
    match flavour {
        Flavour::Postgresql => text.starts_with("pg_dump: error: "),
        Flavour::Mysql | Flavour::Mariadb => {
            let message = ["mysqldump: ", "mariadb-dump: "]
                .iter()
                .find_map(|name| text.strip_prefix(name))
                .unwrap_or(&text);
            // Warnings begin with `Warning`, `[Warning]`, `-- Warning` or `WARNING`, and any word may follow.
            [
                "error",
                "got error",
                "got errno",
                "couldn't ",
                "[error]",
                "-- error",
            ]
            .iter()
            .any(|begin| message.starts_with(begin))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_distinguished_from_warnings() {
        for line in [
            "mysqldump: Error: 'Access denied; you need (at least one of) the PROCESS privilege(s) for this operation' when trying to dump tablespaces",
            "mysqldump: Couldn't execute 'SHOW FUNCTION STATUS': denied (1227)",
            "mysqldump: Got error: 1449: The user does not exist when using LOCK TABLES",
            "Error: SELECT command denied to user for table 'column_masking_policy'",
            "mariadb-dump: Error 2013: Lost connection to server during query when dumping table `t` at row: 3",
            "mysqldump: Got errno 32 on write",
        ] {
            assert!(is_error(Flavour::Mysql, line), "{line}");
        }
        for line in [
            "mysqldump: [Warning] Using a password on the command line interface can be insecure.",
            "WARNING: option --ssl-verify-server-cert is disabled, because of an insecure passwordless login.",
            "mariadb-dump: Deprecated program name. It will be removed in a future release, use '/usr/bin/mariadb-dump' instead",
            "mysqldump: [Warning] unknown option '--loose-skip-masking-policies'.",
            "Warning: A partial dump from a server that has GTIDs will by default include the GTIDs, error or not",
            "-- Warning: column statistics not supported by the server.",
        ] {
            assert!(!is_error(Flavour::Mysql, line), "{line}");
        }
        let circular =
            "pg_dump: warning: there are circular foreign-key constraints on this table:";
        assert!(!is_error(Flavour::Postgresql, circular));
        let lost =
            "pg_dump: error: Dumping the contents of table \"t\" failed: PQgetResult() failed.";
        assert!(is_error(Flavour::Postgresql, lost));
    }

    #[test]
    fn a_hint_is_not_what_is_wrong() {
        let mut said = Said::default();
        assert_eq!(said.complaint(), None);
        let lines = [
            "pg_dump: error: no",
            "pg_dump: detail: because",
            "pg_dump: hint: Try \"pg_dump --help\" for more information.",
        ];
        said.last.push_back(lines[2].to_owned());
        assert_eq!(said.complaint(), Some(lines[2]));
        said.last = lines.map(str::to_owned).into();
        assert_eq!(said.complaint(), Some(lines[0]));
        said.last
            .push_back("password retrieved from file".to_owned());
        assert_eq!(said.complaint(), Some(lines[0]));
        said.last = ["pg_dump: unrecognized option", lines[2]]
            .map(str::to_owned)
            .into();
        assert_eq!(said.complaint(), Some("pg_dump: unrecognized option"));
    }

    #[test]
    fn waiting_too_long_for_a_lock_is_distinguished_from_other_failures() {
        let of = |lines: &[&str], flavour| {
            let said = Said {
                last: lines.iter().map(ToString::to_string).collect(),
                ..Said::default()
            };
            said.lock(flavour).map(ToOwned::to_owned)
        };
        let timeout =
            "pg_dump: error: query failed: ERROR:  canceling statement due to statement timeout";
        let lock = "pg_dump: detail: Query was: LOCK TABLE public.orders IN ACCESS SHARE MODE";
        let denied = "pg_dump: error: query failed: ERROR:  permission denied for table orders";
        let postgresql = Flavour::Postgresql;
        assert_eq!(of(&[timeout, lock], postgresql).as_deref(), Some(lock));
        assert_eq!(of(&[denied, lock], postgresql), None);
        assert_eq!(of(&[timeout], postgresql), None);
        let mysql = "mysqldump: Couldn't execute 'SHOW CREATE TABLE `t`': Lock wait timeout exceeded; try restarting transaction (1205)";
        assert_eq!(of(&[mysql], Flavour::Mysql).as_deref(), Some(mysql));
        assert_eq!(of(&[mysql], postgresql), None);
    }

    #[tokio::test]
    async fn a_flood_leaves_its_last_lines() {
        let mut text: Vec<u8> = (0..3000)
            .flat_map(|number| format!("line {number} \u{1b}[31m\n").into_bytes())
            .collect();
        text.extend(vec![b'x'; 100_000]);
        let said = Mutex::default();
        hear(&text[..], "tool", Flavour::Postgresql, &said).await;
        let said = said.into_inner();
        assert_eq!((said.last.len(), said.count), (KEPT, 3001));
        assert_eq!(said.last[KEPT - 2], "line 2999  [31m");
        assert_eq!(said.last[KEPT - 1].len(), LENGTH);
    }
}
