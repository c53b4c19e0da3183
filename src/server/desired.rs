//! What a Database asks for of its server, with every default filled in: pure, from the objects to the provider's words.

use kube::ResourceExt;

use super::names::names;
use crate::api::database::{self, DatabaseSpec};
use crate::api::instance::Provider;
use crate::api::{Database, DatabaseInstanceSpec};
use crate::provider::ident::InvalidName;
use crate::provider::{
    Claimant, Desired, Extension, LocaleProvider, MysqlSettings, PostgresqlSettings, SqlName,
};

/// In whose name a Database's claims are made.
#[must_use]
pub(crate) fn claimant(database: &Database, cluster_id: &str) -> Claimant {
    Claimant {
        cluster_id: cluster_id.to_owned(),
        namespace: database.namespace().unwrap_or_default(),
        name: database.name_any(),
    }
}

/// All that a Database asks for on this instance.
pub(crate) fn desired(
    database: &Database,
    instance: &DatabaseInstanceSpec,
) -> Result<Desired, InvalidName> {
    let spec = &database.spec;
    // The block of another engine asks for nothing that there is: `foreign_block` tells of it.
    let is_for = |provider| instance.provider == provider;
    let postgresql = spec
        .postgresql
        .clone()
        .filter(|_| is_for(Provider::Postgresql));
    let postgresql = postgresql.unwrap_or_default();
    let allowed = instance.postgresql.clone().unwrap_or_default();
    let mysql = if is_for(Provider::Mysql) {
        mysql_settings(spec)
    } else {
        MysqlSettings::default()
    };
    let extensions = postgresql.extensions.into_iter().map(|extension| {
        Ok(Extension {
            name: SqlName::new(extension.name)?,
            schema: extension.schema.map(SqlName::new).transpose()?,
            version: extension.version,
        })
    });
    Ok(Desired {
        names: names(database)?,
        connection_limit: spec
            .connection_limit
            .and_then(|limit| u32::try_from(limit).ok()),
        postgresql: PostgresqlSettings {
            template: postgresql.template.map(SqlName::new).transpose()?,
            extensions: extensions.collect::<Result<_, _>>()?,
            schemas: postgresql
                .schemas
                .into_iter()
                .map(|schema| SqlName::new(schema.name))
                .collect::<Result<_, _>>()?,
            allowed_extensions: allowed.allowed_extensions,
            allowed_templates: allowed.allowed_templates,
            ..creation_options(database)
        },
        mysql,
    })
}

/// The options of creation that a Database asks for on PostgreSQL, and no other settings.
pub(crate) fn creation_options(database: &Database) -> PostgresqlSettings {
    let asked = database.spec.postgresql.clone().unwrap_or_default();
    PostgresqlSettings {
        encoding: asked.encoding,
        locale: asked.locale,
        locale_provider: asked.locale_provider.map(|provider| match provider {
            database::LocaleProvider::Libc => LocaleProvider::Libc,
            database::LocaleProvider::Icu => LocaleProvider::Icu,
            database::LocaleProvider::Builtin => LocaleProvider::Builtin,
        }),
        icu_locale: asked.icu_locale,
        builtin_locale: asked.builtin_locale,
        ..PostgresqlSettings::default()
    }
}

/// What a Database asks for of MySQL and MariaDB.
#[must_use]
pub(crate) fn mysql_settings(database: &DatabaseSpec) -> MysqlSettings {
    let mysql = database.mysql.clone().unwrap_or_default();
    MysqlSettings {
        character_set: mysql.character_set,
        collation: mysql.collation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_of_another_engine_are_asked_of_no_server() {
        let database: Database = serde_json::from_value(json!({
            "metadata": {"name": "orders"},
            "spec": {"instanceRef": {"name": "main"}, "mysql": {"characterSet": "latin1"}},
        }))
        .unwrap();
        let mut instance: DatabaseInstanceSpec = serde_json::from_value(json!({
            "provider": "postgresql", "host": "db", "adminSecretRef": {"name": "admin"},
            "allowedNamespaces": {"all": true},
        }))
        .unwrap();
        assert_eq!(
            desired(&database, &instance).unwrap().mysql,
            MysqlSettings::default()
        );
        instance.provider = Provider::Mysql;
        let wanted = desired(&database, &instance).unwrap().mysql;
        assert_eq!(wanted.character_set.as_deref(), Some("latin1"));
    }
}
