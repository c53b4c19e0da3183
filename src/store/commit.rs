//! Turns uploaded parts into an object.
//!
//! The parts that the store lists are compared with what the backup pod reports, and only then is the object completed. A
//! commit may be called again after a crash or an error at any point, and carries on from what it finds.

use super::{Manifest, Object, Store, StoreError, UID_METADATA};
use crate::agent::protocol::result::{Done, Part, digest};

/// An object that counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Committed {
    /// How many parts it was uploaded in.
    pub parts: u32,
    /// Its size in bytes, according to the store.
    pub bytes: u64,
}

/// Why there is no object that counts.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommitError {
    /// The store does not have what the pod reports. Nothing was completed, unless `what` says so.
    #[error(
        "what the object store has is not what the backup's Job uploaded: {what}; make another Backup"
    )]
    Mismatch {
        /// The difference.
        what: String,
    },
    /// The store did not do what it was asked, and has been seen not to have our object.
    #[error(transparent)]
    Refused(StoreError),
    /// It is not known whether the object is there: call again.
    #[error(transparent)]
    Unknown(StoreError),
    /// The object is there, complete and ours, but its manifest is missing: call again.
    #[error(
        "the object is in the object store, whole, but its manifest cannot be written beside it: {0}"
    )]
    NoManifest(StoreError),
}

impl CommitError {
    /// Whether calling again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Mismatch { .. } => false,
            Self::Refused(error) => error.is_retryable(),
            // To give up here might be to declare a backup lost that is there for all to see.
            Self::Unknown(_) | Self::NoManifest(_) => true,
        }
    }

    /// The store's error, if there was one.
    #[must_use]
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Mismatch { .. } => None,
            Self::Refused(error) | Self::Unknown(error) | Self::NoManifest(error) => Some(error),
        }
    }
}

/// Completes an upload, checks the object, and writes its manifest.
///
/// The upload must have been begun with the Backup's UID (`manifest.backup.uid`) as [`UID_METADATA`]. If the answer to an
/// earlier completion was lost, that is how the object that is there already is recognised as this backup's.
pub async fn commit(
    store: &Store,
    key: &str,
    upload_id: &str,
    done: &Done,
    manifest: &Manifest,
) -> Result<Committed, CommitError> {
    let object = complete(store, key, upload_id, done, manifest).await?;
    if object.size != done.bytes {
        let what = format!(
            "the completed object has {} bytes, {} were uploaded",
            object.size, done.bytes
        );
        return Err(CommitError::Mismatch { what });
    }
    let text = manifest.to_json().map_err(|error| {
        let what = format!("the manifest cannot be written as JSON: {error}");
        CommitError::NoManifest(StoreError::Unexpected(what))
    })?;
    store
        .put(&Manifest::key(key), text, "application/json")
        .await
        .map_err(CommitError::NoManifest)?;
    Ok(Committed {
        parts: done.parts,
        bytes: object.size,
    })
}

/// The object: completed from the upload's parts now, or earlier.
async fn complete(
    store: &Store,
    key: &str,
    upload_id: &str,
    done: &Done,
    manifest: &Manifest,
) -> Result<Object, CommitError> {
    let parts = match store.parts(key, upload_id).await {
        Ok(parts) => parts,
        Err(StoreError::NoUpload) => {
            return settle(store, key, done, manifest, StoreError::NoUpload).await;
        }
        Err(error) => return Err(unless_gone(error)),
    };
    compare(&parts, done)?;
    // An object that could not be looked at afterwards must not be made: nothing would ever remove it.
    store.head(key).await.map_err(CommitError::Refused)?;
    match store.complete(key, upload_id, &parts).await {
        Ok(()) => shown(store, key).await.map_err(unless_gone),
        Err(error) => settle(store, key, done, manifest, error).await,
    }
}

/// If the bucket is gone, so is the object; any other error leaves open whether it is there.
fn unless_gone(error: StoreError) -> CommitError {
    if error == StoreError::NoBucket {
        CommitError::Refused(error)
    } else {
        CommitError::Unknown(error)
    }
}

/// Checks that the parts in the store are exactly what the pod reports.
fn compare(parts: &[Part], done: &Done) -> Result<(), CommitError> {
    let bytes: u64 = parts.iter().map(|part| part.size).sum();
    let what = if parts.is_empty() {
        "it has no part".to_owned()
    } else if u64::from(done.parts) != parts.len() as u64 {
        format!("it has {} parts, {} were uploaded", parts.len(), done.parts)
    } else if done.bytes != bytes {
        format!("its parts have {bytes} bytes, {} were uploaded", done.bytes)
    } else if done.parts_digest != digest(parts) {
        "its parts have other sizes or checksums".to_owned()
    } else {
        return Ok(());
    };
    Err(CommitError::Mismatch { what })
}

/// The object, after a completion that the store reports as done.
async fn shown(store: &Store, key: &str) -> Result<Object, StoreError> {
    store.head(key).await?.ok_or_else(|| StoreError::Busy {
        code: "NotVisible".to_owned(),
        message: "it does not show the object that it completed".to_owned(),
    })
}

/// After a completion that failed, or that may have been done before: the object if it is there and ours, or else the error.
async fn settle(
    store: &Store,
    key: &str,
    done: &Done,
    manifest: &Manifest,
    error: StoreError,
) -> Result<Object, CommitError> {
    match store.head(key).await.map_err(unless_gone)? {
        Some(object) if is_ours(&object, done, &manifest.backup.uid) => {
            if error == StoreError::Exists {
                // Another upload of this backup became the object. Without this, the present one would stay open until a sweep.
                let _ = store.abort_all(key).await;
            }
            Ok(object)
        }
        Some(_) => Err(CommitError::Refused(StoreError::Exists)),
        None => Err(CommitError::Refused(error)),
    }
}

/// Whether an object is what the Backup with this UID uploaded.
pub(super) fn is_ours(object: &Object, done: &Done, uid: &str) -> bool {
    let owner = object.metadata.get(UID_METADATA);
    object.size == done.bytes && owner.is_some_and(|owner| owner == uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u32, size: u64, etag: &str) -> Part {
        Part {
            number,
            size,
            etag: etag.to_owned(),
        }
    }

    fn done(parts: &[Part]) -> Done {
        Done {
            parts: u32::try_from(parts.len()).unwrap(),
            bytes: parts.iter().map(|part| part.size).sum(),
            sha256: "00".repeat(32),
            parts_digest: digest(parts),
            dumped_bytes: 0,
            tool_version: "pg_dump".to_owned(),
            totals: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn only_what_was_uploaded_is_completed() {
        let uploaded = [part(1, 5, "a"), part(2, 3, "b")];
        let done = done(&uploaded);
        assert_eq!(compare(&uploaded, &done), Ok(()));
        for (listed, word) in [
            (vec![], "no part"),
            (vec![part(1, 5, "a")], "1 parts, 2 were"),
            (vec![part(1, 5, "a"), part(2, 2, "b")], "7 bytes, 8 were"),
            (vec![part(1, 5, "a"), part(2, 3, "c")], "checksums"),
            (vec![part(1, 5, "a"), part(3, 3, "b")], "checksums"),
            (vec![part(1, 4, "a"), part(2, 4, "b")], "checksums"),
        ] {
            let error = compare(&listed, &done).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
            assert!(!error.is_retryable());
        }
        let nothing = Done {
            parts: 0,
            bytes: 0,
            parts_digest: digest([]),
            ..done
        };
        assert!(compare(&[], &nothing).is_err());
    }

    #[test]
    fn only_what_is_known_not_to_be_there_is_given_up() {
        let refused = || StoreError::Refused {
            code: "AccessDenied".to_owned(),
            message: String::new(),
            status: 403,
        };
        let busy = StoreError::Unreachable(String::new());
        for (error, again) in [
            (CommitError::Refused(refused()), false),
            (CommitError::Refused(StoreError::NoUpload), false),
            (CommitError::Refused(busy), true),
            (CommitError::Unknown(refused()), true),
            (CommitError::NoManifest(refused()), true),
            (unless_gone(refused()), true),
            (unless_gone(StoreError::NoBucket), false),
        ] {
            assert_eq!(error.is_retryable(), again, "{error:?}");
        }
    }

    #[test]
    fn an_object_is_ours_by_its_size_and_its_backup() {
        let done = done(&[part(1, 5, "a")]);
        let uid = "0f1e2d3c";
        let object = |size, uid: &str| Object {
            size,
            etag: "e".to_owned(),
            metadata: [(UID_METADATA.to_owned(), uid.to_owned())].into(),
        };
        assert!(is_ours(&object(5, "0f1e2d3c"), &done, uid));
        assert!(!is_ours(&object(4, "0f1e2d3c"), &done, uid));
        assert!(!is_ours(&object(5, "another"), &done, uid));
        let nobodys = Object {
            metadata: [].into(),
            ..object(5, "")
        };
        assert!(!is_ours(&nobodys, &done, uid));
    }
}
