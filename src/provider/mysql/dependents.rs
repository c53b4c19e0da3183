//! What in other databases depends on a database or a user that is removed: foreign keys, and what runs as the user.

use super::catalog::ANY_HOST;
use super::session::Session;
use super::sessions::some;
use crate::provider::ident::mysql_identifier;
use crate::provider::{ProviderError, SqlName};

/// A foreign key of a table in another schema.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reference {
    schema: String,
    table: String,
    constraint: String,
}

/// Describes foreign keys in other schemas. They would stop the server after it has dropped some of the tables.
pub(super) async fn referenced(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Option<String>, ProviderError> {
    let references = references(session, schema)
        .await
        .map_err(|error| error.in_database(schema.as_str()))?;
    if references.is_empty() {
        return Ok(None);
    }
    let statements: Vec<String> = references
        .iter()
        .map(|reference| {
            format!(
                "ALTER TABLE {}.{} DROP FOREIGN KEY {}",
                mysql_identifier(&reference.schema),
                mysql_identifier(&reference.table),
                mysql_identifier(&reference.constraint)
            )
        })
        .collect();
    Ok(Some(format!(
        "tables of other databases refer to database {schema} by foreign keys; run: {}",
        some(&statements, "; ")
    )))
}

/// Lists the foreign keys in other schemas that refer to this one.
async fn references(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Vec<Reference>, ProviderError> {
    let query = sqlx::query(
        "SELECT CONVERT(CONSTRAINT_SCHEMA USING utf8mb4) AS of_schema, CONVERT(TABLE_NAME USING utf8mb4) AS of_table, \
         CONVERT(CONSTRAINT_NAME USING utf8mb4) AS name FROM information_schema.REFERENTIAL_CONSTRAINTS \
         WHERE CAST(UNIQUE_CONSTRAINT_SCHEMA AS BINARY) = CAST(? AS BINARY) \
         AND CAST(CONSTRAINT_SCHEMA AS BINARY) <> CAST(? AS BINARY)",
    )
    .bind(schema.as_str().to_owned())
    .bind(schema.as_str().to_owned());
    let rows = session
        .rows("looking for foreign keys of other databases", query)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Reference {
                schema: row.text("of_schema")?,
                table: row.text("of_table")?,
                constraint: row.text("name")?,
            })
        })
        .collect()
}

/// Lists the statements that drop the views, routines, triggers and events that run as the user. Those of its own
/// database are gone by then.
pub(super) async fn definitions(
    session: &mut Session,
    user: &SqlName,
) -> Result<Vec<String>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(kind USING utf8mb4) AS kind, CONVERT(of_schema USING utf8mb4) AS of_schema, \
         CONVERT(name USING utf8mb4) AS name, definer FROM (\
         SELECT 'VIEW' AS kind, TABLE_SCHEMA AS of_schema, TABLE_NAME AS name, DEFINER AS definer \
         FROM information_schema.VIEWS UNION ALL \
         SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES UNION ALL \
         SELECT 'TRIGGER', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS UNION ALL \
         SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS) AS defined \
         WHERE definer = ?";
    let definer = format!("{user}@{ANY_HOST}");
    let rows = session
        .rows(
            "looking for what the user defined",
            sqlx::query(SQL).bind(definer.clone()),
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        if row.text("definer")? == definer {
            found.push(format!(
                "DROP {} {}.{}",
                row.text("kind")?,
                mysql_identifier(&row.text("of_schema")?),
                mysql_identifier(&row.text("name")?)
            ));
        }
    }
    Ok(found)
}
