//! What blocks a removal other than sessions: prepared transactions, subscriptions and locks. Each is described with
//! the statement that helps, where to run it, and as whom.

use serde::Deserialize;

use super::rows::{DatabaseRow, RoleRow};
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{ProviderError, Removed};

/// What an owner can leave in a database that DROP DATABASE waits for in vain, with or without FORCE.
const BLOCKERS: &str = "SELECT json_build_object(
  'prepared', (SELECT coalesce(json_agg(p), '[]') FROM (
    SELECT gid, owner, database, to_char(prepared AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since
    FROM pg_prepared_xacts WHERE database = $1 ORDER BY prepared LIMIT 5) p),
  'subscriptions', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT s.subname AS name, r.rolname AS owner FROM pg_subscription s
    JOIN pg_database d ON d.oid = s.subdbid JOIN pg_roles r ON r.oid = s.subowner
    WHERE d.datname = $1 ORDER BY 1 LIMIT 5) s))::text";

/// Who holds a lock that an ALTER or DROP of the database `$1` or of the role `$2` waits for: on the object itself, or
/// as a writer of the catalogs that all databases share. The locks of a prepared transaction have no process, so it is
/// found by its number. Of another tenant's session or transaction nothing is told but its process.
const HOLDERS: &str = "SELECT coalesce(json_agg(h), '[]')::text FROM (
  SELECT DISTINCT l.pid, CASE WHEN told THEN r.rolname END AS role,
    CASE WHEN told THEN a.application_name END AS application,
    to_char(coalesce(a.xact_start, p.prepared) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS since,
    CASE WHEN told THEN p.gid END AS gid, CASE WHEN told THEN p.owner END AS owner,
    CASE WHEN told THEN p.database END AS database
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_roles r ON r.oid = a.usesysid
  LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
    AND x.locktype = 'transactionid'
  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
  CROSS JOIN LATERAL (SELECT $1 IN (a.datname, p.database) OR $2 IN (a.usename, p.owner) OR NOT EXISTS (
    SELECT FROM db_operator.claims c
    WHERE c.database_name IS DISTINCT FROM $1 AND c.role_name IS DISTINCT FROM $2
      AND (c.database_name IN (a.datname, p.database) OR c.role_name IN (a.usename, p.owner))) AS told) told
  WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND (
    l.locktype = 'object' AND l.classid = 'pg_database'::regclass
      AND l.objid = (SELECT oid FROM pg_database WHERE datname = $1)
    OR l.locktype = 'object' AND l.classid = 'pg_authid'::regclass
      AND l.objid = (SELECT oid FROM pg_roles WHERE rolname = $2)
    OR l.locktype = 'relation' AND l.database = 0 AND l.mode = 'RowExclusiveLock'
      AND l.relation IN ('pg_authid'::regclass, 'pg_database'::regclass, 'pg_auth_members'::regclass))
  ORDER BY 1 LIMIT 5) h";

#[derive(Deserialize)]
struct Blockers {
    prepared: Vec<Prepared>,
    subscriptions: Vec<Subscription>,
}

/// A transaction that was prepared for two-phase commit and has not ended.
#[derive(Deserialize)]
struct Prepared {
    gid: String,
    owner: String,
    database: String,
    /// When that was. The same each time, as an age would not be.
    since: String,
}

#[derive(Deserialize)]
struct Subscription {
    name: String,
    owner: String,
}

/// Who holds a lock: a session, or a prepared transaction.
#[derive(Deserialize)]
struct Holder {
    pid: Option<i32>,
    role: Option<String>,
    application: Option<String>,
    /// When its transaction began, or was prepared, if the administrator may see it.
    since: Option<String>,
    gid: Option<String>,
    owner: Option<String>,
    database: Option<String>,
}

impl Postgresql {
    /// What blocks the database until someone resolves it from inside. So the database is left open for that, and
    /// opened again if an earlier try closed it.
    pub(super) async fn blocked_from_inside(
        &self,
        session: &mut Session,
        database: &DatabaseRow,
        role: Option<&RoleRow>,
    ) -> Result<Option<Removed>, ProviderError> {
        let blockers = self.blockers(session, &database.name).await?;
        let blocking = blockers.describe(&database.name);
        if blocking.is_empty() {
            return Ok(None);
        }
        let helper = role.filter(|role| blockers.are_of(&role.name));
        self.reopen(session, database, helper).await?;
        Ok(Some(Removed::Blocked(format!(
            "database {:?} cannot be dropped: {}",
            database.name,
            blocking.join("; ")
        ))))
    }

    /// What its owner left in a database that only the owner, or a superuser, can end.
    pub(super) async fn left_inside(
        &self,
        session: &mut Session,
        database: &str,
    ) -> Result<Vec<String>, ProviderError> {
        Ok(self.blockers(session, database).await?.describe(database))
    }

    async fn blockers(
        &self,
        session: &mut Session,
        database: &str,
    ) -> Result<Blockers, ProviderError> {
        let query = sqlx::query(BLOCKERS).bind(database);
        Ok(session
            .json("look for what keeps a database", query)
            .await?)
    }

    /// Lets people into the database again, and also this user, if it can help.
    async fn reopen(
        &self,
        session: &mut Session,
        database: &DatabaseRow,
        helper: Option<&RoleRow>,
    ) -> Result<(), ProviderError> {
        let name = quoted(&database.name);
        let mut open = Vec::new();
        if !database.open && database.connections != -2 {
            open.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        }
        // The administrator took it in order to drop it, and with that the owner lost its privileges.
        if let Some(role) = helper.filter(|role| role.name != database.owner) {
            open.push(format!(
                "GRANT CONNECT ON DATABASE {name} TO {}",
                quoted(&role.name)
            ));
        }
        if !open.is_empty() {
            let doing = format!("open the database {:?} again", database.name);
            self.as_owner(session, database, &doing, open).await?;
        }
        if let Some(role) = helper.filter(|role| !role.login) {
            let login = format!("ALTER ROLE {} LOGIN", quoted(&role.name));
            let doing = format!("unlock the user {:?}", role.name);
            session.statement(&doing, login).await?;
        }
        Ok(())
    }

    /// Describes who holds a lock that the removal of these waits for. By now there may be none.
    pub(super) async fn holders(
        &self,
        session: &mut Session,
        database: Option<&str>,
        role: Option<&str>,
    ) -> Result<Vec<String>, ProviderError> {
        let query = sqlx::query(HOLDERS).bind(database).bind(role);
        let holders: Vec<Holder> = session.json("look for who holds a lock", query).await?;
        Ok(holders.iter().map(Holder::describe).collect())
    }
}

impl Blockers {
    /// Whether this user may end one of them.
    fn are_of(&self, user: &str) -> bool {
        self.prepared.iter().any(|one| one.owner == user)
            || self.subscriptions.iter().any(|one| one.owner == user)
    }

    fn describe(&self, database: &str) -> Vec<String> {
        let prepared = self.prepared.iter().map(Prepared::describe);
        let subscriptions = self.subscriptions.iter().map(|subscription| {
            let name = quoted(&subscription.name);
            format!(
                "it has the subscription {:?} of user {:?}; in database {database:?}, as that user or a superuser, run: \
                 DROP SUBSCRIPTION {name} (where its publisher is gone, before that: ALTER SUBSCRIPTION {name} DISABLE; \
                 ALTER SUBSCRIPTION {name} SET (slot_name = NONE))",
                subscription.name, subscription.owner
            )
        });
        prepared.chain(subscriptions).collect()
    }
}

impl Prepared {
    fn describe(&self) -> String {
        format!(
            "user {:?} prepared the transaction {:?} at {}, and it has not ended; in database {:?}, as that user or a \
             superuser, run: ROLLBACK PREPARED {}",
            self.owner,
            self.gid,
            self.since,
            self.database,
            postgresql_literal(&self.gid)
        )
    }
}

impl Holder {
    fn describe(&self) -> String {
        if let Holder {
            gid: Some(gid),
            owner: Some(owner),
            database: Some(database),
            since: Some(since),
            ..
        } = self
        {
            let prepared = Prepared {
                gid: gid.clone(),
                owner: owner.clone(),
                database: database.clone(),
                since: since.clone(),
            };
            return prepared.describe();
        }
        let Some(pid) = self.pid else {
            return format!(
                "a prepared transaction in another database holds a lock, since {}: a superuser finds it in pg_prepared_xacts",
                self.since.as_deref().unwrap_or("an unknown time")
            );
        };
        let since = self
            .since
            .as_ref()
            .map(|since| format!(", its transaction since {since}"));
        let since = since.unwrap_or_default();
        let end = format!("SELECT pg_terminate_backend({pid})");
        let Some(role) = &self.role else {
            return format!(
                "process {pid} in another database holds a lock{since}; as a superuser, run: {end}"
            );
        };
        format!(
            "process {pid} (user {role:?}, application {:?}) holds a lock{since}; as that user or a superuser, run: {end}",
            self.application.as_deref().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SINCE: &str = "2026-11-30T12:00:00Z";

    #[test]
    fn what_blocks_a_database_is_named_with_the_statement_that_helps() {
        let blockers = Blockers {
            prepared: vec![Prepared {
                gid: "it's".to_owned(),
                owner: "orders".to_owned(),
                database: "orders".to_owned(),
                since: SINCE.to_owned(),
            }],
            subscriptions: vec![Subscription {
                name: "Feed".to_owned(),
                owner: "orders".to_owned(),
            }],
        };
        let text = blockers.describe("orders");
        assert!(
            text[0].contains("at 2026-11-30T12:00:00Z,")
                && text[0].ends_with("ROLLBACK PREPARED 'it''s'"),
            "{text:?}"
        );
        assert!(text[1].contains("DROP SUBSCRIPTION \"Feed\" "), "{text:?}");
    }

    #[test]
    fn of_another_tenants_only_the_process_is_told() {
        let hidden = |pid| Holder {
            pid,
            role: None,
            application: None,
            since: Some(SINCE.to_owned()),
            gid: None,
            owner: None,
            database: None,
        };
        assert_eq!(
            hidden(Some(7)).describe(),
            "process 7 in another database holds a lock, its transaction since 2026-11-30T12:00:00Z; as a superuser, run: SELECT \
             pg_terminate_backend(7)"
        );
        let text = hidden(None).describe();
        assert!(
            text.starts_with("a prepared transaction in another database") && text.contains(SINCE),
            "{text}"
        );
    }

    #[test]
    fn a_holder_is_a_session_or_a_prepared_transaction() {
        let session = Holder {
            pid: Some(7),
            role: Some("other".to_owned()),
            application: None,
            since: None,
            gid: None,
            owner: None,
            database: None,
        };
        let text = session.describe();
        assert!(
            text.contains("process 7 (user \"other\"") && text.ends_with("pg_terminate_backend(7)"),
            "{text}"
        );
        let prepared = Holder {
            pid: None,
            gid: Some("x".to_owned()),
            owner: Some("other".to_owned()),
            database: Some("theirs".to_owned()),
            since: Some(SINCE.to_owned()),
            ..session
        };
        let text = prepared.describe();
        assert!(
            text.contains("in database \"theirs\"") && text.ends_with("ROLLBACK PREPARED 'x'"),
            "{text}"
        );
    }
}
