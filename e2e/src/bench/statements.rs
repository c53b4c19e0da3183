//! What the operator asked of a database server, from the server's statement log.

use std::collections::HashSet;

use super::server::Engine;
use crate::cluster::Cluster;
use crate::servers::{NAMESPACE, STATEMENTS};
use crate::{Error, Result, command};

/// How the operator's sessions on PostgreSQL are called.
const APPLICATION: &str = "db-operator";

/// A place in a server's log, from which it is read on.
pub(super) struct Statements {
    engine: Engine,
    /// The administrator's name, as whom the operator works.
    administrator: String,
    offset: u64,
    /// MariaDB: the administrator's connections.
    threads: HashSet<u64>,
}

/// What one server was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Messages with one or more statements.
    pub(super) statements: u64,
    /// Those of them in a session of a tenant's user, which tries its login (PostgreSQL).
    pub(super) as_users: u64,
    /// Logins: the administrator's and those that try a tenant's password.
    pub(super) connections: u64,
}

impl Statements {
    pub(super) fn new(engine: Engine, administrator: String) -> Self {
        Self {
            engine,
            administrator,
            offset: 0,
            threads: HashSet::new(),
        }
    }

    /// Counts what was added since the last call.
    pub(super) fn advance(&mut self, cluster: &Cluster) -> Result<Asked> {
        let shell = |script: &str| {
            let mut exec = cluster.kubectl();
            exec.args(["exec", "--namespace", NAMESPACE])
                .args([&format!("deployment/{}", self.engine.name()), "--"])
                .args(["sh", "-c", script]);
            command::output(&mut exec)
        };
        let size = shell(&format!("wc -c < {STATEMENTS}"))?;
        let size: u64 = size
            .trim()
            .parse()
            .map_err(Error::trial("read the size of a statement log"))?;
        let (from, length) = (self.offset + 1, size.saturating_sub(self.offset));
        let added = if self.offset == 0 {
            // What came before the first call is nobody's.
            String::new()
        } else {
            shell(&format!("tail -c +{from} {STATEMENTS} | head -c {length}"))?
        };
        self.offset = size;
        Ok(match self.engine {
            Engine::Postgres => on_postgres(&added),
            Engine::Mariadb => self.on_mariadb(&added),
        })
    }

    fn on_mariadb(&mut self, log: &str) -> Asked {
        let mut asked = Asked::default();
        for (thread, what, rest) in log.lines().filter_map(mariadb_entry) {
            let user = rest.split('@').next().unwrap_or_default();
            match what {
                "Connect" if user == self.administrator => {
                    self.threads.insert(thread);
                    asked.connections += 1;
                }
                "Connect" if user.starts_with(super::phase::PREFIX) => asked.connections += 1,
                "Query" | "Prepare" | "Execute" if self.threads.contains(&thread) => {
                    asked.statements += 1;
                }
                _ => {}
            }
        }
        asked
    }
}

fn on_postgres(log: &str) -> Asked {
    let session = format!(" as {APPLICATION}");
    let login = format!("application_name={APPLICATION}");
    let mut asked = Asked::default();
    for line in log.lines() {
        if line.contains("connection authorized") && line.contains(&login) {
            asked.connections += 1;
        } else if let Some((_, rest)) = line.split_once(&session)
            && let Some((_, message)) = rest.split_once(": LOG:  ")
            && (message.starts_with("execute ") || message.starts_with("statement: "))
        {
            asked.statements += 1;
            asked.as_users += u64::from(is_of_a_tenant(line));
        }
    }
    asked
}

/// Whether a line of PostgreSQL's log, `… [process] user@database from …`, is of a session of a Database's user.
fn is_of_a_tenant(line: &str) -> bool {
    let after_process = line.split_once("] ").map(|(_, rest)| rest);
    after_process.is_some_and(|rest| rest.starts_with(super::phase::PREFIX))
}

/// A line of the general log: an optional time, the connection's number and a command, and the command's text.
fn mariadb_entry(line: &str) -> Option<(u64, &str, &str)> {
    let mut fields = line.split('\t').skip(1);
    let first = fields.next()?;
    let entry = if first.is_empty() {
        fields.next()?
    } else {
        first
    };
    let (thread, what) = entry.trim().split_once(' ')?;
    Some((
        thread.parse().ok()?,
        what.trim(),
        fields.next().unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_operators_statements_on_postgresql_count_and_a_tenants_are_told_apart() {
        let log = "\
2026-11-23 23:22:24 GMT [1] a@b from 10.0.0.1(1) as db-operator: LOG:  execute sqlx_s_1: SELECT 1
\tFROM x
2026-11-23 23:22:24 GMT [1] a@b from 10.0.0.1(1) as db-operator: DETAIL:  Parameters: $1 = NULL
2026-11-23 23:22:24 GMT [1] a@b from 10.0.0.1(1) as db-operator: LOG:  statement: BEGIN;
2026-11-23 23:22:24 GMT [4] a@b from 10.0.0.1(1) as db-operator visit 0123456789abcdef: LOG:  execute sqlx_s_1: SELECT 1
2026-11-23 23:22:24 GMT [2] a@b from 10.0.0.1(1) as psql: LOG:  statement: SELECT 2
2026-11-23 23:22:24 GMT [5] bench1@bench1 from 10.0.0.1(1) as db-operator: LOG:  execute sqlx_s_1: SELECT 3
2026-11-23 23:22:24 GMT [3] a@b from 10.0.0.1(1) as [unknown]: LOG:  connection authorized: user=a application_name=db-operator SSL enabled
";
        let expected = Asked {
            statements: 4,
            as_users: 1,
            connections: 1,
        };
        assert_eq!(on_postgres(log), expected);
    }

    #[test]
    fn only_the_administrators_statements_on_mariadb_count() {
        let log = "261123 23:23:08\t    11 Connect\troot@localhost on  using SSL/TLS
\t\t    11 Query\tSELECT 1
\t\t    12 Connect\tadmin@10.0.0.1 on  using SSL/TLS
\t\t    12 Prepare\tSELECT 2
FROM x
\t\t    12 Execute\tSELECT 2
\t\t    13 Connect\tbench1@10.0.0.1 on bench1 using SSL/TLS
\t\t    12 Quit\t
";
        let mut statements = Statements::new(Engine::Mariadb, "admin".to_owned());
        let expected = Asked {
            statements: 2,
            as_users: 0,
            connections: 2,
        };
        assert_eq!(statements.on_mariadb(log), expected);
    }
}
