//! How a server differs from what a Database asks for: pure, from what the catalog says.

use super::{concerns, spec};
use crate::api::conditions::STALLED;
use crate::api::{Database, DatabaseReason, DatabaseState, Reason};
use crate::provider::{Claim, Claimant, MysqlSettings, Names, Observed, Survey};
pub(super) use crate::server::desired::claimant;
use crate::server::{Server, names};

/// Whether a survey gives reason to look at a Database on its own. If it cannot tell, it does.
#[must_use]
pub(super) fn is_suspected(database: &Database, survey: &Survey, cluster_id: &str) -> bool {
    if !is_watched(database) {
        return false;
    }
    let Ok(names) = names(database) else {
        return true;
    };
    let observed = survey.of(&names);
    // A block for another engine than the server's is told, and asks for nothing.
    let facts = observed.database.as_ref();
    let text = if facts.is_none_or(|facts| facts.options.is_none()) {
        spec::mysql_settings(&database.spec)
    } else {
        MysqlSettings::default()
    };
    is_settled(database) && to_tell(database, &names, &observed) != told(database)
        || !is_ours(&observed, &names, &claimant(database, cluster_id))
        || !differences(&names, connection_limit(database), &text, &observed).is_empty()
}

/// Whether a Database is in a state in which differences are put back. Each of the others looks for itself, or has nothing
/// to compare yet, or no more.
fn is_watched(database: &Database) -> bool {
    if database.spec.suspend {
        return false;
    }
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
pub(super) fn has_password_moved(database: &Database, survey: &Survey, server: &Server) -> bool {
    let Ok(names) = names(database) else {
        return false;
    };
    let now = survey.roles.get(names.role.as_str());
    is_watched(database)
        && server.has_password_moved(&names.role, now.and_then(|role| role.password))
}

/// What the conditions should say, by a survey: a setting that forbids the user to write comes first, for the database is
/// not ready by it.
fn to_tell(database: &Database, names: &Names, observed: &Observed) -> Option<DatabaseReason> {
    let facts = observed.database.as_ref();
    if facts.is_some_and(|facts| !facts.read_only.is_empty()) {
        return Some(DatabaseReason::ReadOnly);
    }
    let wanted = spec::creation_options(database);
    concerns::notice(names, &wanted, observed).map(|(reason, _)| reason)
}

/// Whether all that is asked for was done: otherwise the conditions say what is not, and each pass looks anew.
fn is_settled(database: &Database) -> bool {
    let settled = database
        .status
        .as_ref()
        .and_then(|status| status.settled_generation);
    settled.is_some() && settled == database.metadata.generation
}

/// Which of these reasons the conditions have.
fn told(database: &Database) -> Option<DatabaseReason> {
    let conditions = &database.status.as_ref()?.conditions;
    let stalled = conditions.iter().find(|c| c.type_ == STALLED)?;
    [
        DatabaseReason::ReadOnly,
        DatabaseReason::InTheWay,
        DatabaseReason::Exposed,
        DatabaseReason::OptionsDiffer,
    ]
    .into_iter()
    .find(|reason| reason.as_str() == stalled.reason)
}

/// What is different on the server, one sentence each; empty where all is as it should be.
#[must_use]
pub(super) fn differences(
    names: &Names,
    connection_limit: Option<u32>,
    text: &MysqlSettings,
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
            if !text.are(&database.character_set, &database.collation) {
                differences.push(format!(
                    "the default character set of {} is {} ({})",
                    names.database, database.character_set, database.collation
                ));
            }
            differences.extend(database.deviations.iter().cloned());
        }
    }
    differences
}

/// The claim of this claimant on these names, if there is one.
#[must_use]
pub(super) fn own_claim<'a>(
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
pub(super) fn connection_limit(database: &Database) -> Option<u32> {
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
                read_only: Vec::new(),
                options: None,
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
                hindrances: Vec::new(),
                may_be_blocked: false,
                ours: Ours::Unknown,
                password: None,
            }),
        }
    }

    #[test]
    fn what_a_person_has_to_know_is_news_until_it_is_told_and_when_it_is_gone() {
        use crate::api::Report;
        use crate::provider::CreationOptions;
        let spec = serde_json::json!({
            "instanceRef": {"name": "main"}, "postgresql": {"encoding": "LATIN1"}
        });
        let database = Database::new("orders", serde_json::from_value(spec).unwrap());
        let of = |observed: &Observed| to_tell(&database, &names(), observed);
        let said = |reason| {
            let mut database = database.clone();
            let status = database.status.get_or_insert_default();
            Report::new(reason, "why")
                .while_ready(DatabaseReason::Created, "")
                .record(&mut status.conditions, Some(1), jiff::Timestamp::UNIX_EPOCH);
            told(&database)
        };
        let mut observed = healthy();
        assert_eq!((of(&observed), told(&database)), (None, None));
        // From the least to the most urgent.
        observed.database.as_mut().unwrap().options = Some(CreationOptions {
            encoding: "UTF8".into(),
            locale_provider: "libc".into(),
            collate: "C".into(),
            ctype: "C".into(),
            provider_locale: None,
        });
        assert_eq!(of(&observed), said(DatabaseReason::OptionsDiffer));
        observed.database.as_mut().unwrap().exposures = vec!["everybody".into(), "bi".into()];
        assert_eq!(of(&observed), said(DatabaseReason::Exposed));
        observed.role.as_mut().unwrap().hindrances = vec!["another account".into()];
        assert_eq!(of(&observed), said(DatabaseReason::InTheWay));
        observed.database.as_mut().unwrap().read_only = vec!["read-only".into()];
        assert_eq!(of(&observed), said(DatabaseReason::ReadOnly));
        assert_ne!(of(&healthy()), said(DatabaseReason::ReadOnly));
        // What is not found on the server is none of these.
        assert_eq!(said(DatabaseReason::NoBackupDestination), None);
    }

    #[test]
    fn a_character_set_that_was_asked_for_is_compared() {
        let text = |character_set: &str| MysqlSettings {
            character_set: Some(character_set.to_owned()),
            collation: None,
        };
        let mut observed = healthy();
        observed.database.as_mut().unwrap().character_set = "utf8mb4".into();
        let differences = |text: &MysqlSettings| differences(&names(), Some(5), text, &observed);
        assert_eq!(differences(&text("utf8mb4")), [""; 0]);
        assert_eq!(
            differences(&text("latin1")),
            ["the default character set of orders is utf8mb4 (C)"]
        );
    }

    #[test]
    fn what_is_as_it_should_be_does_not_differ() {
        assert_eq!(
            differences(&names(), Some(5), &MysqlSettings::default(), &healthy()),
            Vec::<String>::new()
        );
    }

    #[test]
    fn every_difference_is_named() {
        let nothing = differences(
            &names(),
            None,
            &MysqlSettings::default(),
            &Observed::default(),
        );
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
            differences(&names(), None, &MysqlSettings::default(), &observed),
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
