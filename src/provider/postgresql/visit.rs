//! Visits: sessions inside a tenant's database, into which the administrator lets itself for their length.

use tokio::sync::OwnedMutexGuard;

use super::Postgresql;
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
        let (home_slot, slot) = self.pool.two_slots().await?;
        let mut home = self
            .pool
            .session(home_slot, Box::pin(self.open_home()))
            .await?;
        self.may_connect(&mut home, names, true).await?;
        match self.open_visit(&mut home, names.database.as_str()).await {
            Ok(session) => Ok(Visit {
                session,
                home,
                names: names.clone(),
                slot,
                door,
            }),
            Err(error) => {
                // The first error is the one to tell.
                let _ = self.may_connect(&mut home, names, false).await;
                Err(error)
            }
        }
    }

    /// Ends the session, and takes back what let the administrator in. To be called also after an error; after a
    /// crash it is a deviation, which `make_database` puts right.
    pub(super) async fn leave(&self, visit: Visit) -> Result<(), ProviderError> {
        let Visit {
            session,
            mut home,
            names,
            slot,
            door,
        } = visit;
        session.close().await;
        drop(slot);
        let closed = self.may_connect(&mut home, &names, false).await;
        drop(door);
        closed
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
