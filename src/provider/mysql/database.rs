//! Creates a schema, or changes what differs about it: look, change, read back.

use super::catalog;
use super::claims::Claimed;
use super::connect::ServerProfile;
use super::creation::{self, Part, meanwhile, record_or_refuse};
use super::grants;
use super::session::Session;
use crate::provider::{Change, Desired, Origin, ProviderError, ident};

/// Creates the schema, or changes what differs about it, and gives the account all privileges on it.
pub(super) async fn apply(
    session: &mut Session,
    profile: &ServerProfile,
    desired: &Desired,
    claimed: Option<&Claimed>,
) -> Result<Vec<Change>, ProviderError> {
    let schema = &desired.names.database;
    let mut changes = Vec::new();
    let found = catalog::schemas(session, Some(schema)).await?;
    let mut created = found.is_empty();
    if let Some(found) = found.first() {
        if let Some(claimed) = claimed.filter(|claimed| claimed.claim.database == Origin::Creating)
        {
            let one = std::slice::from_ref(claimed);
            let ours = creation::ours_of_schema(session, one, schema).await?;
            record_or_refuse(session, claimed, Part::Database, ours).await?;
            created = true;
        }
        let wanted = &desired.mysql;
        let differs = |wanted: &Option<String>, is: &str| {
            wanted
                .as_ref()
                .is_some_and(|wanted| !wanted.eq_ignore_ascii_case(is))
        };
        if differs(&wanted.character_set, &found.character_set)
            || differs(&wanted.collation, &found.collation)
        {
            let alter = format!(
                "ALTER DATABASE {}{}",
                schema.mysql(),
                text_settings(desired)
            );
            session.run("altering the database", alter).await?;
            changes.push(Change(format!(
                "default character set of database {schema} was {} ({})",
                found.character_set, found.collation
            )));
        }
    } else {
        let create = format!(
            "CREATE DATABASE {}{}",
            schema.mysql(),
            text_settings(desired)
        );
        creation::begin(session, claimed, Part::Database).await?;
        let outcome = session.run("creating the database", create).await;
        creation::ended(session, claimed, Part::Database, outcome)
            .await?
            .map_err(meanwhile)?;
        changes.push(Change(format!("database {schema} was missing, is created")));
    }
    grants::apply(session, profile, desired, created, &mut changes).await?;
    Ok(changes)
}

fn text_settings(desired: &Desired) -> String {
    let mut clauses = String::new();
    // Both are names that the server defines; as literals they cannot be anything else.
    if let Some(character_set) = &desired.mysql.character_set {
        clauses.push_str(" CHARACTER SET ");
        clauses.push_str(&ident::mysql_literal(character_set));
    }
    if let Some(collation) = &desired.mysql.collation {
        clauses.push_str(" COLLATE ");
        clauses.push_str(&ident::mysql_literal(collation));
    }
    clauses
}
