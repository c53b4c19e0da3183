//! Removes a database and its role: locks out, ends sessions, drops the database, then the role. Each step looks first,
//! so a call after a crash continues where the former one stopped.

use std::time::Duration;

use super::error::Failure;
use super::grants::permit;
use super::rows::{DatabaseRow, RoleRow};
use super::session::Session;
use super::sessions::Ending;
use super::{Postgresql, quoted};
use crate::provider::{Names, ProviderError, Removal, Removed};

/// A session that the administrator may not end.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// A prepared transaction or a replication slot, which FORCE does not end.
const OBJECT_IN_USE: &str = "55006";
/// Someone holds a lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Something depends on a role.
const DEPENDENT_OBJECTS_STILL_EXIST: &str = "2BP01";

/// How often sessions are ended again that come back with a lock before the user is locked out.
const TRIES: u32 = 4;

impl Postgresql {
    pub(super) async fn remove_named(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        self.refuse_reserved(&removal.names)?;
        // A user that still owns something cannot be dropped.
        if (removal.database || removal.role)
            && let Some(blocked) = self.drop_beside(&removal.names, removal.database).await?
        {
            return Ok(blocked);
        }
        let mut session = self.session().await?;
        let catalog = self.read_catalog(&mut session, &removal.names).await?;
        let role = catalog.role().filter(|_| removal.role);
        let database = catalog.database().filter(|_| removal.database);
        if let Some(role) = role {
            role.refuse_powerful()?;
        }
        if let Some(database) = database {
            let kept = self
                .blocked_from_inside(&mut session, database, role)
                .await?;
            if let Some(blocked) = kept {
                return Ok(blocked);
            }
        }
        if let Some(blocked) = self.lock_out(&mut session, database, role).await? {
            return Ok(blocked);
        }
        let (database_name, role_name) = (
            database.map(|row| row.name.as_str()),
            role.map(|row| row.name.as_str()),
        );
        self.end_sessions(&mut session, database_name, role_name, Ending::Awaited)
            .await?;
        if let Some(database) = database
            && let Some(blocked) = self
                .drop_database(&mut session, &removal.names, database)
                .await?
        {
            return Ok(blocked);
        }
        let Some(role) = role else {
            return Ok(Removed::Done);
        };
        if self.drop_role(&mut session, role).await?.is_none() {
            return Ok(Removed::Done);
        }
        drop(session);
        self.clear_and_drop(role).await
    }

    /// Lets no one in any more. A session of the user may hold the very lock that this waits for, and come back as soon
    /// as it was ended, so sessions are ended again between the tries.
    async fn lock_out(
        &self,
        session: &mut Session,
        database: Option<&DatabaseRow>,
        role: Option<&RoleRow>,
    ) -> Result<Option<Removed>, ProviderError> {
        let (database_name, role_name) = (
            database.map(|row| row.name.as_str()),
            role.map(|row| row.name.as_str()),
        );
        for _ in 0..TRIES {
            self.end_sessions(session, database_name, role_name, Ending::Asked)
                .await?;
            match self.close_access(session, database, role).await {
                Ok(()) => return Ok(None),
                Err(ProviderError::Busy { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let what = match (database, role) {
            (_, Some(role)) => format!("user {:?} cannot be locked out", role.name),
            (Some(database), None) => format!("database {:?} cannot be closed", database.name),
            (None, None) => return Ok(None),
        };
        self.blocked_by_locks(session, &what, database_name, role_name)
            .await
            .map(Some)
    }

    async fn close_access(
        &self,
        session: &mut Session,
        database: Option<&DatabaseRow>,
        role: Option<&RoleRow>,
    ) -> Result<(), ProviderError> {
        if let Some(role) = role.filter(|role| role.login) {
            let version = session.version();
            let lock = vec![
                self.briefly(),
                format!("ALTER ROLE {} NOLOGIN", quoted(&role.name)),
            ];
            session
                .transaction(&format!("lock the user {:?}", role.name), &lock)
                .await
                .map_err(|failure| {
                    failure.needing(|| permit(&role.name, &self.config.username, version))
                })?;
        }
        let Some(database) = database else {
            return Ok(());
        };
        let mut close = closing(database);
        if close.is_empty() {
            return Ok(());
        }
        close.insert(0, self.briefly());
        let doing = format!("lock the database {:?}", database.name);
        self.as_owner(session, database, &doing, close).await
    }

    /// All [`TRIES`] together wait no longer for locks than a single statement may.
    pub(super) fn briefly(&self) -> String {
        let lock = (self.config.timeouts.lock / TRIES).max(Duration::from_millis(1));
        format!("SET LOCAL lock_timeout = {}", lock.as_millis())
    }

    async fn blocked_by_locks(
        &self,
        session: &mut Session,
        what: &str,
        database: Option<&str>,
        role: Option<&str>,
    ) -> Result<Removed, ProviderError> {
        let holders = self.holders(session, database, role).await?;
        let holders = if holders.is_empty() {
            "someone held a lock, but no longer does".to_owned()
        } else {
            holders.join("; ")
        };
        Ok(Removed::Blocked(format!("{what}: {holders}")))
    }

    /// Drops the database. `None` once it is gone.
    pub(super) async fn drop_database(
        &self,
        session: &mut Session,
        names: &Names,
        row: &DatabaseRow,
    ) -> Result<Option<Removed>, ProviderError> {
        if let Some(blocked) = self.blocked_by_sessions(session, row).await? {
            return Ok(Some(blocked));
        }
        if !row.owned {
            // DROP DATABASE cannot run in a transaction, and outside of one a crash would leave a borrowed right
            // behind. So the database first changes hands, in a transaction, and then the administrator may drop it.
            let take = vec![format!(
                "ALTER DATABASE {} OWNER TO CURRENT_USER",
                quoted(&row.name)
            )];
            self.as_owner(
                session,
                row,
                &format!("take the database {:?}", row.name),
                take,
            )
            .await?;
        }
        let doing = format!("drop the database {:?}", row.name);
        let plain = format!("DROP DATABASE IF EXISTS {}", quoted(&row.name));
        let forced = format!("{plain} WITH (FORCE)");
        let Err(failure) = session.statement(&doing, forced).await else {
            return Ok(None);
        };
        match failure.code() {
            Some(INSUFFICIENT_PRIVILEGE | OBJECT_IN_USE) => {}
            Some(LOCK_NOT_AVAILABLE) => {
                let what = format!("database {:?} cannot be dropped", row.name);
                let blocked = self.blocked_by_locks(session, &what, Some(&row.name), None);
                return blocked.await.map(Some);
            }
            Some(_) | None => return Err(failure.into()),
        }
        if let Some(blocked) = self.blocked_by_sessions(session, row).await? {
            return Ok(Some(blocked));
        }
        if failure.code() == Some(OBJECT_IN_USE) {
            return self.in_use(session, names, &failure).await.map(Some);
        }
        // No client uses it, so what FORCE was not allowed to end is an autovacuum worker. The plain statement cancels
        // those itself, whoever runs it (CountOtherDBBackends in procarray.c, for up to 5 s).
        match session.statement(&doing, plain).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.code() == Some(OBJECT_IN_USE) => {
                self.in_use(session, names, &failure).await.map(Some)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Names what came after the first look in the same way as what was there then.
    async fn in_use(
        &self,
        session: &mut Session,
        names: &Names,
        failure: &Failure,
    ) -> Result<Removed, ProviderError> {
        let catalog = self.read_catalog(session, names).await?;
        let kept = match catalog.database() {
            Some(database) => {
                self.blocked_from_inside(session, database, catalog.role())
                    .await?
            }
            None => None,
        };
        Ok(kept.unwrap_or_else(|| {
            Removed::Blocked(format!(
                "the administrator cannot {} yet: {}",
                failure.doing,
                failure.said()
            ))
        }))
    }

    /// Drops the role. `None` once it is gone, otherwise why it cannot be dropped.
    pub(super) async fn drop_role(
        &self,
        session: &mut Session,
        role: &RoleRow,
    ) -> Result<Option<Failure>, ProviderError> {
        let version = session.version();
        let doing = format!("drop the user {:?}", role.name);
        let sql = format!("DROP ROLE IF EXISTS {}", quoted(&role.name));
        match session.statement(&doing, sql).await {
            Ok(()) => Ok(None),
            Err(failure)
                if matches!(
                    failure.code(),
                    Some(DEPENDENT_OBJECTS_STILL_EXIST | LOCK_NOT_AVAILABLE)
                ) =>
            {
                Ok(Some(failure))
            }
            Err(failure) => {
                Err(failure.needing(|| permit(&role.name, &self.config.username, version)))
            }
        }
    }
}

/// Statements that close the database, and undo what an owner can set to keep the server from dropping it. A database
/// whose DROP was interrupted can only be dropped.
fn closing(database: &DatabaseRow) -> Vec<String> {
    let name = quoted(&database.name);
    let mut statements = Vec::new();
    if database.connections == -2 {
        return statements;
    }
    if database.template {
        statements.push(format!("ALTER DATABASE {name} IS_TEMPLATE false"));
    }
    if database.open {
        statements.push(format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"));
    }
    statements
}
