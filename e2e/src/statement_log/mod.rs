//! A database server's own log of statements: which process said what, and whether it still led when it did.
//!
//! - `entry`: what a server writes down, whichever it is
//! - `postgresql`, `mysql`: the lines of their logs
//! - [`terms`]: whose sessions they are, and what a former leader said after its term
//!
//! A session says whose it is: its first statement registers it with the fence, under an epoch. So the log alone tells
//! the sessions of one leader from those of the next, and from those of other clusters.

mod entry;
mod mysql;
mod postgresql;
pub mod terms;

pub use terms::{Takeover, Terms};

use crate::campaign::Engine;
use crate::campaign::server::{Server, text};
use crate::cluster::Cluster;
use crate::servers::{NAMESPACE, STATEMENTS};
use crate::{Error, Result, command};
use entry::Entry;

/// The log of one of the cluster's servers, read from the moment at which this value was made.
pub struct StatementLog {
    engine: Engine,
    cluster: Cluster,
    /// How many bytes of the log were read.
    read: u64,
    terms: Terms,
}

impl StatementLog {
    /// From now on. The operators whose sessions are looked at start later, with this `cluster_id`.
    pub fn from_now(cluster: &Cluster, server: &Server, cluster_id: &str) -> Result<Self> {
        let mut log = Self {
            engine: server.engine,
            cluster: cluster.clone(),
            read: 0,
            terms: Terms::new(cluster_id, text(&server.admin, "username")),
        };
        log.read = log.size()?;
        Ok(log)
    }

    /// Reads what was added. The last statement of all may be written only in part, and is left for the next time.
    pub fn advance(&mut self) -> Result<&mut Terms> {
        let added = self.added()?;
        let whole = complete(self.engine, &added);
        self.read += whole.len() as u64;
        self.terms.note(&entries(self.engine, whole));
        Ok(&mut self.terms)
    }

    /// Reads all that there is, when nobody writes any more.
    pub fn finish(mut self) -> Result<Terms> {
        let rest = self.added()?;
        self.terms.note(&entries(self.engine, &rest));
        Ok(self.terms)
    }

    fn added(&self) -> Result<String> {
        // Bytes that are no text would not be counted as what they are; a line at the end keeps the break before it.
        let script = format!(
            "tail -c +{} {STATEMENTS} | LC_ALL=C tr '\\200-\\377' '?'; echo .",
            self.read + 1
        );
        let added = self.in_pod(&script)?;
        Ok(added.strip_suffix('.').unwrap_or(&added).to_owned())
    }

    fn size(&self) -> Result<u64> {
        let size = self.in_pod(&format!("stat -c %s {STATEMENTS}"))?;
        let size = size.trim().parse();
        size.map_err(Error::trial("read the size of a statement log"))
    }

    fn in_pod(&self, script: &str) -> Result<String> {
        let mut exec = self.cluster.kubectl();
        exec.args(["exec", "--namespace", NAMESPACE])
            .args([&format!("deployment/{}", self.engine.name()), "--"])
            .args(["sh", "-c", script]);
        command::output(&mut exec)
    }
}

/// All but the last entry, which may go on.
fn complete(engine: Engine, text: &str) -> &str {
    let begins = match engine {
        Engine::Postgres => postgresql::begins,
        Engine::Mariadb | Engine::Mysql => mysql::begins,
    };
    let (mut place, mut last) = (0, 0);
    for line in text.split_inclusive('\n') {
        if begins(line) {
            last = place;
        }
        place += line.len();
    }
    &text[..last]
}

fn entries(engine: Engine, text: &str) -> Vec<Entry> {
    match engine {
        Engine::Postgres => postgresql::entries(text),
        Engine::Mariadb | Engine::Mysql => mysql::entries(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_is_left_for_the_next_time() {
        let first = "2026-11-23 23:22:24.000 GMT [1] a@b from 10.0.0.1(1) as x: LOG:  execute s: SELECT $1\n";
        let detail = "2026-11-23 23:22:24.000 GMT [1] a@b from 10.0.0.1(1) as x: DETAIL:  Parameters: $1 = '1'\n";
        let last = "2026-11-23 23:22:24.000 GMT [1] a@b from 10.0.0.1(1) as x: LOG:  execute s: SELECT $1\n\tFROM";
        let whole = format!("{first}{detail}");
        assert_eq!(complete(Engine::Postgres, &format!("{whole}{last}")), whole);
        // Its parameters are on another line.
        assert_eq!(complete(Engine::Postgres, &whole), "");
        assert_eq!(
            complete(Engine::Mysql, "\t\t 1 Query\tSELECT\n1\n\t\t 2 Quit\t\n"),
            "\t\t 1 Query\tSELECT\n1\n"
        );
    }
}
