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
        message.contains("1 to look at") && message.ends_with("run: DROP USER ''@'%'"),
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
