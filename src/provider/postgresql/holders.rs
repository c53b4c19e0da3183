//! What keeps a database or a user and is no session in it: prepared transactions, subscriptions, locks. Each is told
//! with the statement that helps, where it is to be run, and by whom.

use serde::Deserialize;

use super::catalog::{DatabaseRow, RoleRow};
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::ident::postgresql_literal;
use crate::provider::{ProviderError, Removed};

/// What an owner leaves in a database for which DROP DATABASE waits in vain, FORCE or not.
const KEEPERS: &str = "SELECT json_build_object(
  'prepared', (SELECT coalesce(json_agg(p), '[]') FROM (
    SELECT gid, owner, database, extract(epoch FROM now() - prepared)::bigint AS age
    FROM pg_prepared_xacts WHERE database = $1 ORDER BY prepared LIMIT 5) p),
  'subscriptions', (SELECT coalesce(json_agg(s), '[]') FROM (
    SELECT s.subname AS name, r.rolname AS owner FROM pg_subscription s
    JOIN pg_database d ON d.oid = s.subdbid JOIN pg_roles r ON r.oid = s.subowner
    WHERE d.datname = $1 ORDER BY 1 LIMIT 5) s))::text";

/// Who holds a lock that an ALTER or DROP of the database `$1` or of the role `$2` waits for: on the object itself, or as a
/// writer of the catalogs that all databases share. Where a transaction was prepared, its locks have no process, and
/// it is found by its number.
const HOLDERS: &str = "SELECT coalesce(json_agg(h), '[]')::text FROM (
  SELECT DISTINCT l.pid, r.rolname AS role, a.application_name AS application,
    extract(epoch FROM now() - a.xact_start)::bigint AS age,
    p.gid, p.owner, p.database, extract(epoch FROM now() - p.prepared)::bigint AS prepared_for
  FROM pg_locks l
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid LEFT JOIN pg_roles r ON r.oid = a.usesysid
  LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.virtualtransaction = l.virtualtransaction
    AND x.locktype = 'transactionid'
  LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
  WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND (
    l.locktype = 'object' AND l.classid = 'pg_database'::regclass
      AND l.objid = (SELECT oid FROM pg_database WHERE datname = $1)
    OR l.locktype = 'object' AND l.classid = 'pg_authid'::regclass
      AND l.objid = (SELECT oid FROM pg_roles WHERE rolname = $2)
    OR l.locktype = 'relation' AND l.database = 0 AND l.mode = 'RowExclusiveLock'
      AND l.relation IN ('pg_authid'::regclass, 'pg_database'::regclass, 'pg_auth_members'::regclass))
  ORDER BY 1 LIMIT 5) h";

#[derive(Deserialize)]
struct Keepers {
    prepared: Vec<Prepared>,
    subscriptions: Vec<Subscription>,
}

/// A transaction that was prepared for two-phase commit, and waits for its end.
#[derive(Deserialize)]
struct Prepared {
    gid: String,
    owner: String,
    database: String,
    /// In seconds.
    age: i64,
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
    /// Of its transaction in seconds, where the administrator may see it.
    age: Option<i64>,
    gid: Option<String>,
    owner: Option<String>,
    database: Option<String>,
    prepared_for: Option<i64>,
}

impl Postgresql {
    /// What keeps the database until somebody goes into it: so it is left open for whoever helps, and opened again where
    /// it was closed by a former try.
    pub(super) async fn kept_from_inside(
        &self,
        home: &mut Session,
        database: &DatabaseRow,
        role: Option<&RoleRow>,
    ) -> Result<Option<Removed>, ProviderError> {
        let query = sqlx::query(KEEPERS).bind(&database.name);
        let keepers: Keepers = home.json("look for what keeps a database", query).await?;
        let told = keepers.told(&database.name);
        if told.is_empty() {
            return Ok(None);
        }
        let helper = role.filter(|role| keepers.are_of(&role.name));
        self.reopen(home, database, helper).await?;
        Ok(Some(Removed::Blocked(format!(
            "database {:?} cannot be dropped: {}",
            database.name,
            told.join("; ")
        ))))
    }

    /// Lets people into the database again, and this user, if it is one who can help.
    async fn reopen(
        &self,
        home: &mut Session,
        database: &DatabaseRow,
        helper: Option<&RoleRow>,
    ) -> Result<(), ProviderError> {
        let name = quoted(&database.name);
        let mut open = Vec::new();
        if !database.open && database.connections != -2 {
            open.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true"));
        }
        // It was taken to be dropped, and the privileges of its owner went with it.
        if let Some(role) = helper.filter(|role| role.name != database.owner) {
            open.push(format!(
                "GRANT CONNECT ON DATABASE {name} TO {}",
                quoted(&role.name)
            ));
        }
        if !open.is_empty() {
            let doing = format!("open the database {:?} again", database.name);
            self.as_owner(home, database, &doing, open).await?;
        }
        if let Some(role) = helper.filter(|role| !role.login) {
            let login = format!("ALTER ROLE {} LOGIN", quoted(&role.name));
            let doing = format!("unlock the user {:?}", role.name);
            home.statement(&doing, login).await?;
        }
        Ok(())
    }

    /// Who holds a lock that the removal of these waits for. Nobody may hold one by now.
    pub(super) async fn holders(
        &self,
        home: &mut Session,
        database: Option<&str>,
        role: Option<&str>,
    ) -> Result<Vec<String>, ProviderError> {
        let query = sqlx::query(HOLDERS).bind(database).bind(role);
        let holders: Vec<Holder> = home.json("look for who holds a lock", query).await?;
        Ok(holders.iter().map(Holder::told).collect())
    }
}

impl Keepers {
    /// Whether this user may end one of them.
    fn are_of(&self, user: &str) -> bool {
        self.prepared.iter().any(|one| one.owner == user)
            || self.subscriptions.iter().any(|one| one.owner == user)
    }

    fn told(&self, database: &str) -> Vec<String> {
        let prepared = self.prepared.iter().map(Prepared::told);
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
    fn told(&self) -> String {
        format!(
            "user {:?} prepared the transaction {:?} {} ago, and it has not ended; in database {:?}, as that user or a \
             superuser, run: ROLLBACK PREPARED {}",
            self.owner,
            self.gid,
            lasting(self.age),
            self.database,
            postgresql_literal(&self.gid)
        )
    }
}

impl Holder {
    fn told(&self) -> String {
        if let Holder {
            gid: Some(gid),
            owner: Some(owner),
            database: Some(database),
            prepared_for: Some(age),
            ..
        } = self
        {
            let prepared = Prepared {
                gid: gid.clone(),
                owner: owner.clone(),
                database: database.clone(),
                age: *age,
            };
            return prepared.told();
        }
        let pid = self.pid.unwrap_or_default();
        let since = self
            .age
            .map(|age| format!(", its transaction for {}", lasting(age)));
        format!(
            "process {pid} (user {:?}, application {:?}) holds a lock{}; as that user or a superuser, run: \
             SELECT pg_terminate_backend({pid})",
            self.role.as_deref().unwrap_or_default(),
            self.application.as_deref().unwrap_or_default(),
            since.unwrap_or_default()
        )
    }
}

/// A time in seconds, for people.
pub(super) fn lasting(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let told = [-1, 7, 119, 120, 7199, 7200, 200_000].map(lasting);
        assert_eq!(
            told,
            ["0 s", "7 s", "119 s", "2 min", "119 min", "2 h", "2 days"]
        );
    }

    #[test]
    fn what_keeps_a_database_is_told_with_the_statement_that_helps() {
        let keepers = Keepers {
            prepared: vec![Prepared {
                gid: "it's".to_owned(),
                owner: "orders".to_owned(),
                database: "orders".to_owned(),
                age: 600,
            }],
            subscriptions: vec![Subscription {
                name: "Feed".to_owned(),
                owner: "orders".to_owned(),
            }],
        };
        let told = keepers.told("orders");
        assert!(
            told[0].contains("10 min ago") && told[0].ends_with("ROLLBACK PREPARED 'it''s'"),
            "{told:?}"
        );
        assert!(told[1].contains("DROP SUBSCRIPTION \"Feed\" "), "{told:?}");
    }

    #[test]
    fn a_holder_is_a_session_or_a_prepared_transaction() {
        let session = Holder {
            pid: Some(7),
            role: Some("other".to_owned()),
            application: None,
            age: None,
            gid: None,
            owner: None,
            database: None,
            prepared_for: None,
        };
        let told = session.told();
        assert!(
            told.contains("process 7 (user \"other\"") && told.ends_with("pg_terminate_backend(7)"),
            "{told}"
        );
        let prepared = Holder {
            pid: None,
            gid: Some("x".to_owned()),
            owner: Some("other".to_owned()),
            database: Some("theirs".to_owned()),
            prepared_for: Some(3),
            ..session
        };
        let told = prepared.told();
        assert!(
            told.contains("in database \"theirs\"") && told.ends_with("ROLLBACK PREPARED 'x'"),
            "{told}"
        );
    }
}
