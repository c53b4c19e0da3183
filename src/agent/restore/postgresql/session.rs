//! A session of this process in the database that is loaded, as its owner.

use std::collections::HashSet;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Connection, Postgres, Row, postgres::PgArguments};

use crate::agent::restore::login::{APPLICATION, Login};
use crate::provider::dial;
use crate::provider::ident::postgresql_identifier;

/// A session as the owner.
pub(in crate::agent::restore) struct Session {
    connection: PgConnection,
}

/// The sessions of this login that the server works on: those that wait for a lock or for us are not at work.
const AT_WORK: &str = "SELECT count(*) FROM pg_catalog.pg_stat_activity
WHERE usename = session_user AND application_name = $1 AND pid <> pg_catalog.pg_backend_pid()
  AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Lock'";

/// Only as a statement: before 17 the server does not know the setting, and lets nobody in who brings it along.
const NO_TRANSACTION_TIMEOUT: &str = "SELECT pg_catalog.set_config(name, '0', false)
FROM pg_catalog.pg_settings WHERE name = 'transaction_timeout'";

const ROLES: &str = "SELECT rolname::text FROM pg_catalog.pg_roles";

const SCHEMAS: &str = "SELECT nspname::text FROM pg_catalog.pg_namespace";

const TABLES: &str = "SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2";

/// Logs in. With `pinned`, no setting of the database ends what takes long.
async fn dial(login: &Login, pinned: bool) -> Result<PgConnection, sqlx::Error> {
    let mut connection = dial::postgresql(&login.postgresql(pinned)).await?;
    if pinned {
        sqlx::raw_sql(NO_TRANSACTION_TIMEOUT)
            .execute(&mut connection)
            .await?;
    }
    Ok(connection)
}

impl Session {
    /// Logs in, and stays who it is: of another's sessions nobody sees whether they are at work.
    pub(in crate::agent::restore) async fn of_login(login: &Login) -> Result<Self, sqlx::Error> {
        Ok(Self {
            connection: dial(login, true).await?,
        })
    }

    /// Logs in, and becomes the owner.
    pub(in crate::agent::restore) async fn open(
        login: &Login,
        pinned: bool,
    ) -> Result<Self, sqlx::Error> {
        let mut connection = dial(login, pinned).await?;
        sqlx::query("SELECT pg_catalog.set_config('role', $1, false)")
            .bind(&login.target().owner)
            .execute(&mut connection)
            .await?;
        Ok(Self { connection })
    }

    /// The schemas that are there.
    pub(super) async fn schemas(&mut self) -> Result<HashSet<String>, sqlx::Error> {
        let rows = sqlx::query(SCHEMAS).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// The roles of the server.
    pub(super) async fn roles(&mut self) -> Result<HashSet<String>, sqlx::Error> {
        let rows = sqlx::query(ROLES).fetch_all(&mut self.connection).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    }

    /// Whether the server works on anything of this restore.
    pub(in crate::agent::restore) async fn is_at_work(&mut self) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(AT_WORK).bind(APPLICATION);
        let row = query.fetch_one(&mut self.connection).await?;
        Ok(row.try_get::<i64, _>(0)? > 0)
    }

    /// Runs one statement of the archive, which runs as its owner, as all of the archive does.
    pub(super) async fn run(&mut self, statement: String) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Has the server look at all tables, for good plans.
    pub(in crate::agent::restore) async fn analyze(&mut self) -> Result<(), sqlx::Error> {
        self.run("ANALYZE".to_owned()).await
    }

    /// The tables that are there, by schema and name, without those of extensions.
    pub(in crate::agent::restore) async fn tables(
        &mut self,
    ) -> Result<Vec<(String, String)>, sqlx::Error> {
        let rows = sqlx::query(TABLES).fetch_all(&mut self.connection).await?;
        let names = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(names).collect()
    }

    /// How many rows a table has.
    pub(in crate::agent::restore) async fn count(
        &mut self,
        schema: &str,
        table: &str,
    ) -> Result<u64, sqlx::Error> {
        // Not those of its children, which are counted by themselves.
        let statement = format!(
            "SELECT pg_catalog.count(*) FROM ONLY {}.{}",
            postgresql_identifier(schema),
            postgresql_identifier(table)
        );
        let row = self.one(sqlx::query(AssertSqlSafe(statement))).await?;
        Ok(u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or_default())
    }

    async fn one(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<PgRow, sqlx::Error> {
        query
            .persistent(false)
            .fetch_one(&mut self.connection)
            .await
    }

    /// The connection itself, for the team's questions.
    pub(in crate::agent::restore) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Says goodbye.
    pub(in crate::agent::restore) async fn close(self) {
        let _ = self.connection.close().await;
    }
}
