//! What a Database asks for, with every default filled in: pure, from the objects to the provider's words.

use secrecy::SecretString;

use crate::api::database::DatabaseSpec;
use crate::api::instance::Provider;
use crate::api::{Database, DatabaseInstance};
use crate::credentials::Connection;
use crate::server::Server;
pub(super) use crate::server::desired::{creation_options, desired, mysql_settings};

/// Everything that is needed to use the database, with this password.
pub(super) fn connection(
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
        version: server.version().full.clone(),
        hosts: spec.hosts.clone(),
    }
}

/// Says so if a Database has settings for another engine than its instance is of: a spec cannot refer to its instance,
/// so no rule of the definition can refuse that.
#[must_use]
pub(super) fn foreign_block(database: &DatabaseSpec, provider: Provider) -> Option<String> {
    let instance = &database.instance_ref.name;
    let sentence = |block: &str, of: &str, engine: &str, own: &str| {
        format!(
            "spec.{block} is for databases on {of}, and the server of instance {instance} is {engine}: remove it, and \
             set what you need in spec.{own}"
        )
    };
    let (postgresql, mysql) = ("PostgreSQL", "MySQL and MariaDB");
    match provider {
        Provider::Postgresql if database.mysql.is_some() => {
            Some(sentence("mysql", mysql, postgresql, "postgresql"))
        }
        Provider::Mysql if database.postgresql.is_some() => Some(sentence(
            "postgresql",
            postgresql,
            "MySQL or MariaDB",
            "mysql",
        )),
        Provider::Postgresql | Provider::Mysql => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_block_is_for_one_engine_only() {
        let database = |block: &str| -> DatabaseSpec {
            let mut spec = json!({"instanceRef": {"name": "main"}});
            if !block.is_empty() {
                spec[block] = json!({});
            }
            serde_json::from_value(spec).unwrap()
        };
        for (block, provider, foreign) in [
            ("", Provider::Mysql, false),
            ("", Provider::Postgresql, false),
            ("mysql", Provider::Mysql, false),
            ("mysql", Provider::Postgresql, true),
            ("postgresql", Provider::Postgresql, false),
            ("postgresql", Provider::Mysql, true),
        ] {
            let sentence = foreign_block(&database(block), provider);
            assert_eq!(sentence.is_some(), foreign, "{block}: {sentence:?}");
            if let Some(sentence) = sentence {
                assert!(
                    sentence.starts_with(&format!("spec.{block} ")),
                    "{sentence}"
                );
                assert!(sentence.contains("instance main"), "{sentence}");
            }
        }
    }
}
