//! Sessions inside a tenant's database. The administrator lets itself in for as long as they last.

use tokio::sync::OwnedMutexGuard;

use super::Postgresql;
use super::grants::{Right, borrow, give_back, permit};
use super::session::Session;
use super::tenant_fence::Registration;
use crate::provider::pool::{Lease, Session as _, Slot};
use crate::provider::{Names, ProviderError, SqlName};

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

impl Postgresql {
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

/// Decides whose fault an error inside a database is. Its owners can set what ends sessions, and hold locks that a
/// login waits for. So it is the server's fault only if the server does not answer outside of the database either.
pub(super) fn blame(
    database: &SqlName,
    inside: ProviderError,
    outside: Option<ProviderError>,
) -> ProviderError {
    match (inside, outside) {
        (_, Some(outside)) if outside.is_server_down() || outside.ends_process() => outside,
        // No one inside the database can cause these, whatever they may do there.
        (
            inside @ (ProviderError::LoginRefused { .. }
            | ProviderError::Tls { .. }
            | ProviderError::TooManyConnections { .. }),
            _,
        ) => inside,
        (inside, _) => inside.in_database(database.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Sign;

    fn unreachable() -> ProviderError {
        ProviderError::Unreachable {
            server: "host:1".to_owned(),
            detail: "it hung up".to_owned(),
        }
    }

    #[test]
    fn what_fails_inside_only_is_the_databases() {
        let database = SqlName::new("orders").unwrap();
        let error = blame(&database, unreachable(), None);
        assert_eq!(error.sign(), Sign::Nothing);
        let text = error.to_string();
        assert!(
            text.contains("database \"orders\"") && text.contains("it hung up"),
            "{text}"
        );
        assert!(!text.contains("spec.host"), "{text}");

        let busy = ProviderError::AllInUse {
            limit: std::time::Duration::ZERO,
        };
        let error = blame(&database, unreachable(), Some(busy));
        assert_eq!(error.sign(), Sign::Nothing);
    }

    #[test]
    fn what_fails_outside_too_is_the_servers() {
        let database = SqlName::new("orders").unwrap();
        let superseded = ProviderError::Superseded {
            mine: Some(1),
            newer: 2,
        };
        for outside in [unreachable(), superseded] {
            assert_eq!(
                blame(&database, unreachable(), Some(outside.clone())),
                outside
            );
        }
    }
}
