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
fn who_waits_is_called_when_a_slot_is_given_back() {
    let queue = PassQueue::new(1, Arc::default());
    let mut calls = Box::pin(queue.calls());
    let mut called = || calls.next().now_or_never().flatten();
    let (first, second) = (key("a", "1"), key("b", "2"));
    let slot = queue.ask(&first, want("a")).unwrap();
    assert!(queue.ask(&second, want("b")).is_none());
    assert!(queue.accept(&second).is_none(), "not called yet");
    assert_eq!(called(), None);
    assert_eq!(queue.counts(), (1, 1));
    drop(slot);
    assert_eq!(called(), Some(second.clone()));
    assert!(queue.ask(&first, want("a")).is_none(), "it is called");
    drop(queue.accept(&second).unwrap());
    assert_eq!(called(), Some(first.clone()));
    drop(queue.accept(&first));
    assert_eq!(queue.counts(), (0, 0));
}

#[test]
fn whoever_is_gone_when_it_is_called_holds_nobody_up() {
    let queue = PassQueue::new(1, Arc::default());
    let mut calls = Box::pin(queue.calls());
    let slot = queue.ask(&key("a", "1"), want("a"));
    assert!(queue.ask(&key("a", "gone"), want("a")).is_none());
    assert!(queue.ask(&key("b", "2"), want("b")).is_none());
    drop(slot);
    for name in ["gone", "2"] {
        let called = calls.next().now_or_never().flatten().unwrap();
        assert_eq!(&*called.name, name);
        // A controller that is told that the object is gone takes its slot and drops it.
        drop(queue.accept(&called));
    }
    assert_eq!(queue.counts(), (0, 0));
}

/// What it costs to have thousands of objects wait: a few hundred bytes each, and no work.
#[test]
fn thousands_wait_at_little_cost() {
    let queue = PassQueue::new(32, Arc::default());
    let started = Instant::now();
    let mut slots = Vec::new();
    for _ in 0..10 {
        for name in 0..2000 {
            slots.extend(queue.ask(&key("flood", &name.to_string()), want("flood")));
        }
    }
    assert_eq!(queue.counts(), (1992, 8));
    assert!(queue.ask(&key("new", "1"), want("new")).is_some());
    let each = started.elapsed() / 20_000;
    assert!(each < std::time::Duration::from_micros(200), "{each:?}");
}
