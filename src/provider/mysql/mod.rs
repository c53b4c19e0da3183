//! MySQL 8.4 and 9, and MariaDB 10.11 and 11. The connected server tells which it is.
//!
//! Files that `postgresql/` has too, for the same job:
//!
//! | file | its one job |
//! |---|---|
//! | `connect.rs` | opens sessions as the administrator |
//! | `session.rs` `pinned.rs` | one session, and the settings that it is opened with |
//! | `schema.rs` | the operator's own tables on the server |
//! | `identity.rs` | whether a session is with the known server |
//! | `fence.rs` | how a session is registered with the fence |
//! | `claims.rs` `creation.rs` | the claim table, and how a claim comes to say that something was created |
//! | `catalog.rs` `rows.rs` `facts.rs` | reads the catalog, its rows, and what they mean |
//! | `inspect.rs` | the server as a whole |
//! | `validate.rs` | what the server does not support |
//! | `role.rs` `database.rs` | creates an account and a schema, or changes what differs |
//! | `grants.rs` | privileges on a schema, granted and revoked |
//! | `remove.rs` | removes a schema and its account |
//! | `checks.rs` | what has to be true at each step of a restore |
//! | `restore_tables.rs` | the operator's tables about restores |
//! | `contained.rs` `target.rs` | what is in a schema, and what would stand in the way of a load into it |
//! | `scratch.rs` `swap.rs` `drop_leftover.rs` | makes a target ready to be loaded, lets the user in to what was loaded, or gives it up |
//! | `trial.rs` `trial_rows.rs` | a schema of its own for a backup that is tried out, and the rows about that |
//! | `sessions.rs` `locks.rs` `dependents.rs` | sessions, locks and dependent objects of others that are in the way |
//! | `lock_waits.rs` | who waits for whose lock inside a database |
//! | `busy.rs` | who may hold the lock that a change waited for in vain |
//! | `login.rs` | logs in as the database's own user |
//! | `assess.rs` | what a dump will be like |
//! | `inventory.rs` | what comes with a database beside its rows |
//! | `error.rs` | what the servers' error numbers mean |
//!
//! Files that only MySQL and MariaDB need:
//!
//! | file | its one job |
//! |---|---|
//! | `dialect.rs` `dialect_sql.rs` | where the two servers differ |
//! | `administrator.rs` | what the administrator needs to be allowed |
//! | `privileges.rs` | the privileges that there are on a schema |
//! | `settings.rs` | the settings of the server that forbid what is done here, or that applications will meet |
//! | `everybody.rs` `exposure.rs` | who stands for every user, and who else can access a schema |
//! | `lockout.rs` | locks the user of a target out for a load, and lets it in again |
//! | `emptying.rs` | removes what a load that was broken off left |
//! | `login_blockers.rs` | what blocks the logins of an account |
//! | `observe.rs` `index.rs` | puts an observation together, and the catalog by name for a survey |
//! | `transactions.rs` | the open transactions |

mod administrator;
mod assess;
mod busy;
mod catalog;
mod checks;
mod claims;
mod connect;
mod contained;
mod creation;
mod database;
mod dependents;
mod dialect;
mod dialect_sql;
mod drop_leftover;
mod emptying;
mod error;
mod everybody;
mod exposure;
mod facts;
mod fence;
mod grants;
mod identity;
mod index;
mod inspect;
mod inventory;
mod lock_waits;
mod lockout;
mod locks;
mod login;
mod login_blockers;
mod observe;
mod pinned;
mod privileges;
mod remove;
mod restore_tables;
mod role;
mod rows;
mod schema;
mod scratch;
mod session;
mod sessions;
mod settings;
mod swap;
mod target;
mod transactions;
mod trial;
mod trial_rows;
mod validate;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use self::checks::Task;
use self::connect::{ServerProfile, Sessions};
use self::session::Session;
use super::blame::blame;
use super::pool::Lease;
use super::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Restored, Scratch, Swapped, TargetFacts,
};
use super::{
    Assessment, Change, Claim, Desired, Expected, Fence, Flavour, Inspection, Inventory, LockWait,
    Login, Names, Observed, Provider, ProviderError, Removal, Removed, ServerConfig, Survey, Usage,
    Verifier, reserved,
};

/// One MySQL or MariaDB server.
pub(super) struct Mysql {
    sessions: Sessions,
    flavour: OnceLock<Flavour>,
}

impl Mysql {
    /// Does not connect yet.
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            sessions: Sessions::new(config, fence),
            flavour: OnceLock::new(),
        }
    }

    /// A session in the operator's own schema, and what is known about its server.
    async fn session(&self) -> Result<(Lease<Session>, Arc<ServerProfile>), ProviderError> {
        let (session, profile) = self.sessions.registered().await?;
        // If it is set already, the same server answers again, or another one, for which a verifier serves either kind.
        let _ = self.flavour.set(profile.dialect.flavour);
        Ok((session, profile))
    }

    /// A session that has the lock of the target's name. [`checks::unlock_name`] gives it back.
    async fn begin(
        &self,
        load: &Load,
    ) -> Result<(Lease<Session>, Arc<ServerProfile>), ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &load.target)?;
        let wait = self.sessions.config.timeouts.lock;
        checks::lock_name(&mut session, &load.target.database, wait).await?;
        Ok((session, profile))
    }

    fn task<'a>(&'a self, profile: &'a ServerProfile, load: &'a Load) -> Task<'a> {
        Task {
            profile,
            fence: &self.sessions.fence,
            load,
            end_within: self.sessions.config.timeouts.lock,
        }
    }

    /// Refuses names that are reserved, or that this server does not keep as they are.
    fn check(&self, profile: &ServerProfile, names: &Names) -> Result<(), ProviderError> {
        reserved::refuse(names, &self.sessions.config.username)?;
        validate::names(&profile.dialect, names)
    }
}

/// A failure to look inside is the schema's own: its owner decides how much there is to read, and what a view leads to.
fn of_schema(names: &Names) -> impl FnOnce(ProviderError) -> ProviderError {
    |error| error.in_database(names.database.as_str())
}

#[async_trait]
impl Provider for Mysql {
    fn expect(&self, expected: Expected) {
        self.sessions.expect(expected);
    }

    async fn inspect(&self) -> Result<Inspection, ProviderError> {
        inspect::inspect(&self.sessions).await
    }

    async fn survey(&self) -> Result<Survey, ProviderError> {
        let (mut session, profile) = self.session().await?;
        observe::survey(&mut session, &profile).await
    }

    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError> {
        let (mut session, profile) = self.session().await?;
        observe::observe(&mut session, &profile, names).await
    }

    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &desired.names)?;
        let user = &desired.names.role;
        let mut accounts = catalog::accounts(&mut session, &profile.dialect, Some(user)).await?;
        // A role of MariaDB is never touched, which observing it reports.
        accounts.retain(|account| !account.is_role);
        validate::no_other_host(&accounts, user)?;
        validate::nobody_elses(&mut session, &profile.dialect, &desired.names).await?;
        validate::text_settings(&mut session, &profile.dialect, desired).await
    }

    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &claim.names)?;
        // Whoever checks the claim before each step of a restore holds this lock.
        let database = &claim.names.database;
        checks::lock_name(&mut session, database, self.sessions.config.timeouts.lock).await?;
        let written = claims::write_claim(&mut session, claim, standing).await;
        checks::unlock_name(&mut session, database).await;
        written
    }

    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError> {
        let (mut session, _) = self.session().await?;
        claims::forget_claim(&mut session, claim).await
    }

    fn verifier(&self, password: &SecretString) -> Verifier {
        let password = password.expose_secret();
        match self.flavour.get() {
            Some(Flavour::Mysql) => Verifier::caching_sha2_password(password),
            Some(Flavour::Mariadb) => Verifier::mysql_native_password(password),
            Some(Flavour::Postgresql) | None => Verifier::mysql_or_mariadb(password),
        }
    }

    async fn ensure_role(
        &self,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &desired.names)?;
        let claimed = claims::own(&mut session, &desired.names, self.sessions.cluster_id()).await?;
        let result = role::apply(&mut session, &profile, desired, verifier, claimed.as_ref()).await;
        busy::naming_holders(&mut session, &profile, &desired.names, result).await
    }

    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &desired.names)?;
        let claimed = claims::own(&mut session, &desired.names, self.sessions.cluster_id()).await?;
        let result = database::apply(&mut session, &profile, desired, claimed.as_ref()).await;
        busy::naming_holders(&mut session, &profile, &desired.names, result).await
    }

    /// Does nothing: only PostgreSQL has extensions, and schemas within a database.
    async fn ensure_contents(&self, _desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        Ok(Vec::new())
    }

    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError> {
        let (mut session, profile) = self.session().await?;
        let assessed = assess::assess(&mut session, &profile, names).await;
        assessed.map_err(of_schema(names))
    }

    async fn take_inventory(&self, names: &Names) -> Result<Inventory, ProviderError> {
        let (mut session, profile) = self.session().await?;
        let taken = inventory::take(&mut session, &profile, names).await;
        taken.map_err(of_schema(names))
    }

    async fn lock_waits(&self, names: &Names) -> Result<Vec<LockWait>, ProviderError> {
        let (mut session, profile) = self.session().await?;
        lock_waits::read(&mut session, &profile, names).await
    }

    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError> {
        match login::login(&self.sessions, names, password).await {
            Err(silence @ (ProviderError::Unreachable { .. } | ProviderError::Timeout { .. })) => {
                let outside = self.session().await.err();
                Err(blame(&names.database, silence, outside))
            }
            other => other,
        }
    }

    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        let (mut session, profile) = self.session().await?;
        reserved::refuse(&removal.names, &self.sessions.config.username)?;
        let end_within = self.sessions.config.timeouts.lock;
        remove::remove(&mut session, &profile, removal, end_within).await
    }

    async fn restored(
        &self,
        restore: &RestoreId,
        take_over_from: &[String],
    ) -> Result<Option<Restored>, ProviderError> {
        let (mut session, _) = self.session().await?;
        restore_tables::restored(&mut session, restore, take_over_from).await
    }

    async fn look_at_target(&self, load: &Load) -> Result<TargetFacts, ProviderError> {
        let (mut session, profile) = self.session().await?;
        match load.mode {
            LoadMode::Empty | LoadMode::Replace => target::look(&mut session, &profile, load).await,
            LoadMode::Test => target::look_for_trial(&mut session, &profile, load).await,
        }
    }

    async fn make_scratch(
        &self,
        load: &Load,
        verifier: &Verifier,
    ) -> Result<Scratch, ProviderError> {
        let (mut session, profile) = self.begin(load).await?;
        let task = self.task(&profile, load);
        let made = match load.mode {
            LoadMode::Empty | LoadMode::Replace => {
                scratch::make(&mut session, &task, verifier).await
            }
            LoadMode::Test => trial::make(&mut session, &task, verifier).await,
        };
        checks::unlock_name(&mut session, &load.target.database).await;
        made
    }

    async fn swap(
        &self,
        load: &Load,
        _scratch: &Scratch,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        let (mut session, profile) = self.begin(load).await?;
        let task = Task {
            end_within: most,
            ..self.task(&profile, load)
        };
        let swapped = match load.mode {
            LoadMode::Empty | LoadMode::Replace => swap::swap(&mut session, &task).await,
            LoadMode::Test => Ok(Swapped::ChangedHands(
                "a test takes the place of no database".to_owned(),
            )),
        };
        checks::unlock_name(&mut session, &load.target.database).await;
        swapped
    }

    async fn reopen(&self, load: &Load) -> Result<(), ProviderError> {
        let (mut session, profile) = self.begin(load).await?;
        let reopened = swap::reopen(&mut session, &self.task(&profile, load)).await;
        checks::unlock_name(&mut session, &load.target.database).await;
        reopened
    }

    /// Does nothing: there is no former database.
    async fn undo(&self, load: &Load, _most: Duration) -> Result<Swapped, ProviderError> {
        Ok(Swapped::Blocked(format!(
            "a restore into an empty database of MySQL or MariaDB leaves no former one, so there is nothing to go back to; to \
             empty database {} again, drop what is in it",
            load.target.database
        )))
    }

    async fn drop_leftover(&self, load: &Load, which: Leftover) -> Result<Ended, ProviderError> {
        let (mut session, profile) = self.begin(load).await?;
        let task = self.task(&profile, load);
        let ended = match (load.mode, which) {
            (LoadMode::Empty | LoadMode::Replace, _) => {
                drop_leftover::drop_leftover(&mut session, &task, which).await
            }
            (LoadMode::Test, Leftover::Scratch) => trial::drop(&mut session, &task).await,
            // Its login owns what was loaded, and nothing was replaced.
            (LoadMode::Test, Leftover::Login | Leftover::Former) => Ok(Ended::Done),
        };
        checks::unlock_name(&mut session, &load.target.database).await;
        ended
    }

    async fn tests(&self, clusters: &[String]) -> Result<Vec<RestoreId>, ProviderError> {
        let (mut session, _) = self.session().await?;
        trial_rows::list(&mut session, clusters).await
    }

    async fn drop_test(&self, load: &Load) -> Result<Ended, ProviderError> {
        let (mut session, profile) = self.begin(load).await?;
        let ended = trial::drop_one(&mut session, &self.task(&profile, load)).await;
        checks::unlock_name(&mut session, &load.target.database).await;
        ended
    }

    fn usage(&self) -> Usage {
        self.sessions.usage()
    }

    async fn close(&self) {
        self.sessions.close().await;
    }
}
