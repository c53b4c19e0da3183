//! What the operator asks of a backup pod: one JSON file in a Secret that is mounted there.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::part_sizes::PartSizes;
pub use crate::flavour::Flavour;

/// Where the pod finds and leaves things. These mounts are laid over whatever the template says, since no backup works
/// without them. Some names are older than the words of this folder; they stay, because templates know them.
pub mod paths {
    /// The operator's binary, copied there by the init container.
    pub const BINARY: &str = "/db-operator/bin/db-operator";
    /// The folder that holds [`BINARY`].
    pub const BIN: &str = "/db-operator/bin";
    /// The Secret that the operator writes for this Job: [`TASK_KEY`], [`SIGNED_PARTS_KEY`] and, where needed, [`STORE_CA_KEY`].
    pub const TASK: &str = "/db-operator/errand";
    /// The Secret of the database: `username`, `password` and, if the server has its own certificate authority, `ca.crt`.
    pub const CREDENTIALS: &str = "/db-operator/credentials";
    /// A writable folder in memory, for files that the dump tool insists on owning.
    pub const WORK: &str = "/db-operator/work";
    /// What `--defaults-extra-file` of `mysqldump` and `mariadb-dump` reads.
    pub const CLIENT_CNF: &str = "/db-operator/work/client.cnf";
    /// Key of [`super::Task`].
    pub const TASK_KEY: &str = "errand.json";
    /// Key of the `SignedParts`, see `signed_parts.rs`.
    pub const SIGNED_PARTS_KEY: &str = "window.json";
    /// Key of the authorities that the store's certificate is checked against, in PEM. Without it, the well-known ones are
    /// trusted.
    pub const STORE_CA_KEY: &str = "store-ca.crt";
    /// Where the kubelet reads the termination message.
    pub const TERMINATION: &str = "/dev/termination-log";
}

/// What to dump, where to upload it, and within which limits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// What is dumped.
    pub source: Source,
    /// Where it goes, for people: `s3://bucket/key`.
    pub destination: String,
    /// The dump's size before compression, in bytes, as estimated from the catalog; 0 if unknown.
    pub estimated_bytes: u64,
    /// How the object is split into parts.
    #[serde(rename = "schedule")]
    pub part_sizes: PartSizes,
    /// How many parts are uploaded at the same time.
    pub uploads: u32,
    /// Compression level of zstd.
    pub compression_level: i32,
    /// The dump fails after this time without progress.
    pub stall_seconds: u64,
    /// The dump fails when a part has waited this long for its signed request.
    pub sign_seconds: u64,
    /// The catalog shows views of MySQL or MariaDB that refer to something that is gone: they are looked for before the dump,
    /// since parts of it may be on their way when the tool comes to one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_broken_views: bool,
    /// The catalog shows events of MySQL or MariaDB whose text has two semicolons in a row, which not every dump tool gets past: it is
    /// tried before the dump. Their names, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endless_events: Vec<String>,
}

/// How long a part waits for its signed request: whatever `spec.stallSeconds` says, a kubelet takes about two minutes to
/// show a changed Secret.
#[must_use]
pub fn signed_within(stall: SignedDuration) -> SignedDuration {
    stall.max(SignedDuration::from_mins(5))
}

/// The database that is dumped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The kind of server, and so the dump tool that is expected.
    pub flavour: Flavour,
    /// The server's series, which the tool must not be older than: `17`, `11.8`, `9.7`.
    pub series: String,
    /// The server's version in its own words: `17.6`.
    pub server_version: String,
    /// The server's host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected, in libpq's words: `disable`, `require`, `verify-ca`, `verify-full`.
    pub tls: String,
    /// The SQL database.
    pub database: String,
}
