use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;

const BOTH: [Kind; 2] = [Kind::Kept, Kind::OneOff];

type Asked<'a, const N: usize> = BoxFuture<'a, Result<[Slot; N], Closed>>;

/// Asks for a tenant, and begins to wait.
fn ask<'a, const N: usize>(slots: &'a Slots, tenant: &str, kinds: [Kind; N]) -> Asked<'a, N> {
    ask_as(slots, tenant, false, kinds)
}

fn ask_as<'a, const N: usize>(
    slots: &'a Slots,
    tenant: &str,
    suspect: bool,
    kinds: [Kind; N],
) -> Asked<'a, N> {
    let caller = Arc::new(Caller::new(Arc::from(tenant), suspect));
    Box::pin(caller.scope(slots.take(kinds)))
}

fn now<const N: usize>(asked: &mut Asked<'_, N>) -> Option<[Slot; N]> {
    asked.now_or_never().map(Result::unwrap)
}

#[test]
fn the_next_free_place_is_a_newcomers() {
    let slots = Slots::new(2, 2);
    let mut flood: Vec<_> = (0..10)
        .map(|_| ask(&slots, "flood", [Kind::Kept]))
        .collect();
    let mut held: Vec<_> = flood.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 2, "alone it has them all");
    let mut newcomer = ask(&slots, "new", [Kind::Kept]);
    assert!(now(&mut newcomer).is_none());
    held.pop();
    let slot = now(&mut newcomer).expect("it is the newcomer's turn");
    assert!(flood[2..].iter_mut().all(|asked| now(asked).is_none()));
    // While others wait, a quarter: it has one already.
    let mut other = ask(&slots, "other", [Kind::Kept]);
    assert!(now(&mut other).is_none());
    drop(slot);
    assert!(now(&mut other).is_some());
}

#[test]
fn a_namespace_alone_never_has_the_last_one_off_slot() {
    let slots = Slots::new(2, 2);
    let mut flood: Vec<_> = (0..10).map(|_| ask(&slots, "flood", BOTH)).collect();
    let held: Vec<_> = flood.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 1);
    assert!(now(&mut ask(&slots, "new", BOTH)).is_some());
    assert!(now(&mut ask(&slots, "", [Kind::OneOff])).is_some());
}

#[test]
fn suspects_have_half_together() {
    let slots = Slots::new(2, 2);
    let mut suspects: Vec<_> = (0..10)
        .map(|number| ask_as(&slots, &format!("bad{number}"), true, BOTH))
        .collect();
    let held: Vec<_> = suspects.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 1);
    for _ in 0..3 {
        assert!(now(&mut ask(&slots, "new", [Kind::Kept])).is_some());
        assert!(now(&mut ask(&slots, "new", BOTH)).is_some());
    }
    drop(held);
    let next: Vec<_> = suspects.iter_mut().skip(1).filter_map(now).collect();
    assert_eq!(next.len(), 1);
}

#[test]
fn nothing_is_held_while_waiting_for_the_other_one() {
    let slots = Slots::new(1, 1);
    let one_off = now(&mut ask(&slots, "a", [Kind::OneOff])).unwrap();
    let mut both = ask(&slots, "b", BOTH);
    assert!(now(&mut both).is_none());
    let session = now(&mut ask(&slots, "c", [Kind::Kept]));
    assert!(session.is_some(), "the session is free");
    drop(one_off);
    assert!(now(&mut both).is_none());
    drop(session);
    assert!(now(&mut both).is_some());
}

#[test]
fn who_needs_both_is_not_passed_over_for_ever() {
    let slots = Slots::new(1, 1);
    let one_off = now(&mut ask(&slots, "a", [Kind::OneOff])).unwrap();
    let mut both = ask(&slots, "b", BOTH);
    assert!(now(&mut both).is_none());
    let mut passed_over = 0;
    while now(&mut ask(&slots, "c", [Kind::Kept])).is_some() {
        passed_over += 1;
        assert!(passed_over < 100, "for ever");
    }
    drop(one_off);
    assert!(now(&mut both).is_some());
}

#[test]
fn who_gives_up_holds_nothing() {
    let slots = Slots::new(1, 1);
    let held = now(&mut ask(&slots, "a", BOTH)).unwrap();
    let mut first = ask(&slots, "a", BOTH);
    let mut second = ask(&slots, "b", BOTH);
    assert!(now(&mut first).is_none() && now(&mut second).is_none());
    // Called, and never told.
    drop(held);
    assert_eq!(slots.taken(Kind::Kept), 1);
    drop(first);
    assert!(now(&mut second).is_some());
    assert_eq!(slots.taken(Kind::Kept) + slots.taken(Kind::OneOff), 0);
}

#[tokio::test]
async fn closed_places_are_refused_also_to_those_who_wait() {
    let slots = Slots::new(1, 0);
    let _held = slots.take([Kind::Kept]).await.unwrap();
    let mut waits = ask(&slots, "a", [Kind::Kept]);
    assert!(now(&mut waits).is_none());
    slots.close();
    assert!(waits.await.is_err());
    assert!(slots.take([Kind::Kept]).await.is_err());
}

#[tokio::test]
async fn how_long_a_connection_was_held_is_known_to_its_pass() {
    let slots = Slots::new(1, 0);
    let caller = Arc::new(Caller::new(Arc::from("a"), false));
    let [slot] = Arc::clone(&caller)
        .scope(slots.take([Kind::Kept]))
        .await
        .unwrap();
    let since = slot.since;
    drop(slot);
    assert!(caller.longest() <= since.elapsed());
    assert!(caller.longest() < Duration::from_secs(1));
}

proptest! {
    /// Whoever comes, goes and gives up: no slot is given twice, none is lost, and everybody is served.
    #[test]
    fn no_place_is_lost(
        (kept, one_off) in (1..4usize, 1..4usize),
        events in prop::collection::vec((0..4usize, any::<bool>(), 0..4usize, 0..8usize), 0..120),
    ) {
        let slots = Slots::new(kept, one_off);
        let mut waits: Vec<Asked<'_, 2>> = Vec::new();
        let mut one: Vec<Asked<'_, 1>> = Vec::new();
        let mut held: Vec<Vec<Slot>> = Vec::new();
        for (tenant, suspect, what, which) in events {
            let tenant = tenant.to_string();
            match what {
                0 => waits.push(ask_as(&slots, &tenant, suspect, BOTH)),
                1 => one.push(ask_as(&slots, &tenant, suspect, [if which < 4 { Kind::Kept } else { Kind::OneOff }])),
                2 if !held.is_empty() => drop(held.remove(which % held.len())),
                3 if !waits.is_empty() => drop(waits.remove(which % waits.len())),
                _ => {}
            }
            take_all(&mut waits, &mut held);
            take_all(&mut one, &mut held);
            for kind in BOTH {
                let count = held.iter().flatten().filter(|slot| slot.kind == kind).count();
                assert_eq!(slots.taken(kind), count);
                assert!(count <= slots.size(kind));
            }
        }
        while !(waits.is_empty() && one.is_empty() && held.is_empty()) {
            assert!(!held.is_empty(), "nobody waits for nothing");
            held.pop();
            take_all(&mut waits, &mut held);
            take_all(&mut one, &mut held);
        }
        assert_eq!(slots.taken(Kind::Kept) + slots.taken(Kind::OneOff), 0);
    }
}

fn take_all<const N: usize>(waits: &mut Vec<Asked<'_, N>>, held: &mut Vec<Vec<Slot>>) {
    waits.retain_mut(|asked| match now(asked) {
        Some(slots) => {
            held.push(slots.into_iter().collect());
            false
        }
        None => true,
    });
}
