//! The operator's own database on a server, `db_operator`: its tables, and how they are created and upgraded.

use sqlx::postgres::PgRow;

use super::error::is_nothing_there;
use super::fence::{READ_EPOCH, epoch_of, version_of};
use super::restore_tables::TABLES_OF_RESTORES;
use super::session::{Session, column};
use super::{Postgresql, quoted};
use crate::provider::ProviderError;
use crate::provider::fence::Epoch;
use crate::provider::pool::Session as _;

/// The database of the operator's own tables, and the schema in it. It is a separate database, because an administrator
/// that is no superuser may not create a schema in `postgres`.
pub(super) const DATABASE: &str = "db_operator";

/// The latest version of the tables that this operator knows. It stands on a server once a former database is kept there
/// ([`RAISE_VERSION`]): an operator that does not know of these must not work there any more.
pub(super) const SCHEMA_VERSION: i32 = 3;

/// The version that setting the tables up gives them. A later version of the operator migrates from the number that it
/// finds.
const SET_UP_VERSION: i32 = 2;

/// Counts what was added without a new version, because an older operator does well without it.
const ADDITIONS: i32 = 1;

/// Shuts out older operators, which do not know of former databases.
pub(super) const RAISE_VERSION: &str =
    "UPDATE db_operator.meta SET schema_version = 3 WHERE schema_version < 3";

/// Any number will do as long as it is always the same, so that two processes do not create the tables at once.
const SETUP_LOCK: i64 = 0x6462_6f70;

/// The tables of version 1. People read claims too, so the columns say what they mean.
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

/// What came after version 1. It runs on new tables and on those of a former version, any number of times. A former
/// version that still works while the next one takes over may leave each of these columns out.
const UPGRADE: &str = "
ALTER TABLE db_operator.sessions ADD COLUMN IF NOT EXISTS role_oid oid;
ALTER TABLE db_operator.sessions ADD COLUMN IF NOT EXISTS server_start timestamptz;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS left_over boolean NOT NULL DEFAULT false;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS database_id text;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS role_id text;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS database_mark integer;
ALTER TABLE db_operator.claims ADD COLUMN IF NOT EXISTS role_mark integer;
ALTER TABLE db_operator.meta ADD COLUMN IF NOT EXISTS additions integer NOT NULL DEFAULT 0";

/// Version 1 recorded only that something was created, and did so beforehand. What exists is taken to be that; if
/// nothing exists (no oid is 0), what comes later is something else.
const IDENTIFY_ALL: &str = "UPDATE db_operator.claims c SET
  database_id = CASE WHEN created_database THEN coalesce(database_id, place.prefix
    || coalesce((SELECT oid FROM pg_database WHERE datname = c.database_name), 0)) END,
  role_id = CASE WHEN created_role THEN coalesce(role_id, place.prefix
    || coalesce((SELECT oid FROM pg_roles WHERE rolname = c.role_name), 0)) END
FROM (SELECT oid || '.' || 'db_operator.claims'::regclass::oid || '/' AS prefix
  FROM pg_database WHERE datname = current_database()) place
WHERE (SELECT schema_version FROM db_operator.meta) < 2";

impl Postgresql {
    /// Creates the operator's own database. That needs no fence, because a fenced-off process finds the database in
    /// place; still, only a leader does it.
    pub(super) async fn create_own_database(&self) -> Result<(), ProviderError> {
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
            return Err(self.explain_refused(failure).await);
        }
        session.close().await;
        Ok(())
    }

    /// Creates the tables, or upgrades those of a former version, if that is still to be done. Like the database
    /// itself, they need no fence; still, only a leader creates them.
    pub(super) async fn read_epoch_or_create_tables(
        &self,
        session: &mut Session,
    ) -> Result<Option<Epoch>, ProviderError> {
        let read = sqlx::query(READ_EPOCH).bind(self.fence.cluster_id());
        match session.row("read the epoch", read).await {
            Ok(Some(row)) if is_up_to_date(&row)? => return epoch_of(&row),
            // Tables of a former version, or with no version, which no version of the operator leaves.
            Ok(Some(_) | None) => {}
            Err(failure) if is_nothing_there(&failure) => {}
            Err(failure) => return Err(self.explain_refused(failure).await),
        }
        self.fence.check_held()?;
        let statements = [
            format!("SELECT pg_advisory_xact_lock({SETUP_LOCK})"),
            TABLES.to_owned(),
            UPGRADE.to_owned(),
            TABLES_OF_RESTORES.to_owned(),
            IDENTIFY_ALL.to_owned(),
            // Never lower them: a process that was paused here may find the tables of a later version.
            format!(
                "UPDATE db_operator.meta SET schema_version = {SET_UP_VERSION} WHERE schema_version < {SET_UP_VERSION}"
            ),
            format!(
                "UPDATE db_operator.meta SET additions = {ADDITIONS} WHERE additions < {ADDITIONS}"
            ),
        ];
        if let Err(failure) = session
            .transaction("make the operator's own tables", &statements)
            .await
        {
            return Err(self.explain_refused(failure).await);
        }
        self.read_epoch(session).await
    }
}

/// Whether nothing is left to be created or upgraded. Tables without the column for additions fail the reading itself.
fn is_up_to_date(row: &PgRow) -> Result<bool, ProviderError> {
    Ok(version_of(row)? >= SET_UP_VERSION && column::<i32>(row, "additions")? >= ADDITIONS)
}

/// The oldest server that is supported, as PostgreSQL counts versions.
const OLDEST: u32 = 140_000;

/// Refuses a server that is too old, before anything is created there. Zero is a server that did not say.
pub(super) fn check_version(version: u32) -> Result<(), ProviderError> {
    if version == 0 || version >= OLDEST {
        return Ok(());
    }
    Err(ProviderError::Unsupported(format!(
        "the server is PostgreSQL {}; 14 to 18 are supported, so upgrade it",
        version / 10_000
    )))
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
