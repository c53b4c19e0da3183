//! The provider for MySQL and MariaDB, told apart when connected.
//!
//! | file | its one job |
//! |---|---|
//! | `dialect.rs` | where the two servers differ |
//! | `session.rs` | one session: pinned settings, statements bounded in time |
//! | `contact.rs` | the first contact with a server, and the registration of each session |
//! | `fence.rs` | the epochs, and how another process's sessions are found and ended |
//! | `home.rs` | the operator's own schema: its tables, and what they say of the server |
//! | `claims.rs` | the claim table |
//! | `grants.rs` | what the administrator needs to be allowed |
//! | `catalog.rs` | the rows of the server's catalog |
//! | `facts.rs` | what these rows mean, decided without a server |
//! | `hindrance.rs` | what keeps an account from logging in |
//! | `exposure.rs` | rights on a schema that are not its own user's |
//! | `validate.rs` | what a server cannot hold |
//! | `ensure.rs` | making accounts and schemas |
//! | `removal.rs` | taking them away |
//! | `obstacles.rs` | what keeps something from being dropped, and what helps |
//! | `assess.rs` | what a dump will be like |
//! | `login.rs` | logging in as a database's own user |
//! | `error.rs` | what the servers' error numbers mean |

mod assess;
mod catalog;
mod claims;
mod contact;
mod dialect;
mod ensure;
mod error;
mod exposure;
mod facts;
mod fence;
mod grants;
mod hindrance;
mod home;
mod inspect;
mod login;
mod obstacles;
mod removal;
mod session;
mod validate;

use std::collections::HashMap;
use std::sync::OnceLock;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use self::contact::Sessions;
use self::facts::Catalog;
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
    /// Makes no connection yet.
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            sessions: Sessions::new(config, fence),
            flavour: OnceLock::new(),
        }
    }

    async fn work(
        &self,
    ) -> Result<
        (
            super::pool::Lease<session::Session>,
            std::sync::Arc<contact::Contact>,
        ),
        ProviderError,
    > {
        let (session, contact) = self.sessions.registered().await?;
        // The same server answers again, or another one for which a verifier of either kind is made.
        let _ = self.flavour.set(contact.dialect.flavour);
        Ok((session, contact))
    }

    /// Names that are nobody's to use, or that this server cannot hold.
    fn check(&self, contact: &contact::Contact, names: &Names) -> Result<(), ProviderError> {
        reserved::refuse(names, &self.sessions.config.username)?;
        validate::names(&contact.dialect, names)
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
        let (mut session, contact) = self.work().await?;
        let dialect = &contact.dialect;
        let claimed = claims::claims(&mut session, None).await?;
        let catalog = Catalog {
            schemas: catalog::schemas(&mut session, None).await?,
            accounts: catalog::accounts(&mut session, dialect, None).await?,
            grants: catalog::grants(
                &mut session,
                dialect,
                &contact.held.to_give(dialect),
                catalog::Which::All,
            )
            .await?,
            powers: catalog::powers(&mut session, dialect, None).await?,
        };
        let mut databases = HashMap::new();
        let mut roles = HashMap::new();
        let index = facts::Index::new(dialect, &catalog);
        for one in &claimed {
            let Names { database, role } = &one.claim.names;
            let of_one = index.of(dialect, database, role);
            if let Some(mut facts) = facts::database(dialect, &of_one, database, role) {
                let one = std::slice::from_ref(one);
                facts.ours = claims::ours_of_schema(&mut session, one, database).await?;
                databases.insert(database.to_string(), facts);
            }
            if let Some(mut facts) = facts::role(dialect, &of_one, role) {
                let one = std::slice::from_ref(one);
                facts.ours = claims::ours_of_account(one, role, &of_one.grants);
                roles.insert(role.to_string(), facts);
            }
        }
        Ok(Survey {
            claims: claimed.into_iter().map(|one| one.claim).collect(),
            databases,
            roles,
        })
    }

    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError> {
        let (mut session, contact) = self.work().await?;
        let dialect = &contact.dialect;
        let Names { database, role } = names;
        let claimed = claims::claims(&mut session, Some(names)).await?;
        let to_give = contact.held.to_give(dialect);
        let catalog = Catalog {
            schemas: catalog::schemas(&mut session, Some(database)).await?,
            accounts: catalog::accounts(&mut session, dialect, Some(role)).await?,
            grants: catalog::grants(
                &mut session,
                dialect,
                &to_give,
                catalog::Which::Concerning(database, role),
            )
            .await?,
            powers: catalog::powers(&mut session, dialect, Some(role)).await?,
        };
        let mut found = Observed {
            database: facts::database(dialect, &catalog, database, role),
            role: facts::role(dialect, &catalog, role),
            claims: Vec::new(),
        };
        if let Some(facts) = &mut found.database {
            facts.ours = claims::ours_of_schema(&mut session, &claimed, database).await?;
        }
        if let Some(facts) = &mut found.role {
            facts.ours = claims::ours_of_account(&claimed, role, &catalog.grants);
        }
        found.claims = claimed.into_iter().map(|one| one.claim).collect();
        Ok(found)
    }

    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError> {
        let (mut session, contact) = self.work().await?;
        self.check(&contact, &desired.names)?;
        let user = &desired.names.role;
        let mut accounts = catalog::accounts(&mut session, &contact.dialect, Some(user)).await?;
        // A role of MariaDB is a name that is never touched, as observing it says.
        accounts.retain(|account| !account.is_role);
        validate::no_other_host(&accounts, user)?;
        validate::nobody_elses(&mut session, &contact.dialect, &desired.names).await?;
        validate::text_settings(&mut session, &contact.dialect, desired).await
    }

    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        let (mut session, contact) = self.work().await?;
        self.check(&contact, &claim.names)?;
        claims::write_claim(&mut session, claim, standing).await
    }

    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError> {
        let (mut session, _) = self.work().await?;
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
        let (mut session, contact) = self.work().await?;
        self.check(&contact, &desired.names)?;
        let claimed = claims::own(&mut session, &desired.names, self.sessions.cluster_id()).await?;
        ensure::role(&mut session, &contact, desired, verifier, claimed.as_ref()).await
    }

    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        let (mut session, contact) = self.work().await?;
        self.check(&contact, &desired.names)?;
        let claimed = claims::own(&mut session, &desired.names, self.sessions.cluster_id()).await?;
        ensure::database(&mut session, &contact, desired, claimed.as_ref()).await
    }

    /// Nothing: extensions and schemas within a database are PostgreSQL's.
    async fn ensure_contents(&self, _desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        Ok(Vec::new())
    }

    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError> {
        let (mut session, contact) = self.work().await?;
        assess::assess(&mut session, &contact, names).await
    }

    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError> {
        login::login(&self.sessions, names, password).await
    }

    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        let (mut session, contact) = self.work().await?;
        reserved::refuse(&removal.names, &self.sessions.config.username)?;
        let patience = self.sessions.config.timeouts.lock;
        removal::remove(&mut session, &contact, removal, patience).await
    }

    fn usage(&self) -> Usage {
        self.sessions.usage()
    }

    async fn close(&self) {
        self.sessions.close().await;
    }
}
