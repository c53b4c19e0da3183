//! What the operator asks of a backup pod, as one JSON file of a Secret that is mounted there.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::parts::Schedule;

/// Where the pod finds and leaves things. The template mounts these, and a template that does not cannot work: they
/// are laid over it.
pub mod paths {
    /// The operator's binary, put there by the init container.
    pub const BINARY: &str = "/db-operator/bin/db-operator";
    /// The folder of [`BINARY`].
    pub const BIN: &str = "/db-operator/bin";
    /// The Secret that the operator writes for this Job: [`ERRAND_KEY`], [`WINDOW_KEY`] and perhaps [`STORE_CA_KEY`].
    pub const ERRAND: &str = "/db-operator/errand";
    /// The Secret of the database: `username`, `password` and, where the server has an authority of its own, `ca.crt`.
    pub const CREDENTIALS: &str = "/db-operator/credentials";
    /// In memory and writable: the files that the dump tool wants to own.
    pub const WORK: &str = "/db-operator/work";
    /// What `--defaults-extra-file` of `mysqldump` and `mariadb-dump` reads.
    pub const CLIENT_CNF: &str = "/db-operator/work/client.cnf";
    /// Key of [`super::Errand`].
    pub const ERRAND_KEY: &str = "errand.json";
    /// Key of [`super::super::window::Window`].
    pub const WINDOW_KEY: &str = "window.json";
    /// Key of the certificates, in PEM, that the store's is checked against; without it the well-known authorities count.
    pub const STORE_CA_KEY: &str = "store-ca.crt";
    /// Where the kubelet reads the termination message.
    pub const TERMINATION: &str = "/dev/termination-log";
}

/// What to dump, where to, and within which limits.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Errand {
    /// What is dumped.
    pub source: Source,
    /// Where to, for people: `s3://bucket/key`.
    pub destination: String,
    /// What the catalog estimates the dump's size to be before compression, in bytes; 0: it does not know.
    pub estimated_bytes: u64,
    /// How the object is cut.
    pub schedule: Schedule,
    /// Parts that are uploaded at the same time.
    pub uploads: u32,
    /// Level of zstd.
    pub compression_level: i32,
    /// The dump fails when nothing moves for this time.
    pub stall_seconds: u64,
    /// The dump fails when a part has no signed request for this time.
    pub sign_seconds: u64,
}

/// How long a part waits for its signed request: a kubelet needs about two minutes to show a changed Secret, whatever
/// `spec.stallSeconds` says.
#[must_use]
pub fn signed_within(stall: SignedDuration) -> SignedDuration {
    stall.max(SignedDuration::from_mins(5))
}

/// The database that is dumped.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Which dump tool is expected.
    pub flavour: Flavour,
    /// The number that the tool must not be older than: `17`, `11.8`, `9.7`.
    pub series: String,
    /// The server's version as it says it: `17.6`.
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

/// The kinds of server, each with a dump tool of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// `pg_dump`.
    Postgresql,
    /// `mysqldump` of MySQL.
    Mysql,
    /// `mariadb-dump`.
    Mariadb,
}
