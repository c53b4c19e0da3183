//! The operator's own database on a server: how it is made, and how a session gets in through the fence.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure::{Failure, is_nothing_there};
use super::fence::{READ_EPOCH, epoch_of, version_of};
use super::membership::lend;
use super::session::{APPLICATION, Login, Pinned, Session};
use super::{Postgresql, quoted};
use crate::provider::fence::Epoch;
use crate::provider::{ProviderError, pool::Session as _};

/// The database of the operator's own tables, and the schema in it. A database of its own, because an administrator
/// who is no superuser may not make a schema in `postgres`.
pub(super) const HOME: &str = "db_operator";

/// The layout of the tables below. A later version of the operator migrates from the number that it finds.
pub(super) const SCHEMA_VERSION: i32 = 2;

/// Any number, as long as it is always the same: two processes do not make the tables at once.
const SETUP_LOCK: i64 = 0x6462_6f70;

/// The tables of version 1. Claims are read by people too, so the columns say what they mean.
const TABLES: &str = "
CREATE SCHEMA IF NOT EXISTS db_operator;
CREATE TABLE IF NOT EXISTS db_operator.meta (schema_version integer NOT NULL);
INSERT INTO db_operator.meta SELECT 1 WHERE NOT EXISTS (SELECT FROM db_operator.meta);
CREATE TABLE IF NOT EXISTS db_operator.claims (
  database_name text PRIMARY KEY,
  role_name text NOT NULL UNIQUE,
  cluster_id text NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  uid text NOT NULL,
  created_database boolean NOT NULL,
  created_role boolean NOT NULL,
  drop_adopted boolean NOT NULL,
  released boolean NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT now(),
  changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS db_operator.epochs (
  cluster_id text PRIMARY KEY,
  epoch bigint NOT NULL,
  process text NOT NULL,
  raised_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS db_operator.sessions (
  cluster_id text NOT NULL,
  epoch bigint NOT NULL,
  pid integer NOT NULL,
  backend_start timestamptz NOT NULL,
  PRIMARY KEY (pid, backend_start)
)";

/// What came after version 1, on tables that were just made as on those of a former version, and any number of times.
/// Each column may be left out by a former version that is still at work while the next one takes over.
const UPGRADE: &str = "
ALTER TABLE db_operator.sessions ADD COLUMN IF NOT EXISTS role_oid oid;
ALTER TABLE db_operator.sessions ADD COLUMN IF NOT EXISTS server_start timestamptz;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS left_over boolean NOT NULL DEFAULT false;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS database_id text;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS role_id text;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS database_mark integer;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS role_mark integer";

/// Version 1 noted only that something was made, and before it was. What stands there is what was made; where nothing
/// does (no oid is 0), what comes later is something else.
const IDENTIFY_ALL: &str = "UPDATE db_operator.claims c SET
  database_id = CASE WHEN created_database THEN coalesce(database_id, place.prefix
    || coalesce((SELECT oid FROM pg_database WHERE datname = c.database_name), 0)) END,
  role_id = CASE WHEN created_role THEN coalesce(role_id, place.prefix
    || coalesce((SELECT oid FROM pg_roles WHERE rolname = c.role_name), 0)) END
FROM (SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()) place
WHERE (SELECT schema_version FROM db_operator.meta) < 2";

const OWNER_OF_HOME: &str =
    "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba
WHERE d.datname = 'db_operator'";

impl Postgresql {
    /// A session in the operator's own database, registered with the fence.
    pub(super) async fn open_home(&self) -> Result<Session, ProviderError> {
        let mut session = match self.connect(HOME).await {
            Ok(session) => session,
            Err(failure) if is_not_there_yet(&failure) => {
                self.make_home().await?;
                self.enter_home().await?
            }
            Err(failure) => return Err(self.may_not_enter(failure).await),
        };
        let entered = self.enter_server(&mut session).await;
        session.kept_if(entered).await
    }

    async fn enter_server(&self, session: &mut Session) -> Result<(), ProviderError> {
        check_version(session.version())?;
        self.pass_fence(session).await?;
        // Not before: on another server than the known one nothing is taken back either.
        session.is_registered();
        Ok(())
    }

    async fn enter_home(&self) -> Result<Session, ProviderError> {
        match self.connect(HOME).await {
            Ok(session) => Ok(session),
            Err(failure) => Err(self.may_not_enter(failure).await),
        }
    }

    /// The operator's own database may belong to another administrator: finds out to whom.
    async fn may_not_enter(&self, failure: Failure) -> ProviderError {
        // insufficient_privilege
        if failure.code() != Some("42501") {
            return failure.into();
        }
        match self.owner_of_home().await {
            Ok((owner, version)) => {
                failure.needing(|| lend(&owner, &self.config.username, version))
            }
            Err(error) => error,
        }
    }

    async fn owner_of_home(&self) -> Result<(String, u32), ProviderError> {
        let mut session = self
            .connect(self.config.maintenance_database.as_str())
            .await?;
        let result = session
            .row(
                "look for the owner of db_operator",
                sqlx::query(OWNER_OF_HOME),
            )
            .await;
        let version = session.version();
        session.close().await;
        match result? {
            Some(row) => Ok((column(&row, "rolname")?, version)),
            None => Err(unexpected(
                "look for the owner of db_operator",
                "the database is gone",
            )),
        }
    }

    /// A connection as the administrator, without any statement.
    pub(super) async fn connect(&self, database: &str) -> Result<Session, Failure> {
        self.connect_as(APPLICATION, database, Pinned::Own).await
    }

    /// The same, with a name that it has in `pg_stat_activity`.
    pub(super) async fn connect_as(
        &self,
        name: &str,
        database: &str,
        pinned: Pinned,
    ) -> Result<Session, Failure> {
        let login = Login {
            user: &self.config.username,
            password: &self.config.password,
            database,
            application: name,
            pinned,
        };
        Session::open(&self.config, login).await
    }

    /// Makes the operator's own database. Whoever is fenced off finds it there, so this needs no fence; only a
    /// process that leads does it all the same.
    async fn make_home(&self) -> Result<(), ProviderError> {
        self.fence.check_held()?;
        let mut session = self
            .connect_to_known(self.config.maintenance_database.as_str())
            .await?;
        check_version(session.version())?;
        let doing = "make the operator's own database db_operator";
        let create = "CREATE DATABASE db_operator TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' \
                      ALLOW_CONNECTIONS false";
        match session.statement(doing, create.to_owned()).await {
            Ok(()) => {}
            // duplicate_database: the crash of a former process, or another cluster's operator
            Err(failure) if failure.code() == Some("42P04") => {}
            Err(failure) => {
                let administrator = quoted(&self.config.username);
                return Err(failure.needing(|| format!("ALTER ROLE {administrator} CREATEDB")));
            }
        }
        let open = [
            "REVOKE ALL ON DATABASE db_operator FROM PUBLIC".to_owned(),
            "ALTER DATABASE db_operator ALLOW_CONNECTIONS true".to_owned(),
        ];
        if let Err(failure) = session.transaction(doing, &open).await {
            return Err(self.may_not_enter(failure).await);
        }
        session.close().await;
        Ok(())
    }

    /// Makes the tables, or brings those of a former version up to date, unless that was done. Like the database itself
    /// they need no fence; only a process that leads makes them all the same.
    pub(super) async fn read_epoch_or_make_tables(
        &self,
        session: &mut Session,
    ) -> Result<Option<Epoch>, ProviderError> {
        let read = sqlx::query(READ_EPOCH).bind(self.fence.cluster_id());
        match session.row("read the epoch", read).await {
            Ok(Some(row)) if version_of(&row)? >= SCHEMA_VERSION => return epoch_of(&row),
            // Tables of a former version, or whose version was not written, which no version of the operator does.
            Ok(Some(_) | None) => {}
            Err(failure) if is_nothing_there(&failure) => {}
            Err(failure) => return Err(self.may_not_enter(failure).await),
        }
        self.fence.check_held()?;
        let statements = [
            format!("SELECT pg_advisory_xact_lock({SETUP_LOCK})"),
            TABLES.to_owned(),
            UPGRADE.to_owned(),
            IDENTIFY_ALL.to_owned(),
            // Never back: a process that was paused here may find the tables of a later version.
            format!(
                "UPDATE db_operator.meta SET schema_version = {SCHEMA_VERSION} WHERE schema_version < {SCHEMA_VERSION}"
            ),
        ];
        if let Err(failure) = session
            .transaction("make the operator's own tables", &statements)
            .await
        {
            return Err(self.may_not_enter(failure).await);
        }
        self.read_epoch(session).await
    }
}

/// The oldest server that is supported, as PostgreSQL counts versions.
const OLDEST: u32 = 140_000;

/// Nothing is made on a server that is too old. Zero is one that did not say what it is.
fn check_version(version: u32) -> Result<(), ProviderError> {
    if version == 0 || version >= OLDEST {
        return Ok(());
    }
    Err(ProviderError::Unsupported(format!(
        "the server is PostgreSQL {}; 14 to 18 are supported, so upgrade it",
        version / 10_000
    )))
}

/// The operator's own database does not exist (invalid_catalog_name), or is not open yet because a crash came
/// between making and opening it (object_not_in_prerequisite_state).
fn is_not_there_yet(failure: &Failure) -> bool {
    matches!(failure.code(), Some("3D000" | "55000"))
}

/// A column of an answer.
pub(super) fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, ProviderError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name)
        .map_err(|error| unexpected("read an answer", &error.to_string()))
}

pub(super) fn unexpected(doing: &str, detail: &str) -> ProviderError {
    ProviderError::Unexpected {
        doing: doing.to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_told_so() {
        for version in [0, 140_000, 140_019, 180_001, 190_000] {
            assert!(check_version(version).is_ok(), "{version}");
        }
        let error = check_version(130_022).unwrap_err();
        assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("PostgreSQL 13"), "{error}");
    }
}
