//! Whose a Secret is, and when it is written.

use super::*;
use secrecy::ExposeSecret;

fn database() -> Database {
    let spec = serde_json::json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": "orders", "namespace": "team-a", "uid": "u1"},
        "spec": {"instanceRef": {"name": "postgres"}, "secretTemplate": {"labels": {"team": "a"}}}
    });
    serde_json::from_value(spec).unwrap()
}

fn keys() -> BTreeMap<String, String> {
    BTreeMap::from([("password".to_owned(), "secret".to_owned())])
}

fn own() -> Secret {
    wanted(&database(), Flavour::Postgresql, keys(), None)
}

#[test]
fn only_its_own_secret_or_a_labelled_one_is_used() {
    assert!(matches!(judge(None, &database()), Found::Absent));
    let Found::Usable {
        password: Some(password),
        ..
    } = judge(Some(own()), &database())
    else {
        panic!("own")
    };
    assert_eq!(password.expose_secret(), "secret");

    let mut other = own();
    other.metadata.owner_references = None;
    assert!(matches!(
        judge(Some(other.clone()), &database()),
        Found::Foreign
    ));
    other
        .labels_mut()
        .insert(ADOPT_LABEL.to_owned(), "false".to_owned());
    assert!(matches!(
        judge(Some(other.clone()), &database()),
        Found::Foreign
    ));
    other
        .labels_mut()
        .insert(ADOPT_LABEL.to_owned(), "true".to_owned());
    assert!(matches!(
        judge(Some(other), &database()),
        Found::Usable { .. }
    ));

    let mut of_another_kind = own();
    of_another_kind.metadata.owner_references = Some(vec![OwnerReference {
        kind: "Pod".into(),
        name: "orders".into(),
        ..OwnerReference::default()
    }]);
    assert!(matches!(
        judge(Some(of_another_kind), &database()),
        Found::Foreign
    ));
}

#[test]
fn a_secret_without_a_password_is_usable_and_gets_one() {
    let mut secret = own();
    secret.data = None;
    assert!(matches!(
        judge(Some(secret), &database()),
        Found::Usable { password: None, .. }
    ));
}

#[test]
fn an_unchanged_secret_is_not_written() {
    let database = database();
    let current = own();
    assert!(holds(
        &current,
        &wanted(&database, Flavour::Postgresql, keys(), Some(&current))
    ));

    let mut labelled = current.clone();
    labelled
        .labels_mut()
        .insert("somebody".into(), "else".into());
    assert!(holds(
        &labelled,
        &wanted(&database, Flavour::Postgresql, keys(), Some(&labelled))
    ));

    // Another key is put back only if it is ours: somebody else's would not go away by writing.
    let mut more = current.clone();
    let data = more.data.as_mut().unwrap();
    data.insert("extra".into(), ByteString(Vec::new()));
    assert!(holds(
        &more,
        &wanted(&database, Flavour::Postgresql, keys(), Some(&more))
    ));
    let mut former = more;
    former.metadata.managed_fields = serde_json::from_value(serde_json::json!([{
        "manager": MANAGER, "operation": "Apply", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:password": {}, "f:extra": {}}},
    }]))
    .unwrap();

    let mut edited = current.clone();
    let data = edited.data.as_mut().unwrap();
    data.insert("password".into(), ByteString(Vec::new()));
    let mut relabelled = current;
    relabelled.labels_mut().insert("team".into(), "b".into());
    for changed in [former, edited, relabelled] {
        assert!(!holds(
            &changed,
            &wanted(&database, Flavour::Postgresql, keys(), Some(&changed))
        ));
    }
}

#[test]
fn a_secret_that_another_object_controls_keeps_its_controller() {
    let of = |current: Option<&Secret>| {
        let wanted = wanted(&database(), Flavour::Postgresql, keys(), current);
        wanted.owner_references()[0].controller
    };
    let owned_by = |kind: &str, controller| {
        let mut secret = own();
        let owner = &mut secret.metadata.owner_references.as_mut().unwrap()[0];
        owner.kind = kind.to_owned();
        owner.controller = controller;
        // Of an object of this name that is gone.
        owner.uid = "before".to_owned();
        secret
    };
    assert_eq!(of(None), Some(true));
    assert_eq!(of(Some(&owned_by("Database", Some(true)))), Some(true));
    assert_eq!(of(Some(&owned_by("SealedSecret", None))), Some(true));
    assert_eq!(of(Some(&owned_by("SealedSecret", Some(true)))), None);
}
