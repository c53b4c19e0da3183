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
//! | `creation_options.rs` | options of a PostgreSQL database that cannot be changed, and how they differ |
//! | `observed.rs` | what exists on a server |
//! | `inspection.rs` | what the server itself is |
//! | `inventory.rs` | what comes with a database beside its rows |
//! | `lock_wait.rs` | who waits for whose lock |
//! | `outcome.rs` `probe.rs` | what came of a call, and of a login that also looked around |
//! | `restore.rs` | what a restore asks of a server |
//! | `error.rs` | what can go wrong, and what to do about it |
//! | `blame.rs` | whether a session that failed says something about the server |
//! | `derived_name.rs` | the names of what a restore makes |
//! | `ident.rs` | the only place that quotes identifiers and literals |
//! | `password.rs` | which passwords can be used |
//! | `verifier.rs` | the only place that turns a password into what a server stores |
//! | `reserved.rs` | the names that are never created, adopted or altered |
//! | `claim/` | who owns what on a server, decided without a server |
//! | `identity.rs` | which server may be worked on |
//! | `fence.rs` | what a paused former leader can no longer do |
//! | `pool.rs` | few connections, each bounded in time |
//! | `slots.rs` | who may open the next connection |
//! | `dial.rs` `mysql_greeting.rs` | connecting without a delay that the driver adds, and what MySQL and MariaDB say first |
//! | `tls.rs` | how a connection is protected |
//! | `postgresql/` `mysql/` | the two providers: the same file names for the same jobs |

mod blame;
pub mod claim;
mod creation_options;
mod derived_name;
mod desired;
pub mod dial;
pub mod error;
pub mod fence;
pub mod ident;
pub mod identity;
mod inspection;
pub mod inventory;
mod lock_wait;
mod mysql;
mod mysql_greeting;
mod observed;
mod open;
mod outcome;
pub mod password;
mod pool;
mod postgresql;
mod probe;
pub mod reserved;
pub mod restore;
mod slots;
pub mod tls;
pub mod verifier;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

pub use crate::flavour::Flavour;
pub use claim::{Claim, Claimant, Origin};
pub use creation_options::{CreationOptions, LocaleProvider};
pub use desired::{Desired, Extension, MysqlSettings, Names, PostgresqlSettings, Removal};
pub use error::{ProviderError, Sign};
pub use fence::Fence;
pub use ident::SqlName;
pub use identity::Expected;
pub use inspection::{Assessment, Inspection, MissingPrivilege, Usage, Warning};
pub use inventory::Inventory;
pub use lock_wait::{Holder, LockWait};
pub use observed::{DatabaseFacts, Fingerprint, Observed, Ours, RoleFacts, Survey};
pub use open::{Engine, ServerConfig, Timeouts, open};
pub use outcome::{Change, Login, Removed};
pub use probe::{Extent, Inaccessible, Inside, Probe};
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

    /// Looks at what comes with the database beside its rows: what a dump of it does not contain, and what its own user
    /// cannot make again. Only reads the catalog. Needs a session in that database, like [`Provider::assess`].
    async fn take_inventory(&self, names: &Names) -> Result<Inventory, ProviderError>;

    /// Which locks a backup waits for inside the database, and who holds them, as far as the server tells: on MySQL and
    /// MariaDB, where a session has no name, any session of the database's own user. Changes nothing, and costs one statement while none waits. Bounded, and without any statement's text.
    async fn lock_waits(&self, names: &Names) -> Result<Vec<LockWait>, ProviderError>;

    /// Names what its own user may not read or write of what belongs to others in the database, each with the SQL that
    /// changes it. Needs a session in that database. Nothing on a server where the privileges on a database are those on
    /// all that is in it.
    async fn inaccessible(
        &self,
        names: &Names,
        extent: Extent,
    ) -> Result<Inaccessible, ProviderError> {
        let _ = (names, extent);
        Ok(Inaccessible::default())
    }

    /// Logs in over the network as the database's own user would, with these values alone.
    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError>;

    /// Logs in like [`Provider::login`], and asks in the same session what differs inside, and what
    /// [`Provider::inaccessible`] answers: one connection and one statement, so that it can be repeated often. A user that
    /// has no connection left, or whose settings keep it from an answer, has still logged in.
    async fn probe(
        &self,
        desired: &Desired,
        password: &SecretString,
        extent: Extent,
    ) -> Result<Probe, ProviderError> {
        let _ = extent;
        Ok(self.login(&desired.names, password).await?.into())
    }

    /// Locks the role out, ends its sessions, drops the database and then the role, as far as `removal` says. Lock
    /// timeouts are short: [`Removed::Blocked`] names what is in the way, and the caller repeats the call. Objects of
    /// others that depend on the role do not block the removal: see [`Removed::LeftOver`].
    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError>;

    /// What the server remembers of a restore by this namespace and name that was done, also under one of the cluster ids
    /// that are taken over. The UID does not matter: the same object applied again is to do nothing.
    async fn restored(
        &self,
        restore: &restore::RestoreId,
        take_over_from: &[String],
    ) -> Result<Option<restore::Restored>, ProviderError>;

    /// Looks at the target of a load: what is in it, and what would stand in the way. Changes nothing. Where the target or its
    /// user is missing, it is an error: nobody can say that nothing is in it.
    async fn look_at_target(
        &self,
        load: &restore::Load,
    ) -> Result<restore::TargetFacts, ProviderError>;

    /// Makes the place to load into, with all settings, privileges, limits and extensions of the target, and a login for
    /// this load alone. What a former try of the same restore left is dropped first, and made anew. On MySQL and MariaDB the target's user is locked out, its
    /// sessions are ended, and whatever a load that was broken off left in it is removed; what was in it before this
    /// restore's first load never is.
    async fn make_scratch(
        &self,
        load: &restore::Load,
        verifier: &Verifier,
    ) -> Result<restore::Scratch, ProviderError>;

    /// Puts the loaded database in the place of the target, once: the claim, the databases' identities and this process's
    /// epoch are checked in the same transaction, and the record of the restore is written in it. The target's user is let
    /// in afterwards. A swap that was done already is `Done` again.
    async fn swap(
        &self,
        load: &restore::Load,
        scratch: &restore::Scratch,
        most: Duration,
    ) -> Result<restore::Swapped, ProviderError>;

    /// Opens a target that a swap locked and did not come to change, as after a crash. Does nothing if it is open.
    async fn reopen(&self, load: &restore::Load) -> Result<(), ProviderError>;

    /// Swaps back to the former database, under the same checks; the one that it replaces is kept as the former one. Once
    /// for each restore: one that was undone already is `Done` again.
    async fn undo(
        &self,
        load: &restore::Load,
        most: Duration,
    ) -> Result<restore::Swapped, ProviderError>;

    /// Drops what is left of a restore, under the same checks: the claim still belongs to the claimant and is unreleased, and
    /// each database has the identity that was noted. A login that was made for the load goes in any case.
    async fn drop_leftover(
        &self,
        load: &restore::Load,
        which: restore::Leftover,
    ) -> Result<restore::Ended, ProviderError>;

    /// The tests of these clusters (mode `Test`) that have something on the server, as its table says: at most 100, those
    /// that began first. Only reads.
    async fn tests(&self, clusters: &[String]) -> Result<Vec<restore::RestoreId>, ProviderError>;

    /// Drops what a test has left, of this very object: those of other objects of its name are not touched.
    async fn drop_test(&self, load: &restore::Load) -> Result<restore::Ended, ProviderError>;

    /// Counts the connections that this process holds open. Asks no server.
    fn usage(&self) -> Usage;

    /// Closes all sessions of this process.
    async fn close(&self);
}
