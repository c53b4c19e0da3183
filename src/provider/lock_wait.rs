//! Locks that sessions inside a database wait for, and who holds them. Never what a session runs: statements hold data.

use std::fmt;

use super::ProviderError;
use crate::printable::shortened;

/// The most waits that are named.
pub(super) const WAITS: usize = 3;
/// The most holders of one lock that are named.
pub(super) const HOLDERS: usize = 5;
/// Characters of a name that are shown.
const SHOWN: usize = 63;

/// What is said of a lock that somebody else held for too long. The servers' `busy.rs` add who.
pub(super) const LOCKED: &str = "no lock was granted in time";

/// Whether a change waited for such a lock.
pub(super) fn is_locked(error: &ProviderError) -> bool {
    matches!(error.cause(), ProviderError::Busy { detail, .. } if detail == LOCKED)
}

/// Adds more to what is said of such a lock.
pub(super) fn adding(error: ProviderError, more: &str) -> ProviderError {
    match error {
        ProviderError::InDatabase { database, source } => ProviderError::InDatabase {
            database,
            source: Box::new(adding(*source, more)),
        },
        ProviderError::Busy { doing, detail } => ProviderError::Busy {
            doing,
            detail: format!("{detail}; {more}"),
        },
        other => other,
    }
}

/// The same with who may hold it. Where nobody is found, nobody is named.
pub(super) fn naming(error: ProviderError, suspects: &[Holder]) -> ProviderError {
    if suspects.is_empty() {
        return error;
    }
    let held = format!("the lock {}", HeldBy::perhaps(suspects));
    adding(error, &held)
}

/// A session that waits for a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWait {
    /// The number of the session that waits.
    pub session: i64,
    /// What is locked, such as `table "orders"`, as far as the server tells.
    pub object: Option<String>,
    /// Who is in the way, as far as the server tells.
    pub holders: Vec<Holder>,
    /// The server says of these that they are in the way; else it only lets guess.
    pub certain: bool,
}

/// A session, or a prepared transaction, that is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// The session's number; `None` for a prepared transaction, which has none.
    pub session: Option<i64>,
    /// The user, empty where the administrator may not see it.
    pub user: String,
    /// What the session calls itself, or where it comes from.
    pub application: String,
    /// What it does: `idle in transaction`, `Sleep`.
    pub state: String,
    /// For how long it has done that, or has had its transaction open, in seconds.
    pub seconds: Option<i64>,
    /// The statement that ends it, to be run by someone with the right to.
    pub remedy: String,
}

impl LockWait {
    /// Whether the same sessions wait for the same, however long it has been by now.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let holders = |wait: &Self| {
            wait.holders
                .iter()
                .map(|holder| holder.session)
                .collect::<Vec<_>>()
        };
        self.session == other.session
            && self.object == other.object
            && holders(self) == holders(other)
    }
}

impl fmt::Display for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} is waiting for a lock", self.session)?;
        if let Some(object) = &self.object {
            write!(f, " on {object}")?;
        }
        if self.holders.is_empty() {
            return write!(f, "; the server does not say who holds it");
        }
        let which = if self.certain { "" } else { "which " };
        let by = HeldBy {
            holders: &self.holders,
            certain: self.certain,
        };
        write!(f, ", {which}{by}")
    }
}

/// Who holds a lock, or may, and what ends that.
struct HeldBy<'a> {
    holders: &'a [Holder],
    certain: bool,
}

impl<'a> HeldBy<'a> {
    /// Of several, the server does not say which one it is.
    const fn perhaps(holders: &'a [Holder]) -> Self {
        Self {
            holders,
            certain: false,
        }
    }
}

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.certain { "held" } else { "may be held" };
        write!(f, "{how} by ")?;
        for (number, holder) in self.holders.iter().take(HOLDERS).enumerate() {
            let between = if number == 0 { "" } else { ", " };
            write!(f, "{between}{holder}")?;
        }
        let remedies = self.holders.iter().map(|holder| holder.remedy.as_str());
        let remedies: Vec<&str> = remedies
            .filter(|remedy| !remedy.is_empty())
            .take(HOLDERS)
            .collect();
        if remedies.is_empty() {
            return Ok(());
        }
        if self.certain {
            write!(f, "; to end it, run: {}", remedies.join("; "))
        } else {
            write!(
                f,
                "; once you know which one it is, run one of: {}",
                remedies.join("; ")
            )
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.session {
            Some(session) => write!(f, "session {session}")?,
            None => write!(f, "a prepared transaction")?,
        }
        let named = |word: &str, name: &str| {
            (!name.is_empty()).then(|| format!("{word}{:?}", shortened(name, SHOWN)))
        };
        let state = (!self.state.is_empty()).then(|| shortened(&self.state, SHOWN));
        let seconds = self
            .seconds
            .map(|seconds| format!("for {} s", seconds.max(0)));
        let known: Vec<String> = [
            named("user ", &self.user),
            named("application ", &self.application),
            state,
            seconds,
        ]
        .into_iter()
        .flatten()
        .collect();
        if known.is_empty() {
            return Ok(());
        }
        write!(f, " ({})", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait() -> LockWait {
        LockWait {
            session: 12,
            object: Some("table \"orders\"".to_owned()),
            holders: vec![Holder {
                session: Some(7),
                user: "app".to_owned(),
                application: "psql".to_owned(),
                state: "idle in transaction".to_owned(),
                seconds: Some(95),
                remedy: "SELECT pg_terminate_backend(7)".to_owned(),
            }],
            certain: true,
        }
    }

    #[test]
    fn a_wait_is_told_with_what_ends_it() {
        assert_eq!(
            wait().to_string(),
            "session 12 is waiting for a lock on table \"orders\", held by session 7 (user \"app\", application \
             \"psql\", idle in transaction, for 95 s); to end it, run: SELECT pg_terminate_backend(7)"
        );
        let unknown = LockWait {
            holders: Vec::new(),
            object: None,
            ..wait()
        };
        assert_eq!(
            unknown.to_string(),
            "session 12 is waiting for a lock; the server does not say who holds it"
        );
    }

    #[test]
    fn names_are_bounded() {
        let mut long = wait();
        long.certain = false;
        long.holders = vec![
            Holder {
                application: "x\n\u{1b}[31m\"".repeat(500),
                ..Holder::default()
            };
            100
        ];
        let text = long.to_string();
        assert!(text.len() < 1_000 && !text.contains('\n'), "{text}");
        assert!(
            text.contains("may be held by a prepared transaction"),
            "{text}"
        );
    }

    #[test]
    fn time_that_goes_by_is_no_news() {
        let mut later = wait();
        later.holders[0].seconds = Some(155);
        assert!(wait().is_same(&later) && wait() != later);
        later.holders[0].session = Some(8);
        assert!(!wait().is_same(&later));
    }
}
