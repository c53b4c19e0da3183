//! How a database is locked for a swap, and opened again.
//!
//! Locked is: closed to everyone, superusers included, and taken from its owner, who could open it again. Both happen in
//! one transaction, which also notes it, so that whoever comes after a crash knows what to open.

use std::time::{Duration, Instant};

use super::Postgresql;
use super::checks::{Checked, Checks, Claimed};
use super::error::Failure;
use super::grants::{Right, borrow, give_back, permit};
use super::restore_tables::{FoundDatabase, Purpose, RestoreState};
use super::session::{Session, column};
use super::sessions::{Ending, OtherSession};
use crate::provider::ident::postgresql_literal;
use crate::provider::restore::Load;
use crate::provider::{ProviderError, SqlName};

/// How long to wait before sessions are looked at again.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// How often it is tried to lock a database that someone holds a lock on.
const TRIES: u32 = 4;

/// Sessions that are about to enter the database `$1`: each holds this lock until its start is over, and is in the list of
/// sessions before that.
const STARTING: &str = "SELECT DISTINCT l.pid FROM pg_locks l
WHERE l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
  AND l.objid = (SELECT oid FROM pg_database WHERE datname = $1) AND l.pid <> pg_backend_pid()";

/// What came of an attempt to lock.
pub(super) enum Locking {
    Locked,
    /// It is as it was: a sentence says who is in the way.
    Blocked(String),
    /// It is as it was.
    ChangedHands(String),
}

/// A database that is locked on behalf of a row in `db_operator.scratch`.
#[derive(Clone, Copy)]
pub(super) struct Lockable<'a> {
    pub(super) database: &'a SqlName,
    pub(super) found: &'a FoundDatabase,
    /// The row that notes it.
    pub(super) row: &'a str,
    /// Sessions of ours that go on inside.
    pub(super) spared: &'a [i32],
}

impl Postgresql {
    /// Locks the database. Someone may hold a lock that this waits for, and is ended then.
    pub(super) async fn lock_for_swap(
        &self,
        session: &mut Session,
        claimed: &Claimed,
        lockable: Lockable<'_>,
    ) -> Result<Locking, ProviderError> {
        let database = lockable.database;
        let doing = format!("lock the database {database:?}");
        let databases = [(database.as_str(), lockable.found.id.as_str())];
        let checks = Checks {
            claimed: Some(claimed),
            databases: &databases,
        };
        // Not its owner: after a crash, that is the administrator itself.
        let user = claimed.names().role.as_str();
        for _ in 0..TRIES {
            let mut statements = vec![self.briefly()];
            statements.extend(lockable.lock(session.version()));
            match self.checked(session, &doing, checks, statements).await? {
                Checked::Done => return Ok(Locking::Locked),
                Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                    return Ok(Locking::ChangedHands(sentence));
                }
                Checked::Failed(failure) if is_in_use(&failure) => {
                    let name = Some(database.as_str());
                    let others = self
                        .list_sessions(session, name, Some(user), lockable.spared)
                        .await?;
                    self.end_listed(session, others, Ending::Asked).await?;
                }
                Checked::Failed(failure) => {
                    let (owner, version) = (&lockable.found.owner, session.version());
                    return Err(failure.needing(|| permit(owner, &self.config.username, version)));
                }
            }
        }
        let mut holders = self
            .holders(session, Some(database.as_str()), Some(user))
            .await?;
        if holders.is_empty() {
            holders.push("someone held a lock, but no longer does".to_owned());
        }
        Ok(Locking::Blocked(format!(
            "the database {database:?} cannot be locked: {}",
            holders.join("; ")
        )))
    }

    /// Opens a target that a swap or an undo locked and did not come to change.
    pub(super) async fn reopen_target(&self, load: &Load) -> Result<(), ProviderError> {
        let mut session = self.session().await?;
        self.unlock(&mut session, load).await
    }

    /// The same, in this session. Whose the target is now does not matter: it was locked here.
    pub(super) async fn unlock(
        &self,
        session: &mut Session,
        load: &Load,
    ) -> Result<(), ProviderError> {
        let claimed = Claimed::by(load);
        let state = self
            .restore_state(session, &claimed, &load.restore, &load.take_over_from)
            .await?;
        let Some((row, target)) = state.locked() else {
            return Ok(());
        };
        let database = &load.target.database;
        let databases = [(database.as_str(), target.id.as_str())];
        let checks = Checks {
            claimed: None,
            databases: &databases,
        };
        let lockable = Lockable {
            database,
            found: target,
            row,
            spared: &[],
        };
        let version = session.version();
        let statements = lockable.unlock(&load.target.role, state.assumable, version);
        let doing = format!("open the database {database:?} again");
        match self.checked(session, &doing, checks, statements).await? {
            Checked::Done | Checked::ChangedHands(_) | Checked::Taken(_) => Ok(()),
            Checked::Failed(failure) => {
                let role = load.target.role.as_str();
                Err(failure.needing(|| permit(role, &self.config.username, version)))
            }
        }
    }

    /// Ends the sessions in a database that lets nobody in any more, but for these. Says who is left when the time is over.
    ///
    /// Whoever connects again and again is refused, and is in the list for a moment: only those count that were there when
    /// this began.
    pub(super) async fn end_all_inside(
        &self,
        session: &mut Session,
        database: &SqlName,
        spared: &[i32],
        deadline: Instant,
    ) -> Result<Option<String>, ProviderError> {
        let name = Some(database.as_str());
        let first: Vec<i32> = self
            .list_sessions(session, name, None, spared)
            .await?
            .iter()
            .map(|other| other.pid)
            .collect();
        loop {
            let mut left = self.list_sessions(session, name, None, spared).await?;
            left.retain(|other| first.contains(&other.pid));
            if left.is_empty() {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                return Ok(Some(in_use_by(database, &left)));
            }
            self.end_listed(session, left, Ending::Asked).await?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until whoever was about to enter when the database was locked is inside or gone. Who comes later is refused.
    /// `false` if the time is over.
    pub(super) async fn wait_for_starting(
        &self,
        session: &mut Session,
        database: &SqlName,
        spared: &[i32],
        deadline: Instant,
    ) -> Result<bool, ProviderError> {
        let mut first = self.starting(session, database).await?;
        first.retain(|pid| !spared.contains(pid));
        while !first.is_empty() {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(PAUSE).await;
            let now = self.starting(session, database).await?;
            first.retain(|pid| now.contains(pid));
        }
        Ok(true)
    }

    async fn starting(
        &self,
        session: &mut Session,
        database: &SqlName,
    ) -> Result<Vec<i32>, ProviderError> {
        let query = sqlx::query(STARTING).bind(database.as_str());
        let rows = session
            .rows("list who is about to enter a database", query)
            .await?;
        rows.iter().map(|row| column(row, "pid")).collect()
    }
}

impl RestoreState {
    /// The row that notes a lock, and the target, if that is still the database that was locked.
    fn locked(&self) -> Option<(&str, &FoundDatabase)> {
        let row = self.rows.iter().find(|row| row.locked)?;
        let target = self.target.as_ref()?;
        let locked = match row.purpose {
            Purpose::Load | Purpose::Login => row.target_id == target.id,
            // It is beside no target.
            Purpose::Test => false,
            // For an undo.
            Purpose::Former => self
                .record
                .as_ref()
                .is_some_and(|record| record.restored_id == target.id),
        };
        locked.then_some((row.database_name.as_str(), target))
    }
}

impl Lockable<'_> {
    fn lock(&self, version: u32) -> Vec<String> {
        let database = self.database.postgresql();
        let mut statements = vec![format!(
            "UPDATE db_operator.scratch SET locked_at = coalesce(locked_at, clock_timestamp()) WHERE database_name = {}",
            postgresql_literal(self.row)
        )];
        statements.extend(take(&database, self.found, version));
        statements
    }

    /// Gives the database back to its user, and opens it. One that is not the administrator's any more was given back by
    /// someone else.
    fn unlock(&self, role: &SqlName, assumable: bool, version: u32) -> Vec<String> {
        let database = self.database.postgresql();
        let mut statements = vec![format!(
            "UPDATE db_operator.scratch SET locked_at = NULL WHERE database_name = {}",
            postgresql_literal(self.row)
        )];
        if self.found.mine {
            statements.push(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS true"));
            statements.extend(give(&database, role, assumable, version));
        }
        statements
    }
}

/// Statements that close a database and make it the administrator's own. `database` is quoted.
pub(super) fn take(database: &str, found: &FoundDatabase, version: u32) -> Vec<String> {
    let mut statements = Vec::new();
    if found.connections == -2 {
        // Its DROP was interrupted, and nothing else can be done with it.
        return statements;
    }
    if !found.owned {
        statements.push(borrow(&found.owner, Right::Use, version));
    }
    if found.open {
        statements.push(format!("ALTER DATABASE {database} ALLOW_CONNECTIONS false"));
    }
    if !found.mine {
        statements.push(format!("ALTER DATABASE {database} OWNER TO CURRENT_USER"));
    }
    if !found.owned {
        statements.push(give_back(&found.owner, version));
    }
    statements
}

/// Statements that give the administrator's own database to a role. `database` is quoted.
pub(super) fn give(database: &str, role: &SqlName, assumable: bool, version: u32) -> Vec<String> {
    let alter = format!("ALTER DATABASE {database} OWNER TO {}", role.postgresql());
    if assumable {
        return vec![alter];
    }
    vec![
        borrow(role.as_str(), Right::Assume, version),
        alter,
        give_back(role.as_str(), version),
    ]
}

/// Whether someone holds a lock, or a session in the database, that is waited for in vain.
pub(super) fn is_in_use(failure: &Failure) -> bool {
    // object_in_use, lock_not_available, deadlock_detected, query_canceled by the time that was left, tuple concurrently
    // updated
    matches!(
        failure.code(),
        Some("55006" | "55P03" | "40P01" | "57014" | "XX000")
    )
}

/// Names sessions, without what they do.
pub(super) fn in_use_by(database: &SqlName, sessions: &[OtherSession]) -> String {
    const NAMED: usize = 5;
    let mut named: Vec<String> = sessions
        .iter()
        .take(NAMED)
        .map(OtherSession::describe)
        .collect();
    let more = sessions.len().saturating_sub(NAMED);
    if more > 0 {
        named.push(format!("{more} more"));
    }
    let remedies: Vec<String> = sessions
        .iter()
        .take(NAMED)
        .map(OtherSession::remedy)
        .collect();
    format!(
        "database {database:?} is in use: {}; to end it, as a superuser, run: {}",
        named.join(", "),
        remedies.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(mine: bool, owned: bool, open: bool) -> FoundDatabase {
        FoundDatabase {
            id: "1.2/3".to_owned(),
            owner: "own\"er".to_owned(),
            open,
            connections: -1,
            mine,
            owned,
        }
    }

    #[test]
    fn a_right_that_is_borrowed_is_given_back() {
        assert_eq!(
            take("\"d\"", &found(false, false, true), 160_000),
            [
                "GRANT \"own\"\"er\" TO CURRENT_USER WITH INHERIT TRUE, SET FALSE",
                "ALTER DATABASE \"d\" ALLOW_CONNECTIONS false",
                "ALTER DATABASE \"d\" OWNER TO CURRENT_USER",
                "REVOKE \"own\"\"er\" FROM CURRENT_USER GRANTED BY CURRENT_USER",
            ]
        );
        assert_eq!(
            take("\"d\"", &found(true, true, false), 160_000),
            Vec::<String>::new()
        );
        let role = SqlName::new("orders").unwrap();
        assert_eq!(give("\"d\"", &role, true, 140_000).len(), 1);
        assert_eq!(
            give("\"d\"", &role, false, 140_000),
            [
                "GRANT \"orders\" TO CURRENT_USER",
                "ALTER DATABASE \"d\" OWNER TO \"orders\"",
                "REVOKE \"orders\" FROM CURRENT_USER",
            ]
        );
    }
}
