//! How a session inside a tenant's database is registered with the fence: by the session beside it in `db_operator`.

use super::Postgresql;
use super::error::unexpected;
use super::fence::forgotten;
use super::session::{APPLICATION, Pinned, Session, column};
use crate::provider::ProviderError;
use crate::provider::pool::Session as _;

/// Registers another session, by the name that it was opened with. Everyone can see and take that name, but only as
/// their own role, and in a database that they may connect to.
const REGISTER_TENANT_SESSION: &str =
    "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start, role_oid, server_start)
SELECT e.cluster_id, e.epoch, a.pid, a.backend_start, a.usesysid, pg_postmaster_start_time()
FROM db_operator.epochs e, pg_stat_activity a, pg_stat_get_activity(pg_backend_pid()) me
WHERE e.cluster_id = $1 AND e.epoch = $2 AND e.process = $3
  AND a.application_name = $4 AND a.datname = $5 AND a.usesysid = me.usesysid AND a.backend_start IS NOT NULL
FOR SHARE OF e RETURNING pid, backend_start::text AS backend_start";

const OWN_PID: &str = "SELECT pg_backend_pid() AS pid";

const FORGET_TENANT_SESSION: &str = "DELETE FROM db_operator.sessions WHERE cluster_id = $1 AND pid = $2 AND backend_start = $3::timestamptz";

/// How the fence knows the session.
pub(super) struct Registration {
    pid: i32,
    backend_start: String,
}

impl Registration {
    /// The number of the session.
    pub(super) fn pid(&self) -> i32 {
        self.pid
    }
}

impl Postgresql {
    /// Opens a session in another database. `outside` registers it with the fence before its first statement, with
    /// which the session itself confirms that it is the one.
    pub(super) async fn connect_inside(
        &self,
        outside: &mut Session,
        database: &str,
    ) -> Result<(Session, Registration), ProviderError> {
        let name = format!("{APPLICATION} visit {:016x}", rand::random::<u64>());
        let pinned = Pinned::Inside {
            version: outside.version(),
        };
        let mut inside = self.connect_as(&name, database, pinned).await?;
        let entered = async {
            let registered = self
                .register_tenant_session(outside, &name, database)
                .await?;
            confirm(&mut inside, &registered).await?;
            self.recognize(&mut inside).await?;
            Ok(registered)
        };
        match entered.await {
            Ok(registered) => Ok((inside, registered)),
            Err(error) => {
                inside.close().await;
                Err(error)
            }
        }
    }

    /// Deletes the registration of a session that is over. If that fails, [`Self::forget_ended`] finds it.
    pub(super) async fn forget_tenant_session(
        &self,
        outside: &mut Session,
        registration: &Registration,
    ) {
        let query = sqlx::query(FORGET_TENANT_SESSION)
            .bind(self.fence.cluster_id())
            .bind(registration.pid)
            .bind(&registration.backend_start);
        let _ = outside
            .execute("forget a session in a tenant's database", query)
            .await;
    }

    async fn register_tenant_session(
        &self,
        outside: &mut Session,
        name: &str,
        database: &str,
    ) -> Result<Registration, ProviderError> {
        let Some(epoch) = *self.epoch.lock().await else {
            // The server was rebuilt under the session `outside`.
            return Err(forgotten());
        };
        let query = sqlx::query(REGISTER_TENANT_SESSION)
            .bind(self.fence.cluster_id())
            .bind(epoch)
            .bind(self.fence.process())
            .bind(name)
            .bind(database);
        let rows = outside
            .rows("register a session in a tenant's database", query)
            .await?;
        if let [row] = rows.as_slice() {
            return Ok(Registration {
                pid: column(row, "pid")?,
                backend_start: column(row, "backend_start")?,
            });
        }
        if !self.is_held(outside, epoch).await? {
            return Err(forgotten());
        }
        Err(not_shown())
    }
}

/// Has the session itself confirm, with its first statement, that it is the registered one.
async fn confirm(inside: &mut Session, registered: &Registration) -> Result<(), ProviderError> {
    let row = inside
        .row(
            "confirm a session in a tenant's database",
            sqlx::query(OWN_PID),
        )
        .await?;
    match row {
        Some(row) if column::<i32>(&row, "pid")? == registered.pid => Ok(()),
        Some(_) | None => Err(not_shown()),
    }
}

fn not_shown() -> ProviderError {
    unexpected(
        "register a session in a tenant's database",
        "the server does not show the session: are there several servers behind its address?",
    )
}
