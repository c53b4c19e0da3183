//! The Secret with the login of a load. It goes with the Job, and the login itself is dropped when the load has ended.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::{ByteString, Resource as _};
use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};

use super::blocked::{Blocked, not_written};
use super::{Pass, task};
use crate::api::{DATABASE_LABEL, RESTORE_LABEL};
use crate::client::ApiError;

/// Writes the Secret.
const MANAGER: &str = "db-operator-restore";

/// Writes the Secret that the Job of this name and UID mounts. `ca` is the server's certificate authority in PEM.
pub(super) async fn write(
    pass: &Pass<'_>,
    job_uid: &str,
    user: &str,
    password: &SecretString,
    ca: Option<&str>,
) -> Result<(), Blocked> {
    let restore = &pass.object;
    let name = task::credentials_name(restore);
    let labels = [
        ("app.kubernetes.io/managed-by", "db-operator".to_owned()),
        (RESTORE_LABEL, restore.name_any()),
        (DATABASE_LABEL, task::owner(restore).database),
    ];
    let owner = OwnerReference {
        api_version: Job::API_VERSION.to_owned(),
        kind: Job::KIND.to_owned(),
        name: task::owner(restore).job_name(),
        uid: job_uid.to_owned(),
        controller: None,
        block_owner_deletion: None,
    };
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: restore.namespace(),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value)).into()),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(data(user, password, ca)),
        ..Secret::default()
    };
    let secrets: Api<Secret> = pass.beside();
    let parameters = PatchParams::apply(MANAGER).force();
    secrets
        .patch(&name, &parameters, &Patch::Apply(&secret))
        .await
        .map_err(|error| not_written(ApiError::of("write the Secret of the load")(error)))?;
    Ok(())
}

/// What the pod reads.
fn data(user: &str, password: &SecretString, ca: Option<&str>) -> BTreeMap<String, ByteString> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    let mut data = BTreeMap::from([
        ("username".to_owned(), bytes(user)),
        ("password".to_owned(), bytes(password.expose_secret())),
    ]);
    if let Some(ca) = ca {
        data.insert("ca.crt".to_owned(), bytes(ca));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_a_login_and_the_servers_authority_if_it_has_one() {
        let password = SecretString::from("p");
        let with = data("u", &password, Some("pem"));
        assert_eq!(
            with.keys().collect::<Vec<_>>(),
            ["ca.crt", "password", "username"]
        );
        assert_eq!(data("u", &password, None).len(), 2);
    }
}
