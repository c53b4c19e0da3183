//! What a bucket remembers of restores that were done: a note beside a Database's backups. It outlives cluster and server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::object_key::{Folder, Readable};
use super::{Store, StoreError, backups};

/// The longest note that is read, in bytes.
const LONGEST: usize = 4 * 1024;

/// A restore that was done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreNote {
    /// Version of this format: [`RestoreNote::VERSION`].
    pub version: u32,
    /// Id of the cluster that did it.
    pub cluster_id: String,
    /// The Restore's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// SHA-256 over its spec, in hexadecimal digits.
    pub spec_hash: String,
    /// When it was done.
    pub at: Timestamp,
    /// The object that was restored: `s3://bucket/key`.
    pub object: String,
}

impl RestoreNote {
    /// The version of the format that this code writes.
    pub const VERSION: u32 = 1;
}

impl Store {
    /// Notes that a restore was done. `readable` says whose folder it is.
    pub async fn note_restore(
        &self,
        readable: &Readable<'_>,
        database_object: &str,
        note: &RestoreNote,
    ) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec_pretty(note)
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        text.push(b'\n');
        let key = key(readable, &note.cluster_id, database_object, &note.name);
        self.put(&key, text, "application/json").await
    }

    /// What the bucket remembers of a Restore of this name into this Database, also under an id that is taken over. A note
    /// that cannot be read is an error: it is not known then whether the restore was done.
    pub async fn restore_note(
        &self,
        readable: &Readable<'_>,
        database_object: &str,
        name: &str,
    ) -> Result<Option<RestoreNote>, StoreError> {
        for id in &readable.cluster_ids {
            let key = key(readable, id, database_object, name);
            let Some(text) = self.get(&key, LONGEST).await? else {
                continue;
            };
            let note = serde_json::from_slice(&text).map_err(|error| {
                StoreError::Unexpected(format!("the note {key} cannot be read: {error}"))
            })?;
            return Ok(Some(note));
        }
        Ok(None)
    }
}

fn key(readable: &Readable<'_>, cluster_id: &str, database_object: &str, name: &str) -> String {
    let own = Folder {
        cluster_id,
        namespace: readable.namespace,
        database: database_object,
    };
    let folder = backups::folder(readable.prefix, own);
    format!("{folder}restores/{name}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_beside_the_backups_and_none_of_them() {
        let readable = Readable {
            prefix: Some("prod"),
            cluster_ids: vec!["c1"],
            namespace: "team-a",
            shared: Vec::new(),
        };
        let key = key(&readable, "c1", "orders", "back-to-monday");
        assert_eq!(key, "prod/c1/team-a/orders/restores/back-to-monday.json");
        assert!(readable.object_of_manifest(&key).is_err());
    }
}
