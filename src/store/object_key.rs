//! The grammar of the keys of backups: what a tenant names is taken apart, put together again, and has to be the same. Pure.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::Manifest;
use super::key::{cluster_prefix, extension, key};
use crate::agent::protocol::task::Flavour;

/// How the time is written in a key.
const TIME: &str = "%Y%m%dT%H%M%SZ";
/// How long that is.
const TIME_LENGTH: usize = 16;
/// The longest key that a store takes.
const LONGEST: usize = 1024;

/// Where the backups of one Database are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Folder<'a> {
    /// The cluster that made them.
    pub cluster_id: &'a str,
    /// The Database's namespace.
    pub namespace: &'a str,
    /// Its name.
    pub database: &'a str,
}

/// Whose keys a Restore may read.
#[derive(Clone, Debug)]
pub struct Readable<'a> {
    /// The prefix of the instance's bucket.
    pub prefix: Option<&'a str>,
    /// This cluster's id, and those that are taken over.
    pub cluster_ids: Vec<&'a str>,
    /// The Restore's namespace.
    pub namespace: &'a str,
    /// What of others the platform shares with it.
    pub shared: Vec<Folder<'a>>,
}

/// The key of a backup's object, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ObjectKey {
    /// The whole of it.
    pub key: String,
    /// The id of the cluster that made the backup.
    pub cluster_id: String,
    /// Namespace of the Database object.
    pub namespace: String,
    /// Name of the Database object.
    pub database_object: String,
    /// When the backup began, in whole seconds.
    pub started: Timestamp,
    /// Name of the Backup.
    pub backup: String,
    /// The kind of dump: PostgreSQL's, or MySQL's and MariaDB's.
    pub is_postgresql: bool,
}

/// Why a key is not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyRefusal {
    /// It is not the key of a manifest.
    #[error(
        "it does not end in .json: write the key of the manifest, which is that of the object with .json behind it"
    )]
    NotAManifest,
    /// It is outside of the instance's part of the bucket.
    #[error("it is not below {0}, where the instance's backups are")]
    OtherPrefix(Shown),
    /// It is of another cluster.
    #[error(
        "it is of cluster {0}, which is neither this one nor in the instance's takeOverClaimsFrom"
    )]
    OtherCluster(Shown),
    /// It is of another namespace.
    #[error(
        "it is of namespace {0}: a Restore reads backups of its own namespace only, and, where it replaces nothing, those of \
         others that the instance's spec.backup.shared names"
    )]
    OtherNamespace(Shown),
    /// It is none that the operator writes.
    #[error(
        "it is not a key as the operator writes them: <prefix>/<cluster id>/<namespace>/<Database>/<time>-<Backup>-<8 \
         characters>.dump.zst.json, or .sql.zst.json"
    )]
    NotOurs,
}

/// A piece of a key as messages show it: cut, and without what is not plain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Shown(String);

impl Shown {
    fn of(text: &str) -> Self {
        let plain = |c: char| {
            if c.is_ascii_graphic() { c } else { '?' }
        };
        Self(text.chars().take(80).map(plain).collect())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Readable<'_> {
    /// The object whose manifest has this key, if this Restore may read it.
    pub fn object_of_manifest(&self, manifest: &str) -> Result<ObjectKey, KeyRefusal> {
        let object = manifest
            .strip_suffix(".json")
            .ok_or(KeyRefusal::NotAManifest)?;
        let read = self.object(object)?;
        if Manifest::key(&read.key) == manifest {
            Ok(read)
        } else {
            Err(KeyRefusal::NotOurs)
        }
    }

    /// Whether this Restore may read the backups of a Database.
    #[must_use]
    pub fn may_read(&self, folder: Folder<'_>) -> bool {
        let is_own =
            folder.namespace == self.namespace && self.cluster_ids.contains(&folder.cluster_id);
        is_own || self.shared.contains(&folder)
    }

    /// The object of this key, if this Restore may read it.
    pub fn object(&self, text: &str) -> Result<ObjectKey, KeyRefusal> {
        if text.len() > LONGEST || !text.bytes().all(is_of_keys) {
            return Err(KeyRefusal::NotOurs);
        }
        let rest = match self.prefix {
            Some(prefix) => text
                .strip_prefix(prefix)
                .and_then(|rest| rest.strip_prefix('/'))
                .ok_or_else(|| KeyRefusal::OtherPrefix(Shown::of(prefix)))?,
            None => text,
        };
        let mut segments = rest.split('/');
        let pieces = (
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
            segments.next(),
        );
        let (Some(cluster), Some(namespace), Some(database), Some(file), None) = pieces else {
            return Err(KeyRefusal::NotOurs);
        };
        let is_named = |id: &&str| cluster_prefix(None, id).strip_suffix('/') == Some(cluster);
        let of_others = self.shared.iter().map(|shared| shared.cluster_id);
        let mut ids = self.cluster_ids.iter().copied().chain(of_others);
        let Some(cluster_id) = ids.find(is_named) else {
            return Err(KeyRefusal::OtherCluster(Shown::of(cluster)));
        };
        let folder = Folder {
            cluster_id,
            namespace,
            database,
        };
        if !self.may_read(folder) {
            return Err(if namespace == self.namespace {
                KeyRefusal::OtherCluster(Shown::of(cluster))
            } else {
                KeyRefusal::OtherNamespace(Shown::of(namespace))
            });
        }
        let file = File::of(file).ok_or(KeyRefusal::NotOurs)?;
        let flavour = if file.is_postgresql {
            Flavour::Postgresql
        } else {
            Flavour::Mysql
        };
        let rebuilt = key(
            self.prefix,
            cluster_id,
            namespace,
            database,
            file.started,
            file.backup,
            file.uid,
            flavour,
        );
        if !is_name(namespace) || !is_name(database) || rebuilt != text {
            return Err(KeyRefusal::NotOurs);
        }
        Ok(ObjectKey {
            key: rebuilt,
            cluster_id: cluster_id.to_owned(),
            namespace: namespace.to_owned(),
            database_object: database.to_owned(),
            started: file.started,
            backup: file.backup.to_owned(),
            is_postgresql: file.is_postgresql,
        })
    }
}

/// The last segment of a key.
struct File<'a> {
    started: Timestamp,
    backup: &'a str,
    uid: &'a str,
    is_postgresql: bool,
}

impl<'a> File<'a> {
    fn of(file: &'a str) -> Option<Self> {
        let suffix = |flavour| format!(".{}", extension(flavour));
        let (stem, is_postgresql) = match file.strip_suffix(&suffix(Flavour::Postgresql)) {
            Some(stem) => (stem, true),
            None => (file.strip_suffix(&suffix(Flavour::Mysql))?, false),
        };
        let (time, rest) = stem.split_at_checked(TIME_LENGTH)?;
        let (backup, uid) = rest.strip_prefix('-')?.rsplit_once('-')?;
        let is_uid = (1..=8).contains(&uid.len()) && uid.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_uid || !is_name(backup) {
            return None;
        }
        let time = DateTime::strptime(TIME, time).ok()?;
        let started = TimeZone::UTC.to_timestamp(time).ok()?;
        Some(Self {
            started,
            backup,
            uid,
            is_postgresql,
        })
    }
}

/// What the operator's keys consist of. Neither `%` nor a control character is among them.
fn is_of_keys(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte)
}

/// Whether this is the name of a Kubernetes object.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let mut bytes = name.bytes();
    let (first, last) = (bytes.next(), bytes.next_back());
    first.is_some_and(inner)
        && last.is_none_or(inner)
        && name
            .bytes()
            .all(|byte| inner(byte) || b"-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn readable() -> Readable<'static> {
        Readable {
            prefix: Some("prod"),
            cluster_ids: vec!["c1", "old/one"],
            namespace: "team-a",
            shared: Vec::new(),
        }
    }

    /// What the platform shares: one Database of this cluster, and one of a cluster that is not taken over.
    fn sharing() -> Readable<'static> {
        let shared = [("c1", "team-b", "invoices"), ("c9", "team-a", "orders")];
        let shared = shared.map(|(cluster_id, namespace, database)| Folder {
            cluster_id,
            namespace,
            database,
        });
        Readable {
            shared: shared.into(),
            ..readable()
        }
    }

    const KEY: &str = "prod/c1/team-a/orders/20261124T020000Z-nightly-orders-0f1e2d3c.dump.zst";

    #[test]
    fn the_operators_own_keys_are_read() {
        let read = readable()
            .object_of_manifest(&format!("{KEY}.json"))
            .unwrap();
        assert_eq!(read.key, KEY);
        assert_eq!(read.cluster_id, "c1");
        assert_eq!(read.database_object, "orders");
        assert_eq!(read.namespace, "team-a");
        assert_eq!(read.backup, "nightly-orders");
        assert_eq!(read.started.to_string(), "2026-11-24T02:00:00Z");
        assert!(read.is_postgresql);
        // Of a cluster that is taken over, whose id is no plain word.
        let former = "prod/old_2Fone/team-a/orders/20261124T020000Z-b-0f1e2d3c.sql.zst";
        let read = readable().object(former).unwrap();
        assert_eq!(
            (read.cluster_id.as_str(), read.is_postgresql),
            ("old/one", false)
        );
        let alone = Readable {
            prefix: None,
            ..readable()
        };
        assert!(alone.object(KEY.strip_prefix("prod/").unwrap()).is_ok());
    }

    #[test]
    fn whatever_is_not_a_key_of_this_namespace_is_refused() {
        let refused = |from: &str, to: &str| {
            let key = KEY.replace(from, to);
            assert_ne!(key, KEY, "{from}");
            readable().object(&key).unwrap_err()
        };
        for (from, to) in [
            ("prod/", "other/"),
            ("prod/", "/prod/"),
            ("prod/", "prod//"),
        ] {
            let why = refused(from, to);
            assert!(
                matches!(why, KeyRefusal::OtherPrefix(_) | KeyRefusal::NotOurs),
                "{to}: {why}"
            );
        }
        for cluster in ["c2", "c11", "..", ".", "old/one", "old%2Fone", "C1"] {
            let why = refused("c1", cluster);
            assert!(
                matches!(why, KeyRefusal::OtherCluster(_) | KeyRefusal::NotOurs),
                "{cluster}: {why}"
            );
        }
        for namespace in ["team-b", "team", "team-aa"] {
            assert_eq!(
                refused("team-a", namespace),
                KeyRefusal::OtherNamespace(Shown::of(namespace))
            );
        }
        for (from, to) in [
            ("orders/", "../orders/"),
            ("orders/", "orders/../orders/"),
            ("/orders/", "/../"),
            ("/orders/", "/./"),
            ("/orders/", "//"),
            ("/orders/", "/Orders/"),
            ("/orders/", "/orders%2F/"),
            ("/orders/", "/-orders/"),
            ("20261124T020000Z", "20261324T020000Z"),
            ("20261124T020000Z", "2026-11-24T020000"),
            ("0f1e2d3c", "0f1e2d3c4"),
            ("-0f1e2d3c", "-"),
            ("-nightly-orders", ""),
            (".dump.zst", ".dump"),
            (".dump.zst", ".dump.zst.json"),
            (".dump.zst", ".dump.zst?x=y"),
            ("nightly", "night\nly"),
            ("nightly", "nightly_"),
        ] {
            let _ = refused(from, to);
        }
        for odd in ["", "/", KEY, "restores/x.json"] {
            readable().object_of_manifest(odd).unwrap_err();
        }
    }

    #[test]
    fn of_others_only_what_is_shared_is_read() {
        let key = |folder: &str| format!("prod/{folder}/20261124T020000Z-b-0f1e2d3c.dump.zst");
        let own = sharing().object(KEY).unwrap();
        assert_eq!(own.namespace, "team-a");
        let read = sharing().object(&key("c1/team-b/invoices")).unwrap();
        assert_eq!(
            (&*read.namespace, &*read.database_object, &*read.cluster_id),
            ("team-b", "invoices", "c1")
        );
        assert!(sharing().object(&key("c9/team-a/orders")).is_ok());
        for other in [
            // Another Database, another namespace, another cluster.
            "c1/team-b/orders",
            "c1/team-b/invoices-2",
            "c1/team-c/invoices",
            "c9/team-b/invoices",
            "c9/team-a/invoices",
            "c9/team-b/orders",
            "c2/team-b/invoices",
            // What is taken over is so for the own namespace alone.
            "old_2Fone/team-b/invoices",
            // Disguises.
            "c1/team-b/invoices/x",
            "c1/team-b/invoices/",
            "c1/team-b//invoices",
            "c1/team-b/./invoices",
            "c1/team-b/orders/../invoices",
            "c1/team-b/invoices/../orders",
            "c1/team-b/invoices%2F",
            "c1/team-b/Invoices",
            "c1/team-a/../team-b/invoices",
            "/c1/team-b/invoices",
        ] {
            assert!(sharing().object(&key(other)).is_err(), "{other}");
        }
        for folder in ["c1/team-b/invoices", "c9/team-a/orders"] {
            readable().object(&key(folder)).unwrap_err();
        }
    }

    #[test]
    fn a_word_that_is_no_name_shares_nothing() {
        let odd = [("c1", "..", "orders"), ("c1", "team-b", "..")];
        for (cluster_id, namespace, database) in odd {
            let shared = vec![Folder {
                cluster_id,
                namespace,
                database,
            }];
            let readable = Readable {
                shared,
                ..readable()
            };
            let key = format!(
                "prod/{cluster_id}/{namespace}/{database}/20261124T020000Z-b-0f1e2d3c.dump.zst"
            );
            assert_eq!(readable.object(&key), Err(KeyRefusal::NotOurs));
        }
    }

    #[test]
    fn a_message_quotes_little_and_nothing_odd() {
        let refusal = readable()
            .object(&format!("prod/{}/team-a/orders/x", "c".repeat(500)))
            .unwrap_err();
        let message = refusal.to_string();
        assert!(
            message.len() < 250 && message.contains("takeOverClaimsFrom"),
            "{message}"
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(text in "\\PC{0,80}", folder in "[a-z0-9./%-]{0,12}") {
            for key in [text.clone(), format!("prod/c1/team-a/{text}"), format!("prod/c1/team-a/{folder}/20261124T020000Z-b-0a.sql.zst")] {
                if let Ok(read) = readable().object(&key) {
                    prop_assert!(read.key.starts_with("prod/c1/team-a/") || read.key.starts_with("prod/old_2Fone/team-a/"));
                    prop_assert!(!read.key.split('/').any(|part| part.is_empty() || part == "." || part == ".."));
                    prop_assert_eq!(read.key, key);
                }
            }
        }
    }
}
