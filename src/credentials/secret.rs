//! The Secret of a Database: who owns it, what it should contain, and writing it. One object, read and written by name.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, PatchParams};
use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt};
use secrecy::SecretString;

use super::keys;
use super::raw::{self, Metadata, RawSecret};
use crate::api::{ADOPT_LABEL, DATABASE_LABEL, Database};
use crate::client::ApiError;
use crate::provider::Flavour;
use crate::provider::password::{self, Unusable};

/// Writes the Secret of a Database. Anything else in it is removed, unless another field manager owns it.
const MANAGER: &str = "db-operator-secret";

/// The label that says who manages an object, and the operator's value for it.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "db-operator");

/// The Secret that has a Database's name.
pub(crate) enum Found {
    /// It does not exist.
    Absent,
    /// It is the Database's own, or labelled to become that. It may lack a password.
    Usable(Box<RawSecret>),
    /// It belongs to someone else.
    Foreign,
}

/// Why a password has to be generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no Secret.
    Secret,
    /// The Secret has no key for it.
    Key,
    /// The Secret's key for it has nothing in it.
    Value,
}

impl Missing {
    /// What was found, as the beginning of a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Secret => "there was no Secret",
            Self::Key => "the Secret had no key `password`",
            Self::Value => "the password in the Secret was empty",
        }
    }
}

/// Reads the Secret of a Database.
pub(crate) async fn read(api: &Api<Secret>, database: &Database) -> Result<Found, ApiError> {
    let secret = raw::read(api, &database.name_any(), "read the Secret").await?;
    Ok(whose(secret, database))
}

/// Whose a Secret is. Pure.
fn whose(secret: Option<RawSecret>, database: &Database) -> Found {
    let Some(secret) = secret else {
        return Found::Absent;
    };
    let labels = &secret.metadata.labels;
    let says = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
    let adoptable = says(ADOPT_LABEL, "true");
    // What was restored, or outlived its object, has lost its owner and kept its labels. Who can write them can write
    // the password, too.
    let labelled = says(MANAGED_BY.0, MANAGED_BY.1) && says(DATABASE_LABEL, &database.name_any());
    let mut owners = secret.metadata.owner_references.iter();
    if owners.any(|owner| is_of(owner, database)) || labelled || adoptable {
        Found::Usable(Box::new(secret))
    } else {
        Found::Foreign
    }
}

/// The password in a Secret; or why it is missing or cannot be used. Its length is checked first.
pub(crate) fn password(
    secret: Option<&RawSecret>,
    flavour: Flavour,
) -> Result<Result<SecretString, Missing>, Unusable> {
    let Some(secret) = secret else {
        return Ok(Err(Missing::Secret));
    };
    match secret.length("password") {
        None => return Ok(Err(Missing::Key)),
        Some(0) => return Ok(Err(Missing::Value)),
        Some(bytes) if bytes > password::longest(flavour) => {
            return Err(password::too_long(flavour, bytes));
        }
        Some(_) => {}
    }
    let value = secret.value("password").ok_or(Unusable::NotText)?;
    password::usable(flavour, &value).map(Ok)
}

/// Writes a Secret, if it does not hold all that already. Returns which version it has.
pub(crate) async fn apply(
    api: &Api<Secret>,
    wanted: &Secret,
    current: Option<RawSecret>,
) -> Result<Metadata, ApiError> {
    if let Some(current) = current.filter(|current| current.holds(wanted, MANAGER)) {
        return Ok(current.metadata);
    }
    // A new Secret is not forced: one that somebody else made in this moment is a conflict, and is looked at again.
    let params = PatchParams::apply(MANAGER);
    let params = if wanted.metadata.resource_version.is_some() {
        params.force()
    } else {
        params
    };
    raw::apply(api, wanted, &params, "write the Secret").await
}

/// Whether a Secret would have to change and never can.
pub(crate) fn is_fixed(current: &RawSecret, wanted: &Secret) -> bool {
    current.immutable == Some(true) && !current.holds(wanted, MANAGER)
}

/// The Secret of a Database as it should be.
pub(crate) fn wanted(
    database: &Database,
    engine: Flavour,
    keys: BTreeMap<String, String>,
    current: Option<&RawSecret>,
) -> Secret {
    let template = database.spec.secret_template.clone().unwrap_or_default();
    let mut labels = template.labels;
    labels.insert(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned());
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
            resource_version: current.and_then(|current| current.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        type_: Some(type_),
        data: Some(data(keys)),
        ..Secret::default()
    }
}

/// What makes the Secret go with its Database. One that another object controls (a SealedSecret, an ExternalSecret) keeps
/// that: an object has one controller, and the API server takes no second.
fn owner(database: &Database, current: Option<&RawSecret>) -> Option<OwnerReference> {
    let controlled = current.is_some_and(|current| {
        let mut owners = current.metadata.owner_references.iter();
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
pub(crate) fn secret_type(engine: Flavour) -> String {
    format!("servicebinding.io/{}", keys::binding_type(engine))
}

/// Keys as a Secret holds them.
pub(crate) fn data(keys: BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    keys.into_iter()
        .map(|(key, value)| (key, ByteString(value.into_bytes())))
        .collect()
}

#[cfg(test)]
#[path = "secret_tests.rs"]
mod tests;
