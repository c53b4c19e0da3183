//! Observing changes nothing, neither in Kubernetes nor on the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::{Database, DatabaseState};
use crate::controller::fakes::{self, Asked, HOME, Objects};
use crate::database::Context;
use crate::database::pass::{Pass, tenancy};
use crate::provider::{Claim, Claimant, DatabaseFacts, Names, Observed, Origin, Ours, SqlName};
use crate::server::fakes::{IDENTITY, server};
use crate::server::registry::{Availability, Entry};

fn instance() -> Value {
    json!({
        "metadata": {"name": "main"},
        "spec": {
            "provider": "postgresql", "host": "db.example", "adminSecretRef": {"name": "admin"},
            "allowedNamespaces": {"all": true},
        },
    })
}

/// A Database in this state whose policy wants a final backup.
fn database(state: Option<DatabaseState>, deleting: bool) -> Value {
    let mut database = json!({
        "metadata": {"name": "orders", "namespace": "team", "uid": "d", "generation": 1},
        "spec": {"instanceRef": {"name": "main"}, "deletionPolicy": "BackupBeforeDelete"},
    });
    if let Some(state) = state {
        database["status"] = json!({
            "state": state.as_str(),
            "claim": {
                "clusterId": "c", "serverIdentity": IDENTITY,
                "createdDatabase": true, "createdUser": true, "dropAdopted": false,
            },
            "backup": {"name": "one", "uid": "b"},
            "finalBackup": {"name": "orders-final", "attempt": 1, "completed": false},
        });
    }
    if deleting {
        database["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    }
    database
}

fn backup(namespace: &str, name: &str) -> Value {
    let of = (namespace == HOME).then_some("team");
    json!({
        "metadata": {"name": name, "namespace": namespace, "uid": "b"},
        "spec": {"databaseRef": {"name": "orders", "namespace": of}},
    })
}

/// What the server has: the database, with a claim of this object or of another one.
fn stands(owner: &str) -> Observed {
    let name = SqlName::new("orders").unwrap();
    let claim = Claim {
        names: Names {
            database: name.clone(),
            role: name,
        },
        claimant: Claimant {
            cluster_id: "c".to_owned(),
            namespace: "team".to_owned(),
            name: owner.to_owned(),
        },
        uid: "d".to_owned(),
        database: Origin::Created,
        role: Origin::Created,
        drop_adopted: false,
        released: false,
    };
    Observed {
        claims: vec![claim],
        database: Some(DatabaseFacts {
            owner: Some("orders".to_owned()),
            deviations: Vec::new(),
            exposures: Vec::new(),
            read_only: Vec::new(),
            options: None,
            character_set: "UTF8".to_owned(),
            collation: "C".to_owned(),
            ours: Ours::Yes,
        }),
        role: None,
    }
}

/// Observes this Database, whose server has this; fails if anything is changed meanwhile.
async fn observed(object: Value, on_server: Observed) -> Observation {
    let asked = Asked::default();
    let backups = [("team", "one"), (HOME, "orders-final")];
    let path = |(namespace, name)| {
        let group = "/apis/db-operator.dev/v1alpha1";
        (
            format!("{group}/namespaces/{namespace}/backups/{name}"),
            backup(namespace, name),
        )
    };
    let found: BTreeMap<String, Value> = backups.into_iter().map(path).collect();
    let objects = Objects {
        instances: vec![instance()],
        databases: vec![object.clone()],
        backups: vec![backup("team", "one")],
        restores: Vec::new(),
    };
    let shared = fakes::context(fakes::api_server(&asked, found), objects);
    let entry = Entry {
        object: Arc::new(serde_json::from_value(instance()).unwrap()),
        availability: Availability::Usable(server(on_server)),
    };
    shared.instances.put("main", entry);
    let context = Context::new(Arc::new(shared));
    let object: Database = serde_json::from_value(object).unwrap();
    let tenancy = tenancy(&context, &object).await.unwrap();
    let pass = Pass::begin(&context, &object, tenancy);
    let mut seen = observe(&pass.view()).await.unwrap();
    seen.follow(&pass.view()).await.unwrap();
    asked.only_read();
    seen
}

#[tokio::test]
async fn observing_changes_nothing_in_any_state() {
    let states = DatabaseState::ALL.map(Some);
    for state in [None].into_iter().chain(states) {
        for deleting in [false, true] {
            let seen = observed(database(state, deleting), stands("orders")).await;
            assert_eq!(seen.facts.deleting, deleting);
        }
    }
}

#[tokio::test]
async fn what_is_not_claimed_for_this_object_is_not_there_to_be_backed_up() {
    let state = Some(DatabaseState::BackupBeforeDeleteRequested);
    for (on_server, expected) in [
        (stands("orders"), Existence::Present),
        (stands("another"), Existence::Missing),
        (Observed::default(), Existence::Missing),
    ] {
        let seen = observed(database(state, true), on_server.clone()).await;
        assert_eq!(seen.facts.database, expected, "{on_server:?}");
        // The server is asked where that decides about a final backup, and nowhere else.
        let alive = observed(database(state, false), on_server).await;
        assert_eq!(alive.facts.database, Existence::Unknown);
    }
}

#[tokio::test]
async fn the_backups_that_the_status_names_are_found_in_the_cache_and_beside_it() {
    let state = Some(DatabaseState::BackupInProgress);
    let seen = observed(database(state, false), stands("orders")).await;
    assert_eq!(seen.facts.backup, BackupSeen::Waiting);
    // The final one is not in the cache yet.
    assert_eq!(seen.facts.final_backup, BackupSeen::Waiting);
}

#[tokio::test]
async fn a_database_that_has_yet_to_begin_is_nothing_to_back_up() {
    let state = Some(DatabaseState::BackupBeforeDeleteRequested);
    for (outcome, expected) in [
        (Value::Null, Existence::Missing),
        (json!("Failed"), Existence::Missing),
        (json!("Loaded"), Existence::Present),
    ] {
        let mut object = database(state, true);
        object["status"]["init"] = json!({"restore": "r", "outcome": outcome});
        let seen = observed(object, stands("orders")).await;
        assert_eq!(seen.facts.database, expected, "{outcome}");
    }
}

#[tokio::test]
async fn it_begins_anew_if_it_was_dropped_and_is_asked_for_and_has_a_backup_to_begin_with() {
    let begins = async |from: bool, asked: bool, on_server: Observed| {
        let mut object = database(Some(DatabaseState::Created), false);
        if from {
            object["spec"]["initFrom"] = json!({"backupRef": {"name": "b"}});
        }
        if asked {
            let asked = json!({"db-operator.dev/recreate-requested-at": "1"});
            object["metadata"]["annotations"] = asked;
        }
        observed(object, on_server).await.facts.begins_anew
    };
    let dropped = |owner| Observed {
        database: None,
        ..stands(owner)
    };
    assert!(begins(true, true, dropped("orders")).await);
    assert!(!begins(true, true, stands("orders")).await, "it is there");
    assert!(!begins(true, true, dropped("another")).await);
    assert!(!begins(true, false, dropped("orders")).await);
    assert!(!begins(false, true, dropped("orders")).await);
}
