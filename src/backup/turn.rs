//! Whose turn it is: among the backups of one Database, and among all within the operator's limits.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{Backup, Database};

/// How many backups may run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Over all instances.
    pub overall: usize,
    /// On one instance.
    pub per_instance: usize,
}

/// A backup that has a place, or wants one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The Backup's UID.
    pub uid: String,
    /// The instance that its Database is on.
    pub instance: String,
    /// The older one is first.
    pub created: Option<Timestamp>,
    /// Of those created in the same second, the first by name.
    pub name: String,
    /// It runs; otherwise its Database has named it, and it waits.
    pub active: bool,
}

/// Whether a Database's status says that it is this backup's turn.
#[must_use]
pub fn is_named(database: &Database, backup: &Backup, is_final: bool) -> bool {
    let Some(status) = &database.status else {
        return false;
    };
    if is_final {
        // The name holds the Database's UID and the attempt: no other one has it.
        status
            .final_backup
            .as_ref()
            .is_some_and(|named| named.name == backup.name_any() && !named.completed)
            && database.metadata.deletion_timestamp.is_some()
    } else {
        status.backup.as_ref().is_some_and(|named| {
            named.name == backup.name_any() && Some(&named.uid) == backup.metadata.uid.as_ref()
        })
    }
}

/// Whether there is a place for the candidate of this UID when all that wait are served by age.
#[must_use]
pub fn has_place(uid: &str, candidates: &[Candidate], limits: Limits) -> bool {
    let mut running: HashMap<&str, usize> = HashMap::new();
    let mut overall = 0;
    for candidate in candidates.iter().filter(|candidate| candidate.active) {
        overall += 1;
        *running.entry(&candidate.instance).or_default() += 1;
    }
    let mut waiting: Vec<_> = candidates.iter().filter(|c| !c.active).collect();
    waiting.sort_by(|a, b| (a.created, &a.name, &a.uid).cmp(&(b.created, &b.name, &b.uid)));
    for candidate in waiting {
        let here = running.entry(&candidate.instance).or_default();
        // A younger one on another instance does not wait for one whose own instance is busy.
        if overall < limits.overall && *here < limits.per_instance {
            if candidate.uid == uid {
                return true;
            }
            overall += 1;
            *here += 1;
        }
    }
    false
}

/// The places that this process gave away: what was just begun is not in any cache yet.
#[derive(Default)]
pub struct Places {
    /// Who has a place, by the Backup's UID.
    held: Mutex<HashMap<String, Held>>,
}

struct Held {
    instance: String,
    since: Instant,
}

/// How far a cache may be behind: what it does not show after this time is gone.
const BEHIND: Duration = Duration::from_mins(1);

impl Places {
    /// Takes a place, if there is one. `known` is what the cache shows.
    pub fn take(&self, wants: &Candidate, mut known: Vec<Candidate>, limits: Limits) -> bool {
        let mut held = self.lock();
        held.retain(|uid, held| {
            held.since.elapsed() < BEHIND || known.iter().any(|candidate| candidate.uid == *uid)
        });
        for candidate in &mut known {
            candidate.active |= held.contains_key(&candidate.uid);
        }
        for (uid, held) in held.iter() {
            if !known.iter().any(|candidate| candidate.uid == *uid) {
                known.push(Candidate {
                    uid: uid.clone(),
                    instance: held.instance.clone(),
                    created: None,
                    name: String::new(),
                    active: true,
                });
            }
        }
        if !known.iter().any(|candidate| candidate.uid == wants.uid) {
            known.push(wants.clone());
        }
        let taken = held.contains_key(&wants.uid) || has_place(&wants.uid, &known, limits);
        if taken {
            let place = Held {
                instance: wants.instance.clone(),
                since: Instant::now(),
            };
            held.entry(wants.uid.clone()).or_insert(place);
        }
        taken
    }

    /// Gives a place back; tells whether there was one.
    pub fn give_back(&self, uid: &str) -> bool {
        self.lock().remove(uid).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::database::{ActiveBackup, FinalBackup};
    use crate::api::references::DatabaseRef;
    use crate::api::{BackupSpec, DatabaseStatus};

    const LIMITS: Limits = Limits {
        overall: 3,
        per_instance: 2,
    };

    fn candidate(uid: &str, instance: &str, second: i64, active: bool) -> Candidate {
        Candidate {
            uid: uid.to_owned(),
            instance: instance.to_owned(),
            created: Some(Timestamp::from_second(second).unwrap()),
            name: uid.to_owned(),
            active,
        }
    }

    fn served(candidates: &[Candidate]) -> Vec<&str> {
        candidates
            .iter()
            .filter(|c| !c.active && has_place(&c.uid, candidates, LIMITS))
            .map(|c| c.uid.as_str())
            .collect()
    }

    #[test]
    fn places_go_by_age_within_both_limits() {
        let mut all = vec![
            candidate("d", "one", 4, false),
            candidate("a", "one", 1, false),
            candidate("c", "two", 3, false),
            candidate("b", "one", 2, false),
        ];
        assert_eq!(served(&all), ["a", "c", "b"]);
        all.push(candidate("r", "one", 9, true));
        assert_eq!(served(&all), ["a", "c"]);
        all.push(candidate("s", "one", 9, true));
        // The first two wait for their instance, and hold up nobody elsewhere.
        assert_eq!(served(&all), ["c"]);
        all.push(candidate("t", "three", 9, true));
        assert_eq!(served(&all), [""; 0]);
    }

    #[test]
    fn two_passes_cannot_take_the_last_place() {
        let places = Places::default();
        let limits = Limits {
            overall: 1,
            per_instance: 1,
        };
        let (a, b) = (
            candidate("a", "one", 1, false),
            candidate("b", "two", 2, false),
        );
        let known = || vec![a.clone(), b.clone()];
        assert!(!places.take(&b, known(), limits));
        assert!(places.take(&a, known(), limits));
        assert!(places.take(&a, known(), limits), "it has one");
        assert!(
            !places.take(&b, vec![b.clone()], limits),
            "a is not shown yet"
        );
        assert!(places.give_back("a"));
        assert!(!places.give_back("a"));
        assert!(places.take(&b, vec![b.clone()], limits));
    }

    #[test]
    fn a_turn_is_a_name_and_a_uid_or_the_name_of_a_final_backup() {
        let mut backup = Backup::new(
            "b",
            BackupSpec::new(DatabaseRef {
                name: "orders".to_owned(),
                namespace: None,
            }),
        );
        backup.metadata.uid = Some("u".to_owned());
        let mut database: Database = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}},
        }))
        .unwrap();
        assert!(!is_named(&database, &backup, false));
        let named = |uid: &str| DatabaseStatus {
            backup: Some(ActiveBackup {
                name: "b".to_owned(),
                uid: uid.to_owned(),
            }),
            ..DatabaseStatus::default()
        };
        database.status = Some(named("v"));
        assert!(!is_named(&database, &backup, false));
        database.status = Some(named("u"));
        assert!(is_named(&database, &backup, false));
        assert!(!is_named(&database, &backup, true));

        database.status = Some(DatabaseStatus {
            final_backup: Some(FinalBackup {
                name: "b".to_owned(),
                attempt: 1,
                completed: false,
                retry_at: None,
            }),
            ..DatabaseStatus::default()
        });
        assert!(
            !is_named(&database, &backup, true),
            "it is not being deleted"
        );
        database.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::UNIX_EPOCH),
        );
        assert!(is_named(&database, &backup, true));
        assert!(!is_named(&database, &backup, false));
    }
}
