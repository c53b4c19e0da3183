//! Every state with every observation.

use std::collections::BTreeSet;

use super::*;

const WORK: [Work; 7] = [
    Work::NotRunning,
    Work::Loading,
    Work::Checking,
    Work::Loaded,
    Work::Switched,
    Work::DoneBefore,
    Work::Failed,
];

/// Everything that can be seen.
pub(crate) fn everything() -> Vec<Facts> {
    let mut all = Vec::new();
    for bits in 0..128_u8 {
        let bit = |n: u8| bits & (1 << n) != 0;
        for work in WORK {
            all.push(Facts {
                deleting: bit(0),
                turn: bit(1),
                cancelled: bit(2),
                work,
                cleaned: bit(3),
                undo: bit(4),
                former_due: bit(5),
                test: bit(6),
            });
        }
    }
    all
}

/// No state yet, and all states.
fn states() -> impl Iterator<Item = Option<State>> {
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
    use State::{Checking, Completed, Failed, Loading, Preparing, Switching};
    let expected = BTreeSet::from([
        (None, None),
        (None, Some(Preparing)),
        // Done before, or refused for good before anything was begun.
        (None, Some(Completed)),
        (None, Some(Failed)),
        (Some(Preparing), Some(Loading)),
        (Some(Preparing), Some(Failed)),
        (Some(Loading), Some(Checking)),
        (Some(Loading), Some(Failed)),
        (Some(Checking), Some(Switching)),
        // Of a test.
        (Some(Checking), Some(Completed)),
        (Some(Checking), Some(Failed)),
        (Some(Switching), Some(Completed)),
        (Some(Switching), Some(Failed)),
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
                Some(Act::CleanUp | Act::Release | Act::Undo | Act::DropFormer)
            ));
        }
    }
}

#[test]
fn only_what_is_loaded_and_equal_is_switched_and_only_what_has_the_name_is_complete() {
    for at in states() {
        for facts in &everything() {
            match step(at, facts).and_then(|step| step.to) {
                Some(State::Switching) => {
                    assert_eq!((at, facts.work), (Some(State::Checking), Work::Loaded));
                    assert!(!facts.test, "a test takes the place of nothing");
                }
                Some(State::Completed) => assert!(
                    (at, facts.work) == (Some(State::Switching), Work::Switched)
                        || (at, facts.work) == (None, Work::DoneBefore)
                        || facts.test && (at, facts.work) == (Some(State::Checking), Work::Loaded),
                    "{at:?} {facts:?}"
                ),
                Some(State::Preparing | State::Loading | State::Checking | State::Failed)
                | None => {}
            }
        }
    }
}

#[test]
fn a_database_that_has_been_switched_is_not_called_a_failure() {
    for facts in everything().iter().filter(|s| s.work == Work::Switched) {
        let step = step(Some(State::Switching), facts).unwrap();
        assert_eq!(step.to, Some(State::Completed), "{facts:?}");
    }
}

#[test]
fn a_restore_that_runs_is_cancelled_with_its_database_or_itself() {
    let running = [
        State::Preparing,
        State::Loading,
        State::Checking,
        State::Switching,
    ];
    for at in running {
        for facts in &everything() {
            if matches!(facts.work, Work::Failed | Work::Switched) {
                continue;
            }
            let step = step(Some(at), facts);
            if facts.deleting || facts.cancelled {
                assert_eq!(
                    step.and_then(|step| step.to),
                    Some(State::Failed),
                    "{at:?} {facts:?}"
                );
            } else {
                assert!(step.is_none_or(|step| step.to != Some(State::Failed)));
            }
        }
    }
}

#[test]
fn what_was_done_before_is_not_done_again_whatever_its_turn() {
    for facts in everything().iter().filter(|s| s.work == Work::DoneBefore) {
        let step = step(None, facts).unwrap();
        let expected = (!facts.deleting).then_some(State::Completed);
        assert_eq!(step.to, expected, "{facts:?}");
    }
}

#[test]
fn nothing_is_left_behind_and_a_former_database_comes_back_only_after_that() {
    for at in [State::Completed, State::Failed] {
        for facts in &everything() {
            let next = next(Some(at), facts);
            if !facts.cleaned {
                assert_eq!(next, Next::Act(Act::CleanUp), "{facts:?}");
            } else if facts.deleting {
                assert!(matches!(next, Next::Step(Step { to: None, .. })));
            } else if facts.undo {
                assert_eq!(next, Next::Act(Act::Undo));
            } else if facts.former_due {
                assert_eq!(next, Next::Act(Act::DropFormer));
            } else {
                assert_eq!(next, Next::Act(Act::Release));
            }
        }
    }
}

#[test]
fn a_test_ends_with_its_check_and_is_cancelled_with_its_instance() {
    for facts in everything().iter().filter(|facts| facts.test) {
        for at in [State::Preparing, State::Loading, State::Checking] {
            let because = step(Some(at), facts).map(|step| step.because);
            assert_ne!(because, Some(Cause::DatabaseDeleted), "{at:?} {facts:?}");
            if facts.cancelled && !facts.deleting && facts.work != Work::Failed {
                assert_eq!(because, Some(Cause::InstanceWithdrawn), "{at:?} {facts:?}");
            }
        }
    }
}
