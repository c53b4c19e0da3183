//! The status that follows from what the server said, except the conditions: pure.

use kube::ResourceExt;

use super::observe::{Observation, REQUESTS, Way};
use super::state::Basis;
use super::status;
use crate::api::instance::{
    DatabaseInstanceStatus, Flavour, MissingPrivilege, ServerIdentity, TlsInUse, Warning,
};
use crate::api::{ACKNOWLEDGE_IDENTITY, DatabaseInstance, InstanceReason};
use crate::provider::{self, Expected, Inspection};
use crate::server::Finding;
use crate::server::connections::Answer;

/// How a pass ends.
#[derive(Debug)]
pub(super) struct Conclusion {
    /// The status that is written, except the conditions.
    pub status: DatabaseInstanceStatus,
    /// What was found of the server, whether or not the conditions say that or why the object is kept.
    pub server: Finding,
    /// What the conditions say.
    pub finding: Finding,
}

/// The status that follows from an observation.
#[must_use]
pub(super) fn conclude(
    instance: &DatabaseInstance,
    cluster_id: &str,
    seen: &Observation,
    basis: Basis,
) -> Conclusion {
    let mut next = instance.status.clone().unwrap_or_default();
    next.cluster_id = Some(cluster_id.to_owned());
    next.databases = Some(i64::try_from(seen.dependents.count()).unwrap_or(i64::MAX));

    let server = server(instance, seen, basis, &mut next);
    let finding = if seen.facts.deleting {
        seen.dependents.finding()
    } else {
        server.clone()
    };
    Conclusion {
        status: next,
        server,
        finding,
    }
}

/// What is found of the server, and what of that is put into the status.
fn server(
    instance: &DatabaseInstance,
    seen: &Observation,
    basis: Basis,
    next: &mut DatabaseInstanceStatus,
) -> Finding {
    match basis {
        Basis::Suspended => status::suspended(),
        Basis::Unreachable => match &seen.way {
            Way::Incomplete(finding) => finding.clone(),
            Way::Unread | Way::Complete(_) => status::unasked(),
        },
        Basis::Refused => seen.known.refusal.clone().unwrap_or_else(status::unasked),
        Basis::Known | Basis::Asked => match &seen.known.answer {
            Some(Answer::Inspected(found)) => {
                if basis == Basis::Asked {
                    handled(instance, next);
                }
                inspected(found, acknowledged(instance), next)
            }
            Some(Answer::Failed(finding)) => finding.clone(),
            None => status::unasked(),
        },
    }
}

/// Notes that what annotations ask for is done.
fn handled(instance: &DatabaseInstance, status: &mut DatabaseInstanceStatus) {
    for key in REQUESTS {
        if let Some(value) = instance.annotations().get(key) {
            status.handled.insert(key.to_owned(), value.clone());
        }
    }
}

/// The identity of the server that someone said is the right one.
#[must_use]
pub(super) fn acknowledged(instance: &DatabaseInstance) -> Option<&str> {
    let annotations = instance.metadata.annotations.as_ref();
    annotations?.get(ACKNOWLEDGE_IDENTITY).map(String::as_str)
}

/// What is found of a server that was not asked, because its breaker is open: what it said `before`, unless that was
/// that it works.
#[must_use]
pub(super) fn paused(
    before: Option<&Answer>,
    acknowledged: Option<&str>,
    status: &DatabaseInstanceStatus,
) -> Finding {
    match before {
        Some(Answer::Failed(finding)) => finding.clone(),
        Some(Answer::Inspected(found)) => {
            let said = inspected(found, acknowledged, &mut status.clone());
            if said.0 == InstanceReason::Connected {
                status::unreachable_for_databases()
            } else {
                said
            }
        }
        None => status::unreachable_for_databases(),
    }
}

/// Puts what an inspection found into the status, and says what it means for the instance.
///
/// `acknowledged` is the value of the annotation [`ACKNOWLEDGE_IDENTITY`].
#[must_use]
pub(super) fn inspected(
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
    status.unsuitable_settings = found.unsuitable.iter().map(warning).collect();
    status.warnings = found.warnings.iter().map(warning).collect();
    let moved = identity(
        found.identity.as_deref(),
        acknowledged,
        &mut status.identity,
    );
    moved.unwrap_or_else(|| status::of_inspection(found))
}

/// The servers that may be worked on: the one that the status knows, and one that was acknowledged.
#[must_use]
pub(super) fn expected(acknowledged: Option<&str>, status: &DatabaseInstanceStatus) -> Expected {
    let known = status
        .identity
        .as_ref()
        .map(|identity| identity.known.as_str());
    Expected::new(known, acknowledged)
}

/// A server with another identity than the known one is left alone until someone acknowledges it.
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
                "the server was {known} and is {found} now: if that is intended, set the annotation {ACKNOWLEDGE_IDENTITY}={found}; \
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

fn warning(found: &provider::Warning) -> Warning {
    Warning {
        what: found.what.clone(),
        sql: found.sql.clone(),
    }
}

/// The engine, as the API names it: the only place that turns one enum into the other.
fn flavour(flavour: provider::Flavour) -> Flavour {
    match flavour {
        provider::Flavour::Postgresql => Flavour::PostgreSql,
        provider::Flavour::Mysql => Flavour::MySql,
        provider::Flavour::Mariadb => Flavour::MariaDb,
    }
}

#[cfg(test)]
#[path = "transition_tests.rs"]
mod tests;
