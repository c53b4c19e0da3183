//! Finds what an earlier commit has left in the store. Nothing is changed here.

use super::commit::is_ours;
use super::{Committed, Manifest, Store, StoreError};
use crate::agent::protocol::result::Done;

/// A manifest is shorter than this, in bytes.
const LONGEST: usize = 64 * 1024;

/// How far the commit of a backup has come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CommitState {
    /// There is no object of this backup; perhaps there is one of another.
    Nothing,
    /// The object is there, complete and this backup's, but its manifest is not: [`commit`](fn@super::commit) writes it.
    WithoutManifest(Committed),
    /// The object is there with its manifest, which says this.
    Committed(Box<Manifest>),
}

/// Looks for the committed object of the Backup with this UID at `key`, which has to be what its pod reported as `done`.
///
/// An upload that is still open does not count, nor does an object of another backup. With its bucket an object is gone;
/// every other error leaves open whether it is there.
pub async fn find_committed(
    store: &Store,
    key: &str,
    uid: &str,
    done: &Done,
) -> Result<CommitState, StoreError> {
    let object = match store.head(key).await {
        Ok(object) => object,
        Err(StoreError::NoBucket) => None,
        Err(error) => return Err(error),
    };
    let Some(object) = object.filter(|object| is_ours(object, done, uid)) else {
        return Ok(CommitState::Nothing);
    };
    let text = store.get(&Manifest::key(key), LONGEST).await?;
    let manifest = text.and_then(|text| describes(&text, uid, done));
    Ok(match manifest {
        Some(manifest) => CommitState::Committed(Box::new(manifest)),
        None => CommitState::WithoutManifest(Committed {
            parts: done.parts,
            bytes: object.size,
        }),
    })
}

/// The manifest in this text, if it is one of this backup's object. Any other one is written again by a commit.
fn describes(text: &[u8], uid: &str, done: &Done) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    let is_ours = manifest.backup.uid == uid
        && manifest.bytes == done.bytes
        && manifest.sha256 == done.sha256
        && manifest.parts == done.parts;
    is_ours.then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::super::tests::offline;
    use super::*;

    const UID: &str = "0f1e2d3c";

    fn done(bytes: u64) -> Done {
        let manifest = manifest(bytes);
        Done {
            parts: manifest.parts,
            bytes,
            sha256: manifest.sha256,
            parts_digest: String::new(),
            dumped_bytes: manifest.dumped_bytes,
            tool_version: manifest.tool_version,
        }
    }

    #[test]
    fn a_manifest_counts_if_it_describes_this_object() {
        let text = manifest(5).to_json().unwrap();
        assert_eq!(describes(&text, UID, &done(5)), Some(manifest(5)));
        assert_eq!(describes(&text, "another", &done(5)), None);
        assert_eq!(describes(&text, UID, &done(6)), None);
        let sha256 = "11".repeat(32);
        assert_eq!(describes(&text, UID, &Done { sha256, ..done(5) }), None);
        assert_eq!(
            describes(
                &text,
                UID,
                &Done {
                    parts: 3,
                    ..done(5)
                }
            ),
            None
        );
        assert_eq!(describes(&text[..text.len() / 2], UID, &done(5)), None);
        assert_eq!(describes(b"", UID, &done(5)), None);
    }

    #[tokio::test]
    async fn a_store_that_cannot_be_asked_has_not_said_that_there_is_nothing() {
        let store = offline(None).await;
        let error = find_committed(&store, "k", UID, &done(5))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    }
}
