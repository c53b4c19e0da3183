//! The provider API: what the operator asks of a database engine.
//!
//! To add a third engine, implement [`Provider`] in a folder of its own, give [`open`] a line for it, and run the
//! conformance tests (`e2e/tests/provider_postgresql/` and `provider_mysql/` show them) against a real server of it. Nothing outside this folder speaks SQL.
//!
//! Every method is idempotent: it looks first and changes only what differs, so a crash between any two
//! statements is mended by calling it again. None of them decides whether something *may* be done: claims,
//! adoption and deletion policies are decided by the callers from what [`Provider::observe`] reports.
//!
//! | file | its one job |
//! |---|---|
//! | `ident.rs` | the only place that quotes identifiers and literals |
//! | `password.rs` | which passwords can be used |
//! | `verifier.rs` | the only place that turns a password into what a server stores |
//! | `reserved.rs` | the names that are never created, adopted or altered |
//! | `claim.rs` | who owns what on a server, decided without a server |
//! | `identity.rs` | which server may be worked on |
//! | `fence.rs` | what a paused former leader can no longer do |
//! | `pool.rs` | few connections, each bounded in time |
//! | `places.rs` | whose turn it is at them |
//! | `error.rs` | what can go wrong, and what to do about it |
//! | `dial.rs` | connecting, without a delay of the driver's |
//! | `tls.rs` | how a connection is protected |

pub mod claim;
pub mod dial;
pub mod error;
pub mod fence;
pub mod ident;
pub mod identity;
mod mysql;
pub mod password;
mod places;
mod pool;
mod postgresql;
pub mod reserved;
pub mod tls;
pub mod verifier;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;

pub use claim::{Claim, Claimant, Origin};
pub use error::{ProviderError, Sign};
pub use fence::Fence;
pub use ident::SqlName;
pub use identity::Expected;
pub use tls::{TlsConfig, TlsMode};
pub use verifier::Verifier;

/// Where a server is and how to log in as its administrator.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Which provider speaks to it.
    pub engine: Engine,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: TlsConfig,
    /// The administrator's name.
    pub username: String,
    /// The administrator's password.
    pub password: SecretString,
    /// Connections of this process to this server at any time.
    pub max_connections: u32,
    /// PostgreSQL: the database through which `db_operator` is made on first contact.
    pub maintenance_database: SqlName,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// The engines that [`open`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgresql,
    /// MySQL and MariaDB, told apart when connected.
    Mysql,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first packet to a session that may be used.
    pub connect: Duration,
    /// Waiting for one of the `max_connections`.
    pub acquire: Duration,
    /// One statement, on the server and on our side.
    pub statement: Duration,
    /// Waiting for a lock of another session. A connection is held meanwhile, and the lock may be anybody's.
    pub lock: Duration,
    /// A session that was not used for so long is closed.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            acquire: Duration::from_secs(30),
            statement: Duration::from_mins(1),
            lock: Duration::from_secs(2),
            idle: Duration::from_mins(1),
        }
    }
}

/// A provider for this server. Connects to nothing yet.
#[must_use]
pub fn open(config: ServerConfig, fence: Fence) -> Arc<dyn Provider> {
    match config.engine {
        Engine::Postgresql => Arc::new(postgresql::Postgresql::new(config, fence)),
        Engine::Mysql => Arc::new(mysql::Mysql::new(config, fence)),
    }
}

/// What the operator asks of one database server, reached as its administrator.
///
/// A value stands for one `DatabaseInstance`. It holds at most `max_connections` sessions, registers each of them
/// with the server's fence before its first other statement, and bounds every call in time.
#[async_trait]
pub trait Provider: Send + Sync {
    /// Says which servers may be worked on. From now on a session is opened to no other one: that fails with
    /// [`ProviderError::IdentityChanged`] before anything is written there.
    fn expect(&self, expected: Expected);

    /// Looks at the server as a whole: version, flavour, identity, privileges. Makes the operator's own database
    /// (`db_operator`) on the first call, unless the server is read-only, or not one that may be worked on.
    async fn inspect(&self) -> Result<Inspection, ProviderError>;

    /// Everything claimed on this server by one catalog query: what a resync compares, for any number of databases.
    async fn survey(&self) -> Result<Survey, ProviderError>;

    /// The claims, the database and the role of these names, as they stand now.
    async fn observe(&self, names: &Names) -> Result<Observed, ProviderError>;

    /// Says whether the server can hold what is wanted (length of names, character set, collation, locale), before
    /// anything is made.
    async fn validate(&self, desired: &Desired) -> Result<(), ProviderError>;

    /// Writes a claim, replacing `standing` (what [`claim::decide`] saw, or `None` for a new one). Fails with
    /// [`ProviderError::ClaimMoved`] when another writer was faster: observe and decide again.
    async fn write_claim(
        &self,
        claim: &Claim,
        standing: Option<&Claim>,
    ) -> Result<(), ProviderError>;

    /// Removes a claim whose database and role are gone (or were never made). Succeeds when there is none.
    async fn forget_claim(&self, claim: &Claim) -> Result<(), ProviderError>;

    /// What the server will store for this password: it never sees the password itself.
    fn verifier(&self, password: &SecretString) -> Verifier;

    /// Makes the role as desired. A verifier sets its password; without one an existing role keeps its own. Where this
    /// made it, this cluster's claim on exactly these names says so from then on ([`Origin::Created`]), and not before.
    async fn ensure_role(
        &self,
        desired: &Desired,
        verifier: Option<&Verifier>,
    ) -> Result<Vec<Change>, ProviderError>;

    /// Makes the database as desired, owned by the role, closed to everybody else; reads the privileges back. Its claim
    /// says that it was made as the role's does. A crash between the two is told by [`DatabaseFacts::ours`].
    async fn ensure_database(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError>;

    /// Makes what lives inside the database: extensions and schemas. Needs a session in that database, so it runs at
    /// a change, on request and on the slow schedule only.
    async fn ensure_contents(&self, desired: &Desired) -> Result<Vec<Change>, ProviderError>;

    /// What a dump of the database by its own user will be like: about how large, and what it cannot hold. Only reads
    /// the catalog. Needs a session in that database, like [`Provider::ensure_contents`]. A server may hide from the
    /// administrator what its user may not read: what is named is true, and what is not named may still fail.
    async fn assess(&self, names: &Names) -> Result<Assessment, ProviderError>;

    /// Logs in over the network as the database's own user would, with nothing but these values.
    async fn login(&self, names: &Names, password: &SecretString) -> Result<Login, ProviderError>;

    /// Locks the role out, ends its sessions, drops the database and then the role, as far as `removal` says.
    /// Bounded by short lock timeouts: what is in the way is named in [`Removed::Blocked`], and the call is repeated.
    /// What others can hang on a role does not keep anything: see [`Removed::LeftOver`].
    async fn remove(&self, removal: &Removal) -> Result<Removed, ProviderError>;

    /// What this process holds open on the server at the moment. Asks nobody.
    fn usage(&self) -> Usage;

    /// Closes all sessions of this process.
    async fn close(&self);
}

/// The connections of this process to one server at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// At work, or being opened.
    pub busy: usize,
    /// Open, and kept for later.
    pub idle: usize,
    /// The most that there may be at any time.
    pub limit: usize,
}

/// The SQL names of one database and of the role that owns it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Names {
    /// The database (MySQL: the schema).
    pub database: SqlName,
    /// The role (MySQL: the account's user part; its host is always `%`).
    pub role: SqlName,
}

/// What a `Database` object asks for, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// The database and its owner.
    pub names: Names,
    /// Sessions that the role may have at once; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// Left empty where the server's own default is wanted.
    pub postgresql: PostgresqlSettings,
    /// Left empty where the server's own default is wanted.
    pub mysql: MysqlSettings,
}

/// Settings that only PostgreSQL has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresqlSettings {
    /// Character encoding of a new database, such as `UTF8`. An existing database keeps its own.
    pub encoding: Option<String>,
    /// `LC_COLLATE` and `LC_CTYPE` of a new database. An existing database keeps its own.
    pub locale: Option<String>,
    /// Extensions that must be installed.
    pub extensions: Vec<Extension>,
    /// Schemas that must exist, owned by the role.
    pub schemas: Vec<SqlName>,
    /// Extensions that are not trusted by the server but allowed by the platform team.
    pub allowed_extensions: Vec<String>,
}

/// One extension of a PostgreSQL database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name in `pg_available_extensions`.
    pub name: SqlName,
    /// The schema it goes into; the server's choice when `None`.
    pub schema: Option<SqlName>,
    /// The version that is wanted; the server's default when `None`.
    pub version: Option<String>,
}

/// Settings that only MySQL and MariaDB have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MysqlSettings {
    /// Default character set of the schema; the server's own when `None`.
    pub character_set: Option<String>,
    /// Default collation of the schema; the character set's own when `None`.
    pub collation: Option<String>,
}

/// What stands on the server under two names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every claim that names the database or the role: none, one, or (two rivals) two.
    pub claims: Vec<Claim>,
    /// The database, if it exists.
    pub database: Option<DatabaseFacts>,
    /// The role, if it exists.
    pub role: Option<RoleFacts>,
}

/// What the catalog says of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Its owner. MySQL has none: there it is the role that holds all privileges on it, if there is exactly one.
    pub owner: Option<String>,
    /// Differences from what the operator makes, one sentence each, apart from the owner: `PUBLIC may connect`.
    pub deviations: Vec<String>,
    /// Who else can get at it, by rights that the operator neither gave nor takes back: one sentence each, with what
    /// mends it.
    pub exposures: Vec<String>,
    /// Encoding (PostgreSQL) or default character set (MySQL).
    pub character_set: String,
    /// Collation.
    pub collation: String,
    /// Whether it is the one that the claim on its name speaks of, and not another one of that name.
    pub ours: Ours,
}

/// Whether what stands there is what the CREATE of the claim on its name made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ours {
    /// It is.
    Yes,
    /// It is not: it was made by somebody else.
    No,
    /// No claim names it, what is claimed was adopted, or the server has nothing that tells the two apart.
    #[default]
    Unknown,
}

/// What the catalog says of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// May it log in.
    pub can_login: bool,
    /// Sessions that it may have at once; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// Attributes for which it is never touched: `SUPERUSER`, `CREATEROLE`, …; empty for an ordinary role.
    pub powers: Vec<String>,
    /// Whether the administrator may alter it (PostgreSQL 16 and later: ADMIN OPTION on it).
    pub alterable: bool,
    /// Differences from what the operator makes, one sentence each.
    pub deviations: Vec<String>,
    /// Whether it is the one that the claim on its name speaks of, and not another one of that name.
    pub ours: Ours,
    /// What the server stores to check the password, hashed: another one when somebody changed it. `None` where the
    /// administrator cannot read it.
    pub password: Option<Fingerprint>,
}

/// Tells two stored passwords apart, and nothing else of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Of what a server stores. Fingerprints are compared within one process only.
    #[must_use]
    pub fn of(stored: impl std::hash::Hash) -> Self {
        use std::hash::BuildHasher;
        static KEYS: std::sync::OnceLock<std::hash::RandomState> = std::sync::OnceLock::new();
        Self(KEYS.get_or_init(Default::default).hash_one(stored))
    }
}

/// All that is claimed on a server, with what stands there.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Every claim, of every cluster.
    pub claims: Vec<Claim>,
    /// Claimed databases that exist, by name.
    pub databases: HashMap<String, DatabaseFacts>,
    /// Claimed roles that exist, by name.
    pub roles: HashMap<String, RoleFacts>,
}

impl Survey {
    /// What the survey says of two names; the same answer as [`Provider::observe`], as of the survey's moment.
    #[must_use]
    pub fn of(&self, names: &Names) -> Observed {
        let concerns = |claim: &&Claim| {
            claim.names.database == names.database || claim.names.role == names.role
        };
        Observed {
            claims: self.claims.iter().filter(concerns).cloned().collect(),
            database: self.databases.get(names.database.as_str()).cloned(),
            role: self.roles.get(names.role.as_str()).cloned(),
        }
    }
}

/// What was found on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which of the engines answered.
    pub flavour: Flavour,
    /// Its version as it says it: `17.6`, `11.8.3`.
    pub version: String,
    /// The number that a client tool has to match: `17`, `11.8`, `9.7`.
    pub series: String,
    /// The protocol and cipher in use, or `None` for a connection in the clear.
    pub tls: Option<String>,
    /// What only this server has: PostgreSQL's system identifier, or on MySQL and MariaDB a random text in `db_operator`,
    /// which follows the data to a promoted replica as the system identifier does. A restored copy may share it.
    pub identity: Option<String>,
    /// A replica, or a server set to read-only.
    pub read_only: bool,
    /// What the administrator lacks, each with the exact SQL that grants it.
    pub missing: Vec<MissingPrivilege>,
    /// What the platform team should know of the server, though nothing depends on it, each with the SQL that mends it.
    pub warnings: Vec<Warning>,
}

/// Something about a server that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is, as a sentence.
    pub what: String,
    /// The statement that mends it, to be run by someone who may.
    pub sql: String,
}

/// The engines that a provider tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// PostgreSQL.
    Postgresql,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// What a dump of one database will be like, asked of the catalog beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// About how many bytes the dump will have before compression; 0: the catalog does not know.
    pub bytes: u64,
    /// What makes a dump by the database's own user fail, each with the SQL that mends it. At most 20, each for any
    /// number of objects of one kind and schema.
    pub unreadable: Vec<MissingPrivilege>,
}

/// A privilege that somebody needs and lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPrivilege {
    /// What cannot be done without it.
    pub needed_for: String,
    /// The statement that grants it, to be run by someone who may.
    pub grant: String,
}

/// The answer to a login with the database's own user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The credentials work.
    Accepted,
    /// The credentials work, but the role has as many sessions as it may have.
    AtConnectionLimit,
    /// The server refused the user or the password.
    Refused(String),
    /// The user and password work, but not for this database (missing, or no privilege).
    NoDatabase(String),
    /// No client can log in with this password, whatever the server holds. Says why, without the password.
    Unusable(String),
}

/// What to take away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The names.
    pub names: Names,
    /// Drop the database.
    pub database: bool,
    /// Drop the role.
    pub role: bool,
}

/// How far a removal came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Everything that was to go is gone.
    Done,
    /// Something is in the way. One sentence that names it and says what to do; the call is to be repeated.
    Blocked(String),
    /// All is gone but the role, on which others have hung what is not ours to take away. It can do nothing any more, and
    /// the provider drops it once it can; its claim is to be kept as released, so that nobody gets the name by surprise.
    /// Says what is left, and what removes it.
    LeftOver(String),
}

/// Something that was different and is now as desired; one sentence for an Event: `owner was legacy, is orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(pub String);
