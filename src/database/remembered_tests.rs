//! What is remembered of a Database's server, and what a pass is about.

use std::time::Duration;

use super::*;
use crate::api::DatabaseReason;
use crate::controller::revisit::About as _;

const REST: Duration = Duration::from_secs(10);

fn due(now: Instant) -> Due {
    Due {
        next_deep: now + REST * 3,
        first_deep: now + REST * 2,
        next_proof: now + REST,
        first_proof: now + REST / 2,
        oldest: now.checked_sub(REST).unwrap(),
    }
}

#[test]
fn an_older_view_stays_good_until_something_is_done() {
    let remembered = Remembered::default();
    let now = Instant::now();
    let (due, oldest) = (due(now), now.checked_sub(REST).unwrap());
    let settled = |anew, at| {
        let looked = Looked {
            anew,
            ..Looked::default()
        };
        remembered.note("a", looked, &due, at);
        remembered.settled("a").unwrap()
    };
    // What a process that just began was announced by its first survey, the same survey tells again.
    assert_eq!(settled(false, now), oldest);
    assert_eq!(settled(false, now + REST), oldest);
    assert_eq!(settled(true, now + REST), now + REST);
    assert_eq!(settled(false, now + REST * 2), now + REST);
}

#[test]
fn a_deep_look_is_due_once_after_the_start_and_then_after_each() {
    let remembered = Remembered::default();
    let now = Instant::now();
    let deep_at = |deep, at| {
        let looked = Looked {
            deep,
            ..Looked::default()
        };
        remembered.note("a", looked, &due(at), at);
    };
    assert!(!remembered.is_deep_due("a", now), "it was never looked at");
    deep_at(false, now);
    // Other passes do not put it off.
    deep_at(false, now + REST);
    assert!(!remembered.is_deep_due("a", now + REST));
    assert!(remembered.is_deep_due("a", now + REST * 2));
    deep_at(true, now + REST * 2);
    assert!(!remembered.is_deep_due("a", now + REST * 4));
    assert!(remembered.is_deep_due("a", now + REST * 5));
    remembered.forget("a");
    assert_eq!(remembered.settled("a"), None);
}

#[test]
fn what_is_inside_is_remembered_until_somebody_looks_there_again() {
    let remembered = Remembered::default();
    let now = Instant::now();
    let notice = Some((DatabaseReason::ObjectsNotAccessible, "a table".to_owned()));
    let looked = |proved, inside| {
        let looked = Looked {
            proved,
            inside,
            ..Looked::default()
        };
        remembered.note("a", looked, &due(now), now);
        (remembered.proof_due("a").unwrap(), remembered.inside("a"))
    };
    assert_eq!(remembered.proof_due("a"), None);
    // A process that just began does not log in for all at once.
    assert_eq!(looked(false, None), (now + REST / 2, None));
    assert_eq!(looked(true, notice.clone()), (now + REST, notice.clone()));
    assert_eq!(looked(false, None), (now + REST, notice));
    assert_eq!(looked(true, None), (now + REST, None));
}

#[test]
fn an_owner_asks_by_the_spec_and_by_annotations_and_deletes_once() {
    let of = |generation, deleting, request: Option<&str>| About {
        generation: Some(generation),
        deleting,
        finalizer_lost: false,
        requests: vec![request.map(ToOwned::to_owned)],
        instance: None,
        acknowledged: None,
        server: None,
        backups: Fingerprint::default(),
    };
    let before = of(1, false, None);
    assert!(!before.is_asked_for(&before.clone()));
    assert!(before.is_asked_for(&of(2, false, None)));
    assert!(before.is_asked_for(&of(1, false, Some("1"))));
    assert!(!before.is_asked_for(&of(2, true, None)));
    let moved = About {
        instance: Some(2),
        ..before.clone()
    };
    assert!(before != moved && !before.is_asked_for(&moved));
}
