//! What this process remembers of each Backup between its passes. Nothing here is needed for correctness.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::agent::protocol::progress::Progress;
use crate::api::{Backup, BackupState};
use crate::controller::finalizer;

/// What is remembered, by the Backup's UID.
#[derive(Default)]
pub struct Memory {
    looks: Mutex<HashMap<String, Look>>,
    /// Until when no log of a namespace is asked for, after the API server forbade it.
    logs_forbidden: Mutex<HashMap<String, Instant>>,
}

/// The last look at a Backup.
#[derive(Clone, Default)]
struct Look {
    state: Option<BackupState>,
    deleting: bool,
    due: Option<Instant>,
    /// How often somebody asked for a look: one that came during a pass counts for the next.
    asked: u64,
    /// What the cache showed last, so that what it shows now is known for news.
    shown: Option<(Option<BackupState>, bool)>,
    /// Something else than a place is in its way: others do not wait for it.
    obstructed: bool,
    progress: Option<(Progress, Timestamp)>,
    /// When the pod's own figures were last seen.
    log_read: Option<Timestamp>,
    parts_asked: Option<Instant>,
    /// The Job that this process created for it and that its status does not know yet.
    made: Option<Made>,
}

/// A Job that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its UID.
    pub uid: String,
    /// Its Secret is there, too: its pod may have read it, so it is not written again.
    pub has_secret: bool,
}

/// How long a log that was forbidden is not asked for.
const FORBIDDEN: Duration = Duration::from_mins(5);

impl Memory {
    /// How long nothing has to be done about a Backup that was not touched since: what its own status says is no reason.
    pub fn rest(&self, backup: &Backup, now: Instant) -> Option<Duration> {
        if finalizer::is_lost(&backup.metadata, backup.is_active()) {
            return None;
        }
        let looks = self.lock();
        let look = looks.get(backup.metadata.uid.as_ref()?)?;
        let same = look.state == backup.state()
            && look.deleting == backup.metadata.deletion_timestamp.is_some();
        let due = look.due.filter(|_| same)?;
        Some(due.saturating_duration_since(now)).filter(|rest| !rest.is_zero())
    }

    /// How often somebody asked for a look at a Backup.
    pub fn asked(&self, uid: &str) -> u64 {
        self.lock().get(uid).map_or(0, |look| look.asked)
    }

    /// Notes when a Backup that was read so is looked at next, unless somebody asked for that since.
    pub fn note(&self, backup: &Backup, due: Instant, asked: u64) {
        let Some(uid) = &backup.metadata.uid else {
            return;
        };
        let mut looks = self.lock();
        let look = looks.entry(uid.clone()).or_default();
        look.state = backup.state();
        look.deleting = backup.metadata.deletion_timestamp.is_some();
        look.due = (look.asked == asked).then_some(due);
    }

    /// Whether a Backup's state, or whether it is being deleted, is not what was shown last.
    pub fn is_news(&self, backup: &Backup) -> bool {
        let Some(uid) = &backup.metadata.uid else {
            return false;
        };
        let shown = (backup.state(), backup.metadata.deletion_timestamp.is_some());
        let mut looks = self.lock();
        let look = looks.entry(uid.clone()).or_default();
        look.shown.replace(shown) != Some(shown)
    }

    /// Has a Backup looked at whenever somebody asks.
    pub fn invalidate(&self, uid: &str) {
        if let Some(look) = self.lock().get_mut(uid) {
            look.due = None;
            look.asked = look.asked.wrapping_add(1);
        }
    }

    /// Forgets a Backup that is gone or has ended.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Forgets the Backups that are not among these, and what was forbidden long ago.
    pub fn keep_only(&self, uids: &HashSet<String>, now: Instant) {
        self.lock().retain(|uid, _| uids.contains(uid));
        self.forbidden().retain(|_, until| now < *until);
    }

    /// Notes whether something else than a place keeps a Backup from beginning.
    pub fn obstruct(&self, uid: &str, obstructed: bool) {
        self.lock().entry(uid.to_owned()).or_default().obstructed = obstructed;
    }

    /// Whether something else than a place keeps a Backup from beginning.
    pub fn is_obstructed(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|look| look.obstructed)
    }

    /// Notes the Job that this process created.
    pub fn made(&self, uid: &str, made: Made) {
        self.lock().entry(uid.to_owned()).or_default().made = Some(made);
    }

    /// The Job that this process created.
    pub fn job(&self, uid: &str) -> Option<Made> {
        self.lock().get(uid).and_then(|look| look.made.clone())
    }

    /// The figures that were last seen, and when they last grew.
    pub fn progress(&self, uid: &str) -> Option<(Progress, Timestamp)> {
        self.lock().get(uid).and_then(|look| look.progress)
    }

    /// Notes figures; those of the store alone lack some, and take none away.
    pub fn advance(&self, uid: &str, seen: Progress, now: Timestamp) {
        let mut looks = self.lock();
        let look = looks.entry(uid.to_owned()).or_default();
        match look.progress {
            Some((known, _)) if !has_grown(&known, &seen) => {}
            Some((known, _)) => look.progress = Some((grown(&known, &seen), now)),
            None => look.progress = Some((seen, now)),
        }
    }

    /// Notes that the pod's own figures were seen.
    pub fn log_was_read(&self, uid: &str, now: Timestamp) {
        self.lock().entry(uid.to_owned()).or_default().log_read = Some(now);
    }

    /// When the pod's own figures were last seen.
    pub fn log_read(&self, uid: &str) -> Option<Timestamp> {
        self.lock().get(uid).and_then(|look| look.log_read)
    }

    /// Whether a store may be asked for parts again: it costs a request a thousand parts.
    pub fn may_ask_for_parts(&self, uid: &str, now: Instant, every: Duration) -> bool {
        let mut looks = self.lock();
        let look = looks.entry(uid.to_owned()).or_default();
        let due = look
            .parts_asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= every);
        if due {
            look.parts_asked = Some(now);
        }
        due
    }

    /// Whether logs of a namespace may be asked for.
    pub fn may_read_logs(&self, namespace: &str, now: Instant) -> bool {
        let forbidden = self.forbidden();
        forbidden.get(namespace).is_none_or(|until| now >= *until)
    }

    /// Notes that logs of a namespace are forbidden; true the first time.
    pub fn logs_are_forbidden(&self, namespace: &str, now: Instant) -> bool {
        let mut forbidden = self.forbidden();
        forbidden
            .insert(namespace.to_owned(), now + FORBIDDEN)
            .is_none()
    }

    fn forbidden(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.logs_forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something moved between two looks.
fn has_grown(known: &Progress, seen: &Progress) -> bool {
    seen.dumped > known.dumped || seen.uploaded > known.uploaded || seen.parts > known.parts
}

/// What is known after a look that showed a move.
fn grown(known: &Progress, seen: &Progress) -> Progress {
    Progress {
        dumped: seen.dumped.max(known.dumped),
        uploaded: seen.uploaded.max(known.uploaded),
        parts: seen.parts.max(known.parts),
        rate: seen.rate,
        percent: seen.percent.or(known.percent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(dumped: u64, rate: u64) -> Progress {
        Progress {
            dumped,
            rate,
            ..Progress::default()
        }
    }

    #[test]
    fn only_growth_is_an_advance() {
        let memory = Memory::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for (dumped, second, since) in [(1, 1, 1), (1, 2, 1), (2, 3, 3)] {
            memory.advance("a", progress(dumped, 5), at(second));
            assert_eq!(memory.progress("a"), Some((progress(dumped, 5), at(since))));
        }
    }

    #[test]
    fn what_a_store_shows_takes_nothing_away() {
        let memory = Memory::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        memory.advance("a", progress(9, 5), at(1));
        let parts = Progress {
            uploaded: 4,
            parts: 1,
            ..Progress::default()
        };
        memory.advance("a", parts, at(2));
        let (known, since) = memory.progress("a").unwrap();
        assert_eq!((known.dumped, known.uploaded, since), (9, 4, at(2)));
    }

    #[test]
    fn a_backup_that_is_gone_is_forgotten() {
        let memory = Memory::default();
        memory.obstruct("gone", true);
        memory.obstruct("there", true);
        memory.keep_only(&HashSet::from(["there".to_owned()]), Instant::now());
        assert!(memory.is_obstructed("there") && !memory.is_obstructed("gone"));
    }

    #[test]
    fn its_own_writes_do_not_wake_a_backup_but_a_change_does() {
        let memory = Memory::default();
        let now = Instant::now();
        let mut backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "uid": "u", "finalizers": [crate::api::FINALIZER]},
            "spec": {"databaseRef": {"name": "d"}}, "status": {"state": "BACKING_UP"},
        }))
        .unwrap();
        assert_eq!(memory.rest(&backup, now), None);
        let due = now + Duration::from_secs(2);
        memory.note(&backup, due, memory.asked("u"));
        assert_eq!(memory.rest(&backup, now), Some(Duration::from_secs(2)));
        assert_eq!(memory.rest(&backup, due), None);
        let finalizers = backup.metadata.finalizers.take();
        assert_eq!(memory.rest(&backup, now), None, "it is put back");
        backup.metadata.finalizers = finalizers;
        memory.invalidate("u");
        assert_eq!(memory.rest(&backup, now), None);
        let before = memory.asked("u");
        memory.invalidate("u");
        memory.note(&backup, due, before);
        assert_eq!(memory.rest(&backup, now), None, "asked for during a pass");
        memory.note(&backup, due, memory.asked("u"));
        backup.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        );
        assert_eq!(memory.rest(&backup, now), None);
    }

    #[test]
    fn a_state_is_news_once() {
        let memory = Memory::default();
        let mut backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "uid": "u"}, "spec": {"databaseRef": {"name": "d"}},
        }))
        .unwrap();
        assert!(memory.is_news(&backup) && !memory.is_news(&backup));
        backup.status = Some(crate::api::BackupStatus {
            state: Some(BackupState::Starting),
            ..crate::api::BackupStatus::default()
        });
        assert!(memory.is_news(&backup) && !memory.is_news(&backup));
    }

    #[test]
    fn what_is_forbidden_is_asked_for_again_later() {
        let memory = Memory::default();
        let now = Instant::now();
        assert!(memory.may_read_logs("a", now));
        assert!(memory.logs_are_forbidden("a", now));
        assert!(!memory.may_read_logs("a", now) && memory.may_read_logs("a", now + FORBIDDEN));
        assert!(!memory.logs_are_forbidden("a", now));
        assert!(memory.may_read_logs("b", now), "granted by namespace");
        memory.keep_only(&HashSet::new(), now);
        assert!(!memory.may_read_logs("a", now));
    }
}
