//! The part of the acts `Create` and `Maintain` that makes the server as it should be, where it is not.

use std::sync::Arc;

use kube::runtime::events::EventType;

use super::drift;
use super::pass::Pass;
use super::provision::Depth;
use crate::credentials::{self, Stored};
use crate::provider::{Change, Desired, Observed, Verifier};
use crate::server::{Server, ServerError};

/// What the server is to store of the password, where it does not do so already. `lets_in`: it has another one on purpose.
pub(super) async fn to_set(
    server: &Arc<Server>,
    observed: &Observed,
    stored: &Stored,
    lets_in: bool,
) -> Option<Verifier> {
    if stored.is_fresh() || observed.role.is_none() || lets_in {
        Some(credentials::verifier(server, &stored.password).await)
    } else {
        None
    }
}

/// Makes user and database as they should be. Server required.
pub(super) async fn match_server(
    server: &Arc<Server>,
    desired: &Desired,
    observed: &Observed,
    verifier: Option<&Verifier>,
    depth: Depth,
    unfinished: bool,
) -> Result<Vec<Change>, ServerError> {
    let differences = drift::differences(
        &desired.names,
        desired.connection_limit,
        &desired.mysql,
        observed,
    );
    let mut changes = Vec::new();
    let differs = unfinished || !differences.is_empty() || verifier.is_some();
    if depth.create || depth.asked || differs {
        changes.extend(
            server
                .ask("ensure_role", |provider| {
                    provider.ensure_role(desired, verifier)
                })
                .await?,
        );
        if verifier.is_some() {
            server.note_password(&desired.names.role, verifier);
        }
        changes.extend(
            server
                .ask("ensure_database", |provider| {
                    provider.ensure_database(desired)
                })
                .await?,
        );
    }
    Ok(changes)
}

/// Makes what is inside the database as it should be. `differs`: its user saw that something is not. Server required.
pub(super) async fn match_contents(
    server: &Arc<Server>,
    desired: &Desired,
    observed: &Observed,
    depth: Depth,
    differs: bool,
) -> Result<Vec<Change>, ServerError> {
    if !(depth.create || depth.deep || differs || observed.database.is_none()) {
        return Ok(Vec::new());
    }
    server
        .ask("ensure_contents", |provider| {
            provider.ensure_contents(desired)
        })
        .await
}

/// Tells of what was changed: of a database that is being made, nothing.
pub(super) async fn record_changes(pass: &Pass<'_>, depth: Depth, changes: &[Change]) {
    if changes.is_empty() || depth.create {
        return;
    }
    let all: Vec<&str> = changes
        .iter()
        .map(|Change(sentence)| sentence.as_str())
        .collect();
    let reason = if pass.is_changed() {
        "Changed"
    } else {
        "Repaired"
    };
    pass.record_event(EventType::Normal, reason, all.join("; "))
        .await;
}

/// Whether the server shows whether its user can log in: what it stores of the password, and whom wrong ones have blocked.
/// Elsewhere, only a login does.
pub(super) fn shows_logins(observed: &Observed) -> bool {
    let role = observed.role.as_ref();
    role.is_some_and(|role| role.password.is_some() && !role.may_be_blocked)
}
