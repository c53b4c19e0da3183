//! Visits: sessions inside a tenant's database, into which the administrator lets itself for their length.

use tokio::sync::OwnedMutexGuard;

use super::Postgresql;
use super::fence::Registered;
use super::membership::{Right, borrow, give_back, permit};
use super::session::Session;
use crate::provider::pool::{Lease, Session as _, Slot};
use crate::provider::{Names, ProviderError, SqlName};
use crate::queue::keyed::Keyed;

/// Visits to one database come one after the other, so that none closes the door behind which another is.
#[derive(Default)]
pub(super) struct Doors(Keyed<SqlName>);

impl Doors {
    async fn of(&self, database: &SqlName) -> OwnedMutexGuard<()> {
        self.0.lock(database.clone()).await
    }
}

/// A session inside a database. Ends by [`Postgresql::leave`].
pub(super) struct Visit {
    pub(super) session: Session,
    registered: Registered,
    home: Lease<Session>,
    names: Names,
    slot: Slot,
    door: OwnedMutexGuard<()>,
}

impl Postgresql {
    /// Opens a session in the database, registered with the fence.
    pub(super) async fn visit(&self, names: &Names) -> Result<Visit, ProviderError> {
        // Nobody else's database has this door, so nobody else waits for it meanwhile.
        let door = self.doors.of(&names.database).await;
        let (home_slot, slot) = self.pool.slots_for_tenant().await?;
        let mut home = self
            .pool
            .session(home_slot, Box::pin(self.open_home()))
            .await?;
        self.may_connect(&mut home, names, true).await?;
        match self.open_visit(&mut home, names.database.as_str()).await {
            Ok((session, registered)) => Ok(Visit {
                session,
                registered,
                home,
                names: names.clone(),
                slot,
                door,
            }),
            Err(error) => {
                let outside = self.may_connect(&mut home, names, false).await;
                Err(blame(&names.database, error, outside.err()))
            }
        }
    }

    /// Ends the session, and takes back what let the administrator in; what came of the visit passes through. After a
    /// crash it is a deviation, which `make_database` puts right.
    pub(super) async fn leave<T>(
        &self,
        visit: Visit,
        result: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let Visit {
            session,
            registered,
            mut home,
            names,
            slot,
            door,
        } = visit;
        let in_order = session.is_reusable();
        session.close().await;
        drop(slot);
        if in_order {
            self.forget_visit(&mut home, &registered).await;
        }
        let closed = self.may_connect(&mut home, &names, false).await;
        drop(door);
        match result {
            Ok(value) => closed.map(|()| value),
            Err(error) => Err(blame(&names.database, error, closed.err())),
        }
    }

    /// Lets the administrator in, or no longer. A superuser needs no permission.
    async fn may_connect(
        &self,
        home: &mut Session,
        names: &Names,
        may: bool,
    ) -> Result<(), ProviderError> {
        let look = self.look(home, names).await?;
        let database = &names.database;
        let Some(row) = look.database() else {
            return Err(ProviderError::InTheWay(format!(
                "the database {database:?} is missing"
            )));
        };
        let has = row
            .administrator
            .iter()
            .any(|privilege| privilege == "CONNECT");
        if row.owned || has == may {
            return Ok(());
        }
        let version = home.version();
        let change = if may {
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
        home.transaction(&format!("visit the database {database:?}"), &statements)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&row.owner, &self.config.username, version))
            })
    }
}

/// Whose fault an error inside a database is. It has owners who can set what ends sessions, and hold locks for which a
/// login waits; so it is the server's only where that does not answer outside of it either.
pub(super) fn blame(
    database: &SqlName,
    inside: ProviderError,
    outside: Option<ProviderError>,
) -> ProviderError {
    match (inside, outside) {
        (_, Some(outside)) if outside.is_server_down() || outside.ends_process() => outside,
        // Whoever may do what inside the database: neither is for them to bring about.
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
        let told = blame(&database, unreachable(), None);
        assert_eq!(told.sign(), Sign::Nothing);
        let text = told.to_string();
        assert!(
            text.contains("database \"orders\"") && text.contains("it hung up"),
            "{text}"
        );
        assert!(!text.contains("spec.host"), "{text}");

        let busy = ProviderError::AllInUse {
            limit: std::time::Duration::ZERO,
        };
        let told = blame(&database, unreachable(), Some(busy));
        assert_eq!(told.sign(), Sign::Nothing);
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
