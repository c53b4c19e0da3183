//! Who may hold the lock that a change waited for in vain.
//!
//! The server no longer knows who it was once the wait is over. Named is who has a lock of the kind that such a change
//! waits for, and has had it for a while: many who come and go keep a change waiting as well, but naming each of them would
//! say something else at every try.

use std::time::Duration;

use serde::Deserialize;

use super::Postgresql;
use super::lock_waits::{Prepared, Process};
use crate::provider::lock_wait::{self, Holder};
use crate::provider::{Names, ProviderError};

/// Who changes the database `$1` or the role `$2` in a transaction that has not ended, or, where `$3`, anything inside the
/// database: the server keeps no lock on what is defined there, only one on the transaction. Theirs come first. The locks
/// of a prepared transaction have no process, so it is found by its number. Of another tenant's session or transaction,
/// also of one inside this database, nothing is told but its process.
const HOLDERS: &str = "
WITH tenants AS (
  SELECT database_name AS database, role_name AS role FROM db_operator.claims
  WHERE database_name <> $1 AND role_name <> $2
), holders AS (
  SELECT DISTINCT l.pid, l.virtualtransaction AS transaction, a.application_name AS application,
    coalesce(a.xact_start, p.prepared) AS since, p.gid,
    coalesce(a.datname::text, p.database::text) AS database, coalesce(a.usename::text, p.owner::text) AS role
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
  LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
    AND x.locktype = 'transactionid'
  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
  WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND CASE WHEN $3 THEN
    l.locktype = 'transactionid' AND $1 IN (a.datname, p.database)
    OR l.locktype = 'relation' AND l.relation < 16384 AND l.database = (SELECT oid FROM pg_database WHERE datname = $1)
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
  ELSE
    l.locktype = 'object' AND l.mode <> 'AccessShareLock' AND (
      l.classid = 'pg_database'::regclass AND l.objid = (SELECT oid FROM pg_database WHERE datname = $1)
      OR l.classid = 'pg_authid'::regclass AND l.objid = (SELECT oid FROM pg_roles WHERE rolname = $2))
    OR l.locktype = 'relation' AND l.database = 0 AND l.mode = 'RowExclusiveLock'
      AND l.relation IN ('pg_authid'::regclass, 'pg_database'::regclass, 'pg_auth_members'::regclass)
  END AND (a.pid IS NULL OR a.usename <> current_user OR NOT starts_with(a.application_name, 'db-operator'))
), told AS (
  SELECT h.*, h.database = $1 OR h.role = $2 AS own,
    h.role = $2 OR NOT EXISTS (SELECT FROM tenants t
      WHERE t.role = h.role OR t.database = h.database AND h.database IS DISTINCT FROM $1) AS told
  FROM holders h
)
SELECT coalesce(json_agg(json_build_object('pid', coalesce(pid, 0),
    'transaction', transaction, 'role', CASE WHEN told THEN role END,
    'application', CASE WHEN told THEN application END, 'gid', CASE WHEN told THEN gid END,
    'since', to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'))), '[]')::text
FROM (SELECT * FROM told ORDER BY own DESC, since, pid LIMIT 50) t";

/// Between two looks at who has a lock. A server tells most administrators nothing of how long others have been at work.
const LASTING: Duration = Duration::from_secs(1);

/// A session, or a prepared transaction.
#[derive(Deserialize)]
struct Suspect {
    /// 0 for a prepared transaction.
    pid: i64,
    /// The number of its transaction, of which a session has one after the other.
    transaction: String,
    role: Option<String>,
    application: Option<String>,
    gid: Option<String>,
    /// When its transaction began, if the administrator may see that. The same each time, as an age would not be.
    since: Option<String>,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// The database or the user themselves.
    Names,
    /// What is defined inside the database.
    Contents,
}

impl Postgresql {
    /// Adds to an error about a lock who may hold it, as far as the server tells.
    pub(super) async fn naming_holders<T>(
        &self,
        names: &Names,
        changed: Changed,
        result: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        match result {
            Err(error) if lock_wait::is_locked(&error) => Err(lock_wait::naming(
                error,
                &self.suspects(names, changed).await.unwrap_or_default(),
            )),
            other => other,
        }
    }

    async fn suspects(
        &self,
        names: &Names,
        changed: Changed,
    ) -> Result<Vec<Holder>, ProviderError> {
        let before = self.look(names, changed).await?;
        if before.is_empty() {
            return Ok(Vec::new());
        }
        tokio::time::sleep(LASTING).await;
        let now = self.look(names, changed).await?;
        Ok(lasting(&before, now).map(Suspect::told).collect())
    }

    async fn look(&self, names: &Names, changed: Changed) -> Result<Vec<Suspect>, ProviderError> {
        let query = sqlx::query(HOLDERS)
            .bind(names.database.as_str())
            .bind(names.role.as_str())
            .bind(changed == Changed::Contents);
        let mut session = self.session().await?;
        Ok(session.json("look for who holds a lock", query).await?)
    }
}

/// Those that are in the same transaction as before, in the order of the server.
fn lasting(before: &[Suspect], now: Vec<Suspect>) -> impl Iterator<Item = Suspect> {
    let was_there = |one: &Suspect| {
        let mut before = before.iter();
        before.any(|other| other.pid == one.pid && other.transaction == one.transaction)
    };
    now.into_iter().filter(was_there).take(lock_wait::HOLDERS)
}

impl Suspect {
    /// Nothing is said that differs at the next try although nothing has changed: not what it does just now.
    fn told(self) -> Holder {
        let of_session = self.gid.is_none() && self.pid != 0;
        let state = self.since.map(|since| {
            if of_session {
                format!("in a transaction since {since}")
            } else {
                format!("since {since}")
            }
        });
        let prepared = self.gid.map(|gid| Prepared {
            gid,
            owner: self.role.clone().unwrap_or_default(),
            age: None,
        });
        let process = Process {
            pid: self.pid,
            role: self.role,
            application: self.application,
            state: None,
            age: None,
        };
        Holder {
            state: state.unwrap_or_default(),
            ..process.told(prepared.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::lock_wait::{LOCKED, is_locked, naming};

    fn suspect(json: &str) -> Holder {
        serde_json::from_str::<Suspect>(json).unwrap().told()
    }

    fn locked() -> ProviderError {
        ProviderError::Busy {
            doing: "alter the user \"orders\"".to_owned(),
            detail: LOCKED.to_owned(),
        }
    }

    #[test]
    fn who_may_hold_a_lock_is_told_and_of_another_tenant_only_the_process() {
        let suspects = [
            suspect(
                r#"{"pid": 7, "transaction": "3/9", "role": "orders", "application": "psql", "gid": null,
                    "since": "2026-11-30T12:00:00Z"}"#,
            ),
            suspect(
                r#"{"pid": 0, "transaction": "-1/8", "role": "orders", "application": null, "gid": "it's", "since": null}"#,
            ),
            suspect(
                r#"{"pid": 9, "transaction": "4/1", "role": null, "application": null, "gid": null, "since": null}"#,
            ),
        ];
        let error = locked().in_database("orders");
        assert!(is_locked(&error));
        assert_eq!(
            naming(error, &suspects).to_string(),
            "database \"orders\": alter the user \"orders\" waits for another session: no lock was granted in time; the lock \
             may be held by session 7 (user \"orders\", application \"psql\", in a transaction since \
             2026-11-30T12:00:00Z), a prepared transaction (user \"orders\"), session 9; once you know which one it is, run \
             one of: SELECT pg_terminate_backend(7); ROLLBACK PREPARED 'it''s'; SELECT pg_terminate_backend(9)"
        );
    }

    #[test]
    fn where_nobody_is_found_nobody_is_named() {
        assert_eq!(naming(locked(), &[]), locked());
        let another = ProviderError::Busy {
            doing: "make the user".to_owned(),
            detail: "it exists by now".to_owned(),
        };
        assert!(!is_locked(&another));
    }
    #[test]
    fn transactions_that_come_and_go_are_not_named() {
        let at = |pid: i64, number: i64| Suspect {
            pid,
            transaction: format!("{pid}/{number}"),
            role: None,
            application: None,
            gid: None,
            since: None,
        };
        // Thirty sessions that change something all the time, and one that has left its transaction open.
        let look = |number: i64| -> Vec<Suspect> {
            let mut all: Vec<Suspect> = (10..40).map(|pid| at(pid, number)).collect();
            all.push(at(50, 1));
            all
        };
        let named = |number: i64| -> Vec<i64> {
            lasting(&look(number), look(number + 1))
                .map(|one| one.pid)
                .collect()
        };
        assert_eq!(named(2), [50]);
        assert_eq!(named(2), named(7));
        // Of many that stay, some are named, and always the same.
        let stay: Vec<i64> = lasting(&look(3), look(3)).map(|one| one.pid).collect();
        assert_eq!(stay, [10, 11, 12, 13, 14]);
    }
}
