//! What the server is asked for on behalf of a Restore: pure, from the objects to the provider's words.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::restore::RestoreTarget;
use crate::api::{Database, DatabaseInstance, Restore, RestoreMode, RestoreSpec};
use crate::provider::ident::InvalidName;
use crate::provider::restore::{Load, LoadMode, RestoreId, Scratch};
use crate::provider::{Claimant, Desired, Extension, Inventory, Names, SqlName};
use crate::server::desired::desired;

/// SHA-256 over what a Restore asks for, in hexadecimal digits. What is as it would be by default does not count: it is the
/// same whether or not a manifest writes it out, and the same when a later version knows more fields.
pub(super) fn spec_hash(restore: &Restore) -> String {
    let spec = &restore.spec;
    let default = RestoreSpec::new(spec.source.clone(), &spec.database_ref.name);
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
    matches!(field, "source" | "databaseRef")
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
/// and what is cleaned up goes by its names.
pub(super) fn load(
    restore: &Restore,
    cluster_id: &str,
    target: &RestoreTarget,
    database: Option<&Database>,
    instance: &DatabaseInstance,
    inventory: Option<&Inventory>,
) -> Result<Load, InvalidName> {
    let names = Names {
        database: SqlName::new(target.database.as_str())?,
        role: SqlName::new(target.user.as_str())?,
    };
    let desired = match database {
        Some(database) => desired(database, &instance.spec)?,
        None => Desired {
            names: names.clone(),
            connection_limit: None,
            postgresql: crate::provider::PostgresqlSettings::default(),
            mysql: crate::provider::MysqlSettings::default(),
        },
    };
    Ok(Load {
        restore: id(restore, cluster_id),
        target: names,
        claimant: Claimant {
            cluster_id: cluster_id.to_owned(),
            namespace: restore.namespace().unwrap_or_default(),
            name: restore.spec.database_ref.name.clone(),
        },
        take_over_from: instance.spec.take_over_claims_from.clone(),
        extensions: extensions(&desired.postgresql.extensions, inventory)?,
        desired,
        mode: match restore.spec.mode {
            RestoreMode::Empty => LoadMode::Empty,
            RestoreMode::Replace => LoadMode::Replace,
        },
    })
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
