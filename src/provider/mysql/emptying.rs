//! Removes what a load that was broken off left in a schema. The schema itself stays, with its settings and privileges.
//!
//! A few objects at a time, each time after the checks: a call that is cut short has removed some of it, and the next one
//! goes on.

use super::checks::Task;
use super::contained::{self, Kind, Object};
use super::dependents::referenced;
use super::error::{self, Failure};
use super::locks;
use super::remove::run_in_schema;
use super::session::Session;
use crate::provider::ident::mysql_identifier;
use crate::provider::pool::Session as _;
use crate::provider::{ProviderError, SqlName};

/// How many objects are looked at, and tables dropped in one statement.
const AT_ONCE: usize = 100;

/// What came of it.
pub(super) enum Emptied {
    /// Nothing is in it.
    Done,
    /// Somebody is in the way: a sentence.
    Blocked(String),
    /// The claim is not the claimant's any more: a sentence.
    ChangedHands(String),
}

/// Removes everything in the target. Whoever calls this knows that all of it comes from a load.
pub(super) async fn empty(
    session: &mut Session,
    task: &Task<'_>,
) -> Result<Emptied, ProviderError> {
    // Tables of one schema refer to each other in any order, and in circles. What refers to them from elsewhere is looked
    // for before each batch.
    keys(session, false).await?;
    let emptied = batches(session, task).await;
    // A session with a statement that is still under way is not used again anyway.
    if session.is_reusable() {
        keys(session, true).await?;
    }
    emptied
}

async fn keys(session: &mut Session, checked: bool) -> Result<(), ProviderError> {
    let set = format!("SET SESSION foreign_key_checks = {}", i32::from(checked));
    session.run("emptying the database", set).await?;
    Ok(())
}

async fn batches(session: &mut Session, task: &Task<'_>) -> Result<Emptied, ProviderError> {
    let schema = &task.load.target.database;
    let mut before = Vec::new();
    loop {
        if let Some(sentence) = task.changed_hands(session).await? {
            return Ok(Emptied::ChangedHands(sentence));
        }
        let found = contained::read(session, &task.profile.dialect, schema, AT_ONCE).await?;
        if found.is_nothing() {
            return Ok(Emptied::Done);
        }
        if found.first == before {
            return Err(ProviderError::Unexpected {
                doing: "emptying the database".to_owned(),
                detail: format!(
                    "the server accepted the statements, and yet there is {}",
                    found.names().join(", ")
                ),
            }
            .in_database(schema.as_str()));
        }
        if let Some(sentence) = referenced(session, schema).await? {
            return Ok(Emptied::Blocked(sentence));
        }
        for statement in statements(schema, &found.first) {
            let doing = "emptying the database";
            match run_in_schema(session, schema, doing, statement).await {
                Ok(_) => {}
                Err(failure) => return refused(session, task, failure).await,
            }
        }
        before = found.first;
    }
}

/// The statements that drop these: tables together, which is quicker by far.
fn statements(schema: &SqlName, objects: &[Object]) -> Vec<String> {
    let written =
        |object: &Object| format!("{}.{}", schema.mysql(), mysql_identifier(&object.name));
    objects
        .chunk_by(|one, next| one.kind == next.kind && is_listed(one.kind))
        .filter_map(|same| {
            let kind = same.first()?.kind;
            let names: Vec<String> = same.iter().map(written).collect();
            Some(format!(
                "DROP {} IF EXISTS {}",
                kind.sql(),
                names.join(", ")
            ))
        })
        .collect()
}

/// Whether DROP takes a list.
fn is_listed(kind: Kind) -> bool {
    match kind {
        Kind::View | Kind::Table => true,
        Kind::Event | Kind::Routine(_) | Kind::Sequence | Kind::Library => false,
    }
}

/// What is in the schema belongs to its owner, so a failure says nothing about the server.
async fn refused(
    session: &mut Session,
    task: &Task<'_>,
    failure: Failure,
) -> Result<Emptied, ProviderError> {
    let schema = &task.load.target.database;
    if failure.number == Some(error::LOCK_TIMEOUT) {
        let what = format!("what a load left in database {schema}");
        let sentence = locks::holders(session, task.profile, &what, schema).await?;
        return Ok(Emptied::Blocked(sentence));
    }
    Err(failure.error.in_database(schema.as_str()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn tables_go_together_and_all_else_one_by_one() {
        let object = |kind, name: &str| Object {
            kind,
            name: name.to_owned(),
        };
        let objects = [
            object(Kind::Event, "e"),
            object(Kind::Event, "f"),
            object(Kind::Routine("PROCEDURE"), "p"),
            object(Kind::View, "v"),
            object(Kind::Table, "a`b"),
            object(Kind::Table, "c"),
            object(Kind::Sequence, "s"),
        ];
        assert_eq!(
            statements(&SqlName::new("o`s").unwrap(), &objects),
            [
                "DROP EVENT IF EXISTS `o``s`.`e`",
                "DROP EVENT IF EXISTS `o``s`.`f`",
                "DROP PROCEDURE IF EXISTS `o``s`.`p`",
                "DROP VIEW IF EXISTS `o``s`.`v`",
                "DROP TABLE IF EXISTS `o``s`.`a``b`, `o``s`.`c`",
                "DROP SEQUENCE IF EXISTS `o``s`.`s`",
            ]
        );
        assert_eq!(statements(&SqlName::new("o").unwrap(), &[]), [""; 0]);
    }
}
