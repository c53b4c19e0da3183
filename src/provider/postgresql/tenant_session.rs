//! Sessions inside a tenant's database. The administrator lets itself in for as long as they last.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use tokio::sync::OwnedMutexGuard;

use super::Postgresql;
use super::grants::{Right, borrow, give_back, permit};
use super::session::Session;
use super::tenant_fence::Registration;
use crate::provider::blame::blame;
use crate::provider::pool::{Lease, Session as _, Slot};
use crate::provider::{Names, ProviderError};

/// A session inside a tenant's database. End it with [`Postgresql::close_tenant_session`].
pub(super) struct TenantSession {
    pub(super) session: Session,
    registration: Registration,
    /// The session in `db_operator` that registered it.
    outside: Lease<Session>,
    names: Names,
    slot: Slot,
    turn: OwnedMutexGuard<()>,
}

/// What a query about a database's own user answers.
#[derive(Deserialize)]
struct OfUser<T> {
    /// The user exists.
    exists: bool,
    #[serde(flatten)]
    answer: T,
}

impl TenantSession {
    /// The session in `db_operator` beside it.
    pub(super) fn outside(&mut self) -> &mut Session {
        &mut self.outside
    }

    /// The number of the session inside the database.
    pub(super) fn pid(&self) -> i32 {
        self.registration.pid()
    }
}

impl Postgresql {
    /// Asks one question about the user inside the database, which is answered with an object that also says whether that
    /// user `exists`.
    pub(super) async fn ask_inside<T: DeserializeOwned>(
        &self,
        names: &Names,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<T, ProviderError> {
        let mut tenant = self.open_tenant_session(names).await?;
        let result = tenant.session.json::<OfUser<T>>(doing, query).await;
        let found = self
            .close_tenant_session(tenant, result.map_err(Into::into))
            .await?;
        if found.exists {
            return Ok(found.answer);
        }
        Err(ProviderError::InTheWay(format!(
            "the user {:?} is missing",
            names.role
        )))
    }

    /// Opens a session in the database, registered with the fence.
    pub(super) async fn open_tenant_session(
        &self,
        names: &Names,
    ) -> Result<TenantSession, ProviderError> {
        // Only others of the same database wait for this.
        let turn = self.tenant_sessions.lock(names.database.clone()).await;
        let (outside_slot, slot) = self.pool.slots_for_tenant().await?;
        let mut outside = self
            .pool
            .session(outside_slot, Box::pin(self.open_session()))
            .await?;
        self.allow_connect(&mut outside, names, true).await?;
        match self
            .connect_inside(&mut outside, names.database.as_str())
            .await
        {
            Ok((session, registration)) => Ok(TenantSession {
                session,
                registration,
                outside,
                names: names.clone(),
                slot,
                turn,
            }),
            Err(error) => {
                let outside = self.allow_connect(&mut outside, names, false).await;
                Err(blame(&names.database, error, outside.err()))
            }
        }
    }

    /// Closes the session and revokes what let the administrator in. `result`, what came of the work inside, passes
    /// through. After a crash, the permission is a deviation that `apply_database` corrects.
    pub(super) async fn close_tenant_session<T>(
        &self,
        tenant: TenantSession,
        result: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let TenantSession {
            session,
            registration,
            mut outside,
            names,
            slot,
            turn,
        } = tenant;
        let in_order = session.is_reusable();
        session.close().await;
        drop(slot);
        if in_order {
            self.forget_tenant_session(&mut outside, &registration)
                .await;
        }
        let closed = self.allow_connect(&mut outside, &names, false).await;
        drop(turn);
        match result {
            Ok(value) => closed.map(|()| value),
            Err(error) => Err(blame(&names.database, error, closed.err())),
        }
    }

    /// Closes the session, and goes on with the one beside it, while others still wait for their turn inside. What let the
    /// administrator in stays: it owns the database by now.
    pub(super) async fn leave_tenant_session(
        &self,
        tenant: TenantSession,
    ) -> (Lease<Session>, OwnedMutexGuard<()>) {
        let TenantSession {
            session,
            registration,
            mut outside,
            turn,
            ..
        } = tenant;
        session.close().await;
        self.forget_tenant_session(&mut outside, &registration)
            .await;
        (outside, turn)
    }

    /// Lets the administrator in, or no longer does. A superuser needs no permission.
    async fn allow_connect(
        &self,
        outside: &mut Session,
        names: &Names,
        allow: bool,
    ) -> Result<(), ProviderError> {
        let catalog = self.read_catalog(outside, names).await?;
        let database = &names.database;
        let Some(row) = catalog.database() else {
            return Err(ProviderError::InTheWay(format!(
                "the database {database:?} is missing"
            )));
        };
        let has = row
            .administrator
            .iter()
            .any(|privilege| privilege == "CONNECT");
        if row.owned || has == allow {
            return Ok(());
        }
        let version = outside.version();
        let change = if allow {
            format!(
                "GRANT CONNECT ON DATABASE {} TO CURRENT_USER",
                database.postgresql()
            )
        } else {
            format!(
                "REVOKE CONNECT ON DATABASE {} FROM CURRENT_USER",
                database.postgresql()
            )
        };
        let statements = [
            borrow(&row.owner, Right::Use, version),
            change,
            give_back(&row.owner, version),
        ];
        outside
            .transaction(&format!("enter the database {database:?}"), &statements)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&row.owner, &self.config.username, version))
            })
    }
}
