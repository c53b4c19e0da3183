//! Which backup of one Database is next. Pure.

use crate::api::Backup;

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
}
