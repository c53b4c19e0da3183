//! What a Database asks for, with every default filled in: pure, from the objects to the provider's words.

use secrecy::SecretString;

use crate::api::{Database, DatabaseInstance, DatabaseInstanceSpec};
use crate::credentials::Connection;
use crate::provider::ident::InvalidName;
use crate::provider::{Desired, Extension, MysqlSettings, PostgresqlSettings, SqlName};
use crate::server::{Server, names};

/// Everything that is needed to use the database, with this password.
pub fn connection(
    database: &Database,
    instance: &DatabaseInstance,
    server: &Server,
    password: SecretString,
) -> Connection {
    let spec = &instance.spec;
    Connection {
        engine: server.flavour(),
        host: spec.host.clone(),
        port: u16::try_from(spec.effective_port()).unwrap_or_default(),
        database: database.sql_name(),
        username: database.sql_user(),
        password,
        sslmode: spec.tls.mode.as_str().to_owned(),
        ca: server.ca().map(str::to_owned),
    }
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
