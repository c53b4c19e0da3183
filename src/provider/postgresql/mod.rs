//! PostgreSQL 14 to 18, for an administrator with CREATEDB and CREATEROLE and no more.
//!
//! | file | its one job |
//! |---|---|
//! | `session.rs` | one session: how it is opened, how a statement runs in it |
//! | `pinned.rs` | the settings that go with its startup packet |
//! | `failure.rs` | what the server said, and which error that is |
//! | `assess.rs` | what a dump will be like |
//! | `visit.rs` | sessions inside a tenant's database |
//! | `home.rs` | the operator's own database |
//! | `identity.rs` | whether a session is with the server that is known |
//! | `fence.rs` | how a session gets in through the fence |
//! | `catalog.rs` | what stands there, in one query |
//! | `claims.rs` | the claim table |
//! | `membership.rs` | rights borrowed for the length of one transaction |
//! | `validate.rs` | what a server cannot hold |
//! | `role.rs` `database.rs` `contents.rs` | what is made |
//! | `remove.rs` | what is taken away |
//! | `obstacles.rs` | sessions that are in the way of that |
//! | `holders.rs` | prepared transactions, subscriptions and locks that are |
//! | `leftovers.rs` | what others hung on a user |
//! | `login.rs` | logging in as the tenant |
//! | `inspect.rs` | the server as a whole |

mod assess;
mod catalog;
mod claims;
mod contents;
mod database;
mod failure;
mod fence;
mod holders;
mod home;
mod identity;
mod inspect;
mod leftovers;
mod login;
mod membership;
mod obstacles;
mod pinned;
mod remove;
mod role;
mod session;
mod validate;
mod visit;

use std::sync::OnceLock;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, Semaphore};

use super::pool::{Lease, Pool};
use super::{
    Assessment, Change, Claim, Desired, Expected, Fence, Inspection, Login, Names, Observed,
    Provider, ProviderError, Removal, Removed, ServerConfig, Survey, Usage, Verifier, reserved,
};
use session::Session;
use visit::Doors;

/// CREATE DATABASE statements at a time on one server.
const CREATE_LANES: usize = 4;

/// One PostgreSQL server.
pub(super) struct Postgresql {
    config: ServerConfig,
    fence: Fence,
    pool: Pool<Session>,
    expected: std::sync::Mutex<Expected>,
    /// The epoch of this process on this server, once it has been there.
    epoch: Mutex<Option<i64>>,
    /// Why this process has to end. Until it does, it opens no session any more.
    superseded: OnceLock<ProviderError>,
    lanes: Semaphore,
    doors: Doors,
}

impl Postgresql {
    pub(super) fn new(config: ServerConfig, fence: Fence) -> Self {
        Self {
            pool: Pool::new(config.max_connections, config.timeouts),
            expected: std::sync::Mutex::default(),
            epoch: Mutex::new(None),
            superseded: OnceLock::new(),
            lanes: Semaphore::new(CREATE_LANES),
            doors: Doors::default(),
            config,
            fence,
        }
    }

    /// A session in the operator's own database.
    async fn home(&self) -> Result<Lease<Session>, ProviderError> {
        let slot = self.pool.slot().await?;
        self.pool.session(slot, Box::pin(self.open_home())).await
    }

    /// The callers refuse reserved names with a condition; this is the last line of defence.
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
        self.find_out().await
    }

    async fn survey(&self) -> Result<Survey, ProviderError> {
        self.look_at_all(&mut *self.home().await?).await
    }

    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError> {
        self.look(&mut *self.home().await?, names).await?.observed()
    }

    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError> {
        self.check(desired).await
    }

    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError> {
        self.put_claim(&mut *self.home().await?, claim, standing)
            .await
    }

    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError> {
        self.delete_claim(&mut *self.home().await?, claim).await
    }

    fn verifier(&self, password: &SecretString) -> Verifier {
        Verifier::scram_sha_256(password.expose_secret())
    }

    async fn ensure_role(
        &self,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError> {
        self.make_role(&mut *self.home().await?, desired, verifier)
            .await
    }

    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        self.make_database(&mut *self.home().await?, desired).await
    }

    async fn ensure_contents(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError> {
        self.make_contents(desired).await
    }

    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError> {
        self.judge(names).await
    }

    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError> {
        self.try_login(names, password).await
    }

    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError> {
        self.take_away(removal).await
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
