use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;

const BOTH: [Kind; 2] = [Kind::Session, Kind::Visit];

type Asked<'a, const N: usize> = BoxFuture<'a, Result<[Slot; N], Closed>>;

/// Asks for a tenant, and begins to wait.
fn ask<'a, const N: usize>(places: &'a Places, tenant: &str, kinds: [Kind; N]) -> Asked<'a, N> {
    ask_as(places, tenant, false, kinds)
}

fn ask_as<'a, const N: usize>(
    places: &'a Places,
    tenant: &str,
    suspect: bool,
    kinds: [Kind; N],
) -> Asked<'a, N> {
    let caller = Arc::new(Caller::new(Arc::from(tenant), suspect));
    Box::pin(caller.scope(places.take(kinds)))
}

fn now<const N: usize>(asked: &mut Asked<'_, N>) -> Option<[Slot; N]> {
    asked.now_or_never().map(Result::unwrap)
}

#[test]
fn the_next_free_place_is_a_newcomers() {
    let places = Places::new(2, 2);
    let mut flood: Vec<_> = (0..10)
        .map(|_| ask(&places, "flood", [Kind::Session]))
        .collect();
    let mut held: Vec<_> = flood.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 2, "alone it has them all");
    let mut newcomer = ask(&places, "new", [Kind::Session]);
    assert!(now(&mut newcomer).is_none());
    held.pop();
    let slot = now(&mut newcomer).expect("it is the newcomer's turn");
    assert!(flood[2..].iter_mut().all(|asked| now(asked).is_none()));
    // While others wait, a quarter: it has one already.
    let mut other = ask(&places, "other", [Kind::Session]);
    assert!(now(&mut other).is_none());
    drop(slot);
    assert!(now(&mut other).is_some());
}

#[test]
fn a_namespace_alone_never_has_the_last_visit() {
    let places = Places::new(2, 2);
    let mut flood: Vec<_> = (0..10).map(|_| ask(&places, "flood", BOTH)).collect();
    let held: Vec<_> = flood.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 1);
    assert!(now(&mut ask(&places, "new", BOTH)).is_some());
    assert!(now(&mut ask(&places, "", [Kind::Visit])).is_some());
}

#[test]
fn suspects_have_half_together() {
    let places = Places::new(2, 2);
    let mut suspects: Vec<_> = (0..10)
        .map(|number| ask_as(&places, &format!("bad{number}"), true, BOTH))
        .collect();
    let held: Vec<_> = suspects.iter_mut().filter_map(now).collect();
    assert_eq!(held.len(), 1);
    for _ in 0..3 {
        assert!(now(&mut ask(&places, "new", [Kind::Session])).is_some());
        assert!(now(&mut ask(&places, "new", BOTH)).is_some());
    }
    drop(held);
    let next: Vec<_> = suspects.iter_mut().skip(1).filter_map(now).collect();
    assert_eq!(next.len(), 1);
}

#[test]
fn nothing_is_held_while_waiting_for_the_other_one() {
    let places = Places::new(1, 1);
    let visit = now(&mut ask(&places, "a", [Kind::Visit])).unwrap();
    let mut both = ask(&places, "b", BOTH);
    assert!(now(&mut both).is_none());
    let session = now(&mut ask(&places, "c", [Kind::Session]));
    assert!(session.is_some(), "the session is free");
    drop(visit);
    assert!(now(&mut both).is_none());
    drop(session);
    assert!(now(&mut both).is_some());
}

#[test]
fn who_needs_both_is_not_passed_over_for_ever() {
    let places = Places::new(1, 1);
    let visit = now(&mut ask(&places, "a", [Kind::Visit])).unwrap();
    let mut both = ask(&places, "b", BOTH);
    assert!(now(&mut both).is_none());
    let mut passed_over = 0;
    while now(&mut ask(&places, "c", [Kind::Session])).is_some() {
        passed_over += 1;
        assert!(passed_over < 100, "for ever");
    }
    drop(visit);
    assert!(now(&mut both).is_some());
}

#[test]
fn who_gives_up_holds_nothing() {
    let places = Places::new(1, 1);
    let held = now(&mut ask(&places, "a", BOTH)).unwrap();
    let mut first = ask(&places, "a", BOTH);
    let mut second = ask(&places, "b", BOTH);
    assert!(now(&mut first).is_none() && now(&mut second).is_none());
    // Called, and never told.
    drop(held);
    assert_eq!(places.taken(Kind::Session), 1);
    drop(first);
    assert!(now(&mut second).is_some());
    assert_eq!(places.taken(Kind::Session) + places.taken(Kind::Visit), 0);
}

#[tokio::test]
async fn closed_places_are_refused_also_to_those_who_wait() {
    let places = Places::new(1, 0);
    let _held = places.take([Kind::Session]).await.unwrap();
    let mut waits = ask(&places, "a", [Kind::Session]);
    assert!(now(&mut waits).is_none());
    places.close();
    assert!(waits.await.is_err());
    assert!(places.take([Kind::Session]).await.is_err());
}

#[tokio::test]
async fn how_long_a_connection_was_held_is_known_to_its_pass() {
    let places = Places::new(1, 0);
    let caller = Arc::new(Caller::new(Arc::from("a"), false));
    let [slot] = Arc::clone(&caller)
        .scope(places.take([Kind::Session]))
        .await
        .unwrap();
    let since = slot.since;
    drop(slot);
    assert!(caller.longest() <= since.elapsed());
    assert!(caller.longest() < Duration::from_secs(1));
}

proptest! {
    /// Whoever comes, goes and gives up: no place is given twice, none is lost, and everybody is served.
    #[test]
    fn no_place_is_lost(
        (sessions, visits) in (1..4usize, 1..4usize),
        events in prop::collection::vec((0..4usize, any::<bool>(), 0..4usize, 0..8usize), 0..120),
    ) {
        let places = Places::new(sessions, visits);
        let mut waits: Vec<Asked<'_, 2>> = Vec::new();
        let mut one: Vec<Asked<'_, 1>> = Vec::new();
        let mut held: Vec<Vec<Slot>> = Vec::new();
        for (tenant, suspect, what, which) in events {
            let tenant = tenant.to_string();
            match what {
                0 => waits.push(ask_as(&places, &tenant, suspect, BOTH)),
                1 => one.push(ask_as(&places, &tenant, suspect, [if which < 4 { Kind::Session } else { Kind::Visit }])),
                2 if !held.is_empty() => drop(held.remove(which % held.len())),
                3 if !waits.is_empty() => drop(waits.remove(which % waits.len())),
                _ => {}
            }
            take_all(&mut waits, &mut held);
            take_all(&mut one, &mut held);
            for kind in BOTH {
                let count = held.iter().flatten().filter(|slot| slot.kind == kind).count();
                assert_eq!(places.taken(kind), count);
                assert!(count <= places.size(kind));
            }
        }
        while !(waits.is_empty() && one.is_empty() && held.is_empty()) {
            assert!(!held.is_empty(), "nobody waits for nothing");
            held.pop();
            take_all(&mut waits, &mut held);
            take_all(&mut one, &mut held);
        }
        assert_eq!(places.taken(Kind::Session) + places.taken(Kind::Visit), 0);
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
