//! Who may hold the lock that a change waited for in vain.
//!
//! The server no longer knows who it was once the wait is over. Named is who has a lock of the kind that such a change
//! waits for, or, where the server does not tell that either, who has been at work in the database for as long.

use std::cmp::Reverse;
use std::collections::HashSet;

use super::claims::{self, Claimed};
use super::connect::ServerProfile;
use super::locks::connection_id;
use super::session::Session;
use super::sessions::{Process, is_lock_wait, kill_statement, processes};
use super::transactions::{Transaction, transactions};
use crate::provider::lock_wait::{HOLDERS, adding, is_locked, naming};
use crate::provider::{Holder, Names, ProviderError, SqlName};

/// Seconds that somebody has been there who may have been in the way: as long as such a lock is waited for. Whoever comes and goes
/// in less has been in nobody's way for long, and naming each of them would change what is said at every look.
pub(super) const LASTING: i64 = 2;

/// A session that holds a lock, by the server's word.
struct Known {
    id: i64,
    /// It took the lock to keep it (`LOCK TABLES`, `FLUSH TABLES WITH READ LOCK`), whatever else it does by now.
    kept: bool,
}

/// What is seen of a server once a wait is over.
struct Scene<'a> {
    names: &'a Names,
    own: i64,
    all: &'a [Process],
    open: &'a [Transaction],
    /// `None` where the server does not say who holds a lock.
    known: Option<&'a [Known]>,
}

/// The names of other tenants. Of their sessions, nothing is told but the number.
pub(super) struct Strangers {
    databases: HashSet<String>,
    users: HashSet<String>,
}

/// Adds to an error about a lock who may hold it, as far as the server tells.
pub(super) async fn naming_holders<T>(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
    result: Result<T, ProviderError>,
) -> Result<T, ProviderError> {
    match result {
        Err(error) if is_locked(&error) => {
            // What cannot be found out leaves the error as it is.
            Err(match look(session, profile, names).await {
                Ok((holders, true)) => naming(error, &holders),
                Ok((holders, false)) if !holders.is_empty() => naming(error, &holders),
                Ok((_, false)) => adding(error, &untold(profile)),
                Err(_) => error,
            })
        }
        other => other,
    }
}

fn untold(profile: &ServerProfile) -> String {
    let instrument = profile.dialect.lock_instrument();
    format!("who holds it, the server does not tell ({instrument})")
}

/// Who may hold a lock, and whether the server says who does.
async fn look(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<(Vec<Holder>, bool), ProviderError> {
    let own = connection_id(session).await?;
    let all = processes(session).await?;
    let open = transactions(session).await.unwrap_or_default();
    let query =
        sqlx::query(profile.dialect.change_holders_sql()).bind(names.database.as_str().to_owned());
    let known = session.list("reading who holds a lock", query, |row| {
        Ok(Known {
            id: row.number("id")?,
            kept: row.flag("kept")?,
        })
    });
    // Instruments that are off have empty tables.
    let known = known.await.ok().filter(|known| !known.is_empty());
    let strangers = Strangers::read(session, &names.database).await?;
    let scene = Scene {
        names,
        own,
        all: &all,
        open: &open,
        known: known.as_deref(),
    };
    let holders = scene
        .suspects()
        .into_iter()
        .map(|process| scene.told(profile, process, &strangers))
        .collect();
    Ok((holders, known.is_some()))
}

impl Scene<'_> {
    /// The oldest, those in this database first; in an order that stays the same as long as they do.
    fn suspects(&self) -> Vec<&Process> {
        let mut suspects: Vec<&Process> = self.all.iter().collect();
        suspects.retain(|process| self.may_hold(process) && self.lasts(process));
        suspects.sort_by_key(|process| {
            (
                process.schema != self.names.database.as_str(),
                Reverse(self.age(process)),
                process.id,
            )
        });
        suspects.truncate(HOLDERS);
        suspects.sort_by_key(|process| process.id);
        suspects
    }

    fn may_hold(&self, process: &Process) -> bool {
        let is_ours = process.id == self.own || process.command == "Daemon";
        // Whoever waits like us is in nobody's way.
        if is_ours || is_lock_wait(&process.state) {
            return false;
        }
        match self.known {
            Some(known) => known.iter().any(|known| known.id == process.id),
            None => {
                process.schema == self.names.database.as_str()
                    || process.schema == "mysql"
                    || self.transaction(process).is_some()
            }
        }
    }

    fn lasts(&self, process: &Process) -> bool {
        let known = self.known.unwrap_or_default();
        let keeps = known
            .iter()
            .any(|known| known.id == process.id && known.kept);
        keeps || self.age(process) >= LASTING
    }

    fn transaction(&self, process: &Process) -> Option<&Transaction> {
        self.open
            .iter()
            .find(|open| open.session == Some(process.id))
    }

    /// How long its transaction has been open, or else how long it has done what it does.
    fn age(&self, process: &Process) -> i64 {
        self.transaction(process)
            .map_or(process.seconds, |open| open.seconds)
    }

    /// Nothing is said that differs at the next look although nothing has changed: not what it does, nor for how long.
    fn told(&self, profile: &ServerProfile, process: &Process, strangers: &Strangers) -> Holder {
        let since = self.transaction(process);
        let state = since.map(|open| format!("in a transaction since {}", open.began()));
        let whose = strangers.hidden(process.clone());
        Holder {
            session: Some(process.id),
            user: whose.user,
            application: whose.host,
            state: state.unwrap_or_default(),
            seconds: None,
            remedy: kill_statement(profile, process.id),
        }
    }
}

impl Strangers {
    /// Whoever has a claim on another database than this one, and none on this.
    fn of(claims: &[Claimed], database: &SqlName) -> Self {
        let names = claims.iter().map(|claimed| &claimed.claim.names);
        let (own, others): (Vec<&Names>, Vec<&Names>) =
            names.partition(|names| names.database == *database);
        let is_own = |user: &SqlName| own.iter().any(|names| names.role == *user);
        Self {
            databases: others
                .iter()
                .map(|names| names.database.to_string())
                .collect(),
            users: others
                .iter()
                .filter(|names| !is_own(&names.role))
                .map(|names| names.role.to_string())
                .collect(),
        }
    }

    /// Reads them. Whoever does not know who is a stranger names nobody, so an error is one.
    pub(super) async fn read(
        session: &mut Session,
        database: &SqlName,
    ) -> Result<Self, ProviderError> {
        let claims = claims::claims(session, None).await?;
        Ok(Self::of(&claims, database))
    }

    /// The session, without whose it is if it is, or may be, one of theirs.
    pub(super) fn hidden(&self, process: Process) -> Process {
        if self.users.contains(&process.user) || self.databases.contains(&process.schema) {
            process.anonymous()
        } else {
            process
        }
    }
}

#[cfg(test)]
#[path = "busy_tests.rs"]
mod tests;
