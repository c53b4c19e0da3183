use futures::{FutureExt, StreamExt};

use super::*;

fn key(namespace: &str, name: &str) -> Key {
    Key {
        namespace: Arc::from(namespace),
        name: Arc::from(name),
    }
}

fn want(tenant: &str) -> Want {
    Want {
        tenant: Arc::from(tenant),
        instance: Arc::from("x"),
        urgent: false,
    }
}

#[test]
fn who_waits_is_called_when_a_place_is_given_back() {
    let turns = Turns::new(1, Arc::default());
    let mut calls = Box::pin(turns.calls());
    let mut called = || calls.next().now_or_never().flatten();
    let (first, second) = (key("a", "1"), key("b", "2"));
    let place = turns.ask(&first, want("a")).unwrap();
    assert!(turns.ask(&second, want("b")).is_none());
    assert!(turns.come(&second).is_none(), "not called yet");
    assert_eq!(called(), None);
    assert_eq!(turns.counts(), (1, 1));
    drop(place);
    assert_eq!(called(), Some(second.clone()));
    assert!(turns.ask(&first, want("a")).is_none(), "it is called");
    drop(turns.come(&second).unwrap());
    assert_eq!(called(), Some(first.clone()));
    drop(turns.come(&first));
    assert_eq!(turns.counts(), (0, 0));
}

#[test]
fn whoever_is_gone_when_it_is_called_holds_nobody_up() {
    let turns = Turns::new(1, Arc::default());
    let mut calls = Box::pin(turns.calls());
    let place = turns.ask(&key("a", "1"), want("a"));
    assert!(turns.ask(&key("a", "gone"), want("a")).is_none());
    assert!(turns.ask(&key("b", "2"), want("b")).is_none());
    drop(place);
    for name in ["gone", "2"] {
        let called = calls.next().now_or_never().flatten().unwrap();
        assert_eq!(&*called.name, name);
        // A controller that is told that the object is gone takes its place and drops it.
        drop(turns.come(&called));
    }
    assert_eq!(turns.counts(), (0, 0));
}

/// What it costs to have thousands of objects wait: a few hundred bytes each, and no work.
#[test]
fn thousands_wait_at_little_cost() {
    let turns = Turns::new(32, Arc::default());
    let started = Instant::now();
    let mut places = Vec::new();
    for _ in 0..10 {
        for name in 0..2000 {
            places.extend(turns.ask(&key("flood", &name.to_string()), want("flood")));
        }
    }
    assert_eq!(turns.counts(), (1992, 8));
    assert!(turns.ask(&key("new", "1"), want("new")).is_some());
    let each = started.elapsed() / 20_000;
    assert!(each < std::time::Duration::from_micros(200), "{each:?}");
}
