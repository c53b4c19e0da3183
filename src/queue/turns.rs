//! Which Restores have all that they need but their Database's word that it is their turn.
//!
//! A Backup that waits stands in its Database's line in any case; a Restore only when it asks, since the backup that it
//! brings back may still be in that line, or a bucket be out of reach. Nothing here survives a restart: whoever waits asks
//! again.

use std::collections::HashSet;

use parking_lot::Mutex;

/// The Restores that ask for their turn, by UID.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashSet<String>>);

impl Turns {
    /// A Restore asks for its turn; returns whether it did not before.
    pub fn ask(&self, uid: &str) -> bool {
        self.0.lock().insert(uid.to_owned())
    }

    /// A Restore has begun, waits for something else, or is gone.
    pub fn withdraw(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    /// Whether a Restore asks for its turn.
    #[must_use]
    pub fn asks(&self, uid: &str) -> bool {
        self.0.lock().contains(uid)
    }

    /// Forgets the Restores that are not among these.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.0.lock().retain(|uid| uids.contains(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_asks_until_it_has_begun_or_is_gone() {
        let turns = Turns::default();
        assert!(turns.ask("a") && !turns.ask("a") && turns.ask("b"));
        turns.withdraw("a");
        assert!(!turns.asks("a") && turns.asks("b"));
        turns.keep_only(&HashSet::new());
        assert!(!turns.asks("b"));
    }
}
