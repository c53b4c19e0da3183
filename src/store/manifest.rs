//! The manifest next to an object: everything that is needed to restore it without the cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::protocol::task::Flavour;

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

/// How to restore an object, in two lines for a shell.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// Gets the object into a file.
    pub fetch: String,
    /// Loads the file into an empty database of the same name, as a user that owns it.
    pub load: String,
}

impl Manifest {
    /// The version of the format that this code writes.
    pub const VERSION: u32 = 1;

    /// The key of the manifest of the object at `key`.
    #[must_use]
    pub fn key(key: &str) -> String {
        format!("{key}.json")
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
    ) -> Self {
        let file = destination.rsplit('/').next().unwrap_or(destination);
        let file = quoted(file);
        let endpoint = endpoint.map_or_else(String::new, |endpoint| {
            format!(" --endpoint-url {}", quoted(endpoint))
        });
        let name = quoted(database);
        let load = match flavour {
            Flavour::Postgresql => {
                format!("pg_restore --no-owner --no-privileges --exit-on-error --dbname={name}")
            }
            // Without --comments, older clients drop the comments inside routines.
            Flavour::Mysql => format!("mysql --comments --database={name}"),
            Flavour::Mariadb => format!("mariadb --comments --database={name}"),
        };
        Self {
            fetch: format!("aws s3 cp{endpoint} {} {file}", quoted(destination)),
            load: format!("zstd -dc {file} | {load}"),
        }
    }
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
            },
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
            restore: Restore::new(Flavour::Postgresql, destination, None, "orders"),
        }
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_by_people() {
        let manifest = manifest(5);
        let text = String::from_utf8(manifest.to_json().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
        for line in [
            r#""dumpedBytes": 15"#,
            r#""startedAt": "1970-01-01T00:00:00Z""#,
            r#""flavour": "postgresql""#,
            "zstd -dc x.dump.zst | pg_restore",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn the_two_lines_hold_any_name() {
        let restore = Restore::new(
            Flavour::Mariadb,
            "s3://backups/c1/a/b/20261124T020000Z-n-0f1e2d3c.sql.zst",
            Some("https://minio.storage.svc:9000"),
            "it's; rm -rf $HOME",
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
        let mysql = Restore::new(Flavour::Mysql, "s3://b/x.sql.zst", None, "orders");
        assert_eq!(mysql.fetch, "aws s3 cp s3://b/x.sql.zst x.sql.zst");
        assert_eq!(
            mysql.load,
            "zstd -dc x.sql.zst | mysql --comments --database=orders"
        );
    }
}
