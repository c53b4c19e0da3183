//! What has to be true of what a `Restore` loaded, and what may be missing.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What has to be true of the loaded data.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoreCheck {
    /// `Rows` (default): each table has as many rows as in the backup. `Digest` (PostgreSQL): a digest of each table's rows
    /// is the backup's; the loaded data is read once more for that. `None`: nothing is compared. A backup of a former version,
    /// whose manifest has no such figures, is loaded without: `status.report` says what was compared.
    #[serde(default)]
    pub level: CheckLevel,

    /// Questions of your own, each of which has to be answered with true. At most 10. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub queries: Vec<CheckQuery>,
}

/// How much is compared with the backup.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum CheckLevel {
    /// Nothing.
    None,
    /// The number of rows of each table.
    #[default]
    Rows,
    /// A digest of all rows of each table (PostgreSQL).
    Digest,
}

/// One question about the loaded data.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct CheckQuery {
    /// Its name, as messages have it, for example `newest-order`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$')")
        .message("the name of a query consists of letters, digits, '-', '_' and '.', and begins and ends with a letter or digit, for example newest-order"))]
    pub name: String,

    /// One SQL statement that gives one boolean, for example
    /// `select max(created_at) > now() - interval '2 days' from orders`. It runs in the restored database, as the database's
    /// user, read-only, for at most 60 seconds.
    #[schemars(length(min = 1, max = 2048))]
    pub sql: String,
}

/// What may be left out of a restore.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Accepted {
    /// Rows of extensions' own tables.
    ExtensionData,
}
