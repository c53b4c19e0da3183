//! What this process has seen of each Restore, and remembers between its passes. Nothing here is needed for correctness.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::{Mutex, MutexGuard};

use super::pass::undo_requested;
use crate::agent::protocol::restore::Phase;
use crate::agent::protocol::restore_progress::RestoreProgress;
use crate::api::{Restore, RestoreState};
use crate::controller::revisit;

/// What a pass over a Restore is about. What else it writes into its own status is no reason for another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    state: Option<RestoreState>,
    deleting: bool,
    undo: Option<String>,
}

impl About {
    /// What a pass over this Restore would be about.
    #[must_use]
    pub fn of(restore: &Restore) -> Self {
        Self {
            state: restore.state(),
            deleting: restore.metadata.deletion_timestamp.is_some(),
            undo: undo_requested(restore).cloned(),
        }
    }

    /// Whether the restore has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.is_some_and(RestoreState::is_terminal)
    }
}

impl revisit::About for About {
    fn is_deleting(&self) -> bool {
        self.deleting
    }

    fn is_asked_for(&self, next: &Self) -> bool {
        self.deleting == next.deleting && self.undo != next.undo
    }
}

/// What is remembered, by the Restore's UID.
#[derive(Default)]
pub struct Remembered {
    restores: Mutex<HashMap<String, Seen>>,
    /// Until when no log of a namespace is asked for, after the API server forbade it.
    logs_forbidden: Mutex<HashMap<String, Instant>>,
}

/// What was seen of a Restore.
#[derive(Clone, Default)]
struct Seen {
    /// What the cache showed last, and whether something was left to be removed, so that what it shows now is known for news.
    shown: Option<(About, bool)>,
    /// Neither the server nor the bucket remembers it.
    is_new: bool,
    /// Its backup was found, and fits the server.
    has_source: bool,
    progress: Option<(RestoreProgress, Timestamp)>,
    /// When the pod's own figures were last seen.
    log_read: Option<Timestamp>,
    /// When the signed request of its Job expires.
    signed_until: Option<Timestamp>,
    /// This process has seen to it that the target is open while the next switch is waited for.
    is_open: bool,
    /// Of Events that are told once: about what each was told last.
    told: HashMap<&'static str, String>,
}

/// How long a log that was forbidden is not asked for.
const FORBIDDEN_REST: Duration = Duration::from_mins(5);

impl Remembered {
    /// Whether what a Restore is about, or whether something is left of it, is not what was shown last.
    pub fn is_news(&self, restore: &Restore) -> bool {
        let Some(uid) = restore.uid() else {
            return false;
        };
        let shown = (About::of(restore), restore.is_unclean());
        let mut restores = self.lock();
        let seen = restores.entry(uid).or_default();
        seen.shown.replace(shown.clone()) != Some(shown)
    }

    /// Forgets a Restore that is gone or has ended.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the Restores that are not among these, and what was forbidden long ago.
    pub fn keep_only(&self, uids: &HashSet<String>, now: Instant) {
        self.lock().retain(|uid, _| uids.contains(uid));
        self.logs_forbidden.lock().retain(|_, until| now < *until);
    }

    /// Notes that neither the server nor the bucket remembers a Restore.
    pub fn is_new(&self, uid: &str) {
        self.lock().entry(uid.to_owned()).or_default().is_new = true;
    }

    /// Whether it is known that neither the server nor the bucket remembers a Restore.
    pub fn is_known_new(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|seen| seen.is_new)
    }

    /// Notes that the backup of a Restore was found, and fits the server.
    pub fn found_source(&self, uid: &str) {
        self.lock().entry(uid.to_owned()).or_default().has_source = true;
    }

    /// Whether the backup of a Restore was found before.
    pub fn has_source(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|seen| seen.has_source)
    }

    /// Whether an Event of this reason was not told yet about this. It counts as told from now on.
    pub fn tell_once(&self, uid: &str, reason: &'static str, about: &str) -> bool {
        let mut restores = self.lock();
        let told = &mut restores.entry(uid.to_owned()).or_default().told;
        told.insert(reason, about.to_owned()).as_deref() != Some(about)
    }

    /// The figures that were last seen, and when they last grew.
    pub fn progress(&self, uid: &str) -> Option<(RestoreProgress, Timestamp)> {
        self.lock().get(uid).and_then(|seen| seen.progress)
    }

    /// Notes figures that were seen in the pod's log.
    pub fn advance(&self, uid: &str, seen: RestoreProgress, now: Timestamp) {
        let mut restores = self.lock();
        let of = restores.entry(uid.to_owned()).or_default();
        of.log_read = Some(now);
        match of.progress {
            Some((known, _)) if figure(&known) >= figure(&seen) => {}
            Some(_) | None => of.progress = Some((seen, now)),
        }
    }

    /// Notes that the pod's own figures were looked for.
    pub fn log_was_read(&self, uid: &str, now: Timestamp) {
        self.lock().entry(uid.to_owned()).or_default().log_read = Some(now);
    }

    /// When the pod's own figures were last seen.
    pub fn log_read(&self, uid: &str) -> Option<Timestamp> {
        self.lock().get(uid).and_then(|seen| seen.log_read)
    }

    /// Notes when the signed request of a Job expires.
    pub fn signed(&self, uid: &str, until: Timestamp) {
        self.lock().entry(uid.to_owned()).or_default().signed_until = Some(until);
    }

    /// When the signed request of a Job expires, as far as this process knows.
    pub fn signed_until(&self, uid: &str) -> Option<Timestamp> {
        self.lock().get(uid).and_then(|seen| seen.signed_until)
    }

    /// Notes whether the target is known to be open while the next switch is waited for.
    pub fn open(&self, uid: &str, is_open: bool) {
        self.lock().entry(uid.to_owned()).or_default().is_open = is_open;
    }

    /// Whether the target is known to be open.
    pub fn is_open(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|seen| seen.is_open)
    }

    /// Whether logs of a namespace may be asked for.
    pub fn may_read_logs(&self, namespace: &str, now: Instant) -> bool {
        let forbidden = self.logs_forbidden.lock();
        forbidden.get(namespace).is_none_or(|until| now >= *until)
    }

    /// Notes that logs of a namespace are forbidden; true the first time.
    pub fn logs_are_forbidden(&self, namespace: &str, now: Instant) -> bool {
        let mut forbidden = self.logs_forbidden.lock();
        let until = now + FORBIDDEN_REST;
        forbidden.insert(namespace.to_owned(), until).is_none()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.restores.lock()
    }
}

/// What moves: another phase counts as much as more bytes, and so does a server that is seen at work.
fn figure(progress: &RestoreProgress) -> (Phase, u64, u64) {
    match *progress {
        RestoreProgress::Load { fetched, .. } => (Phase::Load, fetched, 0),
        RestoreProgress::Index(steps) => (Phase::Index, u64::from(steps.done), steps.seconds),
        RestoreProgress::Check(steps) => (Phase::Check, u64::from(steps.done), steps.seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn restore(state: &serde_json::Value) -> Restore {
        serde_json::from_value(json!({
            "metadata": {"name": "r", "uid": "u"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "d"}},
            "status": {"state": state},
        }))
        .unwrap()
    }

    #[test]
    fn a_state_is_news_once_and_figures_are_none() {
        let remembered = Remembered::default();
        let mut one = restore(&serde_json::Value::Null);
        assert!(remembered.is_news(&one) && !remembered.is_news(&one));
        one = restore(&json!("LOADING"));
        assert!(remembered.is_news(&one));
        let status = one.status.get_or_insert_default();
        status.progress.get_or_insert_default().bytes_fetched = 5;
        assert!(!remembered.is_news(&one));
        // Its Database waits for that.
        one = restore(&json!("FAILED"));
        one.metadata.finalizers = Some(vec![crate::api::FINALIZER.to_owned()]);
        assert!(remembered.is_news(&one) && !remembered.is_news(&one));
        one.metadata.finalizers = None;
        assert!(remembered.is_news(&one));
    }

    #[test]
    fn an_event_is_told_once_about_the_same() {
        let remembered = Remembered::default();
        assert!(remembered.tell_once("u", "UndoBlocked", "1"));
        assert!(!remembered.tell_once("u", "UndoBlocked", "1"));
        assert!(remembered.tell_once("u", "UndoBlocked", "2"));
        assert!(remembered.tell_once("u", "CleanUpBlocked", ""));
        assert!(remembered.tell_once("v", "UndoBlocked", "2"));
    }

    #[test]
    fn what_is_known_of_a_restore_goes_with_it() {
        let remembered = Remembered::default();
        assert!(!remembered.is_known_new("u"));
        remembered.is_new("u");
        remembered.found_source("u");
        remembered.open("u", true);
        assert!(
            remembered.is_known_new("u") && remembered.has_source("u") && remembered.is_open("u")
        );
        remembered.keep_only(&HashSet::new(), Instant::now());
        assert!(
            !remembered.is_known_new("u")
                && !remembered.has_source("u")
                && !remembered.is_open("u")
        );
    }

    #[test]
    fn another_phase_is_a_move_and_the_same_figures_are_none() {
        let remembered = Remembered::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        let load = |fetched| RestoreProgress::Load {
            fetched,
            of: 9,
            rate: 1,
        };
        let steps = |seconds| {
            let (done, of) = (1, 3);
            RestoreProgress::Index(crate::agent::protocol::restore_progress::Steps {
                done,
                of,
                seconds,
            })
        };
        for (seen, second, since) in [
            (load(5), 1, 1),
            (load(5), 2, 1),
            (load(6), 3, 3),
            (steps(0), 4, 4),
            (steps(0), 5, 4),
            (steps(2), 6, 6),
            // An older line says nothing new.
            (load(9), 7, 6),
        ] {
            remembered.advance("u", seen, at(second));
            let (_, moved) = remembered.progress("u").unwrap();
            assert_eq!(moved, at(since), "{seen:?}");
            assert_eq!(remembered.log_read("u"), Some(at(second)));
        }
    }

    #[test]
    fn what_is_forbidden_is_asked_for_again_later() {
        let (remembered, now) = (Remembered::default(), Instant::now());
        assert!(remembered.may_read_logs("a", now));
        assert!(remembered.logs_are_forbidden("a", now));
        assert!(!remembered.may_read_logs("a", now) && !remembered.logs_are_forbidden("a", now));
        assert!(remembered.may_read_logs("a", now + FORBIDDEN_REST));
    }
}
