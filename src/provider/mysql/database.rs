//! Creates a schema, or changes what differs about it: look, change, read back.

use super::catalog;
use super::claims::Claimed;
use super::connect::ServerProfile;
use super::creation::{self, Part, meanwhile, record_or_refuse};
use super::grants;
use super::rows::Schema;
use super::session::Session;
use super::validate;
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
    let found = catalog::schemas(session, &profile.dialect, Some(schema)).await?;
    let mut created = found.is_empty();
    if let Some(found) = found.first() {
        if let Some(claimed) = claimed.filter(|claimed| claimed.claim.database == Origin::Creating)
        {
            let one = std::slice::from_ref(claimed);
            let ours = creation::ours_of_schema(session, one, schema).await?;
            record_or_refuse(session, claimed, Part::Database, ours).await?;
            created = true;
        }
        if !desired.mysql.are(&found.character_set, &found.collation) {
            changes.push(alter(session, profile, desired, found).await?);
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

/// Sets the default character set and collation, and reads them back.
async fn alter(
    session: &mut Session,
    profile: &ServerProfile,
    desired: &Desired,
    former: &Schema,
) -> Result<Change, ProviderError> {
    let schema = &desired.names.database;
    let settings = &desired.mysql;
    let mut of_which = String::new();
    if settings.character_set.is_none() && settings.has_short_collation() {
        // Such a name is one of the database's present character set, which somebody may have changed.
        let character_set = validate::default_character_set(session).await?;
        of_which = format!(" CHARACTER SET {}", ident::mysql_literal(&character_set));
    }
    let alter = format!(
        "ALTER DATABASE {}{of_which}{}",
        schema.mysql(),
        text_settings(desired)
    );
    session.run("altering the database", alter).await?;
    let found = catalog::schemas(session, &profile.dialect, Some(schema)).await?;
    let described = |schema: &Schema| format!("{} ({})", schema.character_set, schema.collation);
    match found.first() {
        Some(found) if desired.mysql.are(&found.character_set, &found.collation) => {
            Ok(Change(format!(
                "default character set of database {schema} was {}, is {}",
                described(former),
                described(found)
            )))
        }
        Some(found) => Err(ProviderError::Unexpected {
            doing: format!("altering the database {schema}"),
            detail: format!(
                "the server accepted the statement, but its default character set still is {}",
                described(found)
            ),
        }),
        None => Err(ProviderError::Unexpected {
            doing: format!("altering the database {schema}"),
            detail: "it is gone".to_owned(),
        }),
    }
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
