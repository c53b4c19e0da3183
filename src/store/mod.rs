//! The object store as the operator sees it. Only the operator has keys, and begins, completes and aborts uploads.
//!
//! | file | what it is about |
//! |---|---|
//! | `destination.rs` | the store of each instance, opened with the Secrets that it names |
//! | `key.rs`, `object_key.rs` | where an object goes in the bucket; which keys a restore may read |
//! | `multipart.rs` | uploads in parts: begin, list, complete, abort |
//! | `objects.rs` | single objects |
//! | `sign.rs`, `presign.rs` | signed requests for a backup pod, which has no keys |
//! | `commit.rs` | from uploaded parts to an object that counts |
//! | `find.rs` | what an earlier commit has left; changes nothing |
//! | `backups.rs`, `restored.rs` | the backups that a restore finds; what the bucket remembers of restores |
//! | `manifest.rs` | the manifest next to the object, to restore it without the cluster |
//! | `sweep.rs` | uploads that were forgotten |
//! | `keys.rs`, `client.rs`, `error.rs` | the keys, the limits, and what goes wrong |

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::destination::S3;

mod backups;
mod client;
mod commit;
mod destination;
mod error;
mod find;
mod key;
mod keys;
mod manifest;
mod multipart;
mod object_key;
mod objects;
mod presign;
mod restored;
mod sign;
mod sweep;

pub use backups::{FoundBackup, NoBackup};
pub use commit::{CommitError, Committed, commit};
pub use destination::{Destination, DestinationError, Destinations};
pub use error::StoreError;
pub use find::{CommitState, find_committed};
pub use key::{cluster_prefix, extension, key};
pub use keys::Keys;
pub use manifest::{BackupId, Manifest, ManifestError, Restore, SourceServer};
pub use object_key::{Folder, KeyRefusal, ObjectKey, Readable};
pub use restored::RestoreNote;
pub use sweep::{GRACE, Swept, sweep, unneeded};

/// The name, in an object's metadata, of the UID of its Backup. It distinguishes our object from any other.
pub const UID_METADATA: &str = "backup-uid";

/// How to reach a bucket.
#[derive(Debug)]
pub struct StoreConfig {
    /// The bucket, as the instance describes it.
    pub s3: S3,
    /// What requests are signed with.
    pub keys: Keys,
    /// The authorities that the store's certificate is checked against, in PEM. `None`: those in the operator's image.
    pub ca: Option<Vec<u8>>,
}

/// A bucket. Clones share connections and keys: keep one, rather than opening it for each call.
///
/// Every call is bounded: 5 s for a connection, 30 s for a call with its retries (standard mode, 3 requests at most);
/// [`Store::complete`] has 5 minutes, and lists have 2 over all their pages.
#[derive(Clone)]
pub struct Store {
    client: aws_sdk_s3::Client,
    keys: keys::Provider,
    s3: Arc<S3>,
}

impl Store {
    /// Opens a store. It does not connect yet; certificates that cannot be read are an error.
    #[expect(
        clippy::unused_async,
        reason = "callers need not know that it does not wait"
    )]
    pub async fn open(config: StoreConfig) -> Result<Self, StoreError> {
        let keys = keys::Provider::new(config.keys, config.s3.effective_region());
        Ok(Self {
            client: client::client(&config.s3, keys.clone(), config.ca.as_deref())?,
            keys,
            s3: Arc::new(config.s3),
        })
    }

    /// Where an object is, for people: `s3://bucket/key`.
    #[must_use]
    pub fn destination(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.s3.bucket)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("s3", &self.s3)
            .finish_non_exhaustive()
    }
}

/// An object in the store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Object {
    /// Its size in bytes.
    pub size: u64,
    /// Its ETag, without quotes. Not always a checksum.
    pub etag: String,
    /// The metadata that was given to [`Store::begin`], with names in lower case.
    pub metadata: BTreeMap<String, String>,
}

/// An upload that was begun, and neither completed nor aborted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenUpload {
    /// Key of the object that it is to become.
    pub key: String,
    /// The store's id for it.
    pub upload_id: String,
    /// When it was begun, if the store says so.
    pub initiated: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket at an address where nothing listens.
    pub(super) async fn offline(session_token: Option<&str>) -> Store {
        let s3 = serde_json::json!({"bucket": "backups", "endpoint": "http://127.0.0.1:1", "pathStyle": true});
        let config = StoreConfig {
            s3: serde_json::from_value(s3).unwrap(),
            keys: Keys::Static {
                access_key_id: "AKIDCANARY".to_owned(),
                secret_access_key: "secret-canary".into(),
                session_token: session_token.map(Into::into),
            },
            ca: None,
        };
        Store::open(config).await.unwrap()
    }

    #[tokio::test]
    async fn an_error_of_a_store_that_is_not_there_has_no_keys_in_it() {
        let store = offline(Some("token-canary")).await;
        let error = store.head("k").await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
        assert!(error.is_retryable());
        let shown = format!("{error} {error:?} {store:?}").to_lowercase();
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(store.destination("a/b"), "s3://backups/a/b");
    }
}
