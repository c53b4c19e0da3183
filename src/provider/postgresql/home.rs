//! The operator's own database on a server: how it is made, and how a session gets in through the fence.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::failure::Failure;
use super::membership::lend;
use super::session::{Login, Session};
use super::{Postgresql, quoted};
use crate::provider::fence::{Entry, Epoch};
use crate::provider::{ProviderError, pool::Session as _};

/// The database of the operator's own tables, and the schema in it. A database of its own, because an administrator
/// who is no superuser may not make a schema in `postgres`.
pub(super) const HOME: &str = "db_operator";

/// The layout of the tables below. A later version of the operator migrates from the number that it finds.
const SCHEMA_VERSION: i32 = 1;

/// Any number, as long as it is always the same: two processes do not make the tables at once.
const SETUP_LOCK: i64 = 0x6462_6f70;

/// Claims are read by people too, so the columns say what they mean.
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

const READ_EPOCH: &str = "SELECT m.schema_version, e.epoch, e.process
FROM db_operator.meta m LEFT JOIN db_operator.epochs e ON e.cluster_id = $1";

const FOUND_EPOCH: &str =
    "INSERT INTO db_operator.epochs (cluster_id, epoch, process) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING";

const RAISE_EPOCH: &str =
    "UPDATE db_operator.epochs SET epoch = $2, process = $3, raised_at = now()
WHERE cluster_id = $1 AND epoch = $4";

/// Locks the epoch's row against a raise, so a raise sees this session or this session sees the raise.
const REGISTER: &str = "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start)
SELECT e.cluster_id, e.epoch, a.pid, a.backend_start
FROM db_operator.epochs e, pg_stat_get_activity(pg_backend_pid()) a
WHERE e.cluster_id = $1 AND e.epoch = $2 AND e.process = $3 FOR SHARE OF e";

const REGISTER_VISIT: &str =
    "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start)
SELECT e.cluster_id, e.epoch, $4, $5::text::timestamptz FROM db_operator.epochs e
WHERE e.cluster_id = $1 AND e.epoch = $2 AND e.process = $3 FOR SHARE OF e";

const WHO_AM_I: &str =
    "SELECT a.pid, a.backend_start::text FROM pg_stat_get_activity(pg_backend_pid()) a";

/// Asks sessions of the same cluster with an older epoch to end and waits for each, 5 s at most. A process id that
/// was given to somebody else since then has another start. A start that is hidden from this administrator (a former
/// one had another name) is taken for the same: "not permitted" is a better answer than a session that goes on.
const END_PREDECESSORS: &str = "SELECT s.pid, pg_terminate_backend(s.pid, 5000) AS ended
FROM db_operator.sessions s
JOIN pg_stat_activity a ON a.pid = s.pid AND coalesce(a.backend_start = s.backend_start, true)
WHERE s.cluster_id = $1 AND s.epoch < $2";

const FORGET_PREDECESSORS: &str =
    "DELETE FROM db_operator.sessions WHERE cluster_id = $1 AND epoch < $2";

const FORGET_ENDED: &str = "DELETE FROM db_operator.sessions s WHERE s.cluster_id = $1
AND NOT EXISTS (SELECT FROM pg_stat_activity a
  WHERE a.pid = s.pid AND coalesce(a.backend_start = s.backend_start, true))";

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
        match self.pass_fence(&mut session).await {
            Ok(()) => Ok(session),
            Err(error) => {
                session.close().await;
                Err(error)
            }
        }
    }

    /// A session in another database, registered with the fence before its first other statement but the one that
    /// asks who it is.
    pub(super) async fn open_visit(
        &self,
        home: &mut Session,
        database: &str,
    ) -> Result<Session, ProviderError> {
        let mut visit = self.connect(database).await?;
        match self.register_visit(home, &mut visit).await {
            Ok(()) => Ok(visit),
            Err(error) => {
                visit.close().await;
                Err(error)
            }
        }
    }

    /// Forgets sessions of this cluster that are gone.
    pub(super) async fn forget_ended(&self, home: &mut Session) -> Result<(), ProviderError> {
        home.execute(
            "forget ended sessions",
            sqlx::query(FORGET_ENDED).bind(self.fence.cluster_id()),
        )
        .await?;
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
        let login = Login {
            user: &self.config.username,
            password: &self.config.password,
            database,
        };
        Session::open(&self.config, login).await
    }

    /// Makes the operator's own database. Whoever is fenced off finds it there, so this needs no fence; only a
    /// process that leads does it all the same.
    async fn make_home(&self) -> Result<(), ProviderError> {
        self.fence.check_held()?;
        let mut session = self
            .connect(self.config.maintenance_database.as_str())
            .await?;
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

    /// Registers a session, entering the epoch first where this process has not done so yet.
    async fn pass_fence(&self, session: &mut Session) -> Result<(), ProviderError> {
        let mut mine = self.epoch.lock().await;
        if let Some(epoch) = *mine {
            if self.register(session, epoch).await? {
                return Ok(());
            }
            if let Some(now) = self.read_epoch(session).await?
                && now.process != self.fence.process()
                && now.number > epoch
            {
                return Err(ProviderError::Superseded {
                    mine: Some(epoch),
                    newer: now.number,
                });
            }
            // The row is older than this process: the server was restored from a backup.
            *mine = None;
        }
        let epoch = self.enter(session).await?;
        if !self.register(session, epoch).await? {
            let newer = self
                .read_epoch(session)
                .await?
                .map_or(epoch, |now| now.number);
            return Err(ProviderError::Superseded {
                mine: Some(epoch),
                newer,
            });
        }
        self.end_predecessors(session, epoch).await?;
        *mine = Some(epoch);
        Ok(())
    }

    /// Reads the epoch, asks the clock, and raises it: in this order.
    async fn enter(&self, session: &mut Session) -> Result<i64, ProviderError> {
        let standing = self.read_epoch_or_make_tables(session).await?;
        let entry = self.fence.entry(standing.as_ref());
        self.fence.check_held()?;
        let (cluster, process) = (self.fence.cluster_id(), self.fence.process());
        let (epoch, changed) = match entry {
            Entry::Join(epoch) => return Ok(epoch),
            Entry::Found(epoch) => {
                let query = sqlx::query(FOUND_EPOCH)
                    .bind(cluster)
                    .bind(epoch)
                    .bind(process);
                (epoch, session.execute("enter the fence", query).await?)
            }
            Entry::Raise { from, to } => {
                let query = sqlx::query(RAISE_EPOCH)
                    .bind(cluster)
                    .bind(to)
                    .bind(process)
                    .bind(from);
                (to, session.execute("raise the epoch", query).await?)
            }
        };
        if changed == 1 {
            return Ok(epoch);
        }
        match self.read_epoch(session).await? {
            // Another connection of this process was faster.
            Some(now) if now.process == process => Ok(now.number),
            Some(now) => Err(ProviderError::Superseded {
                mine: None,
                newer: now.number,
            }),
            None => Err(ProviderError::Busy {
                doing: "enter the fence".to_owned(),
                detail: "the epoch was removed at this moment".to_owned(),
            }),
        }
    }

    async fn read_epoch_or_make_tables(
        &self,
        session: &mut Session,
    ) -> Result<Option<Epoch>, ProviderError> {
        let read = sqlx::query(READ_EPOCH).bind(self.fence.cluster_id());
        match session.row("read the epoch", read).await {
            Ok(Some(row)) => return epoch_of(&row),
            // The tables were made, but their version was not written: no version of the operator does so.
            Ok(None) => {}
            // undefined_table, invalid_schema_name
            Err(failure) if matches!(failure.code(), Some("42P01" | "3F000")) => {}
            Err(failure) => return Err(self.may_not_enter(failure).await),
        }
        self.fence.check_held()?;
        let statements = [
            format!("SELECT pg_advisory_xact_lock({SETUP_LOCK})"),
            TABLES.to_owned(),
        ];
        if let Err(failure) = session
            .transaction("make the operator's own tables", &statements)
            .await
        {
            return Err(self.may_not_enter(failure).await);
        }
        self.read_epoch(session).await
    }

    async fn read_epoch(&self, session: &mut Session) -> Result<Option<Epoch>, ProviderError> {
        let read = sqlx::query(READ_EPOCH).bind(self.fence.cluster_id());
        match session.row("read the epoch", read).await? {
            Some(row) => epoch_of(&row),
            None => Ok(None),
        }
    }

    /// Says whether the epoch was still this one.
    async fn register(&self, session: &mut Session, epoch: i64) -> Result<bool, ProviderError> {
        let query = sqlx::query(REGISTER)
            .bind(self.fence.cluster_id())
            .bind(epoch)
            .bind(self.fence.process());
        Ok(session.execute("register a session", query).await? == 1)
    }

    async fn register_visit(
        &self,
        home: &mut Session,
        visit: &mut Session,
    ) -> Result<(), ProviderError> {
        let epoch = *self.epoch.lock().await;
        let row = visit
            .row("ask for the session's own id", sqlx::query(WHO_AM_I))
            .await?;
        let (pid, start) = match row {
            Some(row) => (
                column::<i32>(&row, "pid")?,
                column::<String>(&row, "backend_start")?,
            ),
            None => {
                return Err(unexpected(
                    "ask for the session's own id",
                    "no row came back",
                ));
            }
        };
        let query = sqlx::query(REGISTER_VISIT)
            .bind(self.fence.cluster_id())
            .bind(epoch)
            .bind(self.fence.process())
            .bind(pid)
            .bind(start);
        if home.execute("register a visit", query).await? == 1 {
            return Ok(());
        }
        let newer = self.read_epoch(home).await?.map_or(0, |now| now.number);
        Err(ProviderError::Superseded { mine: epoch, newer })
    }

    /// Ends what former processes of this cluster left connected. Nobody else's sessions are in the table.
    async fn end_predecessors(
        &self,
        session: &mut Session,
        epoch: i64,
    ) -> Result<(), ProviderError> {
        let doing = "end the sessions of the former leader";
        let query = sqlx::query(END_PREDECESSORS)
            .bind(self.fence.cluster_id())
            .bind(epoch);
        for row in session.rows(doing, query).await.map_err(|failure| {
            failure.needing(|| {
                format!(
                    "GRANT pg_signal_backend TO {}",
                    quoted(&self.config.username)
                )
            })
        })? {
            if !column::<bool>(&row, "ended")? {
                let pid = column::<i32>(&row, "pid")?;
                return Err(ProviderError::Busy {
                    doing: doing.to_owned(),
                    detail: format!("the session with process id {pid} does not end"),
                });
            }
        }
        let forget = sqlx::query(FORGET_PREDECESSORS)
            .bind(self.fence.cluster_id())
            .bind(epoch);
        session
            .execute("forget the sessions of the former leader", forget)
            .await?;
        Ok(())
    }
}

/// The operator's own database does not exist (invalid_catalog_name), or is not open yet because a crash came
/// between making and opening it (object_not_in_prerequisite_state).
fn is_not_there_yet(failure: &Failure) -> bool {
    matches!(failure.code(), Some("3D000" | "55000"))
}

fn epoch_of(row: &PgRow) -> Result<Option<Epoch>, ProviderError> {
    let version = column::<i32>(row, "schema_version")?;
    if version > SCHEMA_VERSION {
        return Err(ProviderError::Unsupported(format!(
            "the tables in db_operator have version {version} and this operator knows {SCHEMA_VERSION}: \
             run the newer version of db-operator"
        )));
    }
    let number = column::<Option<i64>>(row, "epoch")?;
    let process = column::<Option<String>>(row, "process")?;
    Ok(number
        .zip(process)
        .map(|(number, process)| Epoch { number, process }))
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
