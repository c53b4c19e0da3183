//! Whose turn it is, and how long nothing else alters the database.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::api::{FINALIZER, InstanceReason};
use crate::controller::fakes::{self, Asked, Objects, api_server};
use crate::database::Context;
use crate::database::pass::tenancy;
use crate::provider::Observed;
use crate::server::fakes::{IDENTITY, server};
use crate::server::registry::{Availability, Entry};

fn database(restore: &Value) -> Database {
    serde_json::from_value(json!({
        "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
        "spec": {"instanceRef": {"name": "i"}},
        "status": {"state": "CREATED", "restore": restore},
    }))
    .unwrap()
}

fn restore(name: &str, status: &Value) -> Restore {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "team", "uid": name},
        "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        "status": status,
    }))
    .unwrap()
}

#[test]
fn a_restore_has_its_turn_until_it_has_ended() {
    assert!(!has_turn(&database(&Value::Null)));
    let named = |state: Value| database(&json!({"name": "r", "uid": "u", "state": state}));
    for (state, expected) in [
        (Value::Null, true),
        (json!("LOADING"), true),
        (json!("COMPLETED"), false),
        (json!("FAILED"), false),
    ] {
        assert_eq!(has_turn(&named(state.clone())), expected, "{state}");
    }
}

#[test]
fn nothing_is_altered_while_a_restore_is_at_work_on_the_database_itself() {
    let named = |state: Value| database(&json!({"name": "r", "uid": "u", "state": state}));
    for (state, postgresql, mysql) in [
        (Value::Null, false, true),
        (json!("PREPARING"), false, true),
        (json!("LOADING"), false, true),
        (json!("CHECKING"), false, true),
        (json!("SWITCHING"), true, true),
        (json!("COMPLETED"), false, false),
        (json!("FAILED"), false, false),
    ] {
        let database = named(state.clone());
        assert_eq!(
            holds(&database, Provider::Postgresql),
            postgresql,
            "{state}"
        );
        assert_eq!(holds(&database, Provider::Mysql), mysql, "{state}");
    }
    assert!(!holds(&database(&Value::Null), Provider::Mysql));
}

#[test]
fn a_restore_is_of_the_database_beside_it() {
    let of = restore("r", &Value::Null);
    let mut database = database(&Value::Null);
    assert!(is_of(&of, &database));
    database.metadata.namespace = Some("other".to_owned());
    assert!(!is_of(&of, &database));
}

/// A Restore that failed, and what it made is not removed yet.
fn unclean(name: &str, switched: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "team", "uid": name, "finalizers": [FINALIZER]},
        "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        "status": {
            "state": "FAILED", "switchingSince": switched.then_some("2026-11-24T02:00:00Z"),
            "target": {"instance": "main", "database": "orders", "user": "orders", "databaseUid": "d",
                       "serverIdentity": IDENTITY},
        },
    })
}

fn clean(mut restore: Value) -> Value {
    restore["metadata"]["finalizers"] = json!([]);
    restore
}

fn object(value: Value) -> Restore {
    serde_json::from_value(value).unwrap()
}

#[test]
fn the_turn_of_one_that_failed_is_over_when_it_is_cleaned_up() {
    let named = |state| DatabaseRestore {
        name: "r".to_owned(),
        uid: "r".to_owned(),
        state,
    };
    let state = |of: Option<RestoreState>, restore: Value| {
        what_became(&named(of), &object(restore)).unwrap().state
    };
    let (loading, switching) = (RestoreState::Loading, RestoreState::Switching);
    assert_eq!(state(Some(loading), unclean("r", false)), Some(loading));
    assert_eq!(
        state(Some(loading), clean(unclean("r", false))),
        Some(RestoreState::Failed)
    );
    // Its states went by faster than this controller looked.
    assert_eq!(
        state(None, unclean("r", false)),
        Some(RestoreState::Preparing)
    );
    assert_eq!(state(Some(loading), unclean("r", true)), Some(switching));
    // Somebody put the finalizer back.
    assert_eq!(
        state(Some(RestoreState::Failed), unclean("r", false)),
        Some(RestoreState::Preparing)
    );
    // One that was refused before it began made nothing.
    let mut refused = restore("r", &json!({"state": "FAILED"}));
    assert_eq!(
        what_became(&named(None), &refused).unwrap().state,
        Some(RestoreState::Failed)
    );
    refused.status = None;
    assert!(what_became(&named(None), &refused).is_some());
    refused.metadata.deletion_timestamp = Some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
    );
    assert!(what_became(&named(None), &refused).is_none());
}

fn instance() -> Value {
    json!({
        "metadata": {"name": "main"},
        "spec": {"provider": "mysql", "host": "db.example", "adminSecretRef": {"name": "admin"},
                 "allowedNamespaces": {"all": true}},
    })
}

fn of_instance(status: &Value) -> Database {
    serde_json::from_value(json!({
        "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
        "spec": {"instanceRef": {"name": "main"}},
        "status": status,
    }))
    .unwrap()
}

/// A context with these Restores, and an instance whose server answers or does not.
fn context(restores: Vec<Value>, answers: bool) -> Context {
    let objects = Objects {
        instances: vec![instance()],
        restores,
        ..Objects::default()
    };
    let shared = fakes::context(api_server(&Asked::default(), [].into()), objects);
    let availability = if answers {
        Availability::Usable(server(Observed::default()))
    } else {
        Availability::Unusable {
            reason: InstanceReason::Unreachable,
            message: "it does not answer".to_owned(),
        }
    };
    let object = Arc::new(serde_json::from_value(instance()).unwrap());
    shared.instances.put(
        "main",
        Entry {
            object,
            availability,
        },
    );
    Context::new(Arc::new(shared))
}

/// What is noted of the restore `r`, which was loading, while another one asks for its turn.
async fn noted_of(r: Value) -> DatabaseRestore {
    let mut next = unclean("next", false);
    next["status"] = Value::Null;
    let context = context(vec![r, next], true);
    context.queues.turns.ask("next");
    let status =
        json!({"state": "CREATED", "restore": {"name": "r", "uid": "r", "state": "LOADING"}});
    let database = of_instance(&status);
    let tenancy = tenancy(&context, &database).await.unwrap();
    let view = View::new(&context, &database, &tenancy);
    let noted = noted(&view, &context.queues.turns, &context.cache).await;
    noted.unwrap().restore.unwrap()
}

#[tokio::test]
async fn nothing_begins_before_what_a_restore_left_is_removed() {
    let held = noted_of(unclean("r", false)).await;
    assert_eq!(
        (held.name.as_str(), held.state),
        ("r", Some(RestoreState::Loading))
    );
    let status = json!({"state": "CREATED", "restore": held});
    assert!(holds(&of_instance(&status), Provider::Mysql));
    assert!(has_turn(&of_instance(&status)), "no backup either");
    let after = noted_of(clean(unclean("r", false))).await;
    assert_eq!((after.name.as_str(), after.state), ("next", None));
}

#[tokio::test]
async fn its_removal_is_news_to_a_database() {
    let status =
        json!({"state": "CREATED", "restore": {"name": "r", "uid": "r", "state": "LOADING"}});
    let database = of_instance(&status);
    let of = |restores| {
        let context = context(restores, true);
        fingerprint(&context.cache, &context.queues.turns, &database)
    };
    let before = of(vec![unclean("r", false)]);
    assert_ne!(before, of(vec![clean(unclean("r", false))]));
    assert_ne!(before, of(Vec::new()));
}

/// Whether a Restore is in the way of a deletion.
async fn is_in_the_way(answers: bool, effect: Option<DeletionEffect>, left: Value) -> bool {
    let context = context(vec![left], answers);
    let status = json!({"state": "DELETION_IN_PROGRESS"});
    let database = of_instance(&status);
    let tenancy = tenancy(&context, &database).await.unwrap();
    let pass = Pass::begin(&context, &database, tenancy);
    in_the_way(&pass, effect).is_some()
}

#[tokio::test]
async fn a_deletion_waits_for_what_a_restore_left_but_retain_for_no_server() {
    let (keep, drop) = (Some(DeletionEffect::Keep), Some(DeletionEffect::Drop));
    for (answers, effect, expected) in [
        (true, keep, true),
        (true, drop, true),
        (true, None, true),
        (false, keep, false),
        (false, drop, true),
        (false, None, true),
    ] {
        let is = is_in_the_way(answers, effect, unclean("r", false)).await;
        assert_eq!(is, expected, "{answers} {effect:?}");
        assert!(!is_in_the_way(answers, effect, clean(unclean("r", false))).await);
    }
}

#[tokio::test]
async fn a_new_database_of_the_name_waits_until_a_former_ones_restore_is_cleaned_up() {
    let left = async |uid: &str, restore: Value| {
        let context = context(vec![restore], true);
        let mut database = of_instance(&json!({"state": "CREATING"}));
        database.metadata.uid = Some(uid.to_owned());
        let tenancy = tenancy(&context, &database).await.unwrap();
        let pass = Pass::begin(&context, &database, tenancy);
        left_before(&pass).map(|blocked| blocked.reason)
    };
    let restoring = Some(DatabaseReason::Restoring);
    assert_eq!(left("e", unclean("r", false)).await, restoring);
    assert_eq!(left("e", clean(unclean("r", false))).await, None);
    assert_eq!(left("d", unclean("r", false)).await, None, "its own");
    let mut elsewhere = unclean("r", false);
    elsewhere["status"]["target"]["serverIdentity"] = json!("another");
    assert_eq!(left("e", elsewhere).await, None);
}

#[tokio::test]
async fn an_undoing_holds_the_database_only_when_it_can_go_on() {
    let mut asked = unclean("r", false);
    asked["metadata"]["annotations"] = json!({UNDO_REQUESTED_AT: "1"});
    asked["status"]["state"] = json!("COMPLETED");
    asked["status"]["target"]["former"] = json!({
        "database": "was", "until": "2026-12-01T00:00:00Z", "replacedAt": "2026-11-28T00:00:00Z",
    });
    let context = context(vec![asked], true);
    let is = |state: &str, suspend: bool| {
        let status =
            json!({"state": state, "restore": {"name": "r", "uid": "r", "state": "COMPLETED"}});
        let mut database = of_instance(&status);
        database.spec.suspend = suspend;
        assert!(!is_under_way(&database));
        is_being_undone(&context.cache, &database)
    };
    assert!(is("CREATED", false));
    assert!(!is("CREATED", true) && !is("BACKUP_IN_PROGRESS", false));
}

#[tokio::test]
async fn a_database_that_is_being_created_lets_in_only_what_it_begins_with() {
    let of = |name: &str, owned: bool| {
        let owner = json!([{"apiVersion": "db-operator.dev/v1alpha1", "kind": "Database", "name": "orders",
                            "uid": "d", "controller": true}]);
        json!({
            "metadata": {"name": name, "namespace": "team", "uid": name,
                         "ownerReferences": owned.then_some(owner)},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        })
    };
    let context = context(
        vec![of("first", true), of("former", true), of("own", false)],
        true,
    );
    for uid in ["first", "former", "own"] {
        context.queues.turns.ask(uid);
    }
    let first = |status: &Value, suspend: bool| {
        let mut database = of_instance(status);
        database.spec.suspend = suspend;
        let found = next(&context.cache, &context.queues.turns, &database);
        found.map(|restore| restore.name_any())
    };
    let init = json!({"restore": "first", "restoreUid": "first"});
    let creating = json!({"state": "CREATING", "init": init});
    assert_eq!(first(&creating, false).as_deref(), Some("first"));
    assert_eq!(first(&creating, true), None);
    // Not before its UID is noted, and not after its end.
    for init in [
        Value::Null,
        json!({"restore": "first"}),
        json!({"restore": "first", "restoreUid": "first", "outcome": "Failed"}),
    ] {
        let creating = json!({"state": "CREATING", "init": init});
        assert_eq!(first(&creating, false), None, "{init}");
    }
    // Once it is created, what the operator made for its beginning has none any more.
    let created = json!({"state": "CREATED"});
    assert_eq!(first(&created, false).as_deref(), Some("own"));
}
