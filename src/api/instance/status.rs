//! What was found on a server.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::conditions::Condition;

/// What was found on the server.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DatabaseInstanceStatus {
    /// Ready, and Reconciling or Stalled while they are true.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,

    /// The metadata.generation that was last reconciled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// Annotations that request something, each with the value that was handled last.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub handled: BTreeMap<String, String>,

    /// The id under which this cluster claims databases on servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,

    /// The server's version as the server reports it, for example `17.6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,

    /// What kind of server it is: PostgreSQL, MySQL or MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flavour: Option<Flavour>,

    /// The encryption of the operator's connections, as the server reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsInUse>,

    /// Which server it is, so that another server behind the same name is noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<ServerIdentity>,

    /// What the administrator may not do, with the SQL that grants it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_privileges: Vec<MissingPrivilege>,

    /// Settings of the server that forbid what the operator does, with the SQL that changes them. No Database can use the
    /// server before that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unsuitable_settings: Vec<Warning>,

    /// What the platform team should know about the server, although Databases can be created there: rights that give
    /// others access to tenants' databases, and settings that applications will meet. Each comes with the SQL that changes
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,

    /// How many Databases refer to this instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<i64>,
}

// The operator's own enum is `src/flavour.rs`. This crate does without the operator, and people read another spelling.
/// The kind of server that answered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum Flavour {
    /// PostgreSQL.
    #[serde(rename = "PostgreSQL")]
    PostgreSql,
    /// MySQL.
    #[serde(rename = "MySQL")]
    MySql,
    /// MariaDB.
    #[serde(rename = "MariaDB")]
    MariaDb,
}

/// The encryption of the operator's connections.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsInUse {
    /// Whether connections are encrypted.
    pub enabled: bool,

    /// The protocol's version, for example `TLSv1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// Which server it is.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServerIdentity {
    /// The identity that Databases were created on: PostgreSQL's system identifier, MySQL's or MariaDB's server UUID.
    pub known: String,

    /// A different identity that answers now. Nothing is changed on that server until the annotation
    /// `db-operator.dev/acknowledge-identity` has this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
}

/// A privilege that the administrator lacks.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MissingPrivilege {
    /// What it is needed for.
    pub needed_for: String,

    /// The statement that grants it, to be run by someone who may.
    pub sql: String,
}

/// Something about the server that should be fixed.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Warning {
    /// What it is.
    pub what: String,

    /// The statement that fixes it, to be run by someone who may.
    pub sql: String,
}
