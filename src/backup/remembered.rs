//! What this process has seen of each Backup, and remembers between its passes. Nothing here is needed for correctness.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::held_up::HeldUp;
use crate::agent::protocol::progress::Progress;
use crate::api::{Backup, BackupState};
use crate::controller::revisit;

/// What a pass over a Backup is about. What else it writes into its own status is no reason for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    state: Option<BackupState>,
    deleting: bool,
}

impl About {
    /// What a pass over this Backup would be about.
    #[must_use]
    pub fn of(backup: &Backup) -> Self {
        Self {
            state: backup.state(),
            deleting: backup.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Whether the backup runs.
    #[must_use]
    pub fn is_active(self) -> bool {
        self.state.is_some_and(|state| !state.is_terminal())
    }

    /// Whether the backup has ended.
    #[must_use]
    pub fn has_ended(self) -> bool {
        self.state.is_some_and(BackupState::is_terminal)
    }
}

impl revisit::About for About {
    fn is_deleting(&self) -> bool {
        self.deleting
    }
}

/// What is remembered, by the Backup's UID.
#[derive(Default)]
pub struct Remembered {
    backups: Mutex<HashMap<String, Seen>>,
    /// Until when no log of a namespace is asked for, after the API server forbade it.
    logs_forbidden: Mutex<HashMap<String, Instant>>,
}

/// What was seen of a Backup.
#[derive(Clone, Default)]
struct Seen {
    /// What the cache showed last, so that what it shows now is known for news.
    shown: Option<About>,
    /// Something else than a slot is in its way: others do not wait for it.
    obstructed: bool,
    progress: Option<(Progress, Timestamp)>,
    /// When the pod's own figures were last seen.
    log_read: Option<Timestamp>,
    parts_asked: Option<Instant>,
    /// Who holds up its dump.
    held_up: Option<HeldUp>,
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
const FORBIDDEN_REST: Duration = Duration::from_mins(5);

impl Remembered {
    /// Whether a Backup's state, or whether it is being deleted, is not what was shown last.
    pub fn is_news(&self, backup: &Backup) -> bool {
        let Some(uid) = &backup.metadata.uid else {
            return false;
        };
        let shown = About::of(backup);
        let mut backups = self.lock();
        let seen = backups.entry(uid.clone()).or_default();
        seen.shown.replace(shown) != Some(shown)
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

    /// Notes whether something else than a slot keeps a Backup from beginning.
    pub fn obstruct(&self, uid: &str, obstructed: bool) {
        self.lock().entry(uid.to_owned()).or_default().obstructed = obstructed;
    }

    /// Whether something else than a slot keeps a Backup from beginning.
    pub fn is_obstructed(&self, uid: &str) -> bool {
        self.lock().get(uid).is_some_and(|seen| seen.obstructed)
    }

    /// Notes the Job that this process created.
    pub fn made(&self, uid: &str, made: Made) {
        self.lock().entry(uid.to_owned()).or_default().made = Some(made);
    }

    /// The Job that this process created.
    pub fn job(&self, uid: &str) -> Option<Made> {
        self.lock().get(uid).and_then(|seen| seen.made.clone())
    }

    /// The figures that were last seen, and when they last grew.
    pub fn progress(&self, uid: &str) -> Option<(Progress, Timestamp)> {
        self.lock().get(uid).and_then(|seen| seen.progress)
    }

    /// Notes figures; those of the store alone lack some, and take none away.
    pub fn advance(&self, uid: &str, seen: Progress, now: Timestamp) {
        let mut backups = self.lock();
        let of = backups.entry(uid.to_owned()).or_default();
        match of.progress {
            Some((known, _)) if !has_grown(&known, &seen) => {}
            Some((known, _)) => of.progress = Some((grown(&known, &seen), now)),
            None => of.progress = Some((seen, now)),
        }
    }

    /// Notes that the pod's own figures were seen.
    pub fn log_was_read(&self, uid: &str, now: Timestamp) {
        self.lock().entry(uid.to_owned()).or_default().log_read = Some(now);
    }

    /// When the pod's own figures were last seen.
    pub fn log_read(&self, uid: &str) -> Option<Timestamp> {
        self.lock().get(uid).and_then(|seen| seen.log_read)
    }

    /// Notes who holds up its dump, or that nobody does.
    pub fn held_up(&self, uid: &str, by: Option<HeldUp>) {
        if let Some(seen) = self.lock().get_mut(uid) {
            seen.held_up = by;
        }
    }

    /// Who holds up its dump, as it was found last.
    pub fn who_holds_up(&self, uid: &str) -> Option<HeldUp> {
        self.lock().get(uid).and_then(|seen| seen.held_up.clone())
    }

    /// Whether a store may be asked for parts again: it costs a request a thousand parts.
    pub fn may_ask_for_parts(&self, uid: &str, now: Instant, every: Duration) -> bool {
        let mut backups = self.lock();
        let seen = backups.entry(uid.to_owned()).or_default();
        let due = seen
            .parts_asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= every);
        if due {
            seen.parts_asked = Some(now);
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
            .insert(namespace.to_owned(), now + FORBIDDEN_REST)
            .is_none()
    }

    fn forbidden(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.logs_forbidden.lock()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.backups.lock()
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
        let remembered = Remembered::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for (dumped, second, since) in [(1, 1, 1), (1, 2, 1), (2, 3, 3)] {
            remembered.advance("a", progress(dumped, 5), at(second));
            assert_eq!(
                remembered.progress("a"),
                Some((progress(dumped, 5), at(since)))
            );
        }
    }

    #[test]
    fn what_a_store_shows_takes_nothing_away() {
        let remembered = Remembered::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        remembered.advance("a", progress(9, 5), at(1));
        let parts = Progress {
            uploaded: 4,
            parts: 1,
            ..Progress::default()
        };
        remembered.advance("a", parts, at(2));
        let (known, since) = remembered.progress("a").unwrap();
        assert_eq!((known.dumped, known.uploaded, since), (9, 4, at(2)));
    }

    #[test]
    fn a_backup_that_is_gone_is_forgotten() {
        let remembered = Remembered::default();
        remembered.obstruct("gone", true);
        remembered.obstruct("there", true);
        remembered.keep_only(&HashSet::from(["there".to_owned()]), Instant::now());
        assert!(remembered.is_obstructed("there") && !remembered.is_obstructed("gone"));
    }

    #[test]
    fn a_pass_is_about_the_state_and_the_deletion_not_about_its_own_figures() {
        let mut backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b"}, "spec": {"databaseRef": {"name": "d"}}, "status": {"state": "BACKING_UP"},
        }))
        .unwrap();
        let before = About::of(&backup);
        let status = backup.status.get_or_insert_default();
        status.progress.get_or_insert_default().bytes_dumped = 5;
        assert_eq!(About::of(&backup), before);
        backup.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        );
        assert_ne!(About::of(&backup), before);
    }

    #[test]
    fn a_state_is_news_once() {
        let remembered = Remembered::default();
        let mut backup: Backup = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "b", "uid": "u"}, "spec": {"databaseRef": {"name": "d"}},
        }))
        .unwrap();
        assert!(remembered.is_news(&backup) && !remembered.is_news(&backup));
        backup.status = Some(crate::api::BackupStatus {
            state: Some(BackupState::Starting),
            ..crate::api::BackupStatus::default()
        });
        assert!(remembered.is_news(&backup) && !remembered.is_news(&backup));
    }

    #[test]
    fn what_is_forbidden_is_asked_for_again_later() {
        let remembered = Remembered::default();
        let now = Instant::now();
        assert!(remembered.may_read_logs("a", now));
        assert!(remembered.logs_are_forbidden("a", now));
        assert!(
            !remembered.may_read_logs("a", now)
                && remembered.may_read_logs("a", now + FORBIDDEN_REST)
        );
        assert!(!remembered.logs_are_forbidden("a", now));
        assert!(remembered.may_read_logs("b", now), "granted by namespace");
        remembered.keep_only(&HashSet::new(), now);
        assert!(!remembered.may_read_logs("a", now));
    }
}
