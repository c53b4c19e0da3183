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
//! | `sessions.rs` `locks.rs` `dependents.rs` | sessions, locks and dependent objects of others that are in the way |
//! | `login.rs` | logs in as the database's own user |
//! | `assess.rs` | what a dump will be like |
//! | `error.rs` | what the servers' error numbers mean |
//!
//! Files that only MySQL and MariaDB need:
//!
//! | file | its one job |
//! |---|---|
//! | `dialect.rs` `dialect_sql.rs` | where the two servers differ |
//! | `administrator.rs` | what the administrator needs to be allowed |
//! | `privileges.rs` | the privileges that there are on a schema |
//! | `everybody.rs` `exposure.rs` | who stands for every user, and who else can access a schema |
//! | `login_blockers.rs` | what blocks the logins of an account |
//! | `observe.rs` `index.rs` | puts an observation together, and the catalog by name for a survey |
//! | `transactions.rs` | the open transactions |

mod administrator;
mod assess;
mod catalog;
mod claims;
mod connect;
mod creation;
mod database;
mod dependents;
mod dialect;
mod dialect_sql;
mod error;
mod everybody;
mod exposure;
mod facts;
mod fence;
mod grants;
mod identity;
mod index;
mod inspect;
mod locks;
mod login;
mod login_blockers;
mod observe;
mod pinned;
mod privileges;
mod remove;
mod role;
mod rows;
mod schema;
mod session;
mod sessions;
mod transactions;
mod validate;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use self::connect::{ServerProfile, Sessions};
use self::session::Session;
use super::pool::Lease;
use super::{
    Assessment, Change, Claim, Desired, Expected, Fence, Flavour, Inspection, Login, Names,
    Observed, Provider, ProviderError, Removal, Removed, ServerConfig, Survey, Usage, Verifier,
    reserved,
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

    /// Refuses names that are reserved, or that this server does not keep as they are.
    fn check(&self, profile: &ServerProfile, names: &Names) -> Result<(), ProviderError> {
        reserved::refuse(names, &self.sessions.config.username)?;
        validate::names(&profile.dialect, names)
    }
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
        claims::write_claim(&mut session, claim, standing).await
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
        role::apply(&mut session, &profile, desired, verifier, claimed.as_ref()).await
    }

    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        let (mut session, profile) = self.session().await?;
        self.check(&profile, &desired.names)?;
        let claimed = claims::own(&mut session, &desired.names, self.sessions.cluster_id()).await?;
        database::apply(&mut session, &profile, desired, claimed.as_ref()).await
    }

    /// Does nothing: only PostgreSQL has extensions, and schemas within a database.
    async fn ensure_contents(&self, _desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        Ok(Vec::new())
    }

    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError> {
        let (mut session, profile) = self.session().await?;
        assess::assess(&mut session, &profile, names).await
    }

    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError> {
        login::login(&self.sessions, names, password).await
    }

    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        let (mut session, profile) = self.session().await?;
        reserved::refuse(&removal.names, &self.sessions.config.username)?;
        let end_within = self.sessions.config.timeouts.lock;
        remove::remove(&mut session, &profile, removal, end_within).await
    }

    fn usage(&self) -> Usage {
        self.sessions.usage()
    }

    async fn close(&self) {
        self.sessions.close().await;
    }
}
