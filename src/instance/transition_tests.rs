//! What each inspection leaves in the status.

use super::*;

fn found() -> Inspection {
    Inspection {
        flavour: provider::Flavour::Postgresql,
        version: "17.6".into(),
        series: "17".into(),
        tls: Some("TLSv1.3".into()),
        identity: Some("one".into()),
        read_only: false,
        missing: Vec::new(),
        unsuitable: Vec::new(),
        warnings: Vec::new(),
    }
}

#[test]
fn a_healthy_server_is_connected_and_described() {
    let mut status = DatabaseInstanceStatus::default();
    let (reason, message) = inspected(&found(), None, &mut status);
    assert_eq!(
        (reason, message.as_str()),
        (InstanceReason::Connected, "PostgreSQL 17.6, TLSv1.3")
    );
    assert_eq!(status.version.as_deref(), Some("17.6"));
    assert_eq!(status.identity.unwrap().known, "one");
}

#[test]
fn a_warning_is_told_and_stops_nothing() {
    let mut status = DatabaseInstanceStatus::default();
    let warning = provider::Warning {
        what: "anybody may log in without a name".into(),
        sql: "DROP USER ''@'%'".into(),
    };
    let exposed = Inspection {
        warnings: vec![warning],
        ..found()
    };
    let (reason, message) = inspected(&exposed, None, &mut status);
    assert_eq!(reason, InstanceReason::Connected);
    assert!(
        message.contains("1 warning(s)") && message.ends_with("run: DROP USER ''@'%'"),
        "{message}"
    );
    assert_eq!(status.warnings.len(), 1);
    let _ = inspected(&found(), None, &mut status);
    assert_eq!(status.warnings, []);
}

#[test]
fn another_server_is_left_alone_until_it_is_acknowledged() {
    let mut status = DatabaseInstanceStatus::default();
    let _ = inspected(&found(), None, &mut status);
    let other = Inspection {
        identity: Some("two".into()),
        ..found()
    };
    for acknowledged in [None, Some("one"), Some("three")] {
        let (reason, message) = inspected(&other, acknowledged, &mut status);
        assert_eq!(reason, InstanceReason::IdentityChanged);
        assert!(message.contains("acknowledge-identity=two"), "{message}");
        assert_eq!(status.identity.as_ref().unwrap().known, "one");
    }
    assert_eq!(
        inspected(&other, Some("two"), &mut status).0,
        InstanceReason::Connected
    );
    assert_eq!(
        status.identity,
        Some(ServerIdentity {
            known: "two".into(),
            seen: None
        })
    );
    // The old one again is a change like any other.
    assert_eq!(
        inspected(&found(), Some("two"), &mut status).0,
        InstanceReason::IdentityChanged
    );
}

#[test]
fn sessions_go_to_the_servers_of_the_instance_only() {
    let mut status = DatabaseInstanceStatus::default();
    assert!(expected(Some("two"), &status).is_any());
    let _ = inspected(&found(), None, &mut status);
    for (acknowledged, follows) in [(None, false), (Some("two"), true), (Some("one"), false)] {
        let expected = expected(acknowledged, &status);
        assert!(expected.accepts("one"));
        assert_eq!(expected.accepts("two"), follows, "{acknowledged:?}");
    }
}

#[test]
fn read_only_and_missing_privileges_stop_the_databases() {
    let mut status = DatabaseInstanceStatus::default();
    let standby = Inspection {
        read_only: true,
        ..found()
    };
    assert_eq!(
        inspected(&standby, None, &mut status).0,
        InstanceReason::ReadOnly
    );
    let missing = provider::MissingPrivilege {
        needed_for: "create dependents".into(),
        grant: "ALTER ROLE admin CREATEROLE".into(),
    };
    let (reason, message) = inspected(
        &Inspection {
            missing: vec![missing],
            ..found()
        },
        None,
        &mut status,
    );
    assert_eq!(reason, InstanceReason::MissingPrivileges);
    assert!(message.contains("ALTER ROLE admin CREATEROLE"), "{message}");
    assert_eq!(status.missing_privileges.len(), 1);
}

#[test]
fn a_setting_that_forbids_what_is_done_stops_the_databases_and_comes_with_its_statement() {
    let mut status = DatabaseInstanceStatus::default();
    let strict = provider::Warning {
        what: "passwords are refused".into(),
        sql: "SET GLOBAL strict_password_validation = OFF".into(),
    };
    let unsuitable = Inspection {
        unsuitable: vec![strict.clone(), strict],
        ..found()
    };
    let (reason, message) = inspected(&unsuitable, None, &mut status);
    assert_eq!(reason, InstanceReason::UnsuitableSettings);
    assert_eq!(
        message,
        "passwords are refused; to change it, run: SET GLOBAL strict_password_validation = OFF (and 1 more, all in \
         status.unsuitableSettings)"
    );
    assert_eq!(status.unsuitable_settings.len(), 2);
    assert_eq!(
        inspected(&found(), None, &mut status).0,
        InstanceReason::Connected
    );
    assert_eq!(status.unsuitable_settings, []);
}

fn instance(metadata: &serde_json::Value) -> DatabaseInstance {
    let mut object = serde_json::json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance",
        "metadata": {"name": "main", "generation": 3},
        "spec": {"provider": "postgresql", "host": "db", "adminSecretRef": {"name": "admin"},
                 "allowedNamespaces": {"all": true}},
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn observed(answer: Option<Answer>) -> Observation {
    Observation {
        facts: crate::instance::state::Facts {
            deleting: false,
            in_use: false,
            finalizer: true,
            suspended: false,
            reachable: true,
            requested: false,
            fresh: false,
            refused: false,
            asked: true,
        },
        dependents: crate::instance::dependents::Dependents::default(),
        way: Way::Unread,
        known: crate::server::connections::Known {
            answer,
            ..Default::default()
        },
    }
}

#[test]
fn a_server_that_is_not_asked_is_said_to_be_as_it_was_unless_it_worked() {
    let status = DatabaseInstanceStatus::default();
    let of = |answer: Option<&Answer>| paused(answer, None, &status).0;
    let standby = Inspection {
        read_only: true,
        ..found()
    };
    let refused = (InstanceReason::LoginFailed, "wrong password".to_owned());
    for (answer, expected) in [
        (None, InstanceReason::Unreachable),
        (
            Some(Answer::Inspected(found())),
            InstanceReason::Unreachable,
        ),
        (Some(Answer::Inspected(standby)), InstanceReason::ReadOnly),
        (Some(Answer::Failed(refused)), InstanceReason::LoginFailed),
    ] {
        assert_eq!(of(answer.as_ref()), expected, "{answer:?}");
    }
}

#[test]
fn requests_are_noted_by_the_pass_that_asked_the_server_and_by_no_other() {
    let asks = instance(&serde_json::json!({"annotations": {REQUESTS[0]: "1"}}));
    let failed = Answer::Failed((InstanceReason::Unreachable, String::new()));
    for (answer, basis, noted) in [
        (Answer::Inspected(found()), Basis::Asked, true),
        (Answer::Inspected(found()), Basis::Known, false),
        (failed, Basis::Asked, false),
    ] {
        let seen = observed(Some(answer));
        let ended = conclude(&asks, "cluster", &seen, basis);
        assert_eq!(!ended.status.handled.is_empty(), noted, "{basis:?}");
        assert_eq!(ended.status.cluster_id.as_deref(), Some("cluster"));
    }
}

#[test]
fn what_the_server_said_last_says_the_same_again() {
    let seen = observed(Some(Answer::Inspected(found())));
    let mut object = instance(&serde_json::json!({}));
    let asked = conclude(&object, "cluster", &seen, Basis::Asked);
    object.status = Some(asked.status.clone());
    let again = conclude(&object, "cluster", &seen, Basis::Known);
    assert_eq!(again.status, asked.status);
    assert_eq!(again.finding.0, InstanceReason::Connected);
}

#[test]
fn an_instance_that_is_kept_says_by_what_and_its_server_stays_usable() {
    let mut seen = observed(Some(Answer::Inspected(found())));
    seen.facts.deleting = true;
    let object = instance(&serde_json::json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}));
    let ended = conclude(&object, "c", &seen, Basis::Known);
    assert_eq!(ended.finding.0, InstanceReason::InUse);
    assert_eq!(ended.server.0, InstanceReason::Connected);
}
