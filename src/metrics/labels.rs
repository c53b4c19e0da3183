//! The labels of the metrics about events.
//!
//! None is called `instance` or `namespace`: Prometheus uses these names for the target that it scraped.

use prometheus_client::encoding::EncodeLabelSet;

/// Labels of backups, or of restores, that ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackupLabels {
    /// `completed` or `failed`.
    pub result: &'static str,
    /// A stable CamelCase word.
    pub reason: &'static str,
}

/// Labels of how something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    /// `completed` or `failed`.
    pub result: &'static str,
}

/// Labels of a part of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabels {
    /// `prepare`, `load`, `index`, `check` or `switch`.
    pub phase: &'static str,
}

/// Labels of what is counted for a kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// `Database`, `Backup`, `Restore` or `DatabaseInstance`.
    pub kind: &'static str,
}

/// Labels of a finished reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `Database`, `Backup`, `Restore` or `DatabaseInstance`.
    pub kind: &'static str,
    /// `ok` or `error`.
    pub result: &'static str,
}

/// Labels of a failed reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileErrorLabels {
    /// `Database`, `Backup`, `Restore` or `DatabaseInstance`.
    pub kind: &'static str,
    /// A stable CamelCase word.
    pub reason: &'static str,
}

/// Labels of a request to the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabels {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// The resource's plural name, with its subresource: `databases/status`.
    pub resource: String,
    /// The HTTP status, or `error` if there was none.
    pub code: String,
}

/// Labels of a request to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabels {
    /// The DatabaseInstance's name.
    pub database_instance: String,
    /// What was asked: `observe`, `ensure_database`, `login`, …
    pub operation: &'static str,
}

/// Labels of a server's failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerErrorLabels {
    /// The DatabaseInstance's name.
    pub database_instance: String,
    /// A stable CamelCase word.
    pub reason: &'static str,
}
