use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    overall: 32,
    per_instance: 16,
};

fn key(tenant: &str, name: usize) -> Key {
    Key {
        namespace: Arc::from(tenant),
        name: Arc::from(name.to_string()),
    }
}

fn want(tenant: &str, instance: &str) -> Want {
    Want {
        tenant: Arc::from(tenant),
        instance: Arc::from(instance),
        urgent: false,
    }
}

fn nobody(_: &Arc<str>, _: &Arc<str>) -> bool {
    false
}

/// Waits with so many objects, and says how many were called.
fn flood(order: &mut Order, tenant: &str, instance: &str, count: usize) -> Vec<Key> {
    for name in 0..count {
        order.wait(&key(tenant, name), want(tenant, instance));
    }
    order.call(&nobody)
}

#[test]
fn one_alone_leaves_half_free_for_whoever_comes() {
    let mut order = Order::new(LIMITS);
    assert_eq!(flood(&mut order, "flood", "x", 2000).len(), 8);
    // Somebody new has a slot at once, and so has another one.
    assert_eq!(flood(&mut order, "a", "x", 1), [key("a", 0)]);
    assert_eq!(flood(&mut order, "b", "x", 1), [key("b", 0)]);
    assert_eq!(flood(&mut order, "b", "y", 2).len(), 1, "0 is at work");
}

#[test]
fn while_others_wait_nobody_has_more_than_a_quarter() {
    let mut order = Order::new(LIMITS);
    let mut at_work = flood(&mut order, "flood", "x", 100);
    for tenant in ["a", "b", "c", "d"] {
        at_work.extend(flood(&mut order, tenant, "x", 100));
    }
    for _ in 0..200 {
        let done = at_work.remove(0);
        order.leave(&done);
        at_work.extend(order.call(&nobody));
    }
    for tenant in ["flood", "a", "b", "c", "d"] {
        let own = at_work.iter().filter(|key| &*key.namespace == tenant);
        assert!((1..=4).contains(&own.count()), "{tenant}: {at_work:?}");
    }
    assert_eq!(at_work.len(), 16);
}

#[test]
fn a_full_instance_holds_up_no_other() {
    let mut order = Order::new(LIMITS);
    for tenant in ["a", "b", "c", "d", "e"] {
        flood(&mut order, tenant, "slow", 10);
    }
    assert_eq!(order.counts().1, 16);
    assert_eq!(flood(&mut order, "f", "other", 20).len(), 8);
    assert_eq!(flood(&mut order, "g", "other", 20).len(), 4);
}

#[test]
fn suspects_have_half_together() {
    let mut order = Order::new(LIMITS);
    let suspects = |_: &Arc<str>, tenant: &Arc<str>| tenant.starts_with("bad");
    for tenant in ["bad1", "bad2", "bad3", "bad4"] {
        for name in 0..10 {
            order.wait(&key(tenant, name), want(tenant, "x"));
        }
    }
    assert_eq!(order.call(&suspects).len(), 8);
    order.wait(&key("good", 0), want("good", "x"));
    assert_eq!(order.call(&suspects), [key("good", 0)]);
}

#[test]
fn what_becomes_urgent_goes_first() {
    let mut order = Order::new(Limits {
        overall: 1,
        per_instance: 1,
    });
    flood(&mut order, "a", "x", 10);
    let urgent = Want {
        urgent: true,
        ..want("a", "x")
    };
    order.wait(&key("a", 9), urgent);
    order.wait(&key("a", 9), want("a", "x"));
    order.leave(&key("a", 0));
    assert_eq!(order.call(&nobody), [key("a", 9)]);
}

#[test]
fn an_object_waits_once_and_comes_once() {
    let mut order = Order::new(LIMITS);
    let one = key("a", 0);
    for _ in 0..3 {
        order.wait(&one, want("a", "x"));
    }
    assert_eq!(order.call(&nobody), std::slice::from_ref(&one));
    assert!(order.call(&nobody).is_empty());
    assert!(order.accept(&one) && !order.accept(&one));
    order.leave(&one);
    assert_eq!(order.counts(), (0, 0));
}

#[derive(Clone, Debug)]
enum Event {
    Wait(usize, usize, usize, bool),
    End(usize),
    Leave(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..4usize, 0..30usize, 0..3usize, any::<bool>())
            .prop_map(|(tenant, name, instance, urgent)| Event::Wait(tenant, name, instance, urgent)),
        2 => (0..64usize).prop_map(Event::End),
        1 => (0..200usize).prop_map(Event::Leave),
    ]
}

proptest! {
    /// Whatever comes and goes: the limits hold, nobody is forgotten, and slots that are given back come to an end.
    #[test]
    fn limits_hold_and_everybody_comes(
        events in prop::collection::vec(event(), 0..400),
        overall in 1..40usize,
        suspect in 0..4usize,
    ) {
        let limits = Limits { overall, per_instance: half(overall) };
        let mut order = Order::new(limits);
        let suspects = |_: &Arc<str>, tenant: &Arc<str>| **tenant == *suspect.to_string();
        let mut waits: Vec<Key> = Vec::new();
        let mut works: Vec<Key> = Vec::new();
        let settle = |order: &mut Order, waits: &mut Vec<Key>, works: &mut Vec<Key>| {
            for called in order.call(&suspects) {
                assert!(waits.contains(&called), "only who waits is called");
                waits.retain(|key| *key != called);
                works.push(called);
            }
            assert_eq!(order.counts(), (waits.len(), works.len()));
            assert!(works.len() <= overall);
            for holder in order.holders.values() {
                let here = order.holders.values().filter(|other| other.instance == holder.instance);
                assert!(here.count() <= limits.per_instance);
                let own = order.holders.values().filter(|other| other.tenant == holder.tenant);
                assert!(own.count() <= half(overall), "half is for others");
            }
            assert!(waits.is_empty() || !works.is_empty(), "nobody waits for nothing");
        };
        for event in events {
            match event {
                Event::Wait(tenant, name, instance, urgent) => {
                    let key = key(&tenant.to_string(), name);
                    let want = Want { urgent, ..want(&tenant.to_string(), &instance.to_string()) };
                    order.wait(&key, want);
                    if !waits.contains(&key) && !works.contains(&key) {
                        waits.push(key);
                    }
                }
                Event::End(which) if !works.is_empty() => {
                    let key = works.remove(which % works.len());
                    order.leave(&key);
                }
                Event::Leave(which) if !waits.is_empty() => {
                    let key = waits.remove(which % waits.len());
                    order.leave(&key);
                }
                Event::End(_) | Event::Leave(_) => {}
            }
            settle(&mut order, &mut waits, &mut works);
        }
        // Nobody comes any more: everybody who waits gets a turn.
        while let Some(key) = works.pop() {
            order.leave(&key);
            settle(&mut order, &mut waits, &mut works);
        }
        assert_eq!(order.counts(), (0, 0));
    }

    /// However long the line of one namespace is, another one is served within a round.
    #[test]
    fn nobody_waits_longer_than_a_round(tenants in 1..20usize, count in 1..50usize) {
        let mut order = Order::new(Limits { overall: 4, per_instance: 2 });
        let mut works = Vec::new();
        for tenant in 0..tenants {
            works.extend(flood(&mut order, &format!("t{tenant}"), "x", count));
        }
        let mut new = flood(&mut order, "new", "x", 1);
        let mut ended = 0;
        while !new.contains(&key("new", 0)) {
            order.leave(&works.remove(0));
            new = order.call(&nobody);
            works.extend(new.clone());
            ended += 1;
        }
        assert!(ended <= tenants + 1, "{ended} of {tenants}");
    }
}
