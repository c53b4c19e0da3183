//! What has to be true in the same transaction as a step of a restore: this process leads, the claim is the claimant's,
//! and each database is the one that was noted.

use std::fmt::Write as _;

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::Postgresql;
use super::creation::PLACE;
use super::error::Failure;
use super::fence::forgotten;
use super::session::Session;
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::Load;
use crate::provider::{Names, ProviderError};

/// SQLSTATEs of our own: a newer process leads; the claim or a database is not what was noted; a name is somebody else's.
const NOT_LEADING: &str = "DBO01";
const CHANGED_HANDS: &str = "DBO02";
const TAKEN: &str = "DBO03";

/// Whose claim has to stand on which target.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    names: Names,
    clusters: Vec<String>,
    /// Namespace and name of the object; `None`: any of the clusters.
    object: Option<(String, String)>,
}

/// What has to be true.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checks<'a> {
    /// The claim that has to stand, if one has to.
    pub(super) claimed: Option<&'a Claimed>,
    /// Names of databases, with which databases they have to be.
    pub(super) databases: &'a [(&'a str, &'a str)],
}

/// What came of a transaction with checks.
#[derive(Debug)]
pub(super) enum Checked {
    /// It was done.
    Done,
    /// The claim or a database is not what was noted: a sentence. Nothing was done.
    ChangedHands(String),
    /// A name is somebody else's: a sentence. Nothing was done.
    Taken(String),
    /// Something else is in the way. Nothing was done, if the server answered.
    Failed(Failure),
}

impl Claimed {
    /// The claim that a load needs.
    pub(super) fn by(load: &Load) -> Self {
        let mut clusters = vec![load.claimant.cluster_id.clone()];
        clusters.extend(load.take_over_from.iter().cloned());
        Self {
            names: load.target.clone(),
            clusters,
            object: Some((load.claimant.namespace.clone(), load.claimant.name.clone())),
        }
    }

    /// The claim of whichever object of a cluster.
    pub(super) fn of_cluster(names: &Names, cluster_id: &str) -> Self {
        Self {
            names: names.clone(),
            clusters: vec![cluster_id.to_owned()],
            object: None,
        }
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Binds the first five parameters of a query about a restore.
    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        let (namespace, name) = self.object.as_ref().map_or((None, None), |(one, other)| {
            (Some(one.as_str()), Some(other.as_str()))
        });
        query
            .bind(self.names.database.as_str())
            .bind(self.names.role.as_str())
            .bind(&self.clusters)
            .bind(namespace)
            .bind(name)
    }

    /// SQL: the claim's row.
    pub(super) fn condition(&self) -> String {
        let clusters: Vec<String> = self
            .clusters
            .iter()
            .map(|id| postgresql_literal(id))
            .collect();
        let object = self
            .object
            .as_ref()
            .map_or_else(String::new, |(namespace, name)| {
                format!(
                    " AND namespace = {} AND name = {}",
                    postgresql_literal(namespace),
                    postgresql_literal(name)
                )
            });
        format!(
            "database_name = {} AND role_name = {} AND NOT released AND cluster_id IN ({}){object}",
            postgresql_literal(self.names.database.as_str()),
            postgresql_literal(self.names.role.as_str()),
            clusters.join(", "),
        )
    }

    /// Why a claim that does not stand stops a restore.
    pub(super) fn missing(&self) -> String {
        let whose = self.object.as_ref().map_or_else(
            || "this cluster's".to_owned(),
            |(namespace, name)| format!("that of Database {namespace}/{name}"),
        );
        format!(
            "the claim on database {:?} and user {:?} is released, or is not {whose} any more",
            self.names.database, self.names.role
        )
    }
}

impl Postgresql {
    /// Runs these statements in one transaction, in which the checks come first.
    pub(super) async fn checked(
        &self,
        session: &mut Session,
        doing: &str,
        checks: Checks<'_>,
        statements: Vec<String>,
    ) -> Result<Checked, ProviderError> {
        let Some(epoch) = *self.epoch.lock().await else {
            // The server was rebuilt under the session.
            return Err(forgotten());
        };
        let mut all = vec![checks.statement(self.fence.cluster_id(), epoch, self.fence.process())];
        all.extend(statements);
        let Err(failure) = session.transaction(doing, &all).await else {
            return Ok(Checked::Done);
        };
        match failure.code() {
            Some(NOT_LEADING) => {
                self.is_held(session, epoch).await?;
                Err(forgotten())
            }
            Some(CHANGED_HANDS) => Ok(Checked::ChangedHands(failure.said())),
            Some(TAKEN) => Ok(Checked::Taken(failure.said())),
            Some(_) | None => Ok(Checked::Failed(failure)),
        }
    }
}

impl Checks<'_> {
    /// The rows of epoch and claim stay locked until the transaction ends: whoever raises the epoch or releases the claim
    /// meanwhile waits for it, and whoever was faster is seen.
    fn statement(self, cluster: &str, epoch: i64, process: &str) -> String {
        let mut body = format!(
            "BEGIN\n  PERFORM 1 FROM db_operator.epochs WHERE cluster_id = {} AND epoch = {epoch} AND process = {} \
             FOR SHARE;\n{}",
            postgresql_literal(cluster),
            postgresql_literal(process),
            unless("FOUND", NOT_LEADING, "a newer process leads"),
        );
        if let Some(claimed) = self.claimed {
            let _ = write!(
                body,
                "  PERFORM 1 FROM db_operator.claims WHERE {} FOR UPDATE;\n{}",
                claimed.condition(),
                unless("FOUND", CHANGED_HANDS, &claimed.missing()),
            );
        }
        for (name, id) in self.databases {
            let is = format!(
                "EXISTS (SELECT FROM pg_database WHERE datname = {} AND {PLACE} || oid = {})",
                postgresql_literal(name),
                postgresql_literal(id)
            );
            body.push_str(&unless(&is, CHANGED_HANDS, &not_noted(name)));
        }
        body.push_str("END");
        format!("DO {}", postgresql_literal(&body))
    }
}

/// Why a database that is not the noted one stops a restore.
pub(super) fn not_noted(database: &str) -> String {
    format!(
        "the database {database:?} is not the one that was noted: it was dropped, renamed or made again by someone else"
    )
}

/// A statement that aborts the transaction unless what was just noted is there.
pub(super) fn assert_exists(query: &str, sentence: &str) -> String {
    let body = format!(
        "BEGIN\n{}END",
        unless(&format!("EXISTS ({query})"), CHANGED_HANDS, sentence)
    );
    format!("DO {}", postgresql_literal(&body))
}

/// A statement that aborts the transaction if something has one of these names. What is claimed counts, and what is in the
/// way of another restore.
pub(super) fn assert_free(databases: &[&str], role: &str) -> String {
    let literals: Vec<String> = databases
        .iter()
        .map(|name| postgresql_literal(name))
        .collect();
    let list = literals.join(", ");
    let role_literal = postgresql_literal(role);
    let taken = format!(
        "NOT EXISTS (SELECT FROM pg_database WHERE datname IN ({list})) \
         AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {role_literal}) \
         AND NOT EXISTS (SELECT FROM db_operator.claims WHERE database_name IN ({list}) OR role_name = {role_literal}) \
         AND NOT EXISTS (SELECT FROM db_operator.scratch WHERE database_name IN ({list}) OR other_name IN ({list}) \
         OR role_name = {role_literal})"
    );
    let sentence = format!(
        "one of the databases {} or the user {role:?} exists already, or is claimed, and was not made for this restore: \
         rename or drop it",
        databases
            .iter()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(" and ")
    );
    let body = format!("BEGIN\n{}END", unless(&taken, TAKEN, &sentence));
    format!("DO {}", postgresql_literal(&body))
}

fn unless(condition: &str, code: &str, sentence: &str) -> String {
    format!(
        "  IF NOT ({condition}) THEN\n    RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = {};\n  END IF;\n",
        postgresql_literal(sentence)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SqlName;

    #[test]
    fn names_cannot_end_the_statement_that_checks_them() {
        let hostile = "x'; END $$ \\";
        let names = Names {
            database: SqlName::new(hostile).unwrap(),
            role: SqlName::new("r").unwrap(),
        };
        let claimed = Claimed {
            names,
            clusters: vec!["c".to_owned(), "former".to_owned()],
            object: Some(("n".to_owned(), "o".to_owned())),
        };
        let checks = Checks {
            claimed: Some(&claimed),
            databases: &[(hostile, "1.2/3")],
        };
        let sql = checks.statement("c", 7, "p");
        assert!(sql.starts_with("DO E'BEGIN"), "{sql}");
        // Quoted as a literal in the block, and the block as a literal in the statement.
        assert!(
            sql.contains("database_name = E''x''''; END $$ \\\\\\\\''"),
            "{sql}"
        );
        assert!(sql.contains("cluster_id IN (''c'', ''former'')"), "{sql}");
        assert!(sql.ends_with("END'"), "{sql}");
    }
}
