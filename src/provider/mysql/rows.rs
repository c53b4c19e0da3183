//! The rows of the server's catalog.

use super::session::Row;
use crate::provider::ProviderError;

/// A row of `information_schema.SCHEMATA`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) character_set: String,
    pub(super) collation: String,
    /// It accepts no writes (`ALTER DATABASE … READ ONLY = 1`, MySQL only).
    pub(super) read_only: bool,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) locked: bool,
    /// It has to change its password before it can do anything else.
    pub(super) expired: bool,
    /// Days until the password expires; 0 is never, `None` the server's default.
    pub(super) lifetime: Option<i64>,
    /// Sessions at once; 0 is no limit.
    pub(super) max_connections: i64,
    /// Queries, updates and logins that it may have in an hour; 0 is no limit.
    pub(super) per_hour: [i64; 3],
    /// Each of its statements is ended after some time (MariaDB).
    pub(super) ends_statements: bool,
    /// It can also log in with something else than the one password that is known here (MariaDB).
    pub(super) has_other_way: bool,
    /// What a login needs besides the password.
    pub(super) transport: Transport,
    /// How many factors a login needs after the password (MySQL).
    pub(super) further_factors: i64,
    /// Wrong passwords, from anyone, lock it for a while.
    pub(super) locks_itself: bool,
    /// So many wrong passwords have come that no login works any more (MariaDB); `None` where the server counts them and
    /// does not say for whom.
    pub(super) blocked: Option<bool>,
    pub(super) plugin: String,
    pub(super) hash: String,
    /// A role of MariaDB, which no one can log in as.
    pub(super) is_role: bool,
}

/// What a login needs besides the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Nothing.
    Any,
    /// TLS.
    Tls,
    /// A certificate of its own.
    Certificate,
}

/// Who has a right: an account, or a role, which has no host on MariaDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) user: String,
    pub(super) host: String,
}

impl Holder {
    pub(super) fn read(row: &Row, user: &str, host: &str) -> Result<Self, ProviderError> {
        Ok(Self {
            user: row.text(user)?,
            host: row.text(host)?,
        })
    }
}

/// A row of `mysql.db`: what an account may do on the schemas that a pattern reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) user: String,
    pub(super) host: String,
    pub(super) pattern: String,
    /// Which privileges it gives.
    pub(super) held: Vec<&'static str>,
    /// The privileges of an owner that are missing.
    pub(super) lacking: Vec<&'static str>,
    /// It may give them to others.
    pub(super) with_option: bool,
}

impl Grant {
    /// Whose it is.
    pub(super) fn holder(&self) -> Holder {
        Holder {
            user: self.user.clone(),
            host: self.host.clone(),
        }
    }
}

/// Something that makes an account more than an ordinary one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Power {
    /// `'user'@'host'`, nothing escaped.
    pub(super) grantee: String,
    pub(super) power: String,
}

/// A table or a routine of a schema that someone has privileges on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// As REVOKE says it: `TABLE`, `PROCEDURE`.
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) holder: Holder,
}
