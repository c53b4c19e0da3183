//! What the operator asks of a restore pod, how far it is, and what came of it.
//!
//! The task is one JSON file in a Secret that is mounted there; the result is the termination message.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::contents::Totals;
use super::result::{LIMIT, WARNINGS, first};
use super::task::{Flavour, Source};

/// The key of [`RestoreTask`] in the Job's Secret.
pub const TASK_KEY: &str = "restore.json";
/// The key of [`SignedObject`] in the Job's Secret: replaced before it expires.
pub const SIGNED_OBJECT_KEY: &str = "object.json";

/// What to load, from where and into what.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTask {
    /// Where it goes.
    pub target: Target,
    /// What it was dumped from.
    pub source: Origin,
    /// The object, for people: `s3://bucket/key`.
    pub object: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hexadecimal digits: nothing counts before that of what was fetched is the same.
    pub sha256: String,
    /// Size of the dump before compression, in bytes.
    pub dumped_bytes: u64,
    /// What the manifest says of its contents; `None`: a manifest of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totals: Option<Totals>,
    /// What is compared with the manifest after loading.
    pub check: Level,
    /// Questions of the team, each of which has to be answered with true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<Query>,
    /// How many indexes and constraints are built at the same time (PostgreSQL).
    pub jobs: u32,
    /// Rows of extensions' own tables may be left out.
    #[serde(default)]
    pub accepts_extension_data: bool,
    /// The roles of this database to which privileges are granted again: the owner, PUBLIC and these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// What of it is loaded, if that is not all (PostgreSQL).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Events are made, and stay as they are held while a dump is loaded: nothing is to run in what is only tried out (MySQL and
    /// MariaDB).
    #[serde(default)]
    pub events_stay_off: bool,
    /// The restore fails after this time without progress.
    pub stall_seconds: u64,
}

/// Some of a dump's schemas and tables, with what belongs to them. All names are as the database had them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Only {
    /// All that is in these schemas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<String>,
    /// Tables, views and sequences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableName>,
}

/// The name of a table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableName {
    /// Its schema.
    pub schema: String,
    /// Its own name.
    pub name: String,
}

/// Where a load goes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The kind of server, and so the tool that is expected.
    pub flavour: Flavour,
    /// The server's series: `17`, `11.8`, `9.7`.
    pub series: String,
    /// The server's version in its own words.
    pub server_version: String,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected, in libpq's words.
    pub tls: String,
    /// The database that is loaded into: the scratch database on PostgreSQL.
    pub database: String,
    /// The role that everything is to belong to: on PostgreSQL the session sets it; on MySQL and MariaDB the definer.
    pub owner: String,
}

impl Target {
    /// The server and the database in it, as the tools are told of them.
    #[must_use]
    pub fn server(&self) -> Source {
        Source {
            flavour: self.flavour,
            series: self.series.clone(),
            server_version: self.server_version.clone(),
            host: self.host.clone(),
            port: self.port,
            tls: self.tls.clone(),
            database: self.database.clone(),
        }
    }
}

/// What a backup was dumped from, by its manifest.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The kind of server.
    pub flavour: Flavour,
    /// The dump tool's version in its own words: the loading tool must not be older.
    pub tool_version: String,
    /// The SQL database.
    pub database: String,
    /// The SQL user that owned it, if the manifest tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How much is compared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Level {
    /// Nothing.
    None,
    /// The number of rows of each table.
    Rows,
    /// A digest of all rows of each table (PostgreSQL).
    Digest,
}

/// One question of the team.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Query {
    /// Its name, for people.
    pub name: String,
    /// One statement that gives one boolean.
    pub sql: String,
}

/// A signed request that reads the object: `GET`, with any `Range`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedObject {
    /// Where it is.
    pub url: String,
    /// When the signature expires.
    pub expires_at: Timestamp,
}

/// How far a restore is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Definitions before the rows, and the rows.
    Load,
    /// Indexes and constraints.
    Index,
    /// Statistics, counts, digests and queries.
    Check,
}

/// What became of a restore's task, as the agent sees it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome")]
pub enum RestoreResult {
    /// All is loaded, the object was the manifest's, and what was to be compared is equal.
    Done(Loaded),
    /// It failed.
    Failed(NotLoaded),
}

/// What was loaded.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// The SHA-256 of what was fetched.
    pub sha256: String,
    /// The loading tool's version in its own words.
    pub tool_version: String,
    /// Tables and rows that are there now.
    pub tables: u64,
    /// All their rows.
    pub rows: u64,
    /// What was compared.
    pub checked: Level,
    /// What was left out, a sentence each: at most 8, of at most 200 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Seconds that each phase took.
    pub load_seconds: u64,
    /// Indexes and constraints.
    pub index_seconds: u64,
    /// Statistics and checks.
    pub check_seconds: u64,
}

/// Why it failed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotLoaded {
    /// The kind of failure.
    pub cause: RestoreCause,
    /// For people: what is wrong, and what to do about it.
    pub message: String,
    /// At most 20 tables that differ from the manifest, a sentence each, as far as they fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<String>,
    /// The last lines that the tool wrote to its standard error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_lines: Vec<String>,
    /// The tool's version in its own words, if it got as far as being asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
}

/// The kinds of failure that the agent can tell apart.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum RestoreCause {
    /// The tool is older than the server or than the one that dumped, or made for another kind of server.
    ToolMismatch,
    /// The object cannot be read.
    FetchFailed,
    /// What was fetched is not what the manifest says.
    ObjectMismatch,
    /// The object is no dump, or holds what a restore does not load.
    NotADump,
    /// The dump is sound, and too large to be restored in a pod.
    TooLarge,
    /// Rows of extensions' own tables would be left out, which the Restore does not accept.
    ExtensionData,
    /// What is to be loaded alone is not in the dump, or needs something that is not to be loaded.
    OnlyRefused,
    /// The tool failed, or was killed.
    LoadFailed,
    /// What is there now is not what was dumped, or a query was not answered with true.
    CheckFailed,
    /// There was no progress for too long.
    NoProgress,
    /// The pod was asked to terminate.
    Terminated,
    /// The pod's files are not as they should be, usually because the template lacks something.
    Misconfigured,
}

/// How many differences a result names.
pub const DIFFERENCES: usize = 20;

impl RestoreResult {
    /// The termination message: JSON of at most [`LIMIT`] bytes, shortened until it fits.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Done(loaded) => loaded.message(),
            Self::Failed(failed) => failed.clone().message(),
        }
    }
}

impl Loaded {
    fn message(&self) -> String {
        let mut shown = self.left_out.len().min(WARNINGS);
        loop {
            let result = RestoreResult::Done(Self {
                left_out: first(&self.left_out, shown),
                ..self.clone()
            });
            let text = serde_json::to_string(&result).unwrap_or_default();
            if text.len() <= LIMIT || shown == 0 {
                return text;
            }
            shown -= 1;
        }
    }
}

impl NotLoaded {
    fn message(mut self) -> String {
        self.differences.truncate(DIFFERENCES);
        loop {
            let text =
                serde_json::to_string(&RestoreResult::Failed(self.clone())).unwrap_or_default();
            if text.len() <= LIMIT || !self.shrink() {
                return text;
            }
        }
    }

    /// Drops what matters least; false when nothing is left to drop.
    fn shrink(&mut self) -> bool {
        if self.last_lines.len() > 1 {
            self.last_lines.remove(0);
            return true;
        }
        if self.differences.len() > 1 {
            self.differences.pop();
            return true;
        }
        let texts = [
            self.last_lines.first_mut(),
            self.differences.first_mut(),
            Some(&mut self.message),
        ];
        let Some(longest) = texts.into_iter().flatten().max_by_key(|text| text.len()) else {
            return false;
        };
        let keep = longest.chars().count() * 3 / 4;
        if keep == 0 {
            return false;
        }
        *longest = longest.chars().take(keep).collect();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_always_fits_and_is_read_as_it_was_written() {
        let lines = |count: usize, of: &str| -> Vec<String> {
            (0..count).map(|number| format!("{number} {of}")).collect()
        };
        for (message, differences, last_lines) in [
            ("short".to_owned(), lines(3, "x"), lines(2, "y")),
            (
                "short".to_owned(),
                lines(50, &"é\u{1}".repeat(90)),
                lines(20, &"\"".repeat(400)),
            ),
            ("long".repeat(3000), lines(1, &"x".repeat(9000)), Vec::new()),
        ] {
            let failed = NotLoaded {
                cause: RestoreCause::CheckFailed,
                message: message.clone(),
                differences,
                last_lines,
                tool_version: None,
            };
            let text = RestoreResult::Failed(failed).message();
            assert!(text.len() <= LIMIT, "{}", text.len());
            let RestoreResult::Failed(read) = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert!(message.starts_with(&read.message) && !read.message.is_empty());
            assert!(!read.differences.is_empty() && read.differences.len() <= DIFFERENCES);
        }
        let done = |left_out| Loaded {
            sha256: "0".repeat(64),
            tool_version: "t".repeat(200),
            tables: u64::MAX,
            rows: u64::MAX,
            checked: Level::Digest,
            left_out,
            load_seconds: 1,
            index_seconds: 2,
            check_seconds: 3,
        };
        let text = RestoreResult::Done(done(lines(30, &"é".repeat(300)))).message();
        assert!(text.len() <= LIMIT);
        let RestoreResult::Done(read) = serde_json::from_str(&text).unwrap() else {
            panic!("{text}");
        };
        assert!(read.left_out.last().unwrap().contains("more, see the log"));
    }
}
