//! Every state with every observation: the edges, and what must never happen on any path.

use std::collections::BTreeSet;

use super::*;

const POLICIES: [DeletionPolicy; 3] = [
    DeletionPolicy::Retain,
    DeletionPolicy::Delete,
    DeletionPolicy::BackupBeforeDelete,
];
const EXISTENCE: [Existence; 3] = [Existence::Present, Existence::Missing, Existence::Unknown];
const BACKUPS: [BackupSeen; 5] = [
    BackupSeen::None,
    BackupSeen::Waiting,
    BackupSeen::Active,
    BackupSeen::Completed,
    BackupSeen::Failed,
];
const EFFECTS: [Option<DeletionEffect>; 3] =
    [None, Some(DeletionEffect::Keep), Some(DeletionEffect::Drop)];

/// Everything that can be seen.
pub(crate) fn everything() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..64_u8 {
        let bit = |n: u8| bits & (1 << n) != 0;
        for policy in POLICIES {
            for database in EXISTENCE {
                for backup in BACKUPS {
                    for final_backup in BACKUPS {
                        for deletion in EFFECTS {
                            all.push(Facts {
                                deleting: bit(0),
                                release: bit(1),
                                policy,
                                database,
                                usable: bit(2),
                                suspended: bit(3),
                                backup,
                                final_backup,
                                deletion,
                                deleted: bit(4),
                                begins_anew: bit(5),
                            });
                        }
                    }
                }
            }
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

/// The states that can be reached from `from` by observations of one kind.
fn reachable(from: Option<State>, possible: impl Fn(&Facts) -> bool) -> BTreeSet<Option<State>> {
    let facts: Vec<Facts> = everything().into_iter().filter(|s| possible(s)).collect();
    let mut reached = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        for step in facts.iter().filter_map(|s| step(at, s)) {
            if step.to.is_some() && reached.insert(step.to) {
                open.push(step.to);
            }
        }
    }
    reached
}

#[test]
fn the_edges_are_those_of_the_design_and_no_others() {
    use State::{
        BackupBeforeDeleteCompleted as FinalCompleted,
        BackupBeforeDeleteInProgress as FinalInProgress,
        BackupBeforeDeleteRequested as FinalRequested, BackupCompleted, BackupInProgress,
        BackupRequested, Created, Creating, Deleted, DeletionInProgress, DeletionRequested,
    };
    let mut expected = BTreeSet::from([
        (None, Some(Creating)),
        (None, None),
        (Some(Creating), Some(Created)),
        (Some(Created), Some(BackupRequested)),
        // Dropped by hand, and asked for again with its backup.
        (Some(Created), Some(Creating)),
        (Some(BackupRequested), Some(BackupInProgress)),
        (Some(BackupInProgress), Some(BackupCompleted)),
        (Some(BackupInProgress), Some(Created)),
        (Some(BackupCompleted), Some(Created)),
        (Some(FinalRequested), Some(FinalInProgress)),
        (Some(FinalInProgress), Some(FinalCompleted)),
        (Some(FinalInProgress), Some(FinalRequested)),
        (Some(DeletionRequested), Some(DeletionInProgress)),
        // A policy that wants a final backup only after the deletion was asked for.
        (Some(DeletionRequested), Some(FinalRequested)),
        (Some(DeletionInProgress), Some(Deleted)),
    ]);
    for alive in [
        Creating,
        Created,
        BackupRequested,
        BackupInProgress,
        BackupCompleted,
    ] {
        expected.insert((Some(alive), Some(DeletionRequested)));
        expected.insert((Some(alive), Some(FinalRequested)));
    }
    for before in [FinalRequested, FinalInProgress, FinalCompleted] {
        expected.insert((Some(before), Some(DeletionRequested)));
    }
    for any in State::ALL {
        // The release annotation; from DELETED also because nothing is left.
        expected.insert((Some(any), None));
    }
    let found: BTreeSet<_> = edges()
        .into_iter()
        .map(|(at, step)| (at, step.to))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn each_edge_has_its_reasons() {
    let because = |at, to| -> BTreeSet<Cause> {
        edges()
            .into_iter()
            .filter(|(from, step)| *from == at && step.to == to)
            .map(|(_, step)| step.because)
            .collect()
    };
    assert_eq!(
        because(
            Some(State::BackupBeforeDeleteRequested),
            Some(State::DeletionRequested)
        ),
        BTreeSet::from([Cause::PolicyChanged, Cause::NothingToBackUp])
    );
    assert_eq!(
        because(
            Some(State::BackupBeforeDeleteInProgress),
            Some(State::DeletionRequested)
        ),
        BTreeSet::from([Cause::PolicyChanged])
    );
    assert_eq!(
        because(Some(State::Deleted), None),
        BTreeSet::from([Cause::NothingLeft, Cause::Released])
    );
    for at in State::ALL.into_iter().filter(|at| *at != State::Deleted) {
        assert_eq!(
            because(Some(at), None),
            BTreeSet::from([Cause::Released]),
            "{at:?}"
        );
    }
}

#[test]
fn nothing_is_deleted_that_is_not_being_deleted() {
    let deletion = [
        State::BackupBeforeDeleteRequested,
        State::BackupBeforeDeleteInProgress,
        State::BackupBeforeDeleteCompleted,
        State::DeletionRequested,
        State::DeletionInProgress,
        State::Deleted,
    ];
    let reached = reachable(None, |s| !s.deleting);
    assert!(
        deletion
            .iter()
            .all(|state| !reached.contains(&Some(*state)))
    );
    for at in states() {
        for facts in everything().iter().filter(|s| !s.deleting) {
            let step = step(at, facts);
            assert!(
                at == Some(State::Deleted) || step.is_none_or(|s| s.to.is_some()),
                "{at:?} {facts:?}"
            );
        }
    }
}

#[test]
fn backup_before_delete_drops_only_after_a_completed_final_backup() {
    // On any path: without one, and with a database that is not known to be missing, the drop is not reached.
    let without = |s: &Facts| {
        s.policy == DeletionPolicy::BackupBeforeDelete
            && s.final_backup != BackupSeen::Completed
            && s.database != Existence::Missing
    };
    for from in states() {
        let reached = reachable(from, without);
        let already = [State::DeletionInProgress, State::Deleted]
            .map(Some)
            .contains(&from);
        assert_eq!(
            reached.contains(&Some(State::DeletionInProgress)),
            from == Some(State::DeletionInProgress)
        );
        assert_eq!(reached.contains(&Some(State::Deleted)), already, "{from:?}");
    }
    // With one it is.
    let with = reachable(None, |s| s.policy == DeletionPolicy::BackupBeforeDelete);
    assert!(with.contains(&Some(State::Deleted)));
}

#[test]
fn a_running_or_failed_final_backup_is_not_taken_for_a_completed_one() {
    for facts in everything().iter().filter(|s| {
        s.policy == DeletionPolicy::BackupBeforeDelete && s.final_backup != BackupSeen::Completed
    }) {
        let step = step(Some(State::BackupBeforeDeleteInProgress), facts);
        assert_ne!(
            step.and_then(|s| s.to),
            Some(State::BackupBeforeDeleteCompleted),
            "{facts:?}"
        );
    }
}

#[test]
fn an_unknown_database_is_not_a_missing_one() {
    for facts in everything().iter().filter(|s| {
        s.policy == DeletionPolicy::BackupBeforeDelete && s.database == Existence::Unknown
    }) {
        let step = step(Some(State::BackupBeforeDeleteRequested), facts);
        assert_ne!(
            step.map(|s| s.because),
            Some(Cause::NothingToBackUp),
            "{facts:?}"
        );
    }
}

#[test]
fn retain_never_drops() {
    assert_eq!(
        deletion_effect(DeletionPolicy::Retain),
        DeletionEffect::Keep
    );
    for at in states() {
        for facts in &everything() {
            let drops = act(at, facts) == Some(Act::Delete(DeletionEffect::Drop));
            let decided = facts.deletion == Some(DeletionEffect::Drop);
            assert_eq!(
                drops,
                at == Some(State::DeletionInProgress) && decided,
                "{at:?} {facts:?}"
            );
        }
    }
}

#[test]
fn without_permission_or_consent_every_deletion_is_a_retain() {
    for asked in POLICIES {
        assert_eq!(effective_policy(asked, true, true), asked);
        for (allowed, may_drop) in [(false, true), (true, false), (false, false)] {
            assert_eq!(
                effective_policy(asked, allowed, may_drop),
                DeletionPolicy::Retain
            );
        }
    }
}

#[test]
fn the_policy_counts_until_the_deletion_begins() {
    let asked = |policy| Facts {
        deleting: true,
        release: false,
        policy,
        database: Existence::Present,
        usable: true,
        suspended: false,
        backup: BackupSeen::None,
        final_backup: BackupSeen::None,
        deletion: None,
        deleted: false,
        begins_anew: false,
    };
    let at = Some(State::DeletionRequested);
    let late = step(at, &asked(DeletionPolicy::BackupBeforeDelete)).unwrap();
    assert_eq!(late.to, Some(State::BackupBeforeDeleteRequested));
    for state in [
        State::BackupBeforeDeleteRequested,
        State::BackupBeforeDeleteInProgress,
        State::BackupBeforeDeleteCompleted,
    ] {
        for policy in [DeletionPolicy::Retain, DeletionPolicy::Delete] {
            let step = step(Some(state), &asked(policy)).unwrap();
            assert_eq!(step.because, Cause::PolicyChanged);
        }
    }
    for policy in POLICIES {
        assert_eq!(step(Some(State::DeletionInProgress), &asked(policy)), None);
    }
}

#[test]
fn a_deletion_can_always_come_to_its_end() {
    // With any policy, if things go well; and nothing leads back into life.
    for policy in POLICIES {
        for from in State::ALL {
            let reached = reachable(Some(from), |s| {
                s.deleting && !s.release && s.policy == policy
            });
            assert!(
                reached.contains(&Some(State::Deleted)),
                "{from:?} {policy:?}"
            );
            for alive in [State::Creating, State::Created] {
                assert!(
                    from == alive || !reached.contains(&Some(alive)),
                    "{from:?} {policy:?}"
                );
            }
        }
    }
    for facts in &everything() {
        assert_eq!(step(Some(State::Deleted), facts).unwrap().to, None);
    }
}

#[test]
fn a_release_lets_go_from_every_state_and_only_while_deleting() {
    for at in State::ALL {
        for facts in everything().iter().filter(|s| s.release && s.deleting) {
            assert_eq!(step(Some(at), facts).unwrap().because, Cause::Released);
        }
        for facts in everything().iter().filter(|s| s.release && !s.deleting) {
            let step = step(Some(at), facts);
            assert_ne!(step.map(|s| s.because), Some(Cause::Released));
        }
    }
}

#[test]
fn a_suspended_database_begins_no_backup_and_is_not_repaired() {
    for facts in everything().iter().filter(|s| s.suspended && !s.deleting) {
        assert_eq!(step(Some(State::Created), facts), None);
        assert_eq!(act(Some(State::Created), facts), None);
        assert_eq!(next(Some(State::Created), facts), Next::Rest);
        assert_eq!(act(Some(State::Creating), facts), Some(Act::Create));
    }
    for facts in everything().iter().filter(|s| s.suspended && s.deleting) {
        assert!(step(Some(State::Created), facts).is_some());
    }
}

#[test]
fn no_two_states_follow_each_other_for_ever() {
    // Whatever is facts, if it stays as it is the steps come to rest (or to the end).
    for facts in &everything() {
        for from in states() {
            let mut at = from;
            let mut steps = 0;
            while let Some(step) = step(at, facts) {
                steps += 1;
                // A backup that waits while none is named begins, ends and begins: each time another one.
                let backups = facts.backup != BackupSeen::None && !facts.deleting;
                let retries = facts.final_backup == BackupSeen::Failed;
                // What begins anew is not usable before that is over, and over when it is.
                if step.to.is_none() || backups || retries || facts.begins_anew {
                    break;
                }
                assert!(steps <= State::ALL.len(), "{from:?} {facts:?}");
                at = step.to;
            }
        }
    }
}
