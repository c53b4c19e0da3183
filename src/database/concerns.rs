//! What a person should know, and change, of a database that exists: some of it is told while the database can be used, and
//! some of it makes it unusable. Nothing of it is the operator's to change.

use std::sync::Arc;

use super::blocked::Blocked;
use crate::api::conditions::STALLED;
use crate::api::{Database, DatabaseReason, Reason};
use crate::provider::{
    Claim, Desired, Extent, Inaccessible, MissingPrivilege, Names, Observed, Origin, Ours,
    PostgresqlSettings,
};
use crate::server::{Server, ServerError};

/// What a person has to know about a database that can be used all the same: why, and a sentence with what to do.
pub(super) type Notice = (DatabaseReason, String);

/// What keeps a Database's user from the database, or others get at it by, or is not as it was asked for: the most urgent of
/// these. `names` and `wanted` are what is asked for.
#[must_use]
pub(super) fn notice(
    names: &Names,
    wanted: &PostgresqlSettings,
    observed: &Observed,
) -> Option<Notice> {
    let hindrances = observed.role.iter().map(|role| &role.hindrances);
    let exposures = observed.database.iter().map(|database| &database.exposures);
    let hindrances = hindrances.map(|all| (DatabaseReason::InTheWay, all));
    let exposures = exposures.map(|all| (DatabaseReason::Exposed, all));
    hindrances
        .chain(exposures)
        .find_map(|(reason, all)| all.first().map(|first| (reason, first, all.len() - 1)))
        .map(|(reason, first, more)| match more {
            0 => (reason, first.clone()),
            more => (reason, format!("{first} (and {more} more)")),
        })
        .or_else(|| notice_of_options(names, wanted, observed))
}

/// How the options of a database that exists differ from those that are asked for, one sentence each.
fn option_differences(wanted: &PostgresqlSettings, observed: &Observed) -> Vec<String> {
    let database = observed.database.as_ref();
    database
        .and_then(|database| database.options.as_ref())
        .map(|options| options.differences(wanted))
        .unwrap_or_default()
}

fn notice_of_options(
    names: &Names,
    wanted: &PostgresqlSettings,
    observed: &Observed,
) -> Option<Notice> {
    let differences = option_differences(wanted, observed);
    (!differences.is_empty()).then(|| {
        let message = format!(
            "{}: to keep it as it is, delete this object with deletionPolicy Retain and create it again with \
             spec.postgresql as the database is; otherwise create another Database, and move the data",
            other_options(names, &differences)
        );
        (DatabaseReason::OptionsDiffer, message)
    })
}

/// Refuses a database that exists with other options of creation than are asked for.
pub(super) fn refuse_other_options(desired: &Desired, observed: &Observed) -> Result<(), Blocked> {
    let differences = option_differences(&desired.postgresql, observed);
    if differences.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{}: to use it as it is, correct spec.postgresql accordingly; otherwise create another Database with another name",
        other_options(&desired.names, &differences)
    );
    Err(Blocked::new(DatabaseReason::OptionsDiffer, message))
}

/// What is different, as the beginning of a sentence.
fn other_options(names: &Names, differences: &[String]) -> String {
    format!(
        "the database {} exists, and {}, which cannot be changed",
        names.database,
        differences.join(", ")
    )
}

/// Refuses a database that its user can log in to, but not write to: nothing of that is the operator's to change.
pub(super) fn refuse_read_only(observed: &Observed) -> Result<(), Blocked> {
    let database = observed.database.as_ref();
    match database.and_then(|database| database.read_only.first()) {
        Some(sentence) => Err(Blocked::new(DatabaseReason::ReadOnly, sentence)),
        None => Ok(()),
    }
}

/// Which objects of others in the database have to be told. `None` for one that was made just now.
pub(super) fn extent(desired: &Desired, observed: &Observed, claim: &Claim) -> Option<Extent> {
    let database = observed.database.as_ref()?;
    Some(
        if claim.database == Origin::Adopted || database.ours == Ours::No {
            Extent::Everything
        } else if desired.postgresql.template.is_some() {
            // Whose things in a template are, and who may read them, its owner has decided.
            Extent::Nothing
        } else {
            Extent::OwnSchemas
        },
    )
}

/// What the database's user cannot use of what others own: as it `seen` that itself, or else, where the pass is `deep`, by
/// a question of the administrator. `None` if nobody looked.
pub(super) async fn look(
    server: &Arc<Server>,
    desired: &Desired,
    extent: Option<Extent>,
    seen: Option<Inaccessible>,
    deep: bool,
) -> Result<Option<Inaccessible>, Blocked> {
    match (seen, extent) {
        (Some(seen), _) => Ok(Some(seen)),
        (None, Some(extent @ (Extent::Everything | Extent::OwnSchemas))) if deep => {
            let names = &desired.names;
            let asked = server.ask("inaccessible", |provider| {
                provider.inaccessible(names, extent)
            });
            match (asked.await, extent) {
                (Ok(seen), _) => Ok(Some(seen)),
                // What its own user could not see is no reason to refuse a database that the operator made.
                (Err(error), Extent::OwnSchemas) if !ends_pass(&error) => {
                    tracing::debug!(%error, "cannot look at objects of others");
                    Ok(None)
                }
                (Err(error), _) => Err(error.into()),
            }
        }
        (None, _) => Ok(None),
    }
}

/// Refuses a database that its user can log in to, but not use; or says what of it the user cannot use all the same. Whoever
/// made the database may have granted the right to read and no more.
pub(super) fn usable(
    desired: &Desired,
    extent: Option<Extent>,
    seen: &Inaccessible,
) -> Result<Option<Notice>, Blocked> {
    let user = &desired.names.role;
    let told = |what: &str, these: &[MissingPrivilege]| {
        let message = not_accessible(desired, what, these);
        (DatabaseReason::ObjectsNotAccessible, message)
    };
    if !seen.unreadable.is_empty() {
        let (reason, message) = told(
            &format!("the user {user} cannot read everything"),
            &seen.unreadable,
        );
        // Besides what it can use, a private table of another one is not in its way.
        return if extent == Some(Extent::Everything) || !seen.reads_some {
            Err(Blocked::new(reason, message))
        } else {
            Ok(Some((reason, message)))
        };
    }
    if extent == Some(Extent::Everything) && !seen.read_only.is_empty() {
        let what = format!("the user {user} can read everything, but not write everything");
        return Ok(Some(told(&what, &seen.read_only)));
    }
    Ok(None)
}

fn not_accessible(desired: &Desired, what: &str, these: &[MissingPrivilege]) -> String {
    let all = |part: fn(&MissingPrivilege) -> &String| {
        let parts: Vec<&str> = these.iter().map(|one| part(one).as_str()).collect();
        parts.join("; ")
    };
    format!(
        "{what} in database {database}: {}. In database {database}, as a superuser or a member of both roles, run: {}",
        all(|one| &one.needed_for),
        all(|one| &one.grant),
        database = desired.names.database,
    )
}

/// Whether no pass may go on after this error.
fn ends_pass(error: &ServerError) -> bool {
    match error.provider() {
        Some(cause) => cause.is_server_down() || cause.ends_process(),
        None => true,
    }
}

/// What the conditions tell of the inside of the database.
pub(super) fn inside_told(database: &Database) -> Option<Notice> {
    let conditions = database.status.iter().flat_map(|status| &status.conditions);
    let reason = DatabaseReason::ObjectsNotAccessible;
    let mut stalled = conditions.filter(|condition| condition.type_ == STALLED);
    let told = stalled.find(|condition| condition.reason == reason.as_str())?;
    Some((reason, told.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Claimant, DatabaseFacts, MysqlSettings, SqlName};

    fn desired() -> Desired {
        let name = |name: &str| SqlName::new(name).unwrap();
        Desired {
            names: Names {
                database: name("orders"),
                role: name("app"),
            },
            connection_limit: None,
            postgresql: PostgresqlSettings::default(),
            mysql: MysqlSettings::default(),
        }
    }

    fn missing(what: &str) -> Vec<MissingPrivilege> {
        vec![MissingPrivilege {
            needed_for: what.to_owned(),
            grant: format!("GIVE {what}"),
        }]
    }

    #[test]
    fn what_cannot_even_be_read_makes_a_database_of_others_unready() {
        let seen = Inaccessible {
            unreadable: missing("hidden"),
            read_only: missing("lent"),
            reads_some: true,
        };
        let blocked = usable(&desired(), Some(Extent::Everything), &seen).unwrap_err();
        assert_eq!(blocked.reason, DatabaseReason::ObjectsNotAccessible);
        assert_eq!(
            blocked.message,
            "the user app cannot read everything in database orders: hidden. In database orders, as a superuser or a member \
             of both roles, run: GIVE hidden"
        );
        assert!(blocked.retry.is_none());
    }

    #[test]
    fn what_can_be_read_but_not_written_is_told_of_a_database_that_works() {
        let seen = Inaccessible {
            read_only: missing("lent"),
            reads_some: true,
            ..Inaccessible::default()
        };
        let (reason, message) = usable(&desired(), Some(Extent::Everything), &seen)
            .unwrap()
            .unwrap();
        assert_eq!(reason, DatabaseReason::ObjectsNotAccessible);
        assert!(
            message.contains("can read everything, but not write")
                && message.ends_with("GIVE lent"),
            "{message}"
        );
        // In a database that we made, somebody means it.
        assert!(
            usable(&desired(), Some(Extent::OwnSchemas), &seen)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_private_table_leaves_a_database_of_ours_usable_and_none_of_its_own_does_not() {
        let of = |reads_some| {
            let seen = Inaccessible {
                unreadable: missing("private"),
                reads_some,
                ..Inaccessible::default()
            };
            usable(&desired(), Some(Extent::OwnSchemas), &seen)
        };
        assert!(of(true).unwrap().is_some());
        assert!(of(false).is_err());
        let nothing = usable(
            &desired(),
            Some(Extent::OwnSchemas),
            &Inaccessible::default(),
        );
        assert!(nothing.unwrap().is_none());
    }

    #[test]
    fn what_is_looked_at_depends_on_who_made_the_database() {
        let facts = |ours| DatabaseFacts {
            owner: None,
            deviations: Vec::new(),
            exposures: Vec::new(),
            read_only: Vec::new(),
            options: None,
            character_set: String::new(),
            collation: String::new(),
            ours,
        };
        let of = |ours: Option<Ours>, origin, template: Option<&str>| {
            let mut desired = desired();
            desired.postgresql.template = template.map(|name| SqlName::new(name).unwrap());
            let observed = Observed {
                database: ours.map(facts),
                ..Observed::default()
            };
            let claim = Claim {
                names: desired.names.clone(),
                claimant: Claimant {
                    cluster_id: String::new(),
                    namespace: String::new(),
                    name: String::new(),
                },
                uid: String::new(),
                database: origin,
                role: Origin::Created,
                drop_adopted: false,
                released: false,
            };
            extent(&desired, &observed, &claim)
        };
        assert_eq!(of(None, Origin::Creating, None), None);
        assert_eq!(
            of(Some(Ours::Yes), Origin::Created, None),
            Some(Extent::OwnSchemas)
        );
        assert_eq!(
            of(Some(Ours::Yes), Origin::Created, Some("base")),
            Some(Extent::Nothing)
        );
        assert_eq!(
            of(Some(Ours::Unknown), Origin::Adopted, Some("base")),
            Some(Extent::Everything)
        );
        // Restored by hand.
        assert_eq!(
            of(Some(Ours::No), Origin::Created, None),
            Some(Extent::Everything)
        );
    }
}
