//! When an object that did not change is looked at again.

use super::super::allowance::EVERY;
use super::*;

const REST: Duration = Duration::from_secs(2);

/// A generation, and whether the object is being deleted.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Of {
    other: u8,
    asked: u64,
    deleting: bool,
}

const PLAIN: Of = Of {
    other: 0,
    asked: 0,
    deleting: false,
};

impl About for Of {
    fn is_deleting(&self) -> bool {
        self.deleting
    }

    fn is_asked_for(&self, next: &Self) -> bool {
        self.deleting == next.deleting && self.asked != next.asked
    }
}

/// A pass about this, from its beginning to its end.
fn pass(revisit: &Revisit<Of>, uid: &str, about: Of, now: Instant) {
    revisit.note(revisit.begin(uid, about, now), now + REST, now);
}

#[test]
fn an_object_rests_until_it_is_due_or_something_about_it_changes() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    let rest = |about, now| revisit.rest("a", &about, now);
    assert_eq!(rest(PLAIN, now), None);
    let begun = revisit.begin("a", PLAIN, now);
    assert_eq!(rest(PLAIN, now), None);
    revisit.note(begun, now + REST, now);
    assert_eq!(rest(PLAIN, now), Some(REST));
    assert_eq!(rest(Of { other: 1, ..PLAIN }, now), None, "it changed");
    assert_eq!(rest(PLAIN, now + REST), None, "it is due");
    revisit.invalidate("a");
    assert_eq!(rest(PLAIN, now), None, "it was woken");
}

#[test]
fn what_a_pass_changes_itself_is_no_reason_for_the_next() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    let changed = Of { other: 1, ..PLAIN };
    let mut begun = revisit.begin("a", PLAIN, now);
    begun.about = changed;
    revisit.note(begun, now + REST, now);
    assert_eq!(revisit.rest("a", &changed, now), Some(REST));
    assert_eq!(revisit.rest("a", &PLAIN, now), None);
}

#[test]
fn one_that_is_woken_during_a_pass_is_looked_at_again() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    // Also during the first one, when nothing is remembered yet.
    for _ in 0..2 {
        let begun = revisit.begin("a", PLAIN, now);
        revisit.invalidate("a");
        revisit.note(begun, now + REST, now);
        assert_eq!(revisit.rest("a", &PLAIN, now), None);
        pass(&revisit, "a", PLAIN, now);
        assert_eq!(revisit.rest("a", &PLAIN, now), Some(REST));
    }
}

#[test]
fn one_that_waited_for_a_lock_is_left_alone_but_for_its_deletion() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    let asked = Of { asked: 1, ..PLAIN };
    let deleting = Of {
        deleting: true,
        ..PLAIN
    };
    pass(&revisit, "a", PLAIN, now);
    revisit.lock_out("a", now + REST);
    revisit.invalidate("a");
    assert_eq!(revisit.locked_out("a", &asked, now), Some(REST));
    assert_eq!(revisit.locked_out("a", &deleting, now), None);
    assert_eq!(revisit.locked_out("a", &asked, now + REST), None);
    // What was asked for meanwhile is pending.
    assert_eq!(revisit.rest("a", &asked, now + REST), None);
    pass(&revisit, "a", asked, now);
    assert_eq!(revisit.locked_out("a", &asked, now), None, "it is over");
}

#[test]
fn an_owner_who_asks_again_and_again_is_served_now_and_then() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    let mut looks = 0;
    for asked in 0..60 {
        let second = now + Duration::from_secs(asked);
        let about = Of { asked, ..PLAIN };
        if revisit.rest("a", &about, second).is_none() {
            looks += 1;
            pass(&revisit, "a", about, second);
        }
    }
    assert_eq!(looks, 5 + 60 / EVERY.as_secs() - 1);
    // Its deletion, and what others change, is not waited for.
    let last = now + Duration::from_secs(60);
    let deleting = Of {
        deleting: true,
        ..PLAIN
    };
    assert_eq!(revisit.rest("a", &deleting, last), None);
}

#[test]
fn what_is_gone_is_forgotten_and_what_was_never_looked_at_is_not_remembered() {
    let (revisit, now) = (Revisit::default(), Instant::now());
    revisit.invalidate("never");
    for uid in ["gone", "there", "ended"] {
        pass(&revisit, uid, PLAIN, now);
    }
    revisit.forget("ended");
    revisit.keep_only(&HashSet::from(["there".to_owned()]));
    assert_eq!(revisit.lock().len(), 1);
    assert_eq!(revisit.rest("there", &PLAIN, now), Some(REST));
}
