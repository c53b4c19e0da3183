//! When a Database that did not change is looked at again.

use super::*;
use crate::database::allowance::EVERY;

fn about() -> About {
    About {
        generation: Some(1),
        deleting: false,
        finalizer_lost: false,
        requests: Vec::new(),
        instance: None,
        acknowledged: None,
        server: None,
        backups: Fingerprint::default(),
    }
}

fn note(invalidations: u64, anew: bool) -> Note {
    Note {
        about: about(),
        invalidations,
        rest: REST,
        deep_due: None,
        first_deep: Instant::now(),
        anew,
        oldest: Instant::now(),
        lock_wait: Duration::ZERO,
    }
}

const REST: Duration = Duration::from_secs(10);

#[test]
fn an_older_view_stays_good_until_something_is_done() {
    let revisits = Revisits::default();
    let now = Instant::now();
    let oldest = now.checked_sub(REST).unwrap();
    let settled = |anew, at| {
        let note = Note {
            oldest,
            ..note(0, anew)
        };
        revisits.note("a", note, at);
        revisits.settled("a").unwrap()
    };
    // What a process that just began was announced by its first survey, the same survey tells again.
    assert_eq!(settled(false, now), oldest);
    assert_eq!(settled(false, now + REST), oldest);
    assert_eq!(settled(true, now + REST), now + REST);
    assert_eq!(settled(false, now + REST * 2), now + REST);
}

#[test]
fn who_is_woken_during_a_pass_is_looked_at_again() {
    let revisits = Revisits::default();
    let now = Instant::now();
    let rest = || revisits.rest("a", &about(), now);
    // Also during the first, when nothing is remembered yet.
    for _ in 0..2 {
        let before = revisits.invalidations("a");
        revisits.invalidate("a");
        revisits.note("a", note(before, true), now);
        assert_eq!(rest(), None);
        revisits.note("a", note(revisits.invalidations("a"), true), now);
        assert_eq!(rest(), Some(REST));
    }
    revisits.let_go("a", now);
    assert_eq!(revisits.invalidations("a"), 0);
}

fn asked(value: &str) -> About {
    About {
        requests: vec![Some(value.to_owned())],
        ..about()
    }
}

#[test]
fn who_waited_for_a_lock_is_deaf_to_everything_but_its_deletion() {
    let revisits = Revisits::default();
    let now = Instant::now();
    let note = Note {
        lock_wait: REST,
        rest: Duration::ZERO,
        ..note(0, true)
    };
    revisits.note("a", note, now);
    revisits.invalidate("a");
    assert_eq!(revisits.lock_wait("a", false, now), Some(REST));
    assert_eq!(revisits.lock_wait("a", true, now), None);
    assert_eq!(revisits.lock_wait("a", false, now + REST), None);
    // What was asked for meanwhile is pending.
    assert_eq!(revisits.rest("a", &asked("1"), now + REST), None);
}

#[test]
fn who_asks_again_and_again_is_served_now_and_then() {
    let revisits = Revisits::default();
    let now = Instant::now();
    let mut looks = 0;
    for value in 0..60 {
        let second = now + Duration::from_secs(value);
        let about = asked(&value.to_string());
        if revisits.rest("a", &about, second).is_none() {
            looks += 1;
            let note = Note {
                about,
                ..note(0, true)
            };
            revisits.note("a", note, second);
        }
    }
    assert_eq!(looks, 5 + 60 / EVERY.as_secs() - 1);
    // Its deletion, and what others change, is not waited for.
    let last = now + Duration::from_secs(60);
    let deleted = About {
        deleting: true,
        ..asked("x")
    };
    assert_eq!(revisits.rest("a", &deleted, last), None);
}

#[test]
fn what_was_let_go_is_known_for_a_while() {
    let revisits = Revisits::default();
    let now = Instant::now();
    revisits.let_go("a", now);
    assert_eq!(revisits.gone("a", now), Some(BEHIND));
    assert_eq!(revisits.gone("b", now), None);
    let later = now + BEHIND;
    assert_eq!(revisits.gone("a", later), None, "somebody put it back");
    revisits.let_go("b", later);
    assert_eq!(revisits.gone("b", later), Some(BEHIND));
}
