//! What the server is asked for on behalf of a Restore: pure, from the objects to the provider's words.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::instance::Provider;
use crate::api::restore::RestoreTarget;
use crate::api::{
    Database, DatabaseInstance, DatabaseInstanceSpec, Restore, RestoreMode, RestoreSpec,
};
use crate::provider::ident::InvalidName;
use crate::provider::restore::{Load, LoadMode, RestoreId, Scratch, test_names};
use crate::provider::{
    Claimant, Desired, Extension, Inventory, LocaleProvider, MysqlSettings, Names,
    PostgresqlSettings, SqlName,
};
use crate::server::desired::desired;

/// SHA-256 over what a Restore asks for, in hexadecimal digits. What is as it would be by default does not count: it is the
/// same whether or not a manifest writes it out, and the same when a later version knows more fields.
pub(super) fn spec_hash(restore: &Restore) -> String {
    let spec = &restore.spec;
    let default = RestoreSpec::plain(spec.source.clone());
    let fields = |spec: &RestoreSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    };
    let (asked, default) = (fields(spec), fields(&default));
    let counts = |(key, value): &(&String, &Value)| {
        is_about_what(key) || default.get(key.as_str()) != Some(value)
    };
    // By name, whatever order the struct has.
    let hashed: BTreeMap<&String, &Value> = asked.iter().filter(counts).collect();
    let text = serde_json::to_vec(&hashed).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

/// Whether a field says what is restored, and into what: it has no default.
fn is_about_what(field: &str) -> bool {
    matches!(field, "source" | "databaseRef" | "instanceRef")
}

/// The Restore, as a server knows it.
pub(super) fn id(restore: &Restore, cluster_id: &str) -> RestoreId {
    RestoreId {
        cluster_id: cluster_id.to_owned(),
        namespace: restore.namespace().unwrap_or_default(),
        name: restore.name_any(),
        uid: restore.uid().unwrap_or_default(),
        spec_hash: spec_hash(restore),
    }
}

/// Everything that a server needs to know of a load. Where the Database is gone, there is nothing left that it asks for,
/// and what is cleaned up goes by its names. A test has none.
pub(super) fn load(
    restore: &Restore,
    cluster_id: &str,
    target: &RestoreTarget,
    database: Option<&Database>,
    instance: &DatabaseInstance,
    inventory: Option<&Inventory>,
) -> Result<Load, InvalidName> {
    let id = id(restore, cluster_id);
    // What a test makes has names of its own, whatever a status says.
    let names = if restore.is_test() {
        test_names(&id)?
    } else {
        Names {
            database: SqlName::new(target.database.as_str())?,
            role: SqlName::new(target.user.as_str())?,
        }
    };
    let desired = match database {
        Some(database) => desired(database, &instance.spec)?,
        None => like_the_former(names.clone(), &instance.spec, inventory),
    };
    let of_database = restore.database_key().map(|(_, name)| name.to_owned());
    Ok(Load {
        target: names,
        claimant: Claimant {
            cluster_id: cluster_id.to_owned(),
            namespace: id.namespace.clone(),
            name: of_database.unwrap_or_default(),
        },
        restore: id,
        take_over_from: instance.spec.take_over_claims_from.clone(),
        extensions: extensions(&desired.postgresql.extensions, inventory)?,
        desired,
        mode: match restore.spec.mode {
            RestoreMode::Empty => LoadMode::Empty,
            RestoreMode::Replace => LoadMode::Replace,
            RestoreMode::Test => LoadMode::Test,
        },
    })
}

/// What a server is asked to drop of a test that is nobody's any more.
pub(super) fn abandoned(test: RestoreId) -> Result<Load, InvalidName> {
    let target = test_names(&test)?;
    Ok(Load {
        claimant: Claimant {
            cluster_id: test.cluster_id.clone(),
            namespace: test.namespace.clone(),
            name: String::new(),
        },
        take_over_from: Vec::new(),
        extensions: Vec::new(),
        desired: Desired {
            names: target.clone(),
            connection_limit: None,
            postgresql: PostgresqlSettings::default(),
            mysql: MysqlSettings::default(),
        },
        target,
        mode: LoadMode::Test,
        restore: test,
    })
}

/// What a database is made with that is of no Database: as the one that was backed up, as far as the manifest tells, and with
/// what the platform allows on this instance.
fn like_the_former(
    names: Names,
    instance: &DatabaseInstanceSpec,
    inventory: Option<&Inventory>,
) -> Desired {
    let made = |word: &str| {
        let all = inventory.map(|inventory| &inventory.created_with);
        let value = all?.get(word)?;
        (!value.is_empty()).then(|| value.clone())
    };
    let allowed = instance.postgresql.clone().unwrap_or_default();
    let mut desired = Desired {
        names,
        connection_limit: None,
        postgresql: PostgresqlSettings {
            allowed_extensions: allowed.allowed_extensions,
            ..PostgresqlSettings::default()
        },
        mysql: MysqlSettings::default(),
    };
    match instance.provider {
        Provider::Postgresql => {
            let provider = match made("localeProvider").as_deref() {
                Some("icu") => Some(LocaleProvider::Icu),
                Some("builtin") => Some(LocaleProvider::Builtin),
                Some("libc") => Some(LocaleProvider::Libc),
                // An older server, or an older manifest.
                Some(_) | None => None,
            };
            let settings = &mut desired.postgresql;
            settings.encoding = made("encoding");
            settings.locale = made("collation");
            settings.locale_provider = provider;
            settings.icu_locale =
                made("icuLocale").filter(|_| provider == Some(LocaleProvider::Icu));
            settings.builtin_locale =
                made("icuLocale").filter(|_| provider == Some(LocaleProvider::Builtin));
        }
        Provider::Mysql => {
            desired.mysql.character_set = made("characterSet");
            desired.mysql.collation = made("collation");
        }
    }
    desired
}

/// The extensions that have to be there before anything is loaded: those that the Database asks for, and those that the
/// backup had.
fn extensions(
    asked: &[Extension],
    inventory: Option<&Inventory>,
) -> Result<Vec<Extension>, InvalidName> {
    let mut all = BTreeMap::new();
    for installed in inventory.iter().flat_map(|inventory| &inventory.extensions) {
        let name = SqlName::new(installed.name.as_str())?;
        let schema = Some(SqlName::new(installed.schema.as_str())?);
        let extension = Extension {
            name,
            schema,
            version: None,
        };
        all.insert(installed.name.clone(), extension);
    }
    for extension in asked {
        all.insert(extension.name.to_string(), extension.clone());
    }
    Ok(all.into_values().collect())
}

/// Where a load went, as it was persisted; `None` before that.
pub(super) fn scratch(target: &RestoreTarget) -> Result<Option<Scratch>, InvalidName> {
    let (Some(database), Some(login), Some(owner)) =
        (&target.scratch, &target.login, &target.owner)
    else {
        return Ok(None);
    };
    Ok(Some(Scratch {
        database: SqlName::new(database.as_str())?,
        login: SqlName::new(login.as_str())?,
        owner: SqlName::new(owner.as_str())?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn restore(spec: &Value) -> Restore {
        let mut all = json!({
            "metadata": {"name": "r", "namespace": "team", "uid": "u"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        });
        for (key, value) in spec.as_object().unwrap() {
            all["spec"][key] = value.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    #[test]
    fn the_hash_is_of_what_is_asked_for_and_not_of_how_it_is_written() {
        let hash = |spec: Value| spec_hash(&restore(&spec));
        let plain = hash(json!({}));
        assert_eq!(plain, hash(json!({"mode": "Empty", "jobs": 2})));
        for other in [
            json!({"mode": "Replace", "confirm": "orders"}),
            json!({"source": {"backupRef": {"name": "c"}}}),
            json!({"databaseRef": {"name": "other"}}),
            json!({"check": {"level": "Digest"}}),
        ] {
            assert_ne!(plain, hash(other));
        }
        assert_eq!(plain.len(), 64);
    }

    #[test]
    fn the_databases_word_on_an_extension_counts_more_than_the_backups() {
        let inventory: Inventory = serde_json::from_value(json!({"extensions": [
            {"name": "pg_trgm", "version": "1.5", "schema": "public", "owned": true},
            {"name": "postgis", "version": "3.5", "schema": "gis", "owned": false},
        ]}))
        .unwrap();
        let asked = Extension {
            name: SqlName::new("pg_trgm").unwrap(),
            schema: None,
            version: Some("1.6".to_owned()),
        };
        let all = extensions(std::slice::from_ref(&asked), Some(&inventory)).unwrap();
        let names: Vec<_> = all.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["pg_trgm", "postgis"]);
        assert_eq!(all[0], asked);
        assert_eq!(all[1].version, None, "as the server has it");
        assert!(extensions(&[], None).unwrap().is_empty());
    }

    #[test]
    fn a_test_makes_a_database_like_the_one_that_was_backed_up_under_names_of_its_own() {
        let mut test = restore(&json!({"mode": "Test", "instanceRef": {"name": "i"}}));
        test.spec.database_ref = None;
        test.metadata.uid = Some("0f1e2d3c-1111-4222-8333-444455556666".to_owned());
        let instance = |provider: &str| -> DatabaseInstance {
            serde_json::from_value(json!({
                "metadata": {"name": "i"},
                "spec": {"provider": provider, "host": "db", "adminSecretRef": {"name": "admin"},
                         "allowedNamespaces": {"all": true}, "takeOverClaimsFrom": ["gone"],
                         "postgresql": {"allowedExtensions": ["postgis"]}},
            }))
            .unwrap()
        };
        let made = |provider: &str, inventory: Value| {
            let inventory: Inventory = serde_json::from_value(inventory).unwrap();
            // What stands in a status decides nothing.
            let target = RestoreTarget {
                database: "orders".to_owned(),
                user: "orders".to_owned(),
                ..RestoreTarget::default()
            };
            load(
                &test,
                "c",
                &target,
                None,
                &instance(provider),
                Some(&inventory),
            )
            .unwrap()
        };
        let postgresql = made(
            "postgresql",
            json!({
                "createdWith": {"encoding": "UTF8", "collation": "C", "ctype": "C", "localeProvider": "icu",
                                "icuLocale": "de"},
                "extensions": [{"name": "pg_trgm", "version": "1.6", "schema": "public", "owned": true}],
            }),
        );
        assert_eq!(postgresql.mode, LoadMode::Test);
        assert_eq!(postgresql.target.database.as_str(), "test-r__r_0f1e2d3c");
        assert_eq!(postgresql.desired.names, postgresql.target);
        assert_eq!(postgresql.take_over_from, ["gone"]);
        let settings = &postgresql.desired.postgresql;
        assert_eq!(settings.encoding.as_deref(), Some("UTF8"));
        assert_eq!(settings.icu_locale.as_deref(), Some("de"));
        assert_eq!(settings.builtin_locale, None);
        assert_eq!(settings.allowed_extensions, ["postgis"]);
        assert_eq!(postgresql.extensions[0].name.as_str(), "pg_trgm");
        let mysql = made(
            "mysql",
            json!({"createdWith": {"characterSet": "latin1", "collation": "latin1_bin"}}),
        );
        assert_eq!(mysql.desired.mysql.character_set.as_deref(), Some("latin1"));
        assert_eq!(mysql.desired.mysql.collation.as_deref(), Some("latin1_bin"));
        assert_eq!(mysql.desired.postgresql.encoding, None);
        let silent = made("postgresql", json!({})).desired.postgresql;
        assert!(!silent.has_options());
    }

    #[test]
    fn a_place_is_known_when_all_of_it_is() {
        let target = |names: Value| -> RestoreTarget {
            let mut target = json!({"instance": "i", "database": "d", "user": "u", "databaseUid": "x",
                                    "serverIdentity": "s"});
            for (key, value) in names.as_object().unwrap() {
                target[key] = value.clone();
            }
            serde_json::from_value(target).unwrap()
        };
        assert_eq!(
            scratch(&target(json!({"scratch": "d__r_0"}))).unwrap(),
            None
        );
        let all = json!({"scratch": "d__r_0", "login": "l", "owner": "u"});
        let place = scratch(&target(all)).unwrap().unwrap();
        assert_eq!(place.database.as_str(), "d__r_0");
    }
}
