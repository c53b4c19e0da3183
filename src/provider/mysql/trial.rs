//! A schema of its own for a backup that is tried out, with a user of its own that has rights on it alone, and how both are
//! dropped. Nobody has a claim on them: a row of `db_operator.scratch` says whose they are.
//!
//! What a crash leaves after each statement, and what the next call does about it:
//!
//! | after | what is left | what follows |
//! |---|---|---|
//! | the row was written | a row | it is removed |
//! | the schema, or the user, was made | an empty schema, a user without rights | they count as made by this, and are dropped |
//! | the row says that both were made | a schema to be loaded | it is dropped with whatever is in it |
//!
//! Neither server marks what a CREATE makes. Whatever has one of the names before the row says that it was made, and is not
//! as a CREATE leaves it, is somebody else's, and stays.

use super::catalog::{self, ANY_HOST, Which};
use super::checks::Task;
use super::claims;
use super::creation::is_empty;
use super::error;
use super::grants::{self, account_of};
use super::lockout::SESSIONS;
use super::remove::remove;
use super::restore_tables::forget_row;
use super::session::Session;
use super::trial_rows::{Trial, note_made, rows, write_row};
use super::validate;
use crate::provider::restore::{Ended, Scratch};
use crate::provider::{MysqlSettings, Names, ProviderError, Removal, Removed, Verifier, ident};

/// Makes the schema and its user. What a former try of the same Restore left is dropped first.
pub(super) async fn make(
    session: &mut Session,
    task: &Task<'_>,
    verifier: &Verifier,
) -> Result<Scratch, ProviderError> {
    let (profile, load) = (task.profile, task.load);
    match drop(session, task).await? {
        Ended::Done => {}
        Ended::Blocked(detail) => {
            return Err(ProviderError::Busy {
                doing: "making a database for a test".to_owned(),
                detail,
            });
        }
        Ended::ChangedHands(sentence) | Ended::Adopted(sentence) => {
            return Err(ProviderError::InTheWay(sentence));
        }
    }
    refuse_taken(session, task).await?;
    validate::nobody_elses(session, &profile.dialect, &load.target).await?;
    write_row(session, task).await?;
    create(session, task, verifier).await?;
    note_made(session, &load.target.database).await?;
    grants::apply(session, profile, &load.desired, true, &mut Vec::new()).await?;
    Ok(Scratch {
        database: load.target.database.clone(),
        login: load.target.role.clone(),
        owner: load.target.role.clone(),
    })
}

/// Drops whatever the tests of this Restore, and of former objects of its name, have made.
pub(super) async fn drop(session: &mut Session, task: &Task<'_>) -> Result<Ended, ProviderError> {
    drop_of(session, task, None).await
}

/// Drops what the test of this object alone has made.
pub(super) async fn drop_one(
    session: &mut Session,
    task: &Task<'_>,
) -> Result<Ended, ProviderError> {
    drop_of(session, task, Some(&task.load.restore.uid)).await
}

async fn drop_of(
    session: &mut Session,
    task: &Task<'_>,
    uid: Option<&str>,
) -> Result<Ended, ProviderError> {
    let mut all = Ended::Done;
    for trial in rows(session, task).await? {
        if uid.is_none_or(|uid| trial.uid == uid) {
            // One that stays keeps none of the others.
            all = all.and(drop_trial(session, task, trial).await?);
        }
    }
    Ok(all)
}

async fn drop_trial(
    session: &mut Session,
    task: &Task<'_>,
    trial: Trial,
) -> Result<Ended, ProviderError> {
    task.leads(session).await?;
    if !trial.made
        && let Some(sentence) = somebody_elses(session, task, &trial.names).await?
    {
        return Ok(Ended::ChangedHands(sentence));
    }
    let removal = Removal {
        names: trial.names,
        database: true,
        role: true,
    };
    Ok(
        match remove(session, task.profile, &removal, task.end_within).await? {
            // The row went with it.
            Removed::Done => Ended::Done,
            Removed::Blocked(sentence) | Removed::LeftOver(sentence) => Ended::Blocked(sentence),
        },
    )
}

/// What has one of the names although nothing was made, as far as is known, and is not as a CREATE leaves it.
async fn somebody_elses(
    session: &mut Session,
    task: &Task<'_>,
    names: &Names,
) -> Result<Option<String>, ProviderError> {
    let Names { database, role } = names;
    let dialect = &task.profile.dialect;
    let schemas = catalog::schemas(session, dialect, Some(database)).await?;
    if !schemas.is_empty() && !is_empty(session, database).await? {
        return Ok(Some(format!(
            "the database {database:?} was made by someone else: rename or drop it"
        )));
    }
    let concerning = Which::Concerning(database, role);
    let granted = catalog::grants(session, dialect, &[], concerning).await?;
    let global = catalog::global_holders(session, dialect).await?;
    let holders = granted.iter().map(|grant| (&grant.user, &grant.host));
    let has_rights = holders
        .chain(global.iter().map(|holder| (&holder.user, &holder.host)))
        .any(|(user, host)| user == role.as_str() && host == ANY_HOST);
    Ok(has_rights.then(|| {
        format!("the user {role:?} was made by someone else, and has privileges: rename or drop it")
    }))
}

/// Refuses names that anything has. This session has the lock of the schema's name.
async fn refuse_taken(session: &mut Session, task: &Task<'_>) -> Result<(), ProviderError> {
    let names = &task.load.target;
    let dialect = &task.profile.dialect;
    let is_free = catalog::schemas(session, dialect, Some(&names.database))
        .await?
        .is_empty()
        && catalog::accounts(session, dialect, Some(&names.role))
            .await?
            .is_empty()
        && claims::claims(session, Some(names)).await?.is_empty();
    if is_free { Ok(()) } else { Err(taken(names)) }
}

pub(super) fn taken(names: &Names) -> ProviderError {
    ProviderError::InTheWay(format!(
        "the database {:?} or the user {:?} exists already, or is claimed, and was not made for this test: rename or drop it",
        names.database, names.role
    ))
}

/// The schema, and the user without a right. What stands by these names now was made since it was looked for.
async fn create(
    session: &mut Session,
    task: &Task<'_>,
    verifier: &Verifier,
) -> Result<(), ProviderError> {
    let (dialect, names) = (&task.profile.dialect, &task.load.target);
    let statements = [
        (
            "making the database of a test",
            format!(
                "CREATE DATABASE {}{}",
                names.database.mysql(),
                text_settings(&task.load.desired.mysql)
            ),
        ),
        (
            "making the user of a test",
            format!(
                "CREATE USER {} {} WITH MAX_USER_CONNECTIONS {SESSIONS} PASSWORD EXPIRE NEVER",
                account_of(&names.role),
                dialect.identified(verifier),
            ),
        ),
    ];
    for (doing, statement) in statements {
        let Err(failure) = session.run(doing, statement).await else {
            continue;
        };
        return match failure.number {
            Some(error::SCHEMA_EXISTS) => {
                forget_row(session, &names.database).await?;
                Err(taken(names))
            }
            // The schema is ours. The user is not, and must not be taken for it at the next call.
            Some(error::CANNOT_USER) => {
                let drop = format!("DROP DATABASE {}", names.database.mysql());
                session.run("dropping the database of a test", drop).await?;
                forget_row(session, &names.database).await?;
                Err(taken(names))
            }
            Some(_) | None => Err(failure.error),
        };
    }
    Ok(())
}

fn text_settings(settings: &MysqlSettings) -> String {
    let clause = |word: &str, value: &Option<String>| {
        value.as_ref().map_or_else(String::new, |value| {
            format!(" {word} {}", ident::mysql_literal(value))
        })
    };
    format!(
        "{}{}",
        clause("CHARACTER SET", &settings.character_set),
        clause("COLLATE", &settings.collation)
    )
}
