//! The object stores that backups go to, one per instance; their keys are read by name from the operator's namespace.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};
use parking_lot::{Mutex, MutexGuard};
use secrecy::SecretString;

use super::{Keys, Store, StoreConfig, StoreError};
use crate::api::destination::{
    ACCESS_KEY_ID_KEY, BackupDestination, S3, SECRET_ACCESS_KEY_KEY, SESSION_TOKEN_KEY,
};
use crate::client::ApiError;

/// How long keys are used before their Secret is read again.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// Where the backups of an instance go.
#[derive(Clone)]
pub struct Destination {
    /// The store.
    pub store: Store,
    /// What the store's certificate is checked against, in PEM; `None`: the well-known authorities.
    pub ca: Option<Vec<u8>>,
    /// The bucket, and how to write to it.
    pub s3: S3,
}

/// Why a destination cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// The API server does not say.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A Secret, or a key of one, is not there.
    #[error("{0}")]
    Missing(String),
    /// The store's settings do not fit each other.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The stores that are open.
#[derive(Default)]
pub struct Destinations {
    open: Mutex<HashMap<String, Opened>>,
}

struct Opened {
    fingerprint: String,
    read: Instant,
    s3: S3,
    destination: Destination,
}

impl Destinations {
    /// The store of `instance`: the one that is open, or a new one where a Secret or a setting changed. `namespace` is
    /// the operator's own. Client required, twice a minute at most.
    pub async fn open(
        &self,
        client: &Client,
        namespace: &str,
        instance: &str,
        settings: &BackupDestination,
    ) -> Result<Destination, DestinationError> {
        let s3 = &settings.s3;
        // One for each bucket: an upload ends where it was begun, also when the instance names another by then.
        let name = format!("{instance} {}", s3.bucket);
        if let Some(opened) = self.lock().get(&name)
            && opened.s3 == *s3
            && opened.read.elapsed() < READ_AGAIN
        {
            return Ok(opened.destination.clone());
        }
        let access = read(client, namespace, s3).await?;
        if let Some(opened) = self.lock().get_mut(&name)
            && opened.s3 == *s3
            && opened.fingerprint == access.fingerprint
        {
            opened.read = Instant::now();
            return Ok(opened.destination.clone());
        }
        let config = StoreConfig {
            s3: s3.clone(),
            keys: access.keys,
            ca: access.ca.clone(),
        };
        let destination = Destination {
            store: Store::open(config).await?,
            ca: access.ca,
            s3: s3.clone(),
        };
        let opened = Opened {
            fingerprint: access.fingerprint,
            read: Instant::now(),
            s3: s3.clone(),
            destination: destination.clone(),
        };
        self.lock().insert(name, opened);
        Ok(destination)
    }

    /// Has the keys read again: the store refused them.
    pub fn invalidate(&self, instance: &str, bucket: &str) {
        if let Some(opened) = self.lock().get_mut(&format!("{instance} {bucket}"))
            && let Some(past) = Instant::now().checked_sub(READ_AGAIN)
        {
            opened.read = past;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Opened>> {
        self.open.lock()
    }
}

/// What the Secrets hold. The fingerprint changes whenever they do, and holds no key.
struct Access {
    keys: Keys,
    ca: Option<Vec<u8>>,
    fingerprint: String,
}

async fn read(client: &Client, namespace: &str, s3: &S3) -> Result<Access, DestinationError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut fingerprint = String::new();
    let keys = match &s3.credentials_secret_ref {
        None => Keys::OwnIdentity,
        Some(reference) => {
            let secret = get(
                &secrets,
                &reference.name,
                "spec.backup.s3.credentialsSecretRef",
            )
            .await?;
            fingerprint.push_str(&version(&secret));
            let required = |key: &str| {
                text(&secret, key).ok_or_else(|| {
                    DestinationError::Missing(format!(
                        "the Secret {} in namespace {namespace} needs the keys {ACCESS_KEY_ID_KEY} and \
                         {SECRET_ACCESS_KEY_KEY} (spec.backup.s3.credentialsSecretRef of the instance)",
                        reference.name
                    ))
                })
            };
            Keys::Static {
                access_key_id: required(ACCESS_KEY_ID_KEY)?,
                secret_access_key: required(SECRET_ACCESS_KEY_KEY)?.into(),
                session_token: text(&secret, SESSION_TOKEN_KEY).map(SecretString::from),
            }
        }
    };
    let ca = match &s3.ca_secret_ref {
        None => None,
        Some(reference) => {
            let secret = get(&secrets, &reference.name, "spec.backup.s3.caSecretRef").await?;
            fingerprint.push_str(&version(&secret));
            let pem = text(&secret, &reference.key).ok_or_else(|| {
                DestinationError::Missing(format!(
                    "the Secret {} in namespace {namespace} has no key {} (spec.backup.s3.caSecretRef of the instance)",
                    reference.name, reference.key
                ))
            })?;
            Some(pem.into_bytes())
        }
    };
    Ok(Access {
        keys,
        ca,
        fingerprint,
    })
}

async fn get(secrets: &Api<Secret>, name: &str, field: &str) -> Result<Secret, DestinationError> {
    let secret = secrets
        .get_opt(name)
        .await
        .map_err(ApiError::of("read a Secret of the object store"))?;
    secret.ok_or_else(|| {
        DestinationError::Missing(format!(
            "there is no Secret {name} in the operator's namespace ({field} of the instance)"
        ))
    })
}

/// A Secret's value as text, without the line's end that editors leave; `None` where it is missing, empty, or not text.
fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()?;
    let value = value.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn version(secret: &Secret) -> String {
    format!(
        "{} {} ",
        secret.uid().unwrap_or_default(),
        secret.resource_version().unwrap_or_default()
    )
}
