//! The operator's tables about restores: who is locked out by a load (`scratch`), and what was restored (`restores`).
//!
//! A row of `scratch` says how the target's user is let in again, and whether everything in the target comes from a load:
//! it was seen empty while nobody else could log in, and the user still has a password that was made for a load. As soon
//! as anyone gave it another one, that is no longer known. `trial.rs` has rows of its own there.

use sha2::{Digest, Sha256};

use super::checks::Task;
use super::dialect::Dialect;
use super::error;
use super::rows::Account;
use super::session::{Row, Session};
use crate::provider::restore::{RestoreId, Restored};
use crate::provider::{ProviderError, SqlName, Verifier};

/// What the tables of a target that is loaded are for. Other purposes are of other operators' versions.
const PURPOSE: &str = "load";

/// The statements that make the tables, if they are missing.
pub(super) fn tables(dialect: &Dialect) -> [String; 2] {
    let exact = dialect.exact_collation();
    [
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.scratch (database_name VARCHAR(63) PRIMARY KEY, \
             role_name VARCHAR(63) NOT NULL, purpose VARCHAR(16) NOT NULL, restore_id VARCHAR(64) NOT NULL, \
             cluster_id VARCHAR(253) NOT NULL, namespace VARCHAR(253) NOT NULL, name VARCHAR(253) NOT NULL, \
             uid VARCHAR(253) NOT NULL, seen_empty BOOLEAN NOT NULL, marks VARCHAR(253) NOT NULL, \
             former_plugin VARCHAR(64) NOT NULL, former_hash TEXT NOT NULL, former_limit BIGINT NOT NULL, \
             locked_at BIGINT NOT NULL) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.restores (id VARCHAR(64) PRIMARY KEY, \
             cluster_id VARCHAR(253) NOT NULL, namespace VARCHAR(253) NOT NULL, name VARCHAR(253) NOT NULL, \
             uid VARCHAR(253) NOT NULL, spec_hash VARCHAR(64) NOT NULL, target_database VARCHAR(63) NOT NULL, \
             target_role VARCHAR(63) NOT NULL, done_at BIGINT NOT NULL, downtime_ms BIGINT NOT NULL) \
             ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
    ]
}

/// Milliseconds since 1970, by the server's clock.
const NOW: &str = "CAST(ROUND(UNIX_TIMESTAMP(NOW(3)) * 1000) AS SIGNED)";

/// A row of `scratch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScratchRow {
    role: String,
    restore_id: String,
    uid: String,
    /// The target was empty while its user was locked out.
    pub(super) seen_empty: bool,
    /// What tells the passwords apart that the user may have by now, all of them made for a load.
    pub(super) marks: Vec<String>,
    /// What the user had before.
    pub(super) former: Former,
    /// When its user was locked out, in milliseconds since 1970 by the server's clock; 0 is now.
    pub(super) locked_at: i64,
    /// The restore that it is for is recorded as done.
    pub(super) recorded: bool,
}

/// What the user of a target had before it was locked out.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) plugin: String,
    pub(super) hash: String,
    /// Sessions at once; 0 is no limit.
    pub(super) limit: i64,
}

impl std::fmt::Debug for Former {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Former")
            .field("plugin", &self.plugin)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// How far a load into a target is, from its row and from its user's account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// No load has begun, or somebody has let the user in since: what is in the target may be anyone's.
    Open,
    /// The user is locked out. The target was not seen empty since.
    LockedOut,
    /// The user is locked out, and all that is in the target comes from a load.
    Loading,
    /// The restore is recorded. The user is still locked out.
    Recorded,
}

/// How far a load into the target of this user is.
pub(super) fn stage(row: Option<&ScratchRow>, account: &Account) -> Stage {
    let Some(row) = row else {
        return Stage::Open;
    };
    let is_locked_out =
        row.role == account.user && row.marks.contains(&mark(&account.plugin, &account.hash));
    match (is_locked_out, row.recorded, row.seen_empty) {
        (false, _, _) => Stage::Open,
        (true, true, _) => Stage::Recorded,
        (true, false, true) => Stage::Loading,
        (true, false, false) => Stage::LockedOut,
    }
}

/// What tells one stored password from all others.
pub(super) fn mark(plugin: &str, hash: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(plugin);
    digest.update([0]);
    digest.update(hash);
    hex::encode(digest.finalize())
}

/// The mark of a verifier, once it is stored.
pub(super) fn mark_of(dialect: &Dialect, verifier: &Verifier) -> String {
    let (plugin, hash) = dialect.stored(verifier);
    mark(plugin, hash)
}

/// The key of a restore's record: the object's place, whichever object stands there.
pub(super) fn record_id(cluster_id: &str, restore: &RestoreId) -> String {
    let mut digest = Sha256::new();
    for part in [cluster_id, &restore.namespace, &restore.name] {
        digest.update(part);
        digest.update([0]);
    }
    hex::encode(digest.finalize())
}

impl Former {
    pub(super) fn of(account: &Account) -> Self {
        Self {
            plugin: account.plugin.clone(),
            hash: account.hash.clone(),
            limit: account.max_connections,
        }
    }
}

impl ScratchRow {
    /// The row of a load that begins now.
    pub(super) fn new(restore: &RestoreId, former: Former) -> Self {
        Self {
            role: String::new(),
            restore_id: record_id(&restore.cluster_id, restore),
            uid: restore.uid.clone(),
            seen_empty: false,
            marks: Vec::new(),
            former,
            locked_at: 0,
            recorded: false,
        }
    }

    /// Whether it is of this object.
    pub(super) fn is_of(&self, restore: &RestoreId) -> bool {
        self.uid == restore.uid && self.restore_id == record_id(&restore.cluster_id, restore)
    }

    fn read(row: &Row) -> Result<Self, ProviderError> {
        let marks = row.text("marks")?;
        Ok(Self {
            role: row.text("role_name")?,
            restore_id: row.text("restore_id")?,
            uid: row.text("uid")?,
            seen_empty: row.flag("seen_empty")?,
            marks: marks.split_whitespace().map(str::to_owned).collect(),
            former: Former {
                plugin: row.text("former_plugin")?,
                hash: row.text("former_hash")?,
                limit: row.number("former_limit")?,
            },
            locked_at: row.number("locked_at")?,
            recorded: row.flag("recorded")?,
        })
    }
}

/// The row of a target.
pub(super) async fn row(
    session: &mut Session,
    target: &SqlName,
) -> Result<Option<ScratchRow>, ProviderError> {
    let query = sqlx::query(
        "SELECT s.role_name, s.restore_id, s.uid, CAST(s.seen_empty AS SIGNED) AS seen_empty, s.marks, \
         s.former_plugin, s.former_hash, s.former_limit, s.locked_at, \
         CAST(r.id IS NOT NULL AS SIGNED) AS recorded FROM db_operator.scratch s \
         LEFT JOIN db_operator.restores r ON r.id = s.restore_id AND r.uid = s.uid \
         WHERE s.database_name = ? AND s.purpose = ?",
    )
    .bind(target.as_str().to_owned())
    .bind(PURPOSE);
    let rows = session
        .rows("reading who is locked out by a load", query)
        .await?;
    rows.first().map(ScratchRow::read).transpose()
}

/// Writes the row of a target, as of this load. Nothing is written unless this process leads and the claim stands.
pub(super) async fn write_row(
    session: &mut Session,
    task: &Task<'_>,
    row: &ScratchRow,
) -> Result<(), ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let sql = format!(
        "REPLACE INTO db_operator.scratch (database_name, role_name, purpose, restore_id, cluster_id, namespace, name, \
         uid, seen_empty, marks, former_plugin, former_hash, former_limit, locked_at) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, COALESCE(NULLIF(?, 0), {NOW}) {} LOCK IN SHARE MODE",
        task.if_it_stands("")
    );
    let statement = || {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(load.target.database.as_str().to_owned())
            .bind(load.target.role.as_str().to_owned())
            .bind(PURPOSE)
            .bind(record_id(&restore.cluster_id, restore))
            .bind(restore.cluster_id.clone())
            .bind(restore.namespace.clone())
            .bind(restore.name.clone())
            .bind(restore.uid.clone())
            .bind(row.seen_empty)
            .bind(row.marks.join(" "))
            .bind(row.former.plugin.clone())
            .bind(row.former.hash.clone())
            .bind(row.former.limit)
            .bind(row.locked_at);
        task.bind(query)
    };
    match session.change("noting a load", statement).await? {
        0 => Err(task.why_not(session).await?),
        _ => Ok(()),
    }
}

/// Removes the row of a target.
pub(super) async fn forget_row(
    session: &mut Session,
    target: &SqlName,
) -> Result<(), ProviderError> {
    let delete = || {
        sqlx::query("DELETE FROM db_operator.scratch WHERE database_name = ?")
            .bind(target.as_str().to_owned())
    };
    session.change("forgetting a load", delete).await?;
    Ok(())
}

/// Records a restore, once: from here on it is done. Nothing is written unless this process leads, the claim stands and
/// the load's row is there. Says whether it was written.
pub(super) async fn record(session: &mut Session, task: &Task<'_>) -> Result<bool, ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let sql = format!(
        "INSERT INTO db_operator.restores (id, cluster_id, namespace, name, uid, spec_hash, target_database, \
         target_role, done_at, downtime_ms) SELECT ?, ?, ?, ?, ?, ?, ?, ?, {NOW} DIV 1000, \
         GREATEST(0, {NOW} - s.locked_at) {} AND s.restore_id = ? AND s.uid = ? AND s.seen_empty \
         LOCK IN SHARE MODE",
        task.if_it_stands("JOIN db_operator.scratch s ON s.database_name = c.database_name")
    );
    let id = record_id(&restore.cluster_id, restore);
    let statement = || {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
            .bind(id.clone())
            .bind(restore.cluster_id.clone())
            .bind(restore.namespace.clone())
            .bind(restore.name.clone())
            .bind(restore.uid.clone())
            .bind(restore.spec_hash.clone())
            .bind(load.target.database.as_str().to_owned())
            .bind(load.target.role.as_str().to_owned());
        task.bind(query).bind(id.clone()).bind(restore.uid.clone())
    };
    match session.change("recording a restore", statement).await {
        Ok(written) => Ok(written == 1),
        Err(failure) if failure.number == Some(error::DUPLICATE) => Ok(false),
        Err(failure) => Err(failure.error),
    }
}

/// What is recorded of a restore of this name, of this cluster first.
pub(super) async fn restored(
    session: &mut Session,
    restore: &RestoreId,
    take_over_from: &[String],
) -> Result<Option<Restored>, ProviderError> {
    for cluster_id in std::iter::once(&restore.cluster_id).chain(take_over_from) {
        let query = sqlx::query(
            "SELECT uid, spec_hash, done_at, downtime_ms FROM db_operator.restores WHERE id = ?",
        )
        .bind(record_id(cluster_id, restore));
        let rows = session.rows("reading what was restored", query).await?;
        if let Some(row) = rows.first() {
            return Ok(Some(Restored {
                spec_hash: row.text("spec_hash")?,
                uid: row.text("uid")?,
                at: row.number("done_at")?,
                former: None,
                downtime_millis: u64::try_from(row.number("downtime_ms")?).unwrap_or_default(),
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::super::rows::Transport;
    use super::*;

    fn account(hash: &str) -> Account {
        Account {
            user: "orders".to_owned(),
            host: "%".to_owned(),
            locked: false,
            expired: false,
            lifetime: Some(0),
            max_connections: 3,
            per_hour: [0; 3],
            ends_statements: false,
            has_other_way: false,
            transport: Transport::Any,
            further_factors: 0,
            blocked: None,
            locks_itself: false,
            plugin: "mysql_native_password".to_owned(),
            hash: hash.to_owned(),
            is_role: false,
        }
    }

    fn restore(name: &str) -> RestoreId {
        RestoreId {
            cluster_id: "c".to_owned(),
            namespace: "team-a".to_owned(),
            name: name.to_owned(),
            uid: "1".to_owned(),
            spec_hash: "h".to_owned(),
        }
    }

    #[test]
    fn only_who_still_has_the_loads_password_is_locked_out() {
        let mut row = ScratchRow::new(&restore("r"), Former::of(&account("*own")));
        row.role = "orders".to_owned();
        row.marks = vec![
            mark("mysql_native_password", "*one"),
            mark("mysql_native_password", "*two"),
        ];
        let stages = |row: &ScratchRow| {
            ["*one", "*two", "*own"].map(|hash| stage(Some(row), &account(hash)))
        };
        assert_eq!(
            stages(&row),
            [Stage::LockedOut, Stage::LockedOut, Stage::Open]
        );
        row.seen_empty = true;
        assert_eq!(stages(&row), [Stage::Loading, Stage::Loading, Stage::Open]);
        row.recorded = true;
        assert_eq!(
            stages(&row),
            [Stage::Recorded, Stage::Recorded, Stage::Open]
        );
        row.role = "another".to_owned();
        assert_eq!(stages(&row), [Stage::Open; 3]);
        assert_eq!(stage(None, &account("*one")), Stage::Open);
    }

    #[test]
    fn a_mark_reveals_and_confuses_nothing() {
        assert_eq!(mark("a", "b").len(), 64);
        assert_ne!(mark("a", "b"), mark("ab", ""));
        let dialect = Dialect::new("10.11.19-MariaDB", "", false, false).unwrap();
        let verifier = Verifier::mysql_native_password("secret");
        assert_eq!(
            mark_of(&dialect, &verifier),
            mark("mysql_native_password", verifier.expose())
        );
        let text = format!("{:?}", Former::of(&account("*own")));
        assert!(!text.contains("*own"), "{text}");
    }

    #[test]
    fn a_record_is_of_one_place() {
        let id = |name| record_id("c", &restore(name));
        assert_ne!(id("a"), id("b"));
        assert_ne!(id("a"), record_id("d", &restore("a")));
        let other = RestoreId {
            uid: "2".to_owned(),
            spec_hash: "another".to_owned(),
            ..restore("a")
        };
        assert_eq!(id("a"), record_id("c", &other));
        let row = ScratchRow::new(&restore("a"), Former::of(&account("*own")));
        assert!(row.is_of(&restore("a")) && !row.is_of(&other) && !row.is_of(&restore("b")));
    }
}
