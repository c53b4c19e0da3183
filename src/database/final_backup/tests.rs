//! The decisions about a final backup, without a cluster.

use serde_json::json;

use super::*;

fn database() -> Database {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": "team-a", "uid": "0f1e2d3c-aaaa"},
        "spec": {"instanceRef": {"name": "postgres"}, "name": "orders_sql"}
    }))
    .unwrap()
}

#[test]
fn attempts_wait_longer_and_longer_but_never_too_long() {
    let now = Timestamp::from_second(1000).unwrap();
    let mut last = first(&database());
    let mut waits = Vec::new();
    for _ in 0..9 {
        last = after(&last, &database(), now, 1.0);
        waits.push(wait(&last, now).unwrap().as_secs());
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    assert_eq!(last.name, "orders-final-0f1e2d3c-10");
    // What failed together is not tried again together.
    assert_eq!(
        wait(&after(&last, &database(), now, 0.0), now),
        Some(Duration::from_mins(5))
    );
}

#[test]
fn an_attempt_waits_for_its_time_and_not_for_a_clock_that_was_set() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let asked_for = attempt(&database(), 2, Some(at(1000)));
    assert_eq!(wait(&asked_for, at(990)), Some(Duration::from_secs(10)));
    assert_eq!(wait(&asked_for, at(1000)), None);
    assert_eq!(wait(&asked_for, at(1001)), None);
    assert_eq!(wait(&asked_for, at(0)), Some(LONGEST_WAIT));
    assert_eq!(wait(&first(&database()), at(0)), None);
}

#[test]
fn who_waits_reads_why_until_when_and_what_to_do() {
    let at = Timestamp::from_second(1000).unwrap();
    let failed: Backup = serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "orders-final-0f1e2d3c-1", "namespace": "operators"},
        "spec": {"databaseRef": {"name": "orders", "namespace": "team-a"}},
        "status": {"state": "FAILED", "failure": {"reason": "StoreRefused", "message": "no such bucket"}}
    }))
    .unwrap();
    let next = attempt(&database(), 2, Some(at));
    let message = sentence(&database(), &next, "operators", Some(&failed));
    for part in [
        "orders-final-0f1e2d3c-1",
        "StoreRefused: no such bucket",
        "1970-01-01T00:16:40Z",
        "Retain",
        "db-operator.dev/release=orders_sql",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let vanished = sentence(&database(), &next, "operators", None);
    assert!(vanished.contains("removed"), "{vanished}");

    let under_way = sentence(&database(), &first(&database()), "operators", None);
    assert!(
        under_way.contains("-n operators get backup orders-final-0f1e2d3c-1"),
        "{under_way}"
    );
}

#[test]
fn what_is_made_says_what_it_is_for() {
    let labels = labels(&database(), "orders-final-0f1e2d3c-1");
    assert_eq!(labels[DATABASE_LABEL], "orders");
    assert_eq!(labels[DATABASE_NAMESPACE_LABEL], "team-a");
    let is_of = |backup| credentials::is_of(&labels, &database(), backup);
    assert!(is_of("orders-final-0f1e2d3c-1"));
    assert!(!is_of("orders-final-0f1e2d3c-2"));
    let mut other = database();
    other.metadata.namespace = Some("team-b".into());
    assert!(!credentials::is_of(
        &labels,
        &other,
        "orders-final-0f1e2d3c-1"
    ));
}
