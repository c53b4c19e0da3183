//! The fence on PostgreSQL: the epoch in the operator's own database, and the sessions that are registered under it.

use sqlx::postgres::PgRow;

use super::error::{is_nothing_there, unexpected};
use super::schema::SCHEMA_VERSION;
use super::session::{Session, column};
use super::{Postgresql, quoted};
use crate::provider::ProviderError;
use crate::provider::fence::{Entry, Epoch, Tenure};

pub(super) const READ_EPOCH: &str = "SELECT m.schema_version, e.epoch, e.process, m.additions
FROM db_operator.meta m LEFT JOIN db_operator.epochs e ON e.cluster_id = $1";

/// Reads both in one answer, because the epoch on another server says nothing about this one.
const READ_EPOCH_AND_IDENTITY: &str =
    "SELECT m.schema_version, e.epoch, e.process, s.system_identifier::text AS identity
FROM pg_control_system() s, db_operator.meta m LEFT JOIN db_operator.epochs e ON e.cluster_id = $1";

const FOUND_EPOCH: &str =
    "INSERT INTO db_operator.epochs (cluster_id, epoch, process) VALUES ($1, $2, $3)
ON CONFLICT DO NOTHING";

const RAISE_EPOCH: &str =
    "UPDATE db_operator.epochs SET epoch = $2, process = $3, raised_at = now()
WHERE cluster_id = $1 AND epoch = $4";

/// Locks the epoch's row against a raise, so that the raise sees this session, or this session sees the raise.
const REGISTER: &str = "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start, role_oid, server_start)
SELECT e.cluster_id, e.epoch, a.pid, a.backend_start, a.usesysid, pg_postmaster_start_time()
FROM db_operator.epochs e, pg_stat_get_activity(pg_backend_pid()) a
WHERE e.cluster_id = $1 AND e.epoch = $2 AND e.process = $3 FOR SHARE OF e";

/// A session that is closed properly deletes its own row.
pub(super) const FORGET_THIS: &str =
    "DELETE FROM db_operator.sessions s USING pg_stat_get_activity(pg_backend_pid()) a
WHERE s.pid = a.pid AND s.backend_start = a.backend_start";

/// Whether the living session `a` is the one of the row `s`. Process ids are reused: a session of another role, or one
/// that was registered before the server started, is over, whoever has its process id now. If the start is hidden from
/// this administrator and the role had registered (a former administrator of another name), it is taken to be the same:
/// "not permitted" is a better answer than a session that goes on. Rows of version 1 record neither role nor server
/// start: there, only a visible start proves it.
macro_rules! is_same_session {
    () => {
        "a.pid = s.pid AND CASE WHEN s.role_oid IS NULL OR s.server_start IS NULL THEN a.backend_start = s.backend_start
  ELSE a.usesysid = s.role_oid AND s.server_start = pg_postmaster_start_time()
    AND coalesce(a.backend_start = s.backend_start, true) END"
    };
}

/// Asks sessions of the same cluster with an older epoch to end, and waits up to 5 s for each.
const END_PREDECESSORS: &str = concat!(
    "SELECT s.pid, pg_terminate_backend(s.pid, 5000) AS ended
FROM db_operator.sessions s JOIN pg_stat_activity a ON ",
    is_same_session!(),
    "
WHERE s.cluster_id = $1 AND s.epoch < $2"
);

const FORGET_PREDECESSORS: &str =
    "DELETE FROM db_operator.sessions WHERE cluster_id = $1 AND epoch < $2";

const FORGET_ENDED: &str = concat!(
    "DELETE FROM db_operator.sessions s WHERE s.cluster_id = $1
AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE ",
    is_same_session!(),
    ")"
);

impl Postgresql {
    /// Deletes the registrations of sessions of this cluster that are gone.
    pub(super) async fn forget_ended(&self, session: &mut Session) -> Result<(), ProviderError> {
        session
            .execute(
                "forget ended sessions",
                sqlx::query(FORGET_ENDED).bind(self.fence.cluster_id()),
            )
            .await?;
        Ok(())
    }

    /// Registers a session; enters the epoch first if this process has not done so yet. Once superseded, always
    /// superseded: this process must not enter a second time.
    pub(super) async fn enter_fence(&self, session: &mut Session) -> Result<(), ProviderError> {
        if let Some(error) = self.superseded.get() {
            return Err(error.clone());
        }
        let passed = self.register_or_enter(session).await;
        if let Err(error @ ProviderError::Superseded { .. }) = &passed {
            // If another session was first to find out, it says the same.
            let _ = self.superseded.set(error.clone());
        }
        passed
    }

    /// A process that has entered before registers first, which writes nothing if it was superseded. On an unknown
    /// server, it first asks which one that is.
    async fn register_or_enter(&self, session: &mut Session) -> Result<(), ProviderError> {
        let mut mine = self.epoch.lock().await;
        if let Some(epoch) = *mine {
            if self.register(session, epoch).await? {
                return self.recognize(session).await;
            }
            *mine = None;
        }
        self.recognize(session).await?;
        let epoch = self.enter(session).await?;
        if !self.register(session, epoch).await? {
            return Err(forgotten());
        }
        self.end_predecessors(session, epoch).await?;
        *mine = Some(epoch);
        Ok(())
    }

    /// Reads the epoch, asks the clock, and raises the epoch, in this order.
    async fn enter(&self, session: &mut Session) -> Result<i64, ProviderError> {
        let standing = self.read_epoch_or_create_tables(session).await?;
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

    pub(super) async fn read_epoch(
        &self,
        session: &mut Session,
    ) -> Result<Option<Epoch>, ProviderError> {
        let read = sqlx::query(READ_EPOCH).bind(self.fence.cluster_id());
        match session.row("read the epoch", read).await {
            Ok(Some(row)) => epoch_of(&row),
            Ok(None) => Ok(None),
            Err(failure) if is_nothing_there(&failure) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Registers the session under this epoch. `false` if the server has forgotten the epoch.
    async fn register(&self, session: &mut Session, epoch: i64) -> Result<bool, ProviderError> {
        let query = sqlx::query(REGISTER)
            .bind(self.fence.cluster_id())
            .bind(epoch)
            .bind(self.fence.process());
        match session.execute("register a session", query).await {
            Ok(1) => return Ok(true),
            Ok(_) => {}
            Err(failure) if is_nothing_there(&failure) => return Ok(false),
            Err(failure) => return Err(failure.into()),
        }
        // If it is held, it was written again between the two statements; it is entered again like a lost one.
        self.is_held(session, epoch).await?;
        Ok(false)
    }

    /// Whether this epoch still stands on the known server. `false` if the server has forgotten it.
    pub(super) async fn is_held(
        &self,
        session: &mut Session,
        epoch: i64,
    ) -> Result<bool, ProviderError> {
        let read = sqlx::query(READ_EPOCH_AND_IDENTITY).bind(self.fence.cluster_id());
        let standing = match session.row("read the epoch", read).await {
            Ok(Some(row)) => {
                self.accept(&column::<String>(&row, "identity")?)?;
                epoch_of(&row)?
            }
            Ok(None) => None,
            Err(failure) if is_nothing_there(&failure) => None,
            // insufficient_privilege: the right to ask for the identity was taken away from ordinary users
            Err(failure) if failure.code() == Some("42501") => self.read_epoch(session).await?,
            Err(failure) => return Err(failure.into()),
        };
        match self.fence.tenure(epoch, standing.as_ref()) {
            Tenure::Held => Ok(true),
            Tenure::Forgotten => Ok(false),
            Tenure::Superseded { newer } => Err(ProviderError::Superseded {
                mine: Some(epoch),
                newer,
            }),
        }
    }

    /// Ends the sessions that former processes of this cluster left open, and no others: see `is_same_session`.
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

/// The next session starts over with the server and finds out what is wrong.
pub(super) fn forgotten() -> ProviderError {
    unexpected(
        "register a session",
        "the server has forgotten what was written to db_operator",
    )
}

/// The version of the tables.
pub(super) fn version_of(row: &PgRow) -> Result<i32, ProviderError> {
    column(row, "schema_version")
}

pub(super) fn epoch_of(row: &PgRow) -> Result<Option<Epoch>, ProviderError> {
    let version = version_of(row)?;
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
