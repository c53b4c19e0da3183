//! How a server differs from what a Database asks for: pure, from what the catalog says.

use kube::ResourceExt;

use crate::api::conditions::STALLED;
use crate::api::{Database, DatabaseReason, DatabaseState, Reason};
use crate::provider::{Claim, Claimant, Names, Observed, Survey};
use crate::server::{Server, names};

/// Whether a survey gives reason to look at a Database on its own. If it cannot tell, it does.
#[must_use]
pub fn is_suspected(database: &Database, survey: &Survey, cluster_id: &str) -> bool {
    if !is_watched(database) {
        return false;
    }
    let Ok(names) = names(database) else {
        return true;
    };
    let observed = survey.of(&names);
    is_exposed(&observed) != is_told_exposed(database)
        || !is_ours(&observed, &names, &claimant(database, cluster_id))
        || !differences(&names, connection_limit(database), &observed).is_empty()
}

/// Whether a Database is in a state in which differences are put back. Each of the others looks for itself, or has nothing
/// to compare yet, or no more.
fn is_watched(database: &Database) -> bool {
    match database.state() {
        Some(
            DatabaseState::Created
            | DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted,
        ) => true,
        None
        | Some(
            DatabaseState::Creating
            | DatabaseState::BackupBeforeDeleteRequested
            | DatabaseState::BackupBeforeDeleteInProgress
            | DatabaseState::BackupBeforeDeleteCompleted
            | DatabaseState::DeletionRequested
            | DatabaseState::DeletionInProgress
            | DatabaseState::Deleted,
        ) => false,
    }
}

/// Whether someone changed the password of a Database's user on the server.
#[must_use]
pub fn has_password_moved(database: &Database, survey: &Survey, server: &Server) -> bool {
    let Ok(names) = names(database) else {
        return false;
    };
    let now = survey.roles.get(names.role.as_str());
    is_watched(database)
        && server.has_password_moved(&names.role, now.and_then(|role| role.password))
}

/// Whether others get at the database by rights that the operator did not give, and so does not take back.
fn is_exposed(observed: &Observed) -> bool {
    let database = observed.database.as_ref();
    database.is_some_and(|database| !database.exposures.is_empty())
}

/// Whether the conditions say so.
fn is_told_exposed(database: &Database) -> bool {
    let status = database.status.as_ref();
    status.is_some_and(|status| {
        let mut conditions = status.conditions.iter();
        conditions.any(|c| c.type_ == STALLED && c.reason == DatabaseReason::Exposed.as_str())
    })
}

/// In whose name this object's claims are made.
#[must_use]
pub fn claimant(database: &Database, cluster_id: &str) -> Claimant {
    Claimant {
        cluster_id: cluster_id.to_owned(),
        namespace: database.namespace().unwrap_or_default(),
        name: database.name_any(),
    }
}

/// What is different on the server, one sentence each; empty where all is as it should be.
#[must_use]
pub fn differences(
    names: &Names,
    connection_limit: Option<u32>,
    observed: &Observed,
) -> Vec<String> {
    let mut differences = Vec::new();
    match &observed.role {
        None => differences.push(format!("the user {} does not exist", names.role)),
        Some(role) => {
            if !role.can_login {
                differences.push(format!("the user {} may not log in", names.role));
            }
            if role.connection_limit != connection_limit {
                differences.push(format!(
                    "the connection limit of {} is {}, not {}",
                    names.role,
                    limit(role.connection_limit),
                    limit(connection_limit)
                ));
            }
            differences.extend(role.deviations.iter().cloned());
        }
    }
    match &observed.database {
        None => differences.push(format!("the database {} does not exist", names.database)),
        Some(database) => {
            if database.owner.as_deref() != Some(names.role.as_str()) {
                let owner = database.owner.as_deref().unwrap_or("nobody");
                differences.push(format!(
                    "the database {} is owned by {owner}",
                    names.database
                ));
            }
            differences.extend(database.deviations.iter().cloned());
        }
    }
    differences
}

/// The claim of this claimant on these names, if there is one.
#[must_use]
pub fn own_claim<'a>(
    claimant: &Claimant,
    names: &Names,
    observed: &'a Observed,
) -> Option<&'a Claim> {
    let mut claims = observed.claims.iter();
    claims.find(|claim| claim.claimant == *claimant && claim.names == *names)
}

fn is_ours(observed: &Observed, names: &Names, claimant: &Claimant) -> bool {
    matches!(observed.claims.as_slice(), [claim] if claim.names == *names && claim.claimant == *claimant
        && !claim.released && !claim.is_unfinished() && !claim.has_strangers(observed))
}

/// The limit that a Database asks for.
#[must_use]
pub fn connection_limit(database: &Database) -> Option<u32> {
    database
        .spec
        .connection_limit
        .and_then(|limit| u32::try_from(limit).ok())
}

fn limit(limit: Option<u32>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{DatabaseFacts, Ours, RoleFacts, SqlName};

    fn names() -> Names {
        Names {
            database: SqlName::new("orders").unwrap(),
            role: SqlName::new("owner").unwrap(),
        }
    }

    fn healthy() -> Observed {
        Observed {
            claims: Vec::new(),
            database: Some(DatabaseFacts {
                owner: Some("owner".into()),
                deviations: Vec::new(),
                exposures: Vec::new(),
                character_set: "UTF8".into(),
                collation: "C".into(),
                ours: Ours::Unknown,
            }),
            role: Some(RoleFacts {
                can_login: true,
                connection_limit: Some(5),
                powers: Vec::new(),
                alterable: true,
                deviations: Vec::new(),
                ours: Ours::Unknown,
                password: None,
            }),
        }
    }

    #[test]
    fn an_exposure_is_news_until_it_is_told_and_when_it_is_gone() {
        use crate::api::Report;
        let mut database = Database::new(
            "orders",
            serde_json::from_value(serde_json::json!({
                "instanceRef": {"name": "main"}
            }))
            .unwrap(),
        );
        let mut observed = healthy();
        assert_eq!(is_exposed(&observed), is_told_exposed(&database));
        observed.database.as_mut().unwrap().exposures = vec!["everybody".into()];
        assert_ne!(is_exposed(&observed), is_told_exposed(&database));
        let status = database.status.get_or_insert_default();
        Report::new(DatabaseReason::Exposed, "everybody")
            .while_ready(DatabaseReason::Created, "")
            .record(&mut status.conditions, Some(1), jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(is_exposed(&observed), is_told_exposed(&database));
        assert_ne!(is_exposed(&healthy()), is_told_exposed(&database));
    }

    #[test]
    fn what_is_as_it_should_be_does_not_differ() {
        assert_eq!(
            differences(&names(), Some(5), &healthy()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_difference_is_named() {
        let nothing = differences(&names(), None, &Observed::default());
        assert_eq!(
            nothing,
            [
                "the user owner does not exist",
                "the database orders does not exist"
            ]
        );

        let mut observed = healthy();
        let database = observed.database.as_mut().unwrap();
        database.owner = Some("other".into());
        database.deviations = vec!["PUBLIC may connect".into()];
        let role = observed.role.as_mut().unwrap();
        role.can_login = false;
        role.deviations = vec!["owner may create databases".into()];
        assert_eq!(
            differences(&names(), None, &observed),
            [
                "the user owner may not log in",
                "the connection limit of owner is 5, not unlimited",
                "owner may create databases",
                "the database orders is owned by other",
                "PUBLIC may connect"
            ]
        );
    }
}
