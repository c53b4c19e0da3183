//! What this process remembers of each Backup between its passes. Nothing here is needed for correctness.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::api::{Backup, BackupState};
use crate::dump::progress::Progress;

/// What is remembered, by the Backup's UID.
#[derive(Default)]
pub struct Memory {
    looks: Mutex<HashMap<String, Look>>,
    /// Until when no log is asked for, after the API server forbade it.
    logs_forbidden: Mutex<Option<Instant>>,
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
    /// The cause of a wait that is a person's to end: others do not wait for it.
    obstructed: bool,
    progress: Option<(Progress, Timestamp)>,
    parts_asked: Option<Instant>,
}

/// How long a log that was forbidden is not asked for.
const FORBIDDEN: Duration = Duration::from_mins(5);

impl Memory {
    /// How long nothing has to be done about a Backup that was not touched since: what its own status says is no reason.
    pub fn rest(&self, backup: &Backup, now: Instant) -> Option<Duration> {
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
    pub fn suspect(&self, uid: &str) {
        if let Some(look) = self.lock().get_mut(uid) {
            look.due = None;
            look.asked = look.asked.wrapping_add(1);
        }
    }

    /// Forgets a Backup that is gone or has ended.
    pub fn forget(&self, uid: &str) {
        self.lock().remove(uid);
    }

    /// Notes whether a person has to mend something before a Backup can begin.
    pub fn obstruct(&self, uid: &str, obstructed: bool) {
        self.lock().entry(uid.to_owned()).or_default().obstructed = obstructed;
    }

    /// Whether a person has to mend something before a Backup can begin.
    pub fn is_obstructed(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|look| look.obstructed)
    }

    /// The figures that were last seen, and when they last grew.
    pub fn progress(&self, uid: &str) -> Option<(Progress, Timestamp)> {
        self.lock().get(uid).and_then(|look| look.progress)
    }

    /// Notes figures, and tells when they last grew.
    pub fn advance(&self, uid: &str, progress: Progress, now: Timestamp) -> Timestamp {
        let mut looks = self.lock();
        let look = looks.entry(uid.to_owned()).or_default();
        match look.progress {
            Some((known, since)) if !has_grown(&known, &progress) => since,
            Some(_) | None => {
                look.progress = Some((progress, now));
                now
            }
        }
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

    /// Whether logs may be asked for.
    pub fn may_read_logs(&self, now: Instant) -> bool {
        let forbidden = self
            .logs_forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        forbidden.is_none_or(|until| now >= until)
    }

    /// Notes that logs are forbidden; true the first time.
    pub fn logs_are_forbidden(&self, now: Instant) -> bool {
        let mut forbidden = self
            .logs_forbidden
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        forbidden.replace(now + FORBIDDEN).is_none()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Look>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether something moved between two looks.
fn has_grown(known: &Progress, seen: &Progress) -> bool {
    seen.dumped > known.dumped || seen.uploaded > known.uploaded || seen.parts > known.parts
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
        assert_eq!(memory.advance("a", progress(1, 5), at(1)), at(1));
        assert_eq!(memory.advance("a", progress(1, 0), at(2)), at(1));
        assert_eq!(memory.advance("a", progress(2, 0), at(3)), at(3));
        assert_eq!(memory.progress("a"), Some((progress(2, 0), at(3))));
    }

    #[test]
    fn its_own_writes_do_not_wake_a_backup_but_a_change_does() {
        let memory = Memory::default();
        let now = Instant::now();
        let mut backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "uid": "u"}, "spec": {"databaseRef": {"name": "d"}},
            "status": {"state": "BACKING_UP"},
        }))
        .unwrap();
        assert_eq!(memory.rest(&backup, now), None);
        let due = now + Duration::from_secs(2);
        memory.note(&backup, due, memory.asked("u"));
        assert_eq!(memory.rest(&backup, now), Some(Duration::from_secs(2)));
        assert_eq!(memory.rest(&backup, due), None);
        memory.suspect("u");
        assert_eq!(memory.rest(&backup, now), None);
        let before = memory.asked("u");
        memory.suspect("u");
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
        assert!(memory.may_read_logs(now));
        assert!(memory.logs_are_forbidden(now));
        assert!(!memory.may_read_logs(now) && memory.may_read_logs(now + FORBIDDEN));
        assert!(!memory.logs_are_forbidden(now));
    }
}
