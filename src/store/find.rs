//! Finds what an earlier commit has left in the store. Nothing is changed here.

use super::commit::is_ours;
use super::{Committed, Manifest, Store, StoreError};
use crate::agent::protocol::result::Done;

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
    let text = store.get(&Manifest::key(key), Manifest::LONGEST).await?;
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
    let manifest = Manifest::from_json(text).ok()?;
    let is_ours = manifest.backup.uid == uid
        && manifest.bytes == done.bytes
        && manifest.sha256 == done.sha256
        && manifest.parts == done.parts;
    is_ours.then_some(manifest)
}

#[cfg(test)]
mod tests {
    use super::super::Restore;
    use super::super::manifest::tests::manifest;
    use super::super::tests::offline;
    use super::*;
    use crate::agent::protocol::task::Flavour;
    use crate::provider::inventory::{EXTENSION_DATA, Inventory};
    use serde_json::json;

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
            totals: manifest.totals,
            warnings: Vec::new(),
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

    #[test]
    fn the_largest_manifest_is_short_enough_to_be_read() {
        let mut large = manifest(5);
        // As long as a status keeps them.
        large.warnings = vec!["\u{10ffff}".repeat(300); 20];
        let setting = json!({"of": "userInDatabase", "user": "u".repeat(80), "name": "n".repeat(80), "value": "v".repeat(200)});
        let names = vec!["\"".repeat(80); 10];
        let contents = json!({
            "settings": vec![setting; 40],
            "needsAdministrator": vec![json!({"kind": EXTENSION_DATA, "count": 10, "names": names}); 8],
            "extensions": (0..40).map(|n| json!({
                "name": format!("{n}{}", "e".repeat(60)), "version": "1", "schema": "s", "owned": false,
            })).collect::<Vec<_>>(),
        });
        let contents: Inventory = serde_json::from_value(contents).unwrap();
        let contents = contents.within(12 * 1024);
        let restore = Restore::new(
            Flavour::Postgresql,
            &large.object,
            None,
            "d",
            Some(&contents),
        );
        large.restore = restore;
        large.contents = Some(contents);
        let text = large.to_json().unwrap();
        assert!(text.len() < Manifest::LONGEST, "{}", text.len());
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
