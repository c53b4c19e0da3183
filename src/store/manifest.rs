//! The manifest next to an object: everything that is needed to restore it without the cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::protocol::contents::Totals;
use crate::agent::protocol::task::Flavour;
use crate::provider::inventory::{EXTENSION_DATA, Inventory};

/// What an object is, and how to restore it: JSON, at the object's key with `.json` after it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Version of this format: [`Manifest::VERSION`].
    pub version: u32,
    /// Where the object is: `s3://bucket/key`.
    pub object: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits, as `sha256sum` shows it.
    pub sha256: String,
    /// How many parts it was uploaded in.
    pub parts: u32,
    /// Size of the dump before compression, in bytes.
    pub dumped_bytes: u64,
    /// What was dumped.
    pub source: SourceServer,
    /// What comes with the database beside its rows, as it was when the backup began. `None` in manifests of earlier
    /// versions of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Inventory>,
    /// What was counted in the dump. `None` in manifests of version 1, and where it could not be counted: then a warning says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// What the backup does not contain, or what a restore has to be prepared for: the Backup's `status.warnings`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The dump tool's version in its own words.
    pub tool_version: String,
    /// The Backup.
    pub backup: BackupId,
    /// Name of the Database object in Kubernetes.
    pub database_object: String,
    /// Id of the cluster that made the backup.
    pub cluster_id: String,
    /// When the backup's turn came.
    pub started_at: Timestamp,
    /// When everything was uploaded.
    pub finished_at: Timestamp,
    /// How to restore it.
    pub restore: Restore,
}

/// What was dumped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceServer {
    /// Name of the DatabaseInstance.
    pub instance: String,
    /// Name of the SQL database.
    pub database: String,
    /// The server's version in its own words.
    pub server_version: String,
    /// The kind of server.
    pub flavour: Flavour,
    /// The part of the version that a tool has to match: `17`, `11.8`. `None` in manifests of earlier versions of the
    /// operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The SQL user that dumped, and owned the database. `None` as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// A Backup by its name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
}

/// Why a manifest cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is longer than any that the operator writes.
    #[error(
        "it is longer than {} bytes, so the operator did not write it",
        Manifest::LONGEST
    )]
    TooLong,
    /// It is not JSON, or lacks a field.
    #[error("it is not what the operator writes: {0}")]
    NotAManifest(#[from] serde_json::Error),
    /// A later release wrote it.
    #[error(
        "it is of version {0}, which this release does not know (up to {known}): restore with the release that wrote it, or a later one",
        known = Manifest::VERSION
    )]
    UnknownVersion(u32),
}

/// How to restore an object, in two lines for a shell.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Gets the object into a file.
    pub fetch: String,
    /// Loads the file into an empty database of the same name, as a user that owns it. On PostgreSQL, what only an
    /// administrator can make again is left out.
    pub load: String,
}

impl Manifest {
    /// The version of the format that this code writes. Version 2 has `totals`, and an object that ends in the figures of its
    /// tables.
    pub const VERSION: u32 = 2;

    /// The most bytes of a manifest.
    pub const LONGEST: usize = 64 * 1024;

    /// The key of the manifest of the object at `key`.
    #[must_use]
    pub fn key(key: &str) -> String {
        format!("{key}.json")
    }

    /// Reads one that this release or an earlier one wrote. It may have been changed since, or be anything.
    pub fn from_json(text: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if text.len() > Self::LONGEST {
            return Err(ManifestError::TooLong);
        }
        let Version { version } = serde_json::from_slice(text)?;
        if !(1..=Self::VERSION).contains(&version) {
            return Err(ManifestError::UnknownVersion(version));
        }
        Ok(serde_json::from_slice(text)?)
    }

    /// The JSON that is written.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

impl Restore {
    /// For the object at `destination` (`s3://bucket/key`) in the store at `endpoint` (`None`: AWS).
    #[must_use]
    pub fn new(
        flavour: Flavour,
        destination: &str,
        endpoint: Option<&str>,
        database: &str,
        contents: Option<&Inventory>,
    ) -> Self {
        let file = destination.rsplit('/').next().unwrap_or(destination);
        let list = quoted(&format!("{file}.list"));
        let file = quoted(file);
        let endpoint = endpoint.map_or_else(String::new, |endpoint| {
            format!(" --endpoint-url {}", quoted(endpoint))
        });
        let name = quoted(database);
        let load = match flavour {
            Flavour::Postgresql => {
                let left_out = quoted(&left_out(contents));
                // `pg_restore --list` stops after the table of contents, and zstd would fail under `pipefail`.
                format!(
                    "zstd -dc {file} | {{ pg_restore --list; cat > /dev/null; }} | grep -Ev {left_out} > {list} && \
                     zstd -dc {file} | pg_restore --use-list={list} --no-owner --no-privileges --no-tablespaces \
                     --exit-on-error --dbname={name}"
                )
            }
            // Without --comments, older clients drop the comments inside routines.
            Flavour::Mysql => format!("zstd -dc {file} | mysql --comments --database={name}"),
            Flavour::Mariadb => format!("zstd -dc {file} | mariadb --comments --database={name}"),
        };
        Self {
            fetch: format!("aws s3 cp{endpoint} {} {file}", quoted(destination)),
            load,
        }
    }
}

/// What `pg_restore --list` calls what an owner cannot make again, each kind also with all that follows from it
/// (`PUBLICATION TABLE`). An extension itself is among what is restored: where it is there already the statement does
/// nothing (`IF NOT EXISTS`), and an owner can make the trusted ones.
pub(super) const NOT_THE_OWNERS: &str = "EVENT TRIGGER|PUBLICATION|SUBSCRIPTION|\
     (COMMENT|SECURITY LABEL) - (EXTENSION|EVENT TRIGGER|PUBLICATION|SUBSCRIPTION)";

/// The lines of `pg_restore --list` that are left out, as an extended regular expression. A line begins with numbers and
/// the kind, so that nothing in a name is taken for one.
fn left_out(contents: Option<&Inventory>) -> String {
    let mut left_out = NOT_THE_OWNERS.to_owned();
    for entry in contents
        .iter()
        .flat_map(|contents| others_entries(contents))
    {
        left_out.push('|');
        left_out.push_str(&entry);
    }
    format!("^[0-9]+; [0-9]+ [0-9]+ ({left_out}) ")
}

/// Entries of this very dump that an owner cannot make again: extensions that somebody else made, and rows of
/// extensions' own tables.
fn others_entries(contents: &Inventory) -> Vec<String> {
    let extensions = contents
        .extensions
        .iter()
        .filter(|extension| !extension.owned);
    let extensions = extensions.map(|extension| ("EXTENSION -", extension.name.clone()));
    let tables = contents.needs_administrator.iter();
    let tables = tables.filter(|objects| objects.kind == EXTENSION_DATA);
    // `"public"."spatial_ref_sys"` is `public spatial_ref_sys` in the list.
    let tables = tables.flat_map(|objects| &objects.names);
    let tables = tables.map(|name| ("TABLE DATA", name.replace("\".\"", " ").replace('"', "")));
    let entries = extensions.chain(tables);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
    // Another name might mean something to grep. It is left to the person, who sees where pg_restore stops.
    let entries = entries.filter(|(_, name)| name.chars().all(plain));
    entries
        .map(|(kind, name)| format!("{kind} {name}"))
        .collect()
}

/// A single word for a shell.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// The manifest of an object with this content, in two parts.
    pub(crate) fn manifest(bytes: u64) -> Manifest {
        let destination = "s3://backups/c1/team-a/orders/x.dump.zst";
        Manifest {
            version: Manifest::VERSION,
            object: destination.to_owned(),
            bytes,
            sha256: "00".repeat(32),
            parts: 2,
            dumped_bytes: 3 * bytes,
            source: SourceServer {
                instance: "shared".to_owned(),
                database: "orders".to_owned(),
                server_version: "17.6".to_owned(),
                flavour: Flavour::Postgresql,
                series: Some("17".to_owned()),
                user: Some("orders".to_owned()),
            },
            contents: None,
            totals: Some(Totals {
                tables: 2,
                rows: 12,
                large_objects: 0,
                digest: "11".repeat(32),
                has_tables: true,
            }),
            warnings: Vec::new(),
            tool_version: "pg_dump (PostgreSQL) 17.6".to_owned(),
            backup: BackupId {
                namespace: "team-a".to_owned(),
                name: "nightly".to_owned(),
                uid: "0f1e2d3c".to_owned(),
            },
            database_object: "orders".to_owned(),
            cluster_id: "c1".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            finished_at: Timestamp::UNIX_EPOCH,
            restore: Restore::new(Flavour::Postgresql, destination, None, "orders", None),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_by_people() {
        let manifest = manifest(5);
        let text = String::from_utf8(manifest.to_json().unwrap()).unwrap();
        assert_eq!(Manifest::from_json(text.as_bytes()).unwrap(), manifest);
        for line in [
            r#""version": 2"#,
            r#""dumpedBytes": 15"#,
            r#""rows": 12"#,
            r#""startedAt": "1970-01-01T00:00:00Z""#,
            r#""flavour": "postgresql""#,
            "zstd -dc x.dump.zst | { pg_restore --list; cat > /dev/null; } | grep -Ev ",
            "zstd -dc x.dump.zst | pg_restore",
            "pg_restore --use-list=x.dump.zst.list",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn what_the_owner_cannot_make_again_is_left_out() {
        let contents: Inventory = serde_json::from_value(json!({
            "extensions": [
                {"name": "hstore", "version": "1.8", "schema": "public", "owned": true},
                {"name": "postgis", "version": "3.5", "schema": "public", "owned": false},
                {"name": "odd.*) |", "version": "1", "schema": "public", "owned": false},
            ],
            "needsAdministrator": [
                {"kind": EXTENSION_DATA, "count": 1, "names": ["\"public\".\"spatial_ref_sys\""]},
                {"kind": "event triggers", "count": 1, "names": ["no drops"]},
            ],
        }))
        .unwrap();
        assert_eq!(
            left_out(Some(&contents)),
            "^[0-9]+; [0-9]+ [0-9]+ (EVENT TRIGGER|PUBLICATION|SUBSCRIPTION|(COMMENT|SECURITY LABEL) - \
             (EXTENSION|EVENT TRIGGER|PUBLICATION|SUBSCRIPTION)|EXTENSION - postgis|TABLE DATA public spatial_ref_sys) "
        );
    }

    #[test]
    fn the_page_for_people_leaves_out_the_same() {
        let page = include_str!("../../doc/how-to/restore.md");
        assert!(page.contains(&left_out(None)), "{}", left_out(None));
    }

    #[test]
    fn a_manifest_of_an_earlier_version_is_read() {
        let mut old = serde_json::to_value(manifest(5)).unwrap();
        let source = old["source"].as_object_mut().unwrap();
        source.remove("series");
        source.remove("user");
        old["version"] = json!(1);
        old.as_object_mut().unwrap().remove("totals");
        assert_eq!(old.get("contents"), None);
        let read = Manifest::from_json(old.to_string().as_bytes()).unwrap();
        assert_eq!((read.source.series, read.contents), (None, None));
        assert_eq!((read.version, read.totals), (1, None));
    }

    #[test]
    fn what_is_no_manifest_is_told_apart() {
        let of = |text: &[u8]| Manifest::from_json(text).unwrap_err().to_string();
        let mut later = serde_json::to_value(manifest(5)).unwrap();
        later["version"] = json!(3);
        assert!(of(later.to_string().as_bytes()).contains("version 3"));
        later["version"] = json!(0);
        assert!(of(later.to_string().as_bytes()).contains("version 0"));
        // Of a later one only the version is known.
        assert!(of(br#"{"version": 7}"#).contains("version 7"));
        assert!(of(br#"{"version": 2}"#).contains("missing field"));
        assert!(of(b"").contains("not what the operator writes"));
        assert!(of("[".repeat(5_000).as_bytes()).contains("not what the operator writes"));
        let mut long = manifest(5).to_json().unwrap();
        long.resize(Manifest::LONGEST + 1, b' ');
        assert!(of(&long).contains("65536 bytes"));
        long.pop();
        assert!(Manifest::from_json(&long).is_ok());
    }

    #[test]
    fn the_two_lines_hold_any_name() {
        let restore = Restore::new(
            Flavour::Mariadb,
            "s3://backups/c1/a/b/20261124T020000Z-n-0f1e2d3c.sql.zst",
            Some("https://minio.storage.svc:9000"),
            "it's; rm -rf $HOME",
            None,
        );
        assert_eq!(
            restore.fetch,
            "aws s3 cp --endpoint-url https://minio.storage.svc:9000 \
             s3://backups/c1/a/b/20261124T020000Z-n-0f1e2d3c.sql.zst 20261124T020000Z-n-0f1e2d3c.sql.zst"
        );
        assert_eq!(
            restore.load,
            r"zstd -dc 20261124T020000Z-n-0f1e2d3c.sql.zst | mariadb --comments --database='it'\''s; rm -rf $HOME'"
        );
        let mysql = Restore::new(Flavour::Mysql, "s3://b/x.sql.zst", None, "orders", None);
        assert_eq!(mysql.fetch, "aws s3 cp s3://b/x.sql.zst x.sql.zst");
        assert_eq!(
            mysql.load,
            "zstd -dc x.sql.zst | mysql --comments --database=orders"
        );
    }
}
