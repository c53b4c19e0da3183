//! Every state with every observation, and both machines together: one active backup of one Database.

use std::collections::BTreeSet;

use super::*;
use crate::api::DeletionPolicy;
use crate::database::state as database;

const WORK: [Work; 6] = [
    Work::NotRunning,
    Work::Running,
    Work::Reported,
    Work::Committed,
    Work::Passing,
    Work::Failed,
];

/// Everything that can be seen.
pub(crate) fn everything() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..16_u8 {
        let bit = |n: u8| bits & (1 << n) != 0;
        for work in WORK {
            all.push(Facts {
                deleting: bit(0),
                turn: bit(1),
                cancelled: bit(2),
                work,
                cleaned: bit(3),
            });
        }
    }
    all
}

/// No state yet, and all states.
pub(crate) fn states() -> impl Iterator<Item = Option<State>> {
    std::iter::once(None).chain(State::ALL.map(Some))
}

/// All edges that some observation leads along.
pub(crate) fn edges() -> BTreeSet<(Option<State>, Step)> {
    let facts = everything();
    states()
        .flat_map(|at| facts.iter().filter_map(move |s| Some((at, step(at, s)?))))
        .collect()
}

#[test]
fn the_edges_are_those_of_the_design_and_no_others() {
    use State::{BackingUp, Completed, Failed, Starting};
    let expected = BTreeSet::from([
        (None, Some(Starting)),
        (None, None),
        (Some(Starting), Some(BackingUp)),
        (Some(Starting), Some(Failed)),
        (Some(BackingUp), Some(Completed)),
        (Some(BackingUp), Some(Failed)),
        (Some(BackingUp), Some(Starting)),
        (Some(Completed), None),
        (Some(Failed), None),
    ]);
    let found: BTreeSet<_> = edges()
        .into_iter()
        .map(|(at, step)| (at, step.to))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn an_end_is_an_end() {
    for at in State::ALL.into_iter().filter(|s| s.is_terminal()) {
        for facts in &everything() {
            assert!(step(Some(at), facts).is_none_or(|step| step.to.is_none()));
            assert!(matches!(
                act(Some(at), facts),
                Some(Act::CleanUp | Act::Release)
            ));
        }
    }
}

#[test]
fn completed_means_committed_and_nothing_else_does() {
    for at in states() {
        for facts in &everything() {
            if step(at, facts).and_then(|s| s.to) == Some(State::Completed) {
                assert_eq!(facts.work, Work::Committed);
            }
        }
    }
    for facts in everything().iter().filter(|s| s.work == Work::Committed) {
        let step = step(Some(State::BackingUp), facts).unwrap();
        assert_eq!(
            step.to,
            Some(State::Completed),
            "what is in the store is there: {facts:?}"
        );
    }
}

#[test]
fn what_was_reported_is_committed_before_anything_else_follows() {
    let at = Some(State::BackingUp);
    for facts in everything().iter().filter(|s| s.work == Work::Reported) {
        assert_eq!(step(at, facts), None, "{facts:?}");
        assert_eq!(next(at, facts), Next::Act(Act::Commit), "{facts:?}");
    }
}

#[test]
fn a_backup_that_runs_is_cancelled_with_its_database_or_itself() {
    for at in [State::Starting, State::BackingUp] {
        for facts in everything().iter().filter(|s| s.work == Work::Running) {
            let step = step(Some(at), facts);
            let expected = if facts.deleting {
                Some(Cause::Cancelled)
            } else if facts.cancelled {
                Some(Cause::DatabaseDeleted)
            } else {
                None
            };
            let failed = step.filter(|s| s.to == Some(State::Failed));
            assert_eq!(failed.map(|s| s.because), expected, "{at:?} {facts:?}");
        }
    }
}

#[test]
fn only_what_passes_is_tried_again_unless_nobody_wants_it_any_more() {
    let at = Some(State::BackingUp);
    for facts in &everything() {
        let again = step(at, facts).is_some_and(|step| step.because == Cause::TriedAgain);
        let wanted = !facts.deleting && !facts.cancelled;
        assert_eq!(again, facts.work == Work::Passing && wanted, "{facts:?}");
    }
}

#[test]
fn it_begins_only_in_its_turn() {
    for facts in &everything() {
        let begins = step(None, facts).and_then(|s| s.to) == Some(State::Starting);
        assert_eq!(begins, facts.turn && !facts.cancelled && !facts.deleting);
    }
}

#[test]
fn the_finalizer_goes_only_when_nothing_is_left() {
    for at in states() {
        for facts in everything().iter().filter(|s| !s.cleaned) {
            assert_ne!(act(at, facts), Some(Act::Release));
            if at.is_some() {
                assert!(
                    step(at, facts).is_none_or(|s| s.to.is_some()),
                    "{at:?} {facts:?}"
                );
            }
        }
    }
}

/// A Database with two backups of its own and a final one, as their statuses say it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct World {
    database: Option<database::State>,
    /// Which of `backups` the Database's status names.
    named: Option<usize>,
    /// The third one is the final backup, made when the Database asks for it.
    backups: [Option<State>; 3],
    final_exists: bool,
    deleting: bool,
}

const FINAL: usize = 2;

impl World {
    fn facts(self, which: usize) -> database::BackupSeen {
        match self.backups[which] {
            None if which == FINAL && !self.final_exists => database::BackupSeen::None,
            None => database::BackupSeen::Waiting,
            Some(State::Starting | State::BackingUp) => database::BackupSeen::Active,
            Some(State::Completed) => database::BackupSeen::Completed,
            Some(State::Failed) => database::BackupSeen::Failed,
        }
    }

    fn active(self) -> usize {
        self.backups
            .iter()
            .filter(|s| s.is_some_and(|s| !s.is_terminal()))
            .count()
    }

    /// Every world that one step of one object leads to.
    fn steps(self) -> Vec<Self> {
        let mut worlds = Vec::new();
        if self.database.is_some() && !self.deleting {
            worlds.push(Self {
                deleting: true,
                ..self
            });
        }
        worlds.extend(self.database_step());
        for which in 0..self.backups.len() {
            if which != FINAL || self.final_exists {
                worlds.extend(self.backup_steps(which));
            }
        }
        worlds
    }

    fn database_step(self) -> Option<Self> {
        let waiting = (0..FINAL).find(|i| self.backups[*i].is_none());
        let line = if self.active() == 0 { waiting } else { None };
        let busy = self.database != Some(database::State::Created);
        let named = if busy { self.named } else { line };
        let facts = database::Facts {
            deleting: self.deleting,
            release: false,
            policy: DeletionPolicy::BackupBeforeDelete,
            database: database::Existence::Present,
            usable: true,
            suspended: false,
            backup: named.map_or(database::BackupSeen::None, |i| self.facts(i)),
            final_backup: self.facts(FINAL),
            deletion: None,
            deleted: true,
            begins_anew: false,
        };
        let requests =
            database::act(self.database, &facts) == Some(database::Act::RequestFinalBackup);
        match database::step(self.database, &facts) {
            Some(step) => step.to.map(|to| {
                // After a final backup that failed, another one is named, which is not there yet.
                let again = to == database::State::BackupBeforeDeleteRequested
                    && step.because == database::Cause::BackupFailed;
                let mut world = Self {
                    database: Some(to),
                    named: match to {
                        database::State::BackupRequested
                        | database::State::BackupInProgress
                        | database::State::BackupCompleted => named,
                        _ => None,
                    },
                    ..self
                };
                if again {
                    world.final_exists = false;
                    world.backups[FINAL] = None;
                }
                world
            }),
            None => (requests && !self.final_exists).then_some(Self {
                final_exists: true,
                ..self
            }),
        }
    }

    fn backup_steps(self, which: usize) -> Vec<Self> {
        let named = if which == FINAL {
            matches!(
                self.database,
                Some(
                    database::State::BackupBeforeDeleteRequested
                        | database::State::BackupBeforeDeleteInProgress
                )
            )
        } else {
            self.named == Some(which)
        };
        WORK.into_iter()
            .filter_map(|work| {
                let facts = Facts {
                    deleting: false,
                    turn: named && self.active() == 0,
                    cancelled: self.deleting && which != FINAL,
                    work,
                    cleaned: true,
                };
                let mut world = self;
                world.backups[which] = step(self.backups[which], &facts)?.to;
                Some(world)
            })
            .collect()
    }
}

#[test]
fn one_backup_of_a_database_is_active_at_a_time_whatever_happens() {
    let mut known = BTreeSet::from([World::default()]);
    let mut open = vec![World::default()];
    while let Some(world) = open.pop() {
        assert!(world.active() <= 1, "{world:?}");
        open.extend(world.steps().into_iter().filter(|w| known.insert(*w)));
    }
    // The search saw what it is about: both backups done, and a deletion after a final one.
    assert!(
        known
            .iter()
            .any(|w| w.backups[..FINAL] == [Some(State::Completed); FINAL])
    );
    assert!(
        known
            .iter()
            .any(|w| w.backups[FINAL] == Some(State::BackingUp))
    );
    assert!(
        known
            .iter()
            .any(|w| w.database == Some(database::State::Deleted))
    );
    let drops_without = |w: &&World| {
        w.database == Some(database::State::DeletionInProgress)
            && w.backups[FINAL] != Some(State::Completed)
    };
    assert_eq!(known.iter().find(drops_without), None);
}
