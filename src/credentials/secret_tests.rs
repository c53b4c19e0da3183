//! Who owns a Secret, what its password is, and when it is written.

use super::*;
use secrecy::ExposeSecret;
use serde_json::json;

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

/// As the API server has it.
fn stored(secret: &Secret) -> RawSecret {
    serde_json::from_value(serde_json::to_value(secret).unwrap()).unwrap()
}

fn is_usable(secret: &Secret) -> bool {
    match whose(Some(stored(secret)), &database()) {
        Found::Usable(_) => true,
        Found::Foreign => false,
        Found::Absent => panic!("there is one"),
    }
}

#[test]
fn only_its_own_secret_or_a_labelled_one_is_used() {
    assert!(matches!(whose(None, &database()), Found::Absent));
    assert!(is_usable(&own()));

    let mut other = own();
    other.metadata.owner_references = None;
    other.metadata.labels = Some(BTreeMap::new());
    assert!(!is_usable(&other));
    for (value, usable) in [("false", false), ("true", true)] {
        other
            .labels_mut()
            .insert(ADOPT_LABEL.to_owned(), value.to_owned());
        assert_eq!(is_usable(&other), usable, "{value}");
    }

    let mut of_another_kind = own();
    of_another_kind.metadata.labels = None;
    of_another_kind.metadata.owner_references = Some(vec![OwnerReference {
        kind: "Pod".into(),
        name: "orders".into(),
        ..OwnerReference::default()
    }]);
    assert!(!is_usable(&of_another_kind));
}

/// A backup of the cluster's objects brings them back without their owners, as deleting with `--cascade=orphan` leaves
/// them.
#[test]
fn a_secret_that_was_restored_is_known_by_its_labels() {
    let mut restored = own();
    restored.metadata.owner_references = None;
    assert!(is_usable(&restored));
    let wanted = wanted(
        &database(),
        Flavour::Postgresql,
        keys(),
        Some(&stored(&restored)),
    );
    assert!(
        !stored(&restored).holds(&wanted, MANAGER),
        "it gets its owner back"
    );

    for (key, value) in [(MANAGED_BY.0, "helm"), (DATABASE_LABEL, "other")] {
        let mut foreign = restored.clone();
        foreign
            .labels_mut()
            .insert(key.to_owned(), value.to_owned());
        assert!(!is_usable(&foreign), "{key}={value}");
        foreign.labels_mut().remove(key);
        assert!(!is_usable(&foreign), "no {key}");
    }
}

fn password_of(
    value: Option<&[u8]>,
    flavour: Flavour,
) -> Result<Result<SecretString, Missing>, Unusable> {
    let mut secret = own();
    secret.data =
        value.map(|value| BTreeMap::from([("password".to_owned(), ByteString(value.to_vec()))]));
    password(Some(&stored(&secret)), flavour)
}

#[test]
fn why_there_is_no_password_is_told_apart() {
    for flavour in [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb] {
        let of = |value: Option<&[u8]>| password_of(value, flavour);
        assert_eq!(
            password(None, flavour).unwrap().unwrap_err(),
            Missing::Secret
        );
        assert_eq!(of(None).unwrap().unwrap_err(), Missing::Key);
        assert_eq!(of(Some(b"")).unwrap().unwrap_err(), Missing::Value);
        assert_eq!(of(Some(b"x")).unwrap().unwrap().expose_secret(), "x");
        // Not text is not nothing.
        assert_eq!(of(Some(b"\xff\xfe")).unwrap_err(), Unusable::NotText);
        let longest = password::longest(flavour);
        assert!(of(Some(&vec![b'x'; longest])).unwrap().is_ok());
        for bytes in [longest + 1, longest + 2, longest + 3, 1_000_000] {
            let error = of(Some(&vec![b'x'; bytes])).unwrap_err();
            assert_eq!(error, password::too_long(flavour, bytes));
        }
    }
}

#[test]
fn an_unchanged_secret_is_not_written() {
    let database = database();
    let current = own();
    let holds = |secret: &Secret| {
        let secret = stored(secret);
        let wanted = wanted(&database, Flavour::Postgresql, keys(), Some(&secret));
        secret.holds(&wanted, MANAGER)
    };
    assert!(holds(&current));

    let mut labelled = current.clone();
    labelled
        .labels_mut()
        .insert("somebody".into(), "else".into());
    assert!(holds(&labelled));

    // Another key, label or annotation is taken away only if it is ours: somebody else's would not go away by writing.
    let mut more = current.clone();
    let data = more.data.as_mut().unwrap();
    data.insert("extra".into(), ByteString(Vec::new()));
    assert!(holds(&more));
    for fields in [
        json!({"f:data": {".": {}, "f:password": {}, "f:extra": {}}}),
        json!({"f:metadata": {"f:labels": {"f:team": {}, "f:former": {}}}}),
        json!({"f:metadata": {"f:annotations": {"f:reflect/to": {}}}}),
    ] {
        let mut former = more.clone();
        former.metadata.managed_fields = serde_json::from_value(json!([{
            "manager": MANAGER, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields,
        }]))
        .unwrap();
        assert!(!holds(&former), "{fields}");
    }

    let mut edited = current.clone();
    let data = edited.data.as_mut().unwrap();
    data.insert("password".into(), ByteString(Vec::new()));
    let mut relabelled = current;
    relabelled.labels_mut().insert("team".into(), "b".into());
    assert!(!holds(&edited));
    assert!(!holds(&relabelled));
}

#[test]
fn an_immutable_secret_is_left_alone_unless_it_is_as_it_should_be() {
    let mut current = own();
    let fixed = |secret: &Secret, keys| {
        let secret = stored(secret);
        let wanted = wanted(&database(), Flavour::Postgresql, keys, Some(&secret));
        is_fixed(&secret, &wanted)
    };
    let other = BTreeMap::from([("password".to_owned(), "other".to_owned())]);
    assert!(!fixed(&current, other.clone()));
    current.immutable = Some(true);
    assert!(fixed(&current, other));
    assert!(!fixed(&current, keys()));
}

#[test]
fn a_secret_that_another_object_controls_keeps_its_controller() {
    let of = |current: Option<&Secret>| {
        let current = current.map(stored);
        let wanted = wanted(&database(), Flavour::Postgresql, keys(), current.as_ref());
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
