//! PostgreSQL 14 to 18, for an administrator with CREATEDB and CREATEROLE and nothing more.
//!
//! Files that `mysql/` has too, for the same job:
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
//! | `role.rs` `database.rs` | creates a role and a database, or changes what differs |
//! | `grants.rs` | privileges that are granted and revoked on the way |
//! | `remove.rs` | removes a database and its role |
//! | `sessions.rs` `locks.rs` `dependents.rs` | sessions, locks and dependent objects of others that are in the way |
//! | `lock_waits.rs` | who waits for whose lock inside a database |
//! | `busy.rs` | who may hold the lock that a change waited for in vain |
//! | `login.rs` | logs in as the database's own user, and looks around as that |
//! | `assess.rs` | what a dump will be like |
//! | `inventory.rs` | what comes with a database beside its rows |
//! | `error.rs` | what the server's error codes mean |
//! | `restore_tables.rs` `restores.rs` | the tables about restores, and what they say of one |
//! | `target.rs` | looks at the target of a load |
//! | `scratch.rs` `drop_leftover.rs` `load_login.rs` | the place to load into, with its login, and how they are dropped |
//! | `trial.rs` | a database of its own for a backup that is tried out |
//! | `swap.rs` `loaded.rs` `undo.rs` | the loaded database takes the target's name, and the way back |
//!
//! Files that only PostgreSQL needs:
//!
//! | file | its one job |
//! |---|---|
//! | `tenant_session.rs` `tenant_fence.rs` | a session inside a tenant's database, and its registration with the fence |
//! | `options.rs` `template.rs` | options of CREATE DATABASE: encoding and locale, and what is copied |
//! | `contents.rs` `extensions.rs` | extensions and schemas inside a database |
//! | `accessible.rs` | what a database's user may not read or write |
//! | `checks.rs` | what has to be true in the same transaction as a step of a restore |
//! | `swap_lock.rs` `exchange.rs` `swap_statements.rs` | how a database is locked for a swap, and exchanged with another one |
//! | `properties.rs` `property_statements.rs` `contained.rs` | what is set on a database from outside, what makes the same on another one, and what is in it |
//! | `drop_owned.rs` `leftovers.rs` | takes from a user what others granted it, and users that cannot be dropped yet |

mod accessible;
mod assess;
mod busy;
mod catalog;
mod checks;
mod claims;
mod connect;
mod contained;
mod contents;
mod creation;
mod database;
mod dependents;
mod drop_leftover;
mod drop_owned;
mod error;
mod exchange;
mod extensions;
mod facts;
mod fence;
mod grants;
mod identity;
mod inspect;
mod inventory;
mod leftovers;
mod load_login;
mod loaded;
mod lock_waits;
mod locks;
mod login;
mod options;
mod pinned;
mod properties;
mod property_statements;
mod remove;
mod restore_tables;
mod restores;
mod role;
mod rows;
mod schema;
mod scratch;
mod session;
mod sessions;
mod swap;
mod swap_lock;
mod swap_statements;
mod target;
mod template;
mod tenant_fence;
mod tenant_session;
mod trial;
mod undo;
mod validate;

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Semaphore};

use super::pool::Pool;
use super::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Restored, Scratch, Swapped, TargetFacts,
};
use super::{
    Assessment, Change, Claim, Desired, Expected, Extent, Fence, Inaccessible, Inspection,
    Inventory, LockWait, Login, Names, Observed, Probe, Provider, ProviderError, Removal, Removed,
    ServerConfig, SqlName, Survey, Usage, Verifier, reserved,
};
use crate::queue::keyed::Keyed;
use busy::Changed;
use session::Session;

/// The most CREATE DATABASE statements at a time on one server.
const CONCURRENT_CREATES: usize = 4;

/// One PostgreSQL server.
pub(super) struct Postgresql {
    config: ServerConfig,
    fence: Fence,
    pool: Pool<Session>,
    expected: parking_lot::Mutex<Expected>,
    /// The epoch of this process on this server, once it has been there.
    epoch: Mutex<Option<i64>>,
    /// Why this process has to end. Until it does, it opens no more sessions.
    superseded: OnceLock<ProviderError>,
    /// Limits CREATE DATABASE.
    creations: Semaphore,
    /// Sessions inside one database come one after the other, so that none revokes what another needs.
    tenant_sessions: Keyed<SqlName>,
}

impl Postgresql {
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            pool: Pool::new(config.max_connections, config.timeouts),
            expected: parking_lot::Mutex::default(),
            epoch: Mutex::new(None),
            superseded: OnceLock::new(),
            creations: Semaphore::new(CONCURRENT_CREATES),
            tenant_sessions: Keyed::default(),
            config,
            fence,
        }
    }

    /// Callers refuse reserved names with a condition; this is the last line of defence.
    fn refuse_reserved(&self, names: &Names) -> Result<(), ProviderError> {
        reserved::refuse(names, &self.config.username)
    }
}

#[async_trait]
impl Provider for Postgresql {
    fn expect(&self, expected: Expected) {
        self.set_expected(expected);
    }

    async fn inspect(&self) -> Result<Inspection, ProviderError> {
        self.inspect_server().await
    }

    async fn survey(&self) -> Result<Survey, ProviderError> {
        self.survey_claims(&mut *self.session().await?).await
    }

    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError> {
        self.read_catalog(&mut *self.session().await?, names)
            .await?
            .observed()
    }

    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError> {
        self.check_supported(desired).await
    }

    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        self.upsert_claim(&mut *self.session().await?, claim, standing)
            .await
    }

    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError> {
        self.delete_claim(&mut *self.session().await?, claim).await
    }

    fn verifier(&self, password: &SecretString) -> Verifier {
        Verifier::scram_sha_256(password.expose_secret())
    }

    async fn ensure_role(
        &self,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        let result = self
            .apply_role(&mut *self.session().await?, desired, verifier)
            .await;
        self.naming_holders(&desired.names, Changed::Names, result)
            .await
    }

    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        let result = self
            .apply_database(&mut *self.session().await?, desired)
            .await;
        self.naming_holders(&desired.names, Changed::Names, result)
            .await
    }

    async fn ensure_contents(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        let result = self.apply_contents(desired).await;
        self.naming_holders(&desired.names, Changed::Contents, result)
            .await
    }

    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError> {
        self.assess_dump(names).await
    }

    async fn take_inventory(&self, names: &Names) -> Result<Inventory, ProviderError> {
        self.inventory_of(names).await
    }

    async fn lock_waits(&self, names: &Names) -> Result<Vec<LockWait>, ProviderError> {
        self.read_lock_waits(names).await
    }

    async fn inaccessible(
        &self,
        names: &Names,
        extent: Extent,
    ) -> Result<Inaccessible, ProviderError> {
        self.list_inaccessible(names, extent).await
    }

    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError> {
        self.login_as_user(names, password).await
    }

    async fn probe(
        &self,
        desired: &Desired,
        password: &SecretString,
        extent: Extent,
    ) -> Result<Probe, ProviderError> {
        self.probe_as_user(desired, password, extent).await
    }

    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        self.remove_named(removal).await
    }

    async fn restored(
        &self,
        restore: &RestoreId,
        take_over_from: &[String],
    ) -> Result<Option<Restored>, ProviderError> {
        self.find_restored(restore, take_over_from).await
    }

    async fn look_at_target(&self, load: &Load) -> Result<TargetFacts, ProviderError> {
        match load.mode {
            LoadMode::Empty | LoadMode::Replace => self.look_at(load).await,
            LoadMode::Test => self.look_for_trial(load).await,
        }
    }

    async fn make_scratch(
        &self,
        load: &Load,
        verifier: &Verifier,
    ) -> Result<Scratch, ProviderError> {
        match load.mode {
            LoadMode::Empty | LoadMode::Replace => self.make_place(load, verifier).await,
            LoadMode::Test => self.make_trial(load, verifier).await,
        }
    }

    async fn swap(
        &self,
        load: &Load,
        scratch: &Scratch,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        self.swap_loaded(load, scratch, most).await
    }

    async fn reopen(&self, load: &Load) -> Result<(), ProviderError> {
        self.reopen_target(load).await
    }

    async fn undo(&self, load: &Load, most: Duration) -> Result<Swapped, ProviderError> {
        self.undo_swap(load, most).await
    }

    async fn drop_leftover(&self, load: &Load, which: Leftover) -> Result<Ended, ProviderError> {
        match load.mode {
            LoadMode::Empty | LoadMode::Replace => self.drop_left(load, which).await,
            LoadMode::Test => self.drop_trial(load, which).await,
        }
    }

    async fn tests(&self, clusters: &[String]) -> Result<Vec<RestoreId>, ProviderError> {
        self.list_trials(clusters).await
    }

    async fn drop_test(&self, load: &Load) -> Result<Ended, ProviderError> {
        self.drop_one_trial(load).await
    }

    fn usage(&self) -> Usage {
        self.pool.usage()
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

/// A name from the catalog or the configuration, as an identifier.
fn quoted(name: &str) -> String {
    super::ident::postgresql_identifier(name)
}
