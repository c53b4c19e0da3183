//! What exists on a server under the names that are asked for.

use std::collections::HashMap;

use super::{Claim, CreationOptions, Names};

/// What exists on the server under two names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Every claim that names the database or the role: none, one, or two of rivals.
    pub claims: Vec<Claim>,
    /// The database, if it exists.
    pub database: Option<DatabaseFacts>,
    /// The role, if it exists.
    pub role: Option<RoleFacts>,
}

/// What the catalog says of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Its owner. MySQL has no owners: there it is the role that holds all privileges on it, if there is exactly one.
    pub owner: Option<String>,
    /// Differences from what the operator creates, apart from the owner, one sentence each: `PUBLIC may connect`.
    pub deviations: Vec<String>,
    /// Who else can access it, through rights that the operator neither granted nor revokes: one sentence each, with
    /// the fix.
    pub exposures: Vec<String>,
    /// What keeps its user from writing although nothing differs from what the operator creates, and that the operator
    /// does not change because its owner may have meant it: one sentence each, with the fix.
    pub read_only: Vec<String>,
    /// PostgreSQL: the options of its creation, which cannot be changed.
    pub options: Option<CreationOptions>,
    /// Encoding (PostgreSQL) or default character set (MySQL).
    pub character_set: String,
    /// Collation.
    pub collation: String,
    /// Whether it is the one that the claim on its name describes, and not another one of that name.
    pub ours: Ours,
}

/// Whether what exists is what the CREATE under the claim on its name made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ours {
    /// It is.
    Yes,
    /// It is not: someone else made it.
    No,
    /// No claim names it, it was adopted, or the server has nothing to tell the two apart.
    #[default]
    Unknown,
}

/// What the catalog says of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// Whether it may log in.
    pub can_login: bool,
    /// Sessions that it may have at once; `None` is no limit.
    pub connection_limit: Option<u32>,
    /// Attributes because of which it is never touched: `SUPERUSER`, `CREATEROLE`, …; empty for an ordinary role.
    pub powers: Vec<String>,
    /// Whether the administrator may alter it (PostgreSQL 16 and later: ADMIN OPTION on it).
    pub alterable: bool,
    /// Differences from what the operator creates, one sentence each.
    pub deviations: Vec<String>,
    /// What keeps some clients from logging in as this role and is not the operator's to change: one sentence each, with
    /// the fix.
    pub hindrances: Vec<String>,
    /// Wrong passwords, from anyone, may have blocked it, and the server does not tell: only a login shows it.
    pub may_be_blocked: bool,
    /// Whether it is the one that the claim on its name describes, and not another one of that name.
    pub ours: Ours,
    /// A hash of what the server stores to check the password, so that a change is noticed. `None` where the
    /// administrator cannot read it.
    pub password: Option<Fingerprint>,
}

/// Tells two stored passwords apart, and reveals nothing else about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Hashes what a server stores. Fingerprints are only comparable within one process.
    #[must_use]
    pub fn of(stored: impl std::hash::Hash) -> Self {
        use std::hash::BuildHasher;
        static KEYS: std::sync::OnceLock<std::hash::RandomState> = std::sync::OnceLock::new();
        Self(KEYS.get_or_init(Default::default).hash_one(stored))
    }
}

/// Everything that is claimed on a server, with what exists there.
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
    /// What the survey says about two names: the answer of [`observe`](super::Provider::observe) at the time of the
    /// survey.
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
