//! What a restore asks of a server: a place to load into beside what is good, the swap, and the way back.
//!
//! On PostgreSQL a restore loads into a *scratch* database and takes the name of the target in one transaction; the former
//! database stays beside it for a while. On MySQL and MariaDB the target itself is loaded while its user is locked out.
//! A test of a backup has no target: it loads into a database of its own, with a user of its own, which are dropped again.

use std::time::Duration;

use super::derived_name::{Purpose, derived};
use super::ident::InvalidName;
use super::{Claimant, Names, SqlName};

/// The longest names of what a test makes, in bytes: what all servers take. MySQL counts 32 characters of a user's name, and
/// in privileges each `_` of a database's twice, of 64.
const LONGEST_DATABASE: usize = 48;
const LONGEST_USER: usize = 32;

/// The Restore object that something on a server was made for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RestoreId {
    /// The id of its cluster.
    pub cluster_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object's UID: another object of the same name is not this one.
    pub uid: String,
    /// SHA-256 over its spec, in hexadecimal digits.
    pub spec_hash: String,
}

/// A load: which restore, into the database of which claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// For whom.
    pub restore: RestoreId,
    /// The target's names on the server, claimed by `claimant`. Of a test: [`test_names`].
    pub target: Names,
    /// Whom the target belongs to: its claim has to say so at every step, in the same transaction where there is one. Nobody
    /// has a claim on what a test makes.
    pub claimant: Claimant,
    /// The cluster ids whose claims are also ours.
    pub take_over_from: Vec<String>,
    /// The extensions that the restored database needs beforehand, since only an administrator can make them: those of the
    /// Database's spec, and those of the manifest that the platform allows. None on MySQL.
    pub extensions: Vec<super::Extension>,
    /// The schemas and extensions that the Database's spec asks for are made again in it, as for a new one.
    pub desired: super::Desired,
    /// What has to be left behind by the target in the moment of the swap.
    pub mode: LoadMode,
}

/// What may be in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadMode {
    /// Nothing: refused unless it is empty, also in the moment of the swap. The former, empty one is dropped.
    Empty,
    /// Anything: it stays beside the restored one.
    Replace,
    /// There is no target: what is made is loaded, checked, and dropped again.
    Test,
}

/// What a test makes is called: a database and its user. They begin in the same way for every Restore, so that none of
/// them is a name that a server reserves. What exists by them is only ever dropped by the row that was written of it.
pub fn test_names(restore: &RestoreId) -> Result<Names, InvalidName> {
    // A Restore's name is that of an object, and no longer than a SQL name; with what comes before it, it may be.
    let base: String = format!("test-{}", restore.name)
        .chars()
        .take(super::ident::MAX_NAME_BYTES)
        .collect();
    let base = SqlName::new(base)?;
    let name = |longest| derived(&base, Purpose::Load, &restore.uid, longest);
    Ok(Names {
        database: name(LONGEST_DATABASE)?,
        role: name(LONGEST_USER)?,
    })
}

/// What stands in the way of a load, or what it will take; asked before anything is made, and changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetFacts {
    /// What is in the target (tables, views, sequences, routines, types, large objects outside extensions): at most 10
    /// names for people, with one that counts the rest. Empty: nothing is in it.
    pub contents: Vec<String>,
    /// What a load left that was broken off, which does not count as contents: its user is locked out until the next one
    /// removes that, and is known by the password that the load gave it (MySQL, MariaDB).
    pub half_loaded: bool,
    /// What would keep a swap from happening, each with what to do: prepared transactions, replication slots,
    /// subscriptions, settings that the administrator may not make again, roles whose sessions it may not end.
    pub obstacles: Vec<String>,
    /// Bytes that the target takes now.
    pub bytes: u64,
    /// Bytes that are free where databases go, if the server tells.
    pub free_bytes: Option<u64>,
    /// How many more sessions the server lets in for users that are no superusers, if it tells.
    pub free_connections: Option<u32>,
}

/// Where a load goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// The database that is loaded into. On MySQL and MariaDB the target itself.
    pub database: SqlName,
    /// The login that was made for this load alone.
    pub login: SqlName,
    /// The role that everything is to belong to: the tool sets it (PostgreSQL).
    pub owner: SqlName,
}

/// What came of a swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The restored database has the name.
    Done {
        /// How long nobody could log in.
        downtime: Duration,
        /// The name that the former database has now, if it was kept.
        former: Option<SqlName>,
    },
    /// The target is open again, and nothing was changed. Says who is in the way; try again later.
    Blocked(String),
    /// The claim or one of the databases is not what was noted: it changed hands. Nothing was done.
    ChangedHands(String),
    /// The target is no longer empty (mode `Empty`): what is in it. Nothing was done.
    NotEmpty(Vec<String>),
}

/// What the server remembers of a restore that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// SHA-256 over the spec that was done.
    pub spec_hash: String,
    /// The UID of the object.
    pub uid: String,
    /// When, as seconds since 1970.
    pub at: i64,
    /// The former database, if it is still there and belongs to this restore.
    pub former: Option<SqlName>,
    /// How long nobody could log in, in milliseconds.
    pub downtime_millis: u64,
}

/// What of a restore's is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// The scratch database and the login of a load that is given up. On MySQL and MariaDB: the target is emptied again, and
    /// its user let in. Of a test, done or not: its database and its user.
    Scratch,
    /// The login of a load that is done. Nothing else is left of it.
    Login,
    /// The database that was replaced.
    Former,
}

/// What came of a drop or of an undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is done, or nothing is there to be done.
    Done,
    /// Somebody is in the way: a sentence. Try again later.
    Blocked(String),
    /// What is there is not what was noted, or is not ours any more, and is left alone; or others keep a login, which is
    /// locked for good. There is nothing to try again.
    ChangedHands(String),
    /// It was adopted without permission to drop it: a sentence. It stays for whoever made it.
    Adopted(String),
}

impl Ended {
    /// What came of both: what is to be tried again comes before what stays for good, and that before what is done.
    pub(super) fn and(self, other: Self) -> Self {
        match (&self, &other) {
            (Self::Done, _) | (Self::ChangedHands(_) | Self::Adopted(_), Self::Blocked(_)) => other,
            (Self::Blocked(_) | Self::ChangedHands(_) | Self::Adopted(_), _) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::reserved;

    #[test]
    fn what_is_to_be_tried_again_comes_first() {
        let blocked = || Ended::Blocked("b".to_owned());
        let changed = || Ended::ChangedHands("c".to_owned());
        let all = [
            (Ended::Done, Ended::Done, Ended::Done),
            (Ended::Done, changed(), changed()),
            (changed(), Ended::Done, changed()),
            (changed(), blocked(), blocked()),
            (blocked(), changed(), blocked()),
        ];
        for (one, other, both) in all {
            assert_eq!(one.and(other), both);
        }
    }

    #[test]
    fn what_a_test_makes_has_names_that_every_server_takes_and_none_reserves() {
        let names = |name: &str| {
            let restore = RestoreId {
                cluster_id: "c".to_owned(),
                namespace: "team-a".to_owned(),
                name: name.to_owned(),
                uid: "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab".to_owned(),
                spec_hash: String::new(),
            };
            test_names(&restore).unwrap()
        };
        let short = names("weekly");
        assert_eq!(short.database.as_str(), "test-weekly__r_0f1e2d3c");
        assert_eq!(short.role, short.database);
        let long = "x".repeat(63);
        for name in ["rds", "postgres", "azure-copy", "a", &long] {
            let made = names(name);
            assert!(made.database.as_str().len() <= LONGEST_DATABASE);
            assert!(made.role.as_str().len() <= LONGEST_USER, "{made:?}");
            assert_eq!(reserved::refusal(&made, "test-admin"), None, "{name}");
            // No tenant can claim them.
            assert!(reserved::is_derived(made.database.as_str()));
            assert!(reserved::is_derived(made.role.as_str()));
        }
    }
}
