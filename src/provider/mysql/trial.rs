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
use super::restore_tables::{forget_row, record_id};
use super::session::{Row, Session};
use super::validate;
use crate::provider::restore::{Ended, Scratch};
use crate::provider::{
    MysqlSettings, Names, ProviderError, Removal, Removed, SqlName, Verifier, ident,
};

/// What the tables of a test are for.
const PURPOSE: &str = "test";

/// A row of a test.
struct Trial {
    names: Names,
    /// Both were made, as the server answered.
    made: bool,
}

impl Trial {
    fn read(row: &Row) -> Result<Self, ProviderError> {
        let name = |column: &str| {
            SqlName::new(row.text(column)?).map_err(|error| ProviderError::Unexpected {
                doing: "reading what a test made".to_owned(),
                detail: error.to_string(),
            })
        };
        Ok(Self {
            names: Names {
                database: name("database_name")?,
                role: name("role_name")?,
            },
            made: row.flag("made")?,
        })
    }
}

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
    for trial in rows(session, task).await? {
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
        match remove(session, task.profile, &removal, task.end_within).await? {
            // The row went with it.
            Removed::Done => {}
            Removed::Blocked(sentence) | Removed::LeftOver(sentence) => {
                return Ok(Ended::Blocked(sentence));
            }
        }
    }
    Ok(Ended::Done)
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
    let has_rights = granted
        .iter()
        .any(|grant| grant.user == role.as_str() && grant.host == ANY_HOST);
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

fn taken(names: &Names) -> ProviderError {
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

/// What tests of this Restore's name have made, in this cluster or in one that is taken over.
async fn rows(session: &mut Session, task: &Task<'_>) -> Result<Vec<Trial>, ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let mut found = Vec::new();
    for cluster_id in std::iter::once(&restore.cluster_id).chain(&load.take_over_from) {
        let query = sqlx::query(
            "SELECT database_name, role_name, CAST(seen_empty AS SIGNED) AS made FROM db_operator.scratch \
             WHERE restore_id = ? AND purpose = ? ORDER BY locked_at, database_name",
        )
        .bind(record_id(cluster_id, restore))
        .bind(PURPOSE);
        let rows = session.rows("reading what a test made", query).await?;
        for row in &rows {
            found.push(Trial::read(row)?);
        }
    }
    Ok(found)
}

/// Writes the row, unless something has the name. Nothing is written unless this process leads.
async fn write_row(session: &mut Session, task: &Task<'_>) -> Result<(), ProviderError> {
    let (load, restore) = (task.load, &task.load.restore);
    let sql = "INSERT INTO db_operator.scratch (database_name, role_name, purpose, restore_id, cluster_id, namespace, name, \
               uid, seen_empty, marks, former_plugin, former_hash, former_limit, locked_at) \
               SELECT ?, ?, ?, ?, ?, ?, ?, ?, FALSE, '', '', '', 0, UNIX_TIMESTAMP() * 1000 \
               FROM db_operator.epochs e WHERE e.cluster_id = ? AND e.epoch = ? AND e.process = ? LOCK IN SHARE MODE";
    let statement = || {
        sqlx::query(sql)
            .bind(load.target.database.as_str().to_owned())
            .bind(load.target.role.as_str().to_owned())
            .bind(PURPOSE)
            .bind(record_id(&restore.cluster_id, restore))
            .bind(restore.cluster_id.clone())
            .bind(restore.namespace.clone())
            .bind(restore.name.clone())
            .bind(restore.uid.clone())
            .bind(task.fence.cluster_id().to_owned())
            .bind(task.profile.epoch)
            .bind(task.fence.process().to_owned())
    };
    match session.change("noting a test", statement).await {
        Ok(0) => {
            task.leads(session).await?;
            Err(ProviderError::Busy {
                doing: "noting a test".to_owned(),
                detail: "another process led for a moment".to_owned(),
            })
        }
        Ok(_) => Ok(()),
        // A load of somebody else's, or a test of another cluster, has the name.
        Err(failure) if failure.number == Some(error::DUPLICATE) => Err(taken(&load.target)),
        Err(failure) => Err(failure.error),
    }
}

/// Notes that the schema and the user are the test's own.
async fn note_made(session: &mut Session, database: &SqlName) -> Result<(), ProviderError> {
    let update = || {
        sqlx::query(
            "UPDATE db_operator.scratch SET seen_empty = TRUE WHERE database_name = ? AND purpose = ?",
        )
        .bind(database.as_str().to_owned())
        .bind(PURPOSE)
    };
    session.change("noting what a test made", update).await?;
    Ok(())
}
