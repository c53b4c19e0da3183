//! What was found on a server, and what that means for its instance. Pure.

use crate::api::instance::{
    DatabaseInstanceStatus, Flavour, MissingPrivilege, ServerIdentity, TlsInUse, Warning,
};
use crate::api::{ACKNOWLEDGE_IDENTITY, InstanceReason};
use crate::provider::{self, Expected, Inspection, ProviderError};
use crate::server::Finding;

/// Puts what was found into the status and says whether databases may use the server.
///
/// `acknowledged` is the value of the annotation [`ACKNOWLEDGE_IDENTITY`].
#[must_use]
pub fn of_inspection(
    found: &Inspection,
    acknowledged: Option<&str>,
    status: &mut DatabaseInstanceStatus,
) -> Finding {
    status.version = Some(found.version.clone());
    status.flavour = Some(flavour(found.flavour));
    status.tls = Some(TlsInUse {
        enabled: found.tls.is_some(),
        protocol: found.tls.clone(),
    });
    status.missing_privileges = found
        .missing
        .iter()
        .map(|missing| MissingPrivilege {
            needed_for: missing.needed_for.clone(),
            sql: missing.grant.clone(),
        })
        .collect();
    status.warnings = found
        .warnings
        .iter()
        .map(|warning| Warning {
            what: warning.what.clone(),
            sql: warning.sql.clone(),
        })
        .collect();
    if let Some(finding) = identity(
        found.identity.as_deref(),
        acknowledged,
        &mut status.identity,
    ) {
        return finding;
    }
    if found.read_only {
        let message = format!(
            "{} {} is read-only: point spec.host at the primary",
            found.flavour, found.version
        );
        return (InstanceReason::ReadOnly, message);
    }
    if let Some(first) = found.missing.first() {
        let message = format!(
            "the administrator may not do all that is needed ({} missing, all in status.missingPrivileges); to {}, run: {}",
            found.missing.len(),
            first.needed_for,
            first.grant
        );
        return (InstanceReason::MissingPrivileges, message);
    }
    let tls = found.tls.as_deref().unwrap_or("no TLS");
    let mut message = format!("{} {}, {tls}", found.flavour, found.version);
    if let Some(first) = found.warnings.first() {
        message = format!(
            "{message}; {} to look at, all in status.warnings: {}; to mend that, run: {}",
            found.warnings.len(),
            first.what,
            first.sql
        );
    }
    (InstanceReason::Connected, message)
}

/// The servers that may be worked on, by what is known of an instance: its own, and one that is acknowledged.
#[must_use]
pub fn expected(acknowledged: Option<&str>, status: &DatabaseInstanceStatus) -> Expected {
    let known = status
        .identity
        .as_ref()
        .map(|identity| identity.known.as_str());
    Expected::new(known, acknowledged)
}

/// What a failure to ask the server means.
#[must_use]
pub fn of_failure(error: &ProviderError) -> Finding {
    let reason = match error {
        ProviderError::Unreachable { .. }
        | ProviderError::Timeout { .. }
        | ProviderError::AllInUse { .. }
        | ProviderError::Busy { .. }
        | ProviderError::Unexpected { .. }
        | ProviderError::InDatabase { .. }
        | ProviderError::ClaimMoved { .. }
        | ProviderError::Superseded { .. }
        | ProviderError::NotLeading => InstanceReason::Unreachable,
        ProviderError::Tls { .. } => InstanceReason::TlsFailed,
        ProviderError::LoginRefused { .. } => InstanceReason::LoginFailed,
        ProviderError::TooManyConnections { .. } => InstanceReason::TooManyConnections,
        ProviderError::ReadOnly { .. } => InstanceReason::ReadOnly,
        ProviderError::IdentityChanged { .. } => InstanceReason::IdentityChanged,
        ProviderError::NotPermitted { .. } => InstanceReason::MissingPrivileges,
        ProviderError::Unsupported(_) => InstanceReason::UnsupportedVersion,
        ProviderError::InTheWay(_) => InstanceReason::ClaimsUnusable,
    };
    (reason, error.to_string())
}

/// Another identity than the known one is left alone until somebody acknowledged it.
fn identity(
    found: Option<&str>,
    acknowledged: Option<&str>,
    status: &mut Option<ServerIdentity>,
) -> Option<Finding> {
    let found = found?;
    let known = status.as_ref().map(|identity| identity.known.clone());
    match known {
        Some(known) if !Expected::new(Some(&known), acknowledged).accepts(found) => {
            let message = format!(
                "the server was {known} and is {found} now: if that is meant, set the annotation {ACKNOWLEDGE_IDENTITY}={found}; \
                 until then nothing is changed there"
            );
            *status = Some(ServerIdentity {
                known,
                seen: Some(found.to_owned()),
            });
            Some((InstanceReason::IdentityChanged, message))
        }
        Some(_) | None => {
            *status = Some(ServerIdentity {
                known: found.to_owned(),
                seen: None,
            });
            None
        }
    }
}

fn flavour(flavour: provider::Flavour) -> Flavour {
    match flavour {
        provider::Flavour::Postgresql => Flavour::PostgreSql,
        provider::Flavour::Mysql => Flavour::MySql,
        provider::Flavour::Mariadb => Flavour::MariaDb,
    }
}

#[cfg(test)]
mod tests {
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
        let (reason, message) = of_inspection(&found(), None, &mut status);
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
        let (reason, message) = of_inspection(&exposed, None, &mut status);
        assert_eq!(reason, InstanceReason::Connected);
        assert!(
            message.contains("1 to look at") && message.ends_with("run: DROP USER ''@'%'"),
            "{message}"
        );
        assert_eq!(status.warnings.len(), 1);
        let _ = of_inspection(&found(), None, &mut status);
        assert_eq!(status.warnings, []);
    }

    #[test]
    fn another_server_is_left_alone_until_it_is_acknowledged() {
        let mut status = DatabaseInstanceStatus::default();
        let _ = of_inspection(&found(), None, &mut status);
        let other = Inspection {
            identity: Some("two".into()),
            ..found()
        };
        for acknowledged in [None, Some("one"), Some("three")] {
            let (reason, message) = of_inspection(&other, acknowledged, &mut status);
            assert_eq!(reason, InstanceReason::IdentityChanged);
            assert!(message.contains("acknowledge-identity=two"), "{message}");
            assert_eq!(status.identity.as_ref().unwrap().known, "one");
        }
        assert_eq!(
            of_inspection(&other, Some("two"), &mut status).0,
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
            of_inspection(&found(), Some("two"), &mut status).0,
            InstanceReason::IdentityChanged
        );
    }

    #[test]
    fn sessions_go_to_the_servers_of_the_instance_only() {
        let mut status = DatabaseInstanceStatus::default();
        assert!(expected(Some("two"), &status).is_any());
        let _ = of_inspection(&found(), None, &mut status);
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
            of_inspection(&standby, None, &mut status).0,
            InstanceReason::ReadOnly
        );
        let missing = provider::MissingPrivilege {
            needed_for: "create dependents".into(),
            grant: "ALTER ROLE admin CREATEROLE".into(),
        };
        let (reason, message) = of_inspection(
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
}
