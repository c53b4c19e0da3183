//! What a Database asks for, with every default filled in: pure, from the objects to the provider's words.

use crate::api::{Database, DatabaseInstanceSpec};
use crate::provider::ident::InvalidName;
use crate::provider::{Desired, Extension, MysqlSettings, Names, PostgresqlSettings, SqlName};

/// The SQL names of a Database. The API server refuses what is no name; this is for objects from before a rule.
pub fn names(database: &Database) -> Result<Names, InvalidName> {
    Ok(Names {
        database: SqlName::new(database.sql_name())?,
        role: SqlName::new(database.sql_user())?,
    })
}

/// All that a Database asks for on this instance.
pub fn desired(
    database: &Database,
    instance: &DatabaseInstanceSpec,
) -> Result<Desired, InvalidName> {
    let spec = &database.spec;
    let postgresql = spec.postgresql.clone().unwrap_or_default();
    let mysql = spec.mysql.clone().unwrap_or_default();
    let extensions = postgresql.extensions.into_iter().map(|extension| {
        Ok(Extension {
            name: SqlName::new(extension.name)?,
            schema: None,
            version: None,
        })
    });
    Ok(Desired {
        names: names(database)?,
        connection_limit: spec
            .connection_limit
            .and_then(|limit| u32::try_from(limit).ok()),
        postgresql: PostgresqlSettings {
            encoding: postgresql.encoding,
            locale: postgresql.locale,
            extensions: extensions.collect::<Result<_, _>>()?,
            schemas: postgresql
                .schemas
                .into_iter()
                .map(|schema| SqlName::new(schema.name))
                .collect::<Result<_, _>>()?,
            allowed_extensions: instance
                .postgresql
                .clone()
                .unwrap_or_default()
                .allowed_extensions,
        },
        mysql: MysqlSettings {
            character_set: mysql.character_set,
            collation: mysql.collation,
        },
    })
}
