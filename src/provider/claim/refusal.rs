//! The sentences by which a claim is refused.

use super::{Claim, Request};
use crate::provider::{Names, SqlName};

/// A role that is more than an ordinary one is never touched. `None` for an ordinary one, which has no `powers`.
pub(crate) fn never_touched(role: &str, powers: &[String]) -> Option<String> {
    if powers.is_empty() {
        return None;
    }
    Some(format!(
        "the user {role:?} is never touched, because it has {}",
        powers.join(", ")
    ))
}

/// For a claim that holds only one of the two names.
pub(super) fn half(claim: &Claim, wanted: &Names) -> String {
    let Claim {
        names, claimant, ..
    } = claim;
    let released = if claim.released { " (released)" } else { "" };
    if names.database == wanted.database {
        format!(
            "database {:?} belongs with user {:?} to {claimant}{released}",
            names.database, names.role
        )
    } else {
        format!(
            "user {:?} belongs with database {:?} to {claimant}{released}",
            names.role, names.database
        )
    }
}

/// For a name like those of what restores make.
pub(super) fn derived(name: &SqlName) -> String {
    format!(
        "the name {name:?} is reserved for what db-operator makes for restores: choose one without \"__r_\" and \"__was_\""
    )
}

/// What exists already, with its verb.
pub(super) fn existing(names: &Names, database: bool, role: bool) -> String {
    match (database, role) {
        (true, true) => format!(
            "database {:?} and user {:?} exist",
            names.database, names.role
        ),
        (true, false) => format!("database {:?} exists", names.database),
        (false, true | false) => format!("user {:?} exists", names.role),
    }
}

/// Whose consent is missing, and how it is given.
pub(super) fn consent(request: &Request<'_>, adopts: bool, listed: bool) -> String {
    let namespace = &request.claimant.namespace;
    let todo = match (adopts, listed) {
        (false, false) => format!(
            "set spec.adoptionPolicy to IfUnclaimed and have the platform team list them for namespace {namespace} \
             in the instance's spec.adoptable"
        ),
        (true, _) => format!(
            "have the platform team list them for namespace {namespace} in the instance's spec.adoptable"
        ),
        (false, true) => "set spec.adoptionPolicy to IfUnclaimed".to_owned(),
    };
    format!("to adopt them, {todo}")
}
