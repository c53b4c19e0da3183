//! The provider API: what the operator asks of a database engine.
//!
//! To add a third engine, implement [`Provider`] in a folder of its own, add a line for it to [`open`], and run the
//! conformance tests (`e2e/tests/provider_postgresql/` and `provider_mysql/` show how) against a real server. Nothing
//! outside this folder speaks SQL.
//!
//! Every method is idempotent: it looks first and changes only what differs, so a crash between any two statements is
//! repaired by calling it again. No method decides whether something *may* be done: callers decide about claims,
//! adoption and deletion policies from what [`Provider::observe`] reports.
//!
//! | file | its one job |
//! |---|---|
//! | `open.rs` | how a server is reached, and which provider serves it |
//! | `desired.rs` | what is asked for |
//! | `observed.rs` | what exists on a server |
//! | `inspection.rs` `flavour.rs` | what the server itself is |
//! | `outcome.rs` | what came of a call |
//! | `error.rs` | what can go wrong, and what to do about it |
//! | `ident.rs` | the only place that quotes identifiers and literals |
//! | `password.rs` | which passwords can be used |
//! | `verifier.rs` | the only place that turns a password into what a server stores |
//! | `reserved.rs` | the names that are never created, adopted or altered |
//! | `claim/` | who owns what on a server, decided without a server |
//! | `identity.rs` | which server may be worked on |
//! | `fence.rs` | what a paused former leader can no longer do |
//! | `pool.rs` | few connections, each bounded in time |
//! | `slots.rs` | who may open the next connection |
//! | `dial.rs` | connecting without a delay that the driver adds |
//! | `tls.rs` | how a connection is protected |
//! | `postgresql/` `mysql/` | the two providers: the same file names for the same jobs |

pub mod claim;
mod desired;
pub mod dial;
pub mod error;
pub mod fence;
mod flavour;
pub mod ident;
pub mod identity;
mod inspection;
mod mysql;
mod observed;
mod open;
mod outcome;
pub mod password;
mod pool;
mod postgresql;
pub mod reserved;
mod slots;
pub mod tls;
pub mod verifier;

use async_trait::async_trait;
use secrecy::SecretString;

pub use claim::{Claim, Claimant, Origin};
pub use desired::{Desired, Extension, MysqlSettings, Names, PostgresqlSettings, Removal};
pub use error::{ProviderError, Sign};
pub use fence::Fence;
pub use flavour::Flavour;
pub use ident::SqlName;
pub use identity::Expected;
pub use inspection::{Assessment, Inspection, MissingPrivilege, Usage, Warning};
pub use observed::{DatabaseFacts, Fingerprint, Observed, Ours, RoleFacts, Survey};
pub use open::{Engine, ServerConfig, Timeouts, open};
pub use outcome::{Change, Login, Removed};
pub use tls::{TlsConfig, TlsMode};
pub use verifier::Verifier;

/// What the operator asks of one database server, reached as its administrator.
///
/// One value serves one `DatabaseInstance`. It holds at most `max_connections` sessions, registers each of them with
/// the server's fence before its first other statement, and bounds every call in time.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Sets which servers may be worked on. From now on, opening a session to any other server fails with
    /// [`ProviderError::IdentityChanged`] before anything is written there.
    fn expect(&self, expected: Expected);

    /// Inspects the server as a whole: version, flavour, identity, privileges. The first call creates the operator's
    /// own database (`db_operator`), unless the server is read-only or may not be worked on.
    async fn inspect(&self) -> Result<Inspection, ProviderError>;

    /// Reads everything that is claimed on this server, for any number of databases at once. A resync compares this.
    async fn survey(&self) -> Result<Survey, ProviderError>;

    /// Reads the claims, the database and the role of these names as they are now.
    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError>;

    /// Checks whether the server supports what is wanted (length of names, character set, collation, locale), before
    /// anything is created.
    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError>;

    /// Writes a claim in the place of `standing` (what [`claim::decide`] saw, or `None` for a new one). Fails with
    /// [`ProviderError::ClaimMoved`] if another writer was faster: observe and decide again.
    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError>;

    /// Removes a claim whose database and role are gone, or were never created. Succeeds if there is no such claim.
    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError>;

    /// Computes what the server will store for this password. The server never sees the password itself.
    fn verifier(&self, password: &SecretString) -> Verifier;

    /// Creates the role or brings it to the desired state. A verifier sets its password; without one, an existing role
    /// keeps its own. Once this has created it, and not before, this cluster's claim on exactly these names says so
    /// ([`Origin::Created`]).
    async fn ensure_role(
        &self,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError>;

    /// Creates the database or brings it to the desired state: owned by the role and closed to everyone else. Reads the
    /// privileges back. Its claim records the creation, as for the role; [`DatabaseFacts::ours`] shows a crash between
    /// the two.
    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError>;

    /// Creates what lives inside the database: extensions and schemas. This needs a session in that database, so it
    /// runs only on a change, on request and on the slow schedule.
    async fn ensure_contents(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError>;

    /// Predicts a dump of the database by its own user: its approximate size, and what the user cannot read. Only reads
    /// the catalog. Needs a session in that database, like [`Provider::ensure_contents`]. A server may hide some of it
    /// from the administrator: everything that is named is true, but what is not named may still fail.
    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError>;

    /// Logs in over the network as the database's own user would, with these values alone.
    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError>;

    /// Locks the role out, ends its sessions, drops the database and then the role, as far as `removal` says. Lock
    /// timeouts are short: [`Removed::Blocked`] names what is in the way, and the caller repeats the call. Objects of
    /// others that depend on the role do not block the removal: see [`Removed::LeftOver`].
    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError>;

    /// Counts the connections that this process holds open. Asks no server.
    fn usage(&self) -> Usage;

    /// Closes all sessions of this process.
    async fn close(&self);
}
