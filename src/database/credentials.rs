//! The Secret of a Database: whose it is, what it should hold, and writing it. One object, read and written by name.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
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
    // By kind and name: the Secret of an object that was made again before its own was collected is still its own.
    let own = secret.owner_references().iter().any(|owner| {
        owner.kind == Database::kind(&())
            && owner.api_version == Database::api_version(&())
            && owner.name == database.name_any()
    });
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
            owner_references: database.controller_owner_ref(&()).map(|owner| vec![owner]),
            resource_version: current.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        type_: Some(type_),
        data: Some(data(keys)),
        ..Secret::default()
    }
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

/// Whether a Secret has all that is wanted, and no key of ours that is not wanted any more.
fn holds(current: &Secret, wanted: &Secret) -> bool {
    let has = |now: &BTreeMap<String, String>, wanted: &Option<BTreeMap<String, String>>| {
        wanted
            .iter()
            .flatten()
            .all(|(key, value)| now.get(key) == Some(value))
    };
    current.data == wanted.data
        && has(current.labels(), &wanted.metadata.labels)
        && has(current.annotations(), &wanted.metadata.annotations)
        && wanted
            .owner_references()
            .iter()
            .all(|owner| current.owner_references().contains(owner))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use secrecy::ExposeSecret;

    fn database() -> Database {
        let spec = serde_json::json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
            "metadata": {"name": "orders", "namespace": "team-a", "uid": "u1"},
            "spec": {"instanceRef": {"name": "postgres"}, "secretTemplate": {"labels": {"team": "a"}}}
        });
        serde_json::from_value(spec).unwrap()
    }

    fn keys() -> BTreeMap<String, String> {
        BTreeMap::from([("password".to_owned(), "secret".to_owned())])
    }

    fn own() -> Secret {
        wanted(&database(), Flavour::Postgresql, keys(), None)
    }

    #[test]
    fn only_its_own_secret_or_a_labelled_one_is_used() {
        assert!(matches!(judge(None, &database()), Found::Absent));
        let Found::Usable {
            password: Some(password),
            ..
        } = judge(Some(own()), &database())
        else {
            panic!("own")
        };
        assert_eq!(password.expose_secret(), "secret");

        let mut other = own();
        other.metadata.owner_references = None;
        assert!(matches!(
            judge(Some(other.clone()), &database()),
            Found::Foreign
        ));
        other
            .labels_mut()
            .insert(ADOPT_LABEL.to_owned(), "false".to_owned());
        assert!(matches!(
            judge(Some(other.clone()), &database()),
            Found::Foreign
        ));
        other
            .labels_mut()
            .insert(ADOPT_LABEL.to_owned(), "true".to_owned());
        assert!(matches!(
            judge(Some(other), &database()),
            Found::Usable { .. }
        ));

        let mut of_another_kind = own();
        of_another_kind.metadata.owner_references = Some(vec![OwnerReference {
            kind: "Pod".into(),
            name: "orders".into(),
            ..OwnerReference::default()
        }]);
        assert!(matches!(
            judge(Some(of_another_kind), &database()),
            Found::Foreign
        ));
    }

    #[test]
    fn a_secret_without_a_password_is_usable_and_gets_one() {
        let mut secret = own();
        secret.data = None;
        assert!(matches!(
            judge(Some(secret), &database()),
            Found::Usable { password: None, .. }
        ));
    }

    #[test]
    fn an_unchanged_secret_is_not_written() {
        let database = database();
        let current = own();
        assert!(holds(
            &current,
            &wanted(&database, Flavour::Postgresql, keys(), Some(&current))
        ));

        let mut labelled = current.clone();
        labelled
            .labels_mut()
            .insert("somebody".into(), "else".into());
        assert!(holds(
            &labelled,
            &wanted(&database, Flavour::Postgresql, keys(), Some(&labelled))
        ));

        let mut edited = current.clone();
        edited
            .data
            .as_mut()
            .unwrap()
            .insert("extra".into(), ByteString(Vec::new()));
        let mut relabelled = current;
        relabelled.labels_mut().insert("team".into(), "b".into());
        for changed in [edited, relabelled] {
            assert!(!holds(
                &changed,
                &wanted(&database, Flavour::Postgresql, keys(), Some(&changed))
            ));
        }
    }
}
