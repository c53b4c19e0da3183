//! What the API server stores and our types refuse, in the lists that it answers with.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::{ObjectList, PartialObjectMeta, WatchEvent};
use serde_json::{Value, json};

use super::*;
use crate::api::{Backup, Database, DatabaseInstance, FINALIZER};
use crate::projection;

/// Go reads this time; our type of a time ends a few hours before.
const TOO_LATE: &str = "9999-12-31T23:59:59Z";

fn object<K: Resource<DynamicType = ()>>(spec: &Value) -> Value {
    json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "metadata": {
            "name": "a", "namespace": "team", "uid": "u", "resourceVersion": "5",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

/// An object between two others, as a list and as a watch would bring it.
fn between<K>(odd: &Value, plain: &Value) -> Readable<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let list = json!({
        "apiVersion": "v1", "kind": "ThingList", "metadata": {"resourceVersion": "7"},
        "items": [plain, odd, plain],
    });
    let list: ObjectList<Readable<K>> = serde_json::from_str(&list.to_string()).unwrap();
    let [first, odd_one, last] = list.items.try_into().unwrap();
    for plain in [first, last] {
        assert!(plain.0.is_ok(), "{:?}", plain.0.err());
    }
    let event = format!(r#"{{"type":"MODIFIED","object":{odd}}}"#);
    match serde_json::from_str(&event).unwrap() {
        WatchEvent::Modified(seen) => {
            let seen: Readable<K> = seen;
            assert_eq!(seen.meta(), odd_one.meta());
        }
        other => panic!("{other:?}"),
    }
    odd_one
}

fn dated(mut object: Value) -> Value {
    object["metadata"]["managedFields"] = json!([{
        "manager": "kubectl", "operation": "Update", "apiVersion": "v1", "time": TOO_LATE,
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}},
    }]);
    object
}

fn survives<K>(spec: &Value)
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned,
{
    let plain = object::<K>(spec);
    let odd = dated(plain.clone());
    assert!(
        serde_json::from_value::<K>(odd.clone()).is_err(),
        "the typed object takes that date: this test shows nothing"
    );
    let read = between::<K>(&odd, &plain);
    assert!(read.0.is_ok(), "{}: {:?}", K::kind(&()), read.0.err());
}

#[test]
fn a_date_in_the_managed_fields_hides_nothing() {
    survives::<Database>(&json!({"instanceRef": {"name": "main"}}));
    survives::<Backup>(&json!({"databaseRef": {"name": "orders"}}));
    survives::<DatabaseInstance>(&json!({
        "provider": "postgresql", "host": "db", "adminSecretRef": {"name": "s"},
        "allowedNamespaces": {"all": true},
    }));
    survives::<Job>(&json!({"template": {}}));
    survives::<Pod>(&json!({"containers": []}));
    survives::<PartialObjectMeta<Namespace>>(&json!({}));
}

/// A Database whose field at this path, with `/` between its parts, is something else.
fn spoiled(path: &str, value: Value) -> Readable<Database> {
    let mut plain = object::<Database>(&json!({"instanceRef": {"name": "main"}}));
    plain["status"] = json!({"state": "CREATED"});
    let mut odd = plain.clone();
    let mut at = &mut odd;
    for part in path.split('/') {
        at = &mut at[part];
    }
    *at = value;
    between(&odd, &plain)
}

#[test]
fn what_names_an_object_outlives_garbage_in_each_other_field_of_its_metadata() {
    let garbage = json!({"no": ["such", "thing"], "at": 1e30});
    for field in [
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "finalizers",
        "ownerReferences",
    ] {
        let read = spoiled(&format!("metadata/{field}"), garbage.clone());
        let unreadable = read.0.unwrap_err();
        assert_eq!(unreadable.part, Part::Metadata, "{field}");
        assert!(unreadable.why.starts_with(field), "{}", unreadable.why);
        let named = (
            unreadable.metadata.name.as_deref(),
            unreadable.metadata.namespace.as_deref(),
            unreadable.metadata.uid.as_deref(),
            unreadable.metadata.resource_version.as_deref(),
        );
        let whole = (Some("a"), Some("team"), Some("u"), Some("5"));
        assert_eq!(named, whole, "{field}");
        assert_eq!(unreadable.refers_to.instance.as_deref(), Some("main"));
    }
    // What is not asked for is not looked at.
    for field in ["managedFields", "selfLink", "generateName", "unknown"] {
        let read = spoiled(&format!("metadata/{field}"), garbage.clone());
        assert!(read.0.is_ok(), "{field}: {:?}", read.0.err());
    }
    for time in ["deletionTimestamp", "creationTimestamp"] {
        let read = spoiled(&format!("metadata/{time}"), json!(TOO_LATE));
        assert_eq!(read.0.unwrap_err().part, Part::Metadata);
    }
}

#[test]
fn an_object_without_a_name_or_metadata_has_a_place_in_a_store() {
    for odd in [
        json!({"metadata": {"name": 5, "namespace": "team"}}),
        json!({"metadata": "x"}),
        json!({}),
    ] {
        let read: Readable<Database> = serde_json::from_value(odd.clone()).unwrap();
        assert_eq!(read.meta().name.as_deref(), Some("(unreadable)"), "{odd}");
    }
}

#[test]
fn an_unknown_word_or_type_is_found_in_its_part_and_told_briefly() {
    for (path, value, part) in [
        ("status/state", json!("HIBERNATING"), Part::Status),
        ("status/state", json!({"is": "not a word"}), Part::Status),
        ("status/handled", json!(7), Part::Status),
        ("status/claim", json!("x".repeat(500_000)), Part::Status),
        ("status", json!("gone"), Part::Status),
        ("spec/deletionPolicy", json!("Perhaps"), Part::Content),
        ("spec/instanceRef", json!("main"), Part::Content),
        ("spec/suspend", json!("x\n".repeat(250_000)), Part::Content),
        ("spec", json!([]), Part::Content),
    ] {
        let unreadable = spoiled(path, value).0.unwrap_err();
        assert_eq!(unreadable.part, part, "{path}");
        let why = &unreadable.why;
        assert!(why.len() <= WHY_LIMIT + '…'.len_utf8(), "{path}: {why}");
        assert!(!why.contains('\n'), "{path}: {why}");
    }
    let state = spoiled("status/state", json!("HIBERNATING")).0.unwrap_err();
    assert!(state.to_string().contains("HIBERNATING"), "{state}");
}

#[test]
fn a_status_that_lost_only_what_is_said_again_is_read() {
    for (field, value) in [
        ("conditions", json!([{"type": "Ready", "status": "Maybe"}])),
        ("observedGeneration", json!("x")),
    ] {
        let database = spoiled(&format!("status/{field}"), value).0.unwrap();
        let status = database.status.unwrap();
        assert_eq!(status.state, Some(crate::api::DatabaseState::Created));
        // The next pass does not trust what they said.
        assert_eq!(status.observed_generation, None);
        assert!(status.conditions.is_empty());
    }
    let plain = object::<Backup>(&json!({"databaseRef": {"name": "orders"}}));
    let mut odd = plain.clone();
    odd["status"] = json!({"state": "BACKING_UP", "progress": {"lastAdvance": TOO_LATE}});
    let backup = between::<Backup>(&odd, &plain).0.unwrap();
    assert!(backup.is_active());
}

#[test]
fn conditions_of_other_kinds_are_what_is_decided_from() {
    let plain = object::<Job>(&json!({"template": {}}));
    let mut odd = plain.clone();
    odd["status"] =
        json!({"conditions": [{"type": "Complete", "status": "True", "lastProbeTime": TOO_LATE}]});
    let unreadable = between::<Job>(&odd, &plain).0.unwrap_err();
    assert_eq!(unreadable.part, Part::Status);
}

#[test]
fn of_half_a_megabyte_of_others_only_what_is_ours_is_kept() {
    let mut odd = object::<Database>(&json!({"instanceRef": {"name": "main"}}));
    let many = |value: &dyn Fn(usize) -> Value| -> Vec<Value> { (0..20_000).map(value).collect() };
    let map = |own: &str| -> Value {
        let mut map: serde_json::Map<String, Value> = (0..20_000)
            .map(|n| (format!("example.com/key-{n}"), json!("value")))
            .collect();
        map.insert(own.to_owned(), json!("ours"));
        map.insert("db-operator.devil/x".to_owned(), json!("not ours"));
        Value::Object(map)
    };
    odd["metadata"]["labels"] = map("db-operator.dev/backup");
    odd["metadata"]["annotations"] = map("db-operator.dev/release");
    odd["metadata"]["ownerReferences"] = json!(many(
        &|n| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": n.to_string(), "uid": "x"})
    ));
    let mut finalizers = many(&|n| json!(format!("example.com/f{n}")));
    finalizers.insert(3, json!(FINALIZER));
    odd["metadata"]["finalizers"] = json!(finalizers);
    let database: Readable<Database> = serde_json::from_value(odd).unwrap();
    let meta = database.0.unwrap().metadata;
    assert_eq!(meta.labels.unwrap().len(), 1);
    assert_eq!(meta.annotations.unwrap().len(), 1);
    assert!(meta.owner_references.unwrap().is_empty());
    assert_eq!(meta.finalizers.unwrap(), ["", "", "", FINALIZER]);
}

#[test]
fn finalizers_of_others_are_known_to_be_there() {
    let read = |list: Value| {
        let meta = spoiled("metadata/finalizers", list).0.unwrap().metadata;
        meta.finalizers
    };
    assert_eq!(read(json!(["a/b", "c/d"])).unwrap().len(), 1);
    assert_eq!(read(json!([])).unwrap().len(), 0);
    assert_eq!(read(Value::Null), None);
    assert_eq!(read(json!([FINALIZER, "a/b"])).unwrap(), [FINALIZER]);
}

#[test]
fn what_is_nested_more_deeply_than_a_decoder_goes_is_passed_over() {
    let deep = format!("{}1{}", r#"{"f:a":"#.repeat(5_000), "}".repeat(5_000));
    let text = format!(
        r#"{{"items":[{{"metadata":{{"name":"a","managedFields":[{{"fieldsV1":{deep}}}]}},"spec":{{"instanceRef":{{"name":"m"}}}}}}]}}"#
    );
    let list: ObjectList<Readable<Database>> = serde_json::from_str(&text).unwrap();
    assert!(list.items[0].0.is_ok(), "{:?}", list.items[0]);
}

#[test]
fn a_projection_keeps_what_it_names() {
    #[derive(Clone, Debug, Deserialize)]
    struct View {
        metadata: ObjectMeta,
        spec: ViewSpec,
    }
    #[derive(Clone, Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ViewSpec {
        backoff_limit: Option<i32>,
    }
    projection!(View, Job);

    let plain = object::<Job>(&json!({"backoffLimit": 3}));
    let mut odd = plain.clone();
    odd["spec"]["template"] = json!("x".repeat(500_000));
    odd["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"},
        {"apiVersion": "v1", "kind": "B", "name": "b", "uid": "2", "controller": true},
    ]);
    let view = between::<View>(&odd, &plain).0.unwrap();
    assert_eq!(view.spec.backoff_limit, Some(3));
    assert_eq!(view.metadata.owner_references.unwrap()[0].uid, "2");
    assert_eq!(
        Readable::<View>::url_path(&(), Some("n")),
        "/apis/batch/v1/namespaces/n/jobs"
    );
}

#[test]
fn what_was_read_is_sent_as_it_is_and_what_was_not_is_not_sent() {
    let read: Readable<Database> = spoiled("spec/suspend", json!(true));
    let sent = serde_json::to_value(&read).unwrap();
    assert_eq!(sent["spec"]["suspend"], true);
    assert!(serde_json::to_value(spoiled("spec", json!(1))).is_err());
}
