//! The Secret of a Database: whose it is, what it should hold, and writing it. One object, read and written by name.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use secrecy::SecretString;

use super::secret;
use crate::api::{ADOPT_LABEL, DATABASE_LABEL, Database};
use crate::error::Error;
use crate::provider::Flavour;

/// Writes the Secret of a Database. What is not in what it writes is removed, unless somebody else wrote it.
const MANAGER: &str = "db-operator-secret";

/// The Secret that has a Database's name.
pub enum Found {
    /// There is none.
    Absent,
    /// It is the Database's own, or labelled to become that. It may lack a password.
    Usable {
        /// The Secret.
        secret: Box<Secret>,
        /// Its password.
        password: Option<SecretString>,
    },
    /// It is somebody else's.
    Foreign,
}

/// Reads the Secret of a Database.
pub async fn read(api: &Api<Secret>, database: &Database) -> Result<Found, Error> {
    let secret = api
        .get_opt(&database.name_any())
        .await
        .map_err(Error::api("read the Secret"))?;
    Ok(judge(secret, database))
}

/// Whose a Secret is. Pure.
fn judge(secret: Option<Secret>, database: &Database) -> Found {
    let Some(secret) = secret else {
        return Found::Absent;
    };
    let adoptable = secret
        .labels()
        .get(ADOPT_LABEL)
        .is_some_and(|value| value == "true");
    let mut owners = secret.owner_references().iter();
    let own = owners.any(|owner| is_of(owner, database));
    if !own && !adoptable {
        return Found::Foreign;
    }
    let password = password(&secret);
    Found::Usable {
        secret: Box::new(secret),
        password,
    }
}

/// The password in a Secret, if it has one.
pub fn password(secret: &Secret) -> Option<SecretString> {
    let value = secret.data.as_ref()?.get("password")?;
    String::from_utf8(value.0.clone())
        .ok()
        .filter(|password| !password.is_empty())
        .map(SecretString::from)
}

/// Writes the Secret, if it does not hold these keys already. Returns it as it is now.
pub async fn write(
    api: &Api<Secret>,
    database: &Database,
    engine: Flavour,
    keys: BTreeMap<String, String>,
    current: Option<Secret>,
) -> Result<Secret, Error> {
    let wanted = wanted(database, engine, keys, current.as_ref());
    apply(api, &wanted, current).await
}

/// Writes a Secret, if it does not hold all that already. Returns it as it is now.
pub async fn apply(
    api: &Api<Secret>,
    wanted: &Secret,
    current: Option<Secret>,
) -> Result<Secret, Error> {
    if let Some(current) = current.filter(|current| holds(current, wanted)) {
        return Ok(current);
    }
    // A new Secret is not forced: one that somebody else made in this moment is a conflict, and is looked at again.
    let params = PatchParams::apply(MANAGER);
    let params = if wanted.metadata.resource_version.is_some() {
        params.force()
    } else {
        params
    };
    let written = api
        .patch(&wanted.name_any(), &params, &Patch::Apply(wanted))
        .await;
    written.map_err(Error::api("write the Secret"))
}

fn wanted(
    database: &Database,
    engine: Flavour,
    keys: BTreeMap<String, String>,
    current: Option<&Secret>,
) -> Secret {
    let template = database.spec.secret_template.clone().unwrap_or_default();
    let mut labels = template.labels;
    labels.insert(
        "app.kubernetes.io/managed-by".to_owned(),
        "db-operator".to_owned(),
    );
    labels.insert(DATABASE_LABEL.to_owned(), database.name_any());
    // The type cannot be changed: a Secret that came along keeps its own.
    let type_ = current
        .and_then(|current| current.type_.clone())
        .unwrap_or_else(|| secret_type(engine));
    Secret {
        metadata: ObjectMeta {
            name: Some(database.name_any()),
            namespace: database.namespace(),
            labels: Some(labels),
            annotations: Some(template.annotations).filter(|annotations| !annotations.is_empty()),
            owner_references: owner(database, current).map(|owner| vec![owner]),
            resource_version: current.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        type_: Some(type_),
        data: Some(data(keys)),
        ..Secret::default()
    }
}

/// What makes the Secret go with its Database. One that another object controls (a SealedSecret, an ExternalSecret) keeps
/// that: an object has one controller, and the API server takes no second.
fn owner(database: &Database, current: Option<&Secret>) -> Option<OwnerReference> {
    let controlled = current.is_some_and(|current| {
        let mut owners = current.owner_references().iter();
        owners.any(|owner| owner.controller == Some(true) && !is_of(owner, database))
    });
    if controlled {
        database.owner_ref(&())
    } else {
        database.controller_owner_ref(&())
    }
}

/// By kind and name: the Secret of an object that was made again before its own was collected is still its own.
fn is_of(owner: &OwnerReference, database: &Database) -> bool {
    owner.kind == Database::kind(&())
        && owner.api_version == Database::api_version(&())
        && owner.name == database.name_any()
}

/// The type of a Secret with these keys.
pub fn secret_type(engine: Flavour) -> String {
    format!("servicebinding.io/{}", secret::binding_type(engine))
}

/// Keys as a Secret holds them.
pub fn data(keys: BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    keys.into_iter()
        .map(|(key, value)| (key, ByteString(value.into_bytes())))
        .collect()
}

/// Whether a Secret has all that is wanted, and nothing of ours that is not wanted any more. What else is in it is
/// somebody else's, and would not go away by writing.
fn holds(current: &Secret, wanted: &Secret) -> bool {
    let has = |now: &BTreeMap<String, String>, wanted: &Option<BTreeMap<String, String>>| {
        wanted
            .iter()
            .flatten()
            .all(|(key, value)| now.get(key) == Some(value))
    };
    let data = current.data.clone().unwrap_or_default();
    let mut wanted_data = wanted.data.iter().flatten();
    wanted_data.all(|(key, value)| data.get(key) == Some(value))
        && ours(current).all(|key| {
            let wanted = wanted.data.as_ref();
            wanted.is_some_and(|wanted| wanted.contains_key(key))
        })
        && has(current.labels(), &wanted.metadata.labels)
        && has(current.annotations(), &wanted.metadata.annotations)
        && wanted
            .owner_references()
            .iter()
            .all(|owner| current.owner_references().contains(owner))
}

/// The keys that we wrote last.
fn ours(secret: &Secret) -> impl Iterator<Item = &str> {
    let entries = secret.managed_fields().iter();
    entries
        .filter(|entry| entry.manager.as_deref() == Some(MANAGER))
        .filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:data")?.as_object())
        .flat_map(serde_json::Map::keys)
        .filter_map(|field| field.strip_prefix("f:"))
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
