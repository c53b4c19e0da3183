//! Which backup or restore of one Database is next: one of them runs at a time. Pure.

use crate::api::{Backup, Restore};

/// The restore of one Database that is next: the oldest of those that `ask` for their turn, unless a backup waits longer,
/// and none while a backup or another restore is active, or what one has left is not removed yet.
#[must_use]
pub fn first_restore<'a>(
    restores: impl IntoIterator<Item = &'a Restore>,
    asks: impl Fn(&str) -> bool,
    backups: impl IntoIterator<Item = &'a Backup>,
) -> Option<&'a Restore> {
    let mut first: Option<&Restore> = None;
    for restore in restores {
        if restore.is_unfinished() {
            return None;
        }
        let stands = restore_waits(restore) && restore.metadata.uid.as_deref().is_some_and(&asks);
        if stands && first.is_none_or(|first| age_of_restore(restore) < age_of_restore(first)) {
            first = Some(restore);
        }
    }
    let first = first?;
    let is_behind = backups.into_iter().any(|backup| {
        backup.is_active() || (waits(backup) && age(backup) <= age_of_restore(first))
    });
    (!is_behind).then_some(first)
}

/// Whether a restore has not begun, and may begin.
#[must_use]
pub fn restore_waits(restore: &Restore) -> bool {
    restore.state().is_none() && restore.metadata.deletion_timestamp.is_none()
}

fn age_of_restore(restore: &Restore) -> (Option<jiff::Timestamp>, Option<&str>) {
    let created = restore.metadata.creation_timestamp.as_ref().map(|t| t.0);
    (created, restore.metadata.name.as_deref())
}

/// The backup of one Database that is next: the oldest that waits, and none while one is active.
#[must_use]
pub fn first_in_line<'a>(backups: impl IntoIterator<Item = &'a Backup>) -> Option<&'a Backup> {
    let mut first: Option<&Backup> = None;
    for backup in backups {
        if backup.is_active() {
            return None;
        }
        if waits(backup) && first.is_none_or(|first| is_older(backup, first)) {
            first = Some(backup);
        }
    }
    first
}

/// Whether a backup has not begun, and may begin.
#[must_use]
pub fn waits(backup: &Backup) -> bool {
    backup.state().is_none() && backup.metadata.deletion_timestamp.is_none()
}

/// Whether a backup is first when both wait.
#[must_use]
pub fn is_older(backup: &Backup, other: &Backup) -> bool {
    age(backup) < age(other)
}

/// Older first; of those created in the same second, by name.
fn age(backup: &Backup) -> (Option<jiff::Timestamp>, Option<&str>) {
    let created = backup.metadata.creation_timestamp.as_ref().map(|t| t.0);
    (created, backup.metadata.name.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::references::DatabaseRef;
    use crate::api::{BackupSpec, BackupState as State, BackupStatus};

    fn backup(name: &str, second: i64, state: Option<State>) -> Backup {
        let mut backup = Backup::new(
            name,
            BackupSpec::new(DatabaseRef {
                name: "orders".to_owned(),
                namespace: None,
            }),
        );
        backup.metadata.creation_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
                jiff::Timestamp::from_second(second).unwrap(),
            ));
        backup.status = Some(BackupStatus {
            state,
            ..BackupStatus::default()
        });
        backup
    }

    #[test]
    fn the_oldest_that_waits_is_next_and_none_beside_an_active_one() {
        let first =
            |backups: &[Backup]| first_in_line(backups).and_then(|b| b.metadata.name.clone());
        let mut line = vec![
            backup("younger", 20, None),
            backup("b", 10, None),
            backup("a", 10, None),
            backup("done", 1, Some(State::Completed)),
            backup("lost", 1, Some(State::Failed)),
        ];
        assert_eq!(first(&line).as_deref(), Some("a"));
        line[2].metadata.deletion_timestamp = line[2].metadata.creation_timestamp.clone();
        assert_eq!(first(&line).as_deref(), Some("b"));
        line.push(backup("runs", 30, Some(State::BackingUp)));
        assert_eq!(first(&line), None);
        assert_eq!(first(&[]), None);
    }

    fn restore(name: &str, second: i64, state: &str) -> Restore {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name, "uid": name,
                         "creationTimestamp": jiff::Timestamp::from_second(second).unwrap()},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
            "status": {"state": (!state.is_empty()).then_some(state)},
        }))
        .unwrap()
    }

    #[test]
    fn a_restore_is_next_when_it_asks_and_nothing_older_waits_and_nothing_runs() {
        let next = |restores: &[Restore], backups: &[Backup]| {
            let asks = |uid: &str| uid != "silent";
            let first = first_restore(restores, asks, backups);
            first.and_then(|restore| restore.metadata.name.clone())
        };
        let mut restores = vec![
            restore("silent", 1, ""),
            restore("b", 10, ""),
            restore("a", 10, ""),
            restore("done", 1, "COMPLETED"),
        ];
        assert_eq!(next(&restores, &[]).as_deref(), Some("a"));
        assert_eq!(
            next(&restores, &[backup("younger", 11, None)]).as_deref(),
            Some("a")
        );
        for in_the_way in [
            backup("older", 9, None),
            backup("runs", 90, Some(State::BackingUp)),
        ] {
            assert_eq!(next(&restores, &[in_the_way]), None);
        }
        let mut failed = restore("failed", 1, "FAILED");
        failed.metadata.finalizers = Some(vec![crate::api::FINALIZER.to_owned()]);
        restores.push(failed);
        assert_eq!(next(&restores, &[]), None, "what it left goes first");
        restores[4].metadata.finalizers = None;
        assert_eq!(next(&restores, &[]).as_deref(), Some("a"));
        restores.push(restore("runs", 90, "LOADING"));
        assert_eq!(next(&restores, &[]), None);
    }
}
