//! Taking away: lock out, end the sessions, drop the database, then the role. Each step looks first, so a call after a
//! crash goes on where the former one stopped.

use std::time::Duration;

use super::catalog::{DatabaseRow, RoleRow};
use super::failure::Failure;
use super::membership::{Right, borrow, give_back, permit};
use super::obstacles::Ending;
use super::session::Session;
use super::{Postgresql, quoted};
use crate::provider::{Names, ProviderError, Removal, Removed};

/// A session that the administrator may not end.
const INSUFFICIENT_PRIVILEGE: &str = "42501";
/// A prepared transaction or a replication slot, which FORCE does not end.
const OBJECT_IN_USE: &str = "55006";
/// Somebody holds a lock.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// Something hangs on a role.
const DEPENDENT_OBJECTS_STILL_EXIST: &str = "2BP01";

/// How often sessions are ended anew that come back with a lock before the door is closed.
const TRIES: u32 = 4;

impl Postgresql {
    pub(super) async fn take_away(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        self.refuse_reserved(&removal.names)?;
        let mut home = self.home().await?;
        let look = self.look(&mut home, &removal.names).await?;
        let role = look.role().filter(|_| removal.role);
        let database = look.database().filter(|_| removal.database);
        if let Some(role) = role {
            refuse_powerful(role)?;
        }
        if let Some(database) = database {
            let kept = self.kept_from_inside(&mut home, database, role).await?;
            if let Some(blocked) = kept {
                return Ok(blocked);
            }
        }
        if let Some(blocked) = self.lock_out(&mut home, database, role).await? {
            return Ok(blocked);
        }
        let (database_name, role_name) = (
            database.map(|row| row.name.as_str()),
            role.map(|row| row.name.as_str()),
        );
        self.end_sessions(&mut home, database_name, role_name, Ending::Awaited)
            .await?;
        if let Some(database) = database
            && let Some(blocked) = self
                .drop_database(&mut home, &removal.names, database)
                .await?
        {
            return Ok(blocked);
        }
        let Some(role) = role else {
            return Ok(Removed::Done);
        };
        if self.drop_role(&mut home, role).await?.is_none() {
            return Ok(Removed::Done);
        }
        drop(home);
        self.clear_and_drop(role).await
    }

    /// Lets nobody in any more. A session of the user's may hold the very lock that this waits for, and come back as soon
    /// as it was ended, so that is done again in between, some times.
    async fn lock_out(
        &self,
        home: &mut Session,
        database: Option<&DatabaseRow>,
        role: Option<&RoleRow>,
    ) -> Result<Option<Removed>, ProviderError> {
        let (database_name, role_name) = (
            database.map(|row| row.name.as_str()),
            role.map(|row| row.name.as_str()),
        );
        for _ in 0..TRIES {
            self.end_sessions(home, database_name, role_name, Ending::Asked)
                .await?;
            match self.close_doors(home, database, role).await {
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
        self.blocked_by_locks(home, &what, database_name, role_name)
            .await
            .map(Some)
    }

    async fn close_doors(
        &self,
        home: &mut Session,
        database: Option<&DatabaseRow>,
        role: Option<&RoleRow>,
    ) -> Result<(), ProviderError> {
        if let Some(role) = role.filter(|role| role.login) {
            let version = home.version();
            let lock = vec![
                self.briefly(),
                format!("ALTER ROLE {} NOLOGIN", quoted(&role.name)),
            ];
            home.transaction(&format!("lock the user {:?}", role.name), &lock)
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
        self.as_owner(home, database, &doing, close).await
    }

    /// All [`TRIES`] together wait no longer for locks than one statement may.
    fn briefly(&self) -> String {
        let lock = (self.config.timeouts.lock / TRIES).max(Duration::from_millis(1));
        format!("SET LOCAL lock_timeout = {}", lock.as_millis())
    }

    async fn blocked_by_locks(
        &self,
        home: &mut Session,
        what: &str,
        database: Option<&str>,
        role: Option<&str>,
    ) -> Result<Removed, ProviderError> {
        let holders = self.holders(home, database, role).await?;
        let holders = if holders.is_empty() {
            "somebody held a lock, and holds it no more".to_owned()
        } else {
            holders.join("; ")
        };
        Ok(Removed::Blocked(format!("{what}: {holders}")))
    }

    /// Runs these with the rights of the database's owner.
    pub(super) async fn as_owner(
        &self,
        home: &mut Session,
        database: &DatabaseRow,
        doing: &str,
        mut statements: Vec<String>,
    ) -> Result<(), ProviderError> {
        let version = home.version();
        if !database.owned {
            statements.insert(0, borrow(&database.owner, Right::Use, version));
            statements.push(give_back(&database.owner, version));
        }
        home.transaction(doing, &statements)
            .await
            .map_err(|failure| {
                failure.needing(|| permit(&database.owner, &self.config.username, version))
            })
    }

    /// `None` when it is gone.
    async fn drop_database(
        &self,
        home: &mut Session,
        names: &Names,
        row: &DatabaseRow,
    ) -> Result<Option<Removed>, ProviderError> {
        if let Some(blocked) = self.blocked_by_sessions(home, row).await? {
            return Ok(Some(blocked));
        }
        if !row.owned {
            // DROP DATABASE cannot be in a transaction, and outside of one a borrowed right would be left behind by a
            // crash. So the database changes hands, in a transaction, and then it is the administrator's to drop.
            let take = vec![format!(
                "ALTER DATABASE {} OWNER TO CURRENT_USER",
                quoted(&row.name)
            )];
            self.as_owner(
                home,
                row,
                &format!("take the database {:?}", row.name),
                take,
            )
            .await?;
        }
        let doing = format!("drop the database {:?}", row.name);
        let plain = format!("DROP DATABASE IF EXISTS {}", quoted(&row.name));
        let forced = format!("{plain} WITH (FORCE)");
        let Err(failure) = home.statement(&doing, forced).await else {
            return Ok(None);
        };
        match failure.code() {
            Some(INSUFFICIENT_PRIVILEGE | OBJECT_IN_USE) => {}
            Some(LOCK_NOT_AVAILABLE) => {
                let what = format!("database {:?} cannot be dropped", row.name);
                let blocked = self.blocked_by_locks(home, &what, Some(&row.name), None);
                return blocked.await.map(Some);
            }
            Some(_) | None => return Err(failure.into()),
        }
        if let Some(blocked) = self.blocked_by_sessions(home, row).await? {
            return Ok(Some(blocked));
        }
        if failure.code() == Some(OBJECT_IN_USE) {
            return self.in_use(home, names, &failure).await.map(Some);
        }
        // No client holds it, so what FORCE was not allowed to end is a worker of autovacuum. The plain statement
        // cancels those itself, whoever runs it (CountOtherDBBackends in procarray.c, for up to 5 s).
        match home.statement(&doing, plain).await {
            Ok(()) => Ok(None),
            Err(failure) if failure.code() == Some(OBJECT_IN_USE) => {
                self.in_use(home, names, &failure).await.map(Some)
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// What came after the look that everything begins with is named like what was there then.
    async fn in_use(
        &self,
        home: &mut Session,
        names: &Names,
        failure: &Failure,
    ) -> Result<Removed, ProviderError> {
        let look = self.look(home, names).await?;
        let kept = match look.database() {
            Some(database) => self.kept_from_inside(home, database, look.role()).await?,
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

    /// `None` when it is gone, or why others keep it.
    pub(super) async fn drop_role(
        &self,
        home: &mut Session,
        role: &RoleRow,
    ) -> Result<Option<Failure>, ProviderError> {
        let version = home.version();
        let doing = format!("drop the user {:?}", role.name);
        let sql = format!("DROP ROLE IF EXISTS {}", quoted(&role.name));
        match home.statement(&doing, sql).await {
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

fn refuse_powerful(role: &RoleRow) -> Result<(), ProviderError> {
    let powers = role.powers();
    if powers.is_empty() {
        return Ok(());
    }
    Err(ProviderError::InTheWay(format!(
        "the user {:?} is never touched, because it has {}",
        role.name,
        powers.join(", ")
    )))
}

/// Also takes back what an owner can set so that the server drops it no more. One whose DROP was interrupted can only be
/// dropped.
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
