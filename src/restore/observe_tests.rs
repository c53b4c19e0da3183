//! Observing changes nothing, neither in Kubernetes nor in what this process remembers of turns and slots.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::Context;
use super::*;
use crate::api::{InstanceReason, Restore, RestoreReason};
use crate::controller::fakes::{self, Asked, Objects, api_server};
use crate::job::image::OwnImage;
use crate::provider::Observed;
use crate::restore::prepare;
use crate::server::fakes::server;
use crate::server::registry::{Availability, Entry};

fn instance() -> Value {
    json!({
        "metadata": {"name": "main"},
        "spec": {"provider": "postgresql", "host": "db.example", "adminSecretRef": {"name": "admin"},
                 "allowedNamespaces": {"all": true}},
    })
}

fn database(state: &str, deleting: bool) -> Value {
    let mut database = json!({
        "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
        "spec": {"instanceRef": {"name": "main"}},
        "status": {"state": state, "restore": {"name": "back", "uid": "u"}},
    });
    if deleting {
        database["metadata"]["deletionTimestamp"] = json!(Timestamp::now());
    }
    database
}

fn restore(state: &Value, deleting: bool) -> Value {
    let mut restore = json!({
        "metadata": {"name": "back", "namespace": "team", "uid": "u", "finalizers": [FINALIZER]},
        "spec": {"source": {"backupRef": {"name": "nightly"}}, "databaseRef": {"name": "orders"}},
        "status": {
            "state": state, "startedAt": Timestamp::now(),
            "target": {"instance": "main", "database": "orders", "user": "orders", "databaseUid": "d",
                       "serverIdentity": "s"},
        },
    });
    if deleting {
        restore["metadata"]["deletionTimestamp"] = json!(Timestamp::now());
    }
    restore
}

/// What is known of the instance of a restore.
#[derive(Clone, Copy, PartialEq)]
enum Known {
    /// There is none.
    Nothing,
    /// Its server does not answer.
    Silent,
    /// It leads to another server than the one that the restore was begun on.
    Moved,
}

fn context(known: Known, databases: Vec<Value>, restore: &Value, asked: &Asked) -> Context {
    let instances = if known == Known::Nothing {
        Vec::new()
    } else {
        vec![instance()]
    };
    let objects = Objects {
        instances,
        databases,
        restores: vec![restore.clone()],
        ..Objects::default()
    };
    let shared = fakes::context(api_server(asked, [].into()), objects);
    let availability = match known {
        Known::Nothing => None,
        Known::Silent => Some(Availability::Unusable {
            reason: InstanceReason::Unreachable,
            message: "it does not answer".to_owned(),
        }),
        Known::Moved => Some(Availability::Usable(server(Observed::default()))),
    };
    if let Some(availability) = availability {
        let object = Arc::new(serde_json::from_value(instance()).unwrap());
        let entry = Entry {
            object,
            availability,
        };
        shared.instances.put("main", entry);
    }
    let image = OwnImage::new(Some("operator:1".to_owned()), None);
    Context::new(Arc::new(shared), 60, image)
}

/// Observes this Restore, and checks that nothing was changed meanwhile. The server of its instance does not answer.
async fn observed(databases: Vec<Value>, restore: Value) -> Observation {
    observed_on(Known::Silent, databases, restore).await
}

async fn observed_on(known: Known, databases: Vec<Value>, restore: Value) -> Observation {
    let asked = Asked::default();
    let context = context(known, databases, &restore, &asked);
    let restore: Restore = serde_json::from_value(restore).unwrap();
    let pass = Pass::begin(&context, &restore, ());
    let seen = observe(&pass).await.unwrap();
    asked.only_read();
    assert!(!context.queues.turns.asks("u"), "nothing is asked for");
    assert!(!context.remembered.is_known_new("u"));
    seen
}

fn waits(seen: &Observation) -> RestoreReason {
    seen.waits.as_ref().unwrap().blocked.reason
}

#[tokio::test]
async fn one_that_has_not_begun_says_what_it_waits_for() {
    let none = restore(&Value::Null, false);
    let seen = observed(Vec::new(), none.clone()).await;
    assert_eq!(waits(&seen), RestoreReason::DatabaseNotFound);
    for (database, expected) in [
        (
            database("CREATING", false),
            RestoreReason::WaitingForDatabase,
        ),
        (database("CREATED", true), RestoreReason::WaitingForDatabase),
        // Its server does not answer.
        (
            database("CREATED", false),
            RestoreReason::WaitingForDatabase,
        ),
    ] {
        let seen = observed(vec![database], none.clone()).await;
        assert_eq!(waits(&seen), expected);
        assert!(!seen.facts().turn);
    }
    let deleted = observed(Vec::new(), restore(&Value::Null, true)).await;
    assert!(deleted.waits.is_none() && deleted.deleting);
}

#[tokio::test]
async fn one_that_runs_is_cancelled_with_its_database() {
    for state in ["PREPARING", "LOADING", "CHECKING"] {
        let runs = || restore(&json!(state), false);
        assert!(
            !observed(vec![database("CREATED", false)], runs())
                .await
                .cancelled
        );
        assert!(
            observed(vec![database("CREATED", true)], runs())
                .await
                .cancelled
        );
        assert!(observed(Vec::new(), runs()).await.cancelled);
        let mut another = database("CREATED", false);
        another["metadata"]["uid"] = json!("e");
        assert!(observed(vec![another], runs()).await.cancelled);
    }
}

#[tokio::test]
async fn whether_a_switch_was_done_is_not_guessed() {
    let ending = restore(&json!("SWITCHING"), true);
    let seen = observed(vec![database("CREATED", false)], ending).await;
    assert!(seen.unknown.is_some(), "its server does not answer");
    let goes_on = restore(&json!("SWITCHING"), false);
    let seen = observed(vec![database("CREATED", false)], goes_on).await;
    assert!(seen.unknown.is_none());
}

#[tokio::test]
async fn nobody_is_asked_about_a_switch_where_there_is_no_such_server_any_more() {
    let switching = |deleting| restore(&json!("SWITCHING"), deleting);
    let ends = |seen: &Observation| seen.unknown.is_none() && seen.is_ending();
    let here = || vec![database("CREATED", false)];
    assert!(ends(
        &observed_on(Known::Nothing, here(), switching(true)).await
    ));
    assert!(ends(
        &observed_on(Known::Moved, here(), switching(true)).await
    ));
    // It may come back, and this object is to stay.
    let database_goes = vec![database("CREATED", true)];
    let seen = observed_on(Known::Moved, database_goes, switching(false)).await;
    assert!(seen.unknown.is_some());
}

#[tokio::test]
async fn the_deadline_counts_while_the_server_does_not_answer() {
    for (begun, expected) in [
        (
            "2026-01-01T00:00:00Z".to_owned(),
            Some(RestoreReason::DeadlineExceeded),
        ),
        (Timestamp::now().to_string(), None),
    ] {
        let mut late = restore(&json!("PREPARING"), false);
        late["status"]["startedAt"] = json!(begun);
        let asked = Asked::default();
        let context = context(
            Known::Silent,
            vec![database("CREATED", false)],
            &late,
            &asked,
        );
        let late: Restore = serde_json::from_value(late).unwrap();
        let mut pass = Pass::begin(&context, &late, ());
        let mut seen = observe(&pass).await.unwrap();
        prepare::perform(&mut pass, &mut seen).await;
        asked.only_read();
        let failed = match seen.found {
            Found::Failed(failure) => Some(failure.reason),
            other => {
                assert!(matches!(other, Found::NotRunning), "{other:?}");
                None
            }
        };
        assert_eq!(failed, expected);
    }
}

#[tokio::test]
async fn the_finalizer_is_the_note_that_something_is_left() {
    let ended = restore(&json!("FAILED"), false);
    let seen = observed(vec![database("CREATED", false)], ended.clone()).await;
    assert!(!seen.cleaned);
    let mut clean = ended;
    clean["metadata"]["finalizers"] = json!([]);
    let seen = observed(vec![database("CREATED", false)], clean).await;
    assert!(seen.cleaned && !seen.undo && !seen.former_due);
}
