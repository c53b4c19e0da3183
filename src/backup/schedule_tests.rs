//! What is remembered of a pass over a Backup.

use serde_json::{Value, json};

use super::super::fakes::{context, database};
use super::*;
use crate::controller::fakes::Asked;

const LOOK: Duration = Duration::from_secs(2);

fn backup(state: &Value) -> Backup {
    let object = json!({
        "metadata": {"name": "one", "namespace": "team", "uid": "b", "finalizers": [FINALIZER]},
        "spec": {"databaseRef": {"name": "orders"}}, "status": {"state": state},
    });
    serde_json::from_value(object).unwrap()
}

/// A pass that finds a Backup in one state, leaves it in another one, and ends like this; how long the Backup rests then.
fn rest_after(found: &Value, left: &Value, result: Result<Outcome, Error>) -> Option<Duration> {
    let (found, left) = (backup(found), backup(left));
    let object = serde_json::to_value(&found).unwrap();
    let context = context(
        database(false),
        &object,
        "http://127.0.0.1:1",
        &Asked::default(),
    );
    let mut begun = begin(&context, &found);
    begun.about = About::of(&left);
    let _ = end(&context, &found, begun, result);
    rest(&context, &left, Instant::now())
}

#[tokio::test]
async fn a_backup_that_runs_rests_from_the_first_pass_on() {
    let running = json!("BACKING_UP");
    for found in [Value::Null, json!("STARTING"), running.clone()] {
        for outcome in [Outcome::Again(LOOK), Outcome::Waits] {
            let rest = rest_after(&found, &running, Ok(outcome));
            assert!(rest.is_some(), "found in {found}, {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_backup_that_waits_is_looked_at_whenever_something_wakes_it() {
    for outcome in [Outcome::Again(LOOK), Outcome::Waits] {
        assert_eq!(rest_after(&Value::Null, &Value::Null, Ok(outcome)), None);
    }
    let over = rest_after(&json!("BACKING_UP"), &json!("COMPLETED"), Ok(Outcome::Over));
    assert_eq!(over, None);
}

#[tokio::test]
async fn a_pass_that_failed_is_not_repeated_at_once() {
    let failed = || Err(Error::NotRead);
    for left in [Value::Null, json!("STARTING")] {
        assert!(
            rest_after(&Value::Null, &left, failed()).is_some(),
            "{left}"
        );
    }
    let locked = || {
        Err(Error::Blocked {
            what: "a session".to_owned(),
        })
    };
    let rest = rest_after(&json!("STARTING"), &json!("STARTING"), locked()).unwrap();
    assert!(rest > FAILED_REST, "{rest:?}");
}
