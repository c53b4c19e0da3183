//! The backups in a bucket, as a restore finds them: one manifest, or the newest of a Database. Changes nothing.

use std::time::Duration;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::key::cluster_prefix;
use super::object_key::{Folder, ObjectKey, Readable};
use super::{Manifest, Store, StoreError};
use crate::printable::several;

/// The most pages of one folder that are listed, of 1000 keys each.
const PAGES: usize = 50;
/// How long a list may take over all its pages.
const LIST: Duration = Duration::from_mins(2);

/// A backup whose manifest was read and describes its object.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundBackup {
    /// The object's key.
    pub key: ObjectKey,
    /// SHA-256 of the manifest's own bytes, in hexadecimal digits.
    pub manifest_sha256: String,
    /// What the manifest says.
    pub manifest: Manifest,
}

/// Why there is no backup to restore.
#[derive(Debug, thiserror::Error)]
pub enum NoBackup {
    /// The store does not say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no such manifest or object.
    #[error("{0}")]
    Missing(String),
    /// A complete list of the folder has no manifest that is asked for.
    #[error("{message}")]
    None {
        /// What was looked for, and where.
        message: String,
        /// There are manifests all the same, of later backups, or under keys that are none of this version's.
        any: bool,
    },
    /// The manifest is not that of the object, or cannot be read.
    #[error("{0}")]
    Refused(String),
}

impl Store {
    /// The backup at this key, by its manifest; its object has to be there, in the size that the manifest says.
    /// `is_postgresql` and the rest of the key are compared with what the manifest says.
    pub async fn backup(&self, key: &ObjectKey, namespace: &str) -> Result<FoundBackup, NoBackup> {
        let at = Manifest::key(&key.key);
        let Some(text) = self.get(&at, Manifest::LONGEST + 1).await? else {
            let message = format!("there is no manifest {}", self.destination(&at));
            return Err(NoBackup::Missing(message));
        };
        let manifest = Manifest::from_json(&text)
            .map_err(|why| NoBackup::Refused(format!("the manifest {at} cannot be read: {why}")))?;
        check(&manifest, key, namespace, &self.destination(&key.key)).map_err(|why| {
            NoBackup::Refused(format!(
                "the manifest {at} is not that of its object: {why}"
            ))
        })?;
        let Some(object) = self.head(&key.key).await? else {
            let message = format!("there is no object {}", self.destination(&key.key));
            return Err(NoBackup::Missing(message));
        };
        if object.size != manifest.bytes {
            let message = format!(
                "the object {} has {} bytes, and its manifest says {}",
                key.key, object.size, manifest.bytes
            );
            return Err(NoBackup::Refused(message));
        }
        Ok(FoundBackup {
            key: key.clone(),
            manifest_sha256: hex::encode(Sha256::digest(&text)),
            manifest,
        })
    }

    /// The newest backup of a Database by the keys of the manifests in its folder, of those that began before `before`.
    /// Whether the folder may be read is for the caller to ask.
    pub async fn latest(
        &self,
        readable: &Readable<'_>,
        of: Folder<'_>,
        before: Option<Timestamp>,
    ) -> Result<FoundBackup, NoBackup> {
        let folder = folder(readable.prefix, of);
        let listing = self.newest(readable, &folder, before);
        let listed = tokio::time::timeout(LIST, listing)
            .await
            .unwrap_or_else(|_| {
                let message = "the list of backups took too long".to_owned();
                Err(NoBackup::Store(StoreError::Unreachable(message)))
            })?;
        let (any, unread) = (listed.any(), listed.unread());
        let Some(newest) = listed.early else {
            let since = before.map_or_else(String::new, |before| format!(" from before {before}"));
            let message = format!(
                "there is no backup{since} of Database {} in {}{unread}",
                of.database,
                self.destination(&folder)
            );
            return Err(NoBackup::None { message, any });
        };
        self.backup(&newest, of.namespace).await
    }

    async fn newest(
        &self,
        readable: &Readable<'_>,
        folder: &str,
        before: Option<Timestamp>,
    ) -> Result<Listed, NoBackup> {
        let mut listed = Listed::default();
        let mut after = None;
        for _ in 0..PAGES {
            let page = self.page(folder, after).await?;
            let keys = page.contents().iter().filter_map(|object| object.key());
            for key in keys {
                // Objects without a manifest are not backups, and what else lies there is not ours.
                match readable.object_of_manifest(key) {
                    Ok(object) => listed.note(object, before),
                    Err(_) => listed.note_other(key),
                }
            }
            after = page.next_continuation_token().map(str::to_owned);
            if !goes_on(page.is_truncated(), after.is_some()) {
                return Ok(listed);
            }
            if after.is_none() {
                let message = "its list does not say where it goes on".to_owned();
                return Err(StoreError::Unexpected(message).into());
            }
        }
        let message = format!(
            "there are more than {} objects in {}: name the backup by its manifest (spec.source.manifest)",
            PAGES * 1000,
            self.destination(folder)
        );
        Err(NoBackup::Refused(message))
    }

    async fn page(
        &self,
        folder: &str,
        after: Option<String>,
    ) -> Result<ListObjectsV2Output, StoreError> {
        self.client
            .list_objects_v2()
            .bucket(&self.s3.bucket)
            .prefix(folder)
            .delimiter("/")
            .set_continuation_token(after)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))
    }
}

/// What a list that is complete has.
#[derive(Debug, Default)]
struct Listed {
    /// The newest that is early enough.
    early: Option<ObjectKey>,
    /// How many there are, early enough or not.
    manifests: u32,
    /// How many objects have names like a manifest's, and are none that this version writes: a newer one may have.
    others: u32,
}

/// Whether a list has another page. A store that does not say so may yet say where that begins.
fn goes_on(is_truncated: Option<bool>, has_next: bool) -> bool {
    is_truncated.unwrap_or(has_next)
}

impl Listed {
    fn note(&mut self, object: ObjectKey, before: Option<Timestamp>) {
        self.manifests += 1;
        let is_early = before.is_none_or(|before| object.started < before);
        let is_newer = self
            .early
            .as_ref()
            .is_none_or(|newest| (newest.started, &newest.key) < (object.started, &object.key));
        if is_early && is_newer {
            self.early = Some(object);
        }
    }

    /// Notes what is no manifest's key.
    fn note_other(&mut self, key: &str) {
        if key.strip_suffix(".json").is_some() {
            self.others += 1;
        }
    }

    /// Whether there may be a backup, whatever was asked for.
    const fn any(&self) -> bool {
        self.manifests > 0 || self.others > 0
    }

    /// What is there and was not read, as the end of a sentence.
    fn unread(&self) -> String {
        match self.others {
            0 => String::new(),
            others => format!(
                ", and {} there that this version does not read as a manifest: look at what ends in .json",
                several(u64::from(others), "object")
            ),
        }
    }
}

/// Where the backups of a Database are.
pub(super) fn folder(prefix: Option<&str>, of: Folder<'_>) -> String {
    let cluster = cluster_prefix(prefix, of.cluster_id);
    format!("{cluster}{}/{}/", of.namespace, of.database)
}

/// Whether a manifest says of itself what its key says.
fn check(
    manifest: &Manifest,
    key: &ObjectKey,
    namespace: &str,
    destination: &str,
) -> Result<(), String> {
    let differs = |what: &str, says: &str, is: &str| {
        let says: String = says.chars().take(200).collect();
        Err(format!("it says {what} {says}, and the key says {is}"))
    };
    if manifest.object != destination {
        return differs("object", &manifest.object, destination);
    }
    if manifest.cluster_id != key.cluster_id {
        return differs("cluster", &manifest.cluster_id, &key.cluster_id);
    }
    if manifest.database_object != key.database_object {
        return differs("Database", &manifest.database_object, &key.database_object);
    }
    // The final backup of a Database is a Backup in the operator's namespace: its folder says whose the Database was.
    let of_folder =
        manifest.backup.namespace == namespace || manifest.backup.name.contains("-final-");
    if !of_folder {
        return differs("namespace", &manifest.backup.namespace, namespace);
    }
    if manifest.backup.name != key.backup {
        return differs("Backup", &manifest.backup.name, &key.backup);
    }
    let is_hash =
        manifest.sha256.len() == 64 && manifest.sha256.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hash {
        return Err("its sha256 is none".to_owned());
    }
    if key.is_postgresql
        != (manifest.source.flavour == crate::agent::protocol::task::Flavour::Postgresql)
    {
        return Err("it is of another kind of server than its key".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::manifest;
    use super::*;

    fn key() -> ObjectKey {
        ObjectKey {
            key: "c1/team-a/orders/x.dump.zst".to_owned(),
            cluster_id: "c1".to_owned(),
            namespace: "team-a".to_owned(),
            database_object: "orders".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            backup: "nightly".to_owned(),
            is_postgresql: true,
        }
    }

    #[test]
    fn later_backups_are_none_that_is_asked_for_and_are_there() {
        let at = |second| ObjectKey {
            started: Timestamp::from_second(second).unwrap(),
            ..key()
        };
        let of = |seconds: &[i64], before: Option<i64>| {
            let mut listed = Listed::default();
            for second in seconds {
                listed.note(
                    at(*second),
                    before.map(|it| Timestamp::from_second(it).unwrap()),
                );
            }
            let any = listed.any();
            (listed.early.map(|it| it.started.as_second()), any)
        };
        assert_eq!(of(&[], None), (None, false));
        assert_eq!(of(&[5, 9, 7], None), (Some(9), true));
        assert_eq!(of(&[5, 9, 7], Some(9)), (Some(7), true));
        assert_eq!(of(&[5, 9, 7], Some(5)), (None, true));
    }

    #[test]
    fn what_may_be_a_manifest_is_not_none() {
        let mut listed = Listed::default();
        // What a dump that was broken off leaves.
        listed.note_other("c1/team-a/orders/20261123T010000Z-nightly-0f1e2d3c.dump.zst");
        assert!(!listed.any() && listed.unread().is_empty());
        listed.note_other("c1/team-a/orders/20261123T010000Z-nightly-0f1e2d3c.dump.zst.age.json");
        assert!(listed.any() && listed.early.is_none());
        assert!(
            listed.unread().contains("1 object there"),
            "{}",
            listed.unread()
        );
    }

    #[test]
    fn a_list_ends_where_the_store_says_so() {
        for (is_truncated, has_next, expected) in [
            (Some(false), false, false),
            (Some(true), true, true),
            // It does not say where: that is an error, and no end.
            (Some(true), false, true),
            (None, true, true),
            (None, false, false),
            (Some(false), true, false),
        ] {
            assert_eq!(goes_on(is_truncated, has_next), expected);
        }
    }

    #[test]
    fn a_manifest_has_to_say_what_its_key_says() {
        let destination = "s3://backups/c1/team-a/orders/x.dump.zst";
        let checked = |manifest: &Manifest| check(manifest, &key(), "team-a", destination);
        let good = manifest(5);
        assert_eq!(checked(&good), Ok(()));
        let bad = |change: fn(&mut Manifest)| {
            let mut manifest = good.clone();
            change(&mut manifest);
            checked(&manifest).unwrap_err()
        };
        assert!(bad(|m| m.object.push('x')).starts_with("it says object"));
        assert!(bad(|m| m.cluster_id = "c2".to_owned()).starts_with("it says cluster"));
        assert!(bad(|m| m.database_object = "other".to_owned()).starts_with("it says Database"));
        assert!(bad(|m| m.backup.namespace = "team-b".to_owned()).starts_with("it says namespace"));
        assert!(bad(|m| m.backup.name = "other".to_owned()).starts_with("it says Backup"));
        assert!(bad(|m| m.sha256 = "0".to_owned()).contains("sha256"));
        assert!(
            bad(|m| m.source.flavour = crate::agent::protocol::task::Flavour::Mysql)
                .contains("another kind")
        );
        // A backup before a deletion is in the operator's namespace, and its object in the folder of the Database.
        let mut last = good.clone();
        last.backup.namespace = "db-operator".to_owned();
        last.backup.name = "orders-final-0f1e2d3c-1".to_owned();
        let mut of_last = key();
        of_last.backup.clone_from(&last.backup.name);
        assert_eq!(check(&last, &of_last, "team-a", destination), Ok(()));
    }
}
