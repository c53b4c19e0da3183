//! What the conditions of an instance say of its server: pure. An instance has no Events: its conditions say all.

use crate::api::InstanceReason;
use crate::provider::{Inspection, ProviderError};
use crate::server::Finding;

/// What the conditions say while the server is left alone.
#[must_use]
pub(super) fn suspended() -> Finding {
    let message = "spec.suspend is true: nothing is looked at or changed on this server".to_owned();
    (InstanceReason::Suspended, message)
}

/// What they say before the server has been asked for the first time.
#[must_use]
pub(super) fn unasked() -> Finding {
    let message = "the server is being looked at".to_owned();
    (InstanceReason::Checking, message)
}

/// What they say of a server that answered the operator, but no longer answers for its databases.
#[must_use]
pub(super) fn unreachable_for_databases() -> Finding {
    let message =
        "its databases found that the server does not answer; it is asked again soon".to_owned();
    (InstanceReason::Unreachable, message)
}

/// What they say of a server that is the one that was expected.
#[must_use]
pub(super) fn of_inspection(found: &Inspection) -> Finding {
    if found.read_only {
        let message = format!(
            "{} {} is read-only: point spec.host at the primary",
            found.flavour, found.version
        );
        return (InstanceReason::ReadOnly, message);
    }
    if let Some(first) = found.missing.first() {
        let message = format!(
            "the administrator lacks {} privilege(s), all in status.missingPrivileges; to {}, run: {}",
            found.missing.len(),
            first.needed_for,
            first.grant
        );
        return (InstanceReason::MissingPrivileges, message);
    }
    if let Some(first) = found.unsuitable.first() {
        let more = match found.unsuitable.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more, all in status.unsuitableSettings)"),
        };
        let message = format!("{}; to change it, run: {}{more}", first.what, first.sql);
        return (InstanceReason::UnsuitableSettings, message);
    }
    let tls = found.tls.as_deref().unwrap_or("no TLS");
    let mut message = format!("{} {}, {tls}", found.flavour, found.version);
    if let Some(first) = found.warnings.first() {
        message = format!(
            "{message}; {} warning(s), all in status.warnings: {}; to fix the first, run: {}",
            found.warnings.len(),
            first.what,
            first.sql
        );
    }
    (InstanceReason::Connected, message)
}

/// What a failure to ask the server means.
#[must_use]
pub(super) fn of_failure(error: &ProviderError) -> Finding {
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
        ProviderError::TlsRequired { .. } => InstanceReason::TlsRequired,
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
