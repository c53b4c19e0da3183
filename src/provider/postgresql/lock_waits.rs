//! Which locks the sessions of a database's own user wait for, and who holds them.

use std::collections::HashMap;

use serde::Deserialize;

use super::Postgresql;
use crate::provider::ident::postgresql_literal;
use crate::provider::lock_wait::{HOLDERS, WAITS};
use crate::provider::{Holder, LockWait, Names, ProviderError};

/// What the backup of the user `$2` waits for in the database `$1`; with whoever is in the way, also of those that are
/// in the way and wait themselves, those at the head of the queue first. Of a session in another database only its number is
/// told. A prepared transaction has the number 0, and is found in its own list; its locks have no session, and are those with
/// the virtual transaction that also has the lock on its own number.
const LOCK_WAITS: &str = "
WITH RECURSIVE waits AS MATERIALIZED (
  SELECT w.pid, w.locktype, w.relation::bigint AS relation, w.waitstart
  FROM pg_locks w JOIN pg_stat_activity s ON s.pid = w.pid
  WHERE NOT w.granted AND s.datname = $1 AND s.usename = $2 AND s.application_name = 'db-operator backup'
  ORDER BY w.waitstart, w.pid LIMIT 3
), queue (waiter, pid, place) AS (
  SELECT w.pid, b.pid, 1 FROM waits w CROSS JOIN unnest(pg_blocking_pids(w.pid)) b(pid)
  UNION
  SELECT q.waiter, b.pid, q.place + 1 FROM queue q CROSS JOIN unnest(pg_blocking_pids(q.pid)) b(pid) WHERE q.place < 3
), holders AS (
  SELECT q.waiter, q.pid, max(q.place) AS place FROM queue q WHERE q.pid <> q.waiter GROUP BY 1, 2
)
SELECT json_build_object(
  'waits', (SELECT coalesce(json_agg(json_build_object('pid', w.pid, 'locktype', w.locktype, 'relation', w.relation,
      'holders', (SELECT coalesce(json_agg(h), '[]') FROM (
        SELECT h.pid, r.rolname AS role, a.application_name AS application, a.state,
          extract(epoch FROM now() - a.xact_start)::bigint AS age
        FROM holders h LEFT JOIN pg_stat_activity a ON a.pid = h.pid AND a.datname = $1
        LEFT JOIN pg_roles r ON r.oid = a.usesysid
        WHERE h.waiter = w.pid ORDER BY h.place DESC, h.pid LIMIT 5) h))
      ORDER BY w.waitstart, w.pid), '[]') FROM waits w),
  'prepared', (SELECT json_build_object('gid', gid, 'owner', owner, 'age', extract(epoch FROM now() - prepared)::bigint)
    FROM pg_prepared_xacts p WHERE database = $1 AND EXISTS (
      SELECT FROM pg_locks w JOIN pg_locks l ON l.granted AND l.pid IS NULL
        AND (l.locktype, l.database, l.relation, l.transactionid)
          IS NOT DISTINCT FROM (w.locktype, w.database, w.relation, w.transactionid)
        JOIN pg_locks own ON own.granted AND own.pid IS NULL AND own.virtualtransaction = l.virtualtransaction
        AND own.locktype = 'transactionid' AND own.transactionid = p.transaction
      WHERE NOT w.granted AND w.pid IN (SELECT pid FROM waits))
    ORDER BY prepared LIMIT 1))::text";

/// Names of relations, by their numbers.
const RELATIONS: &str = "SELECT coalesce(json_agg(r), '[]')::text FROM (
  SELECT c.oid::bigint AS number, n.nspname AS schema, c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid::bigint = ANY ($1)) r";

#[derive(Deserialize)]
struct Answer {
    waits: Vec<Wait>,
    prepared: Option<Prepared>,
}

#[derive(Deserialize)]
struct Wait {
    pid: i64,
    locktype: String,
    relation: Option<i64>,
    holders: Vec<Process>,
}

/// A session that has a lock; the number 0 is that of a prepared transaction.
#[derive(Deserialize)]
pub(super) struct Process {
    pub(super) pid: i64,
    pub(super) role: Option<String>,
    pub(super) application: Option<String>,
    pub(super) state: Option<String>,
    pub(super) age: Option<i64>,
}

/// A prepared transaction that has a lock which is waited for: of several, the oldest of the database.
#[derive(Deserialize)]
pub(super) struct Prepared {
    pub(super) gid: String,
    pub(super) owner: String,
    pub(super) age: Option<i64>,
}

#[derive(Deserialize)]
struct Relation {
    number: i64,
    schema: String,
    name: String,
}

impl Postgresql {
    /// One statement while nothing waits. A relation's name is only known inside its database.
    pub(super) async fn read_lock_waits(
        &self,
        names: &Names,
    ) -> Result<Vec<LockWait>, ProviderError> {
        let query = sqlx::query(LOCK_WAITS)
            .bind(names.database.as_str())
            .bind(names.role.as_str());
        let answer: Answer = self
            .session()
            .await?
            .json("look for who waits for whom", query)
            .await?;
        let numbers: Vec<i64> = answer
            .waits
            .iter()
            .filter_map(|wait| wait.relation)
            .collect();
        let relations = if numbers.is_empty() {
            HashMap::new()
        } else {
            // Who holds it is worth more than what it is called.
            self.relations(names, &numbers).await.unwrap_or_default()
        };
        Ok(answer.told(&relations))
    }

    async fn relations(
        &self,
        names: &Names,
        numbers: &[i64],
    ) -> Result<HashMap<i64, String>, ProviderError> {
        let mut tenant = self.open_tenant_session(names).await?;
        let query = sqlx::query(RELATIONS).bind(numbers);
        let answer = tenant.session.json("look for names of tables", query).await;
        let answer: Result<Vec<Relation>, _> = answer.map_err(ProviderError::from);
        let relations = self.close_tenant_session(tenant, answer).await?;
        let named = |relation: Relation| {
            let name = format!("table {:?}.{:?}", relation.schema, relation.name);
            (relation.number, name)
        };
        Ok(relations.into_iter().map(named).collect())
    }
}

impl Answer {
    fn told(self, relations: &HashMap<i64, String>) -> Vec<LockWait> {
        let prepared = &self.prepared;
        let told = |wait: Wait| {
            let object = match wait.relation {
                Some(number) => relations.get(&number).cloned(),
                // Of a row, a server tells no more than that its change has not ended.
                None if wait.locktype == "transactionid" => {
                    Some("a row that an open transaction has changed".to_owned())
                }
                None => Some(wait.locktype),
            };
            let holders = wait.holders.into_iter().take(HOLDERS);
            LockWait {
                session: wait.pid,
                object,
                holders: holders
                    .map(|process| process.told(prepared.as_ref()))
                    .collect(),
                certain: true,
            }
        };
        self.waits.into_iter().take(WAITS).map(told).collect()
    }
}

impl Process {
    pub(super) fn told(self, prepared: Option<&Prepared>) -> Holder {
        if self.pid == 0 {
            return prepared.map_or_else(Holder::default, Prepared::told);
        }
        Holder {
            session: Some(self.pid),
            user: self.role.unwrap_or_default(),
            application: self.application.unwrap_or_default(),
            state: self.state.unwrap_or_default(),
            seconds: self.age,
            remedy: format!("SELECT pg_terminate_backend({})", self.pid),
        }
    }
}

impl Prepared {
    fn told(&self) -> Holder {
        Holder {
            user: self.owner.clone(),
            seconds: self.age,
            // The name is the tenant's own; one that cannot be read is not to be run either.
            remedy: if self
                .gid
                .chars()
                .all(|char| char.is_ascii_graphic() || char == ' ')
            {
                format!("ROLLBACK PREPARED {}", postgresql_literal(&self.gid))
            } else {
                String::new()
            },
            ..Holder::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_and_prepared_transactions_are_told_apart() {
        let answer = r#"{"waits": [{"pid": 5, "locktype": "relation", "relation": 16400, "holders": [
            {"pid": 7, "role": "app", "application": "psql", "state": null, "age": null},
            {"pid": 0, "role": null, "application": null, "state": null, "age": null},
            {"pid": 9, "role": null, "application": null, "state": null, "age": null}]}],
            "prepared": {"gid": "it's", "owner": "app", "age": 60}}"#;
        let answer: Answer = serde_json::from_str(answer).unwrap();
        let relations = HashMap::from([(16400, "table \"public\".\"orders\"".to_owned())]);
        let told = answer.told(&relations);
        let [wait] = told.as_slice() else {
            panic!("{told:?}")
        };
        assert_eq!(
            wait.to_string(),
            "session 5 is waiting for a lock on table \"public\".\"orders\", held by session 7 (user \"app\", \
             application \"psql\"), a prepared transaction (user \"app\", for 60 s), session 9; to end it, run: \
             SELECT pg_terminate_backend(7); ROLLBACK PREPARED 'it''s'; SELECT pg_terminate_backend(9)"
        );
    }
}
