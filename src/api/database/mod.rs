//! `Database`: one database on a server, and the user that owns it. Written by the application team.
//!
//! This file holds what is asked for; `status.rs` what the operator knows.

mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::InstanceRef;
use super::{backup, names};

pub use status::{
    ActiveBackup, Binding, Claim, Credentials, DatabaseState, DatabaseStatus, DeletionEffect,
    FinalBackup, LastBackup,
};

/// Keys of a Database's Secret that templates cannot replace.
pub const SECRET_KEYS: [&str; 11] = [
    "host", "port", "database", "username", "password", "uri", "jdbc-url", "type", "provider",
    "ca.crt", "sslmode",
];

/// One database on a server, and the user that owns it.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "db-operator.dev",
    version = "v1alpha1",
    kind = "Database",
    plural = "databases",
    namespaced,
    shortname = "db",
    category = "db-operator",
    status = "DatabaseStatus",
    derive = "PartialEq",
    doc = "One database on an existing server, and the user that owns it. Once its state is CREATED, a Secret of the same name and namespace has all that an application needs to log in. Deleting this object keeps the database unless spec.deletionPolicy says otherwise.",
    validation = names::fits_a_label(),
    validation = names::default_not_reserved(),
    validation = Rule::new(format!("{} == {}", effective_name("self"), effective_name("oldSelf")))
        .message("the SQL database's name (spec.name, by default metadata.name) cannot be changed: make another Database, and move the data"),
    validation = Rule::new(format!("{} == {}", effective_user("self"), effective_user("oldSelf")))
        .message("the SQL user's name (spec.user, by default the database's name) cannot be changed: make another Database, and move the data"),
    validation = Rule::new(fixed_once_created("encoding"))
        .message("the encoding of a PostgreSQL database that exists cannot be changed: make another Database, and move the data"),
    validation = Rule::new(fixed_once_created("locale"))
        .message("the locale of a PostgreSQL database that exists cannot be changed: make another Database, and move the data"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state", description = "Where it is in its life"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it can be used"),
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.instanceRef.name", description = "The server it is on"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.deletionPolicy", description = "What a deletion does", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.postgresql) && has(self.mysql))")
    .message("a Database is on one server: keep the block of its kind, postgresql or mysql, and take the other away"))]
pub struct DatabaseSpec {
    /// The DatabaseInstance whose server holds the database. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("instanceRef cannot be changed: make another Database on the other instance, and move the data"))]
    pub instance_ref: InstanceRef,

    /// Name of the SQL database, at most 63 bytes, for example `orders`. Immutable. Default: metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::not_reserved())]
    pub name: Option<String>,

    /// Name of the SQL user (role) that owns the database, at most 63 bytes (32 characters on MySQL). Immutable.
    /// Default: the database's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::not_reserved())]
    pub user: Option<String>,

    /// What deleting this object does to the SQL database and user: `Retain` (default) keeps both, `Delete` drops both,
    /// `BackupBeforeDelete` drops both after a backup has completed. It is read again until the drop begins.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What to do if the SQL database or user already exists: `Never` (default) leaves it alone, `IfUnclaimed` takes it
    /// over if the instance lists it as adoptable for this namespace and no other Database has claimed it. The user's
    /// password is then replaced.
    #[serde(default)]
    pub adoption_policy: AdoptionPolicy,

    /// The maximum number of concurrent sessions of the user. Default: no limit other than the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 262_143))]
    pub connection_limit: Option<i32>,

    /// Settings for databases on PostgreSQL only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgresqlDatabase>,

    /// Settings for databases on MySQL and MariaDB only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<MysqlDatabase>,

    /// What the Secret contains in addition to its fixed keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,

    /// True: do not repair what changed on the server, and start no backup. Deletion still works. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// CEL: the SQL database's name of `object`.
fn effective_name(object: &str) -> String {
    format!("(has({object}.spec.name) ? {object}.spec.name : {object}.metadata.name)")
}

/// CEL: the SQL user's name of `object`.
fn effective_user(object: &str) -> String {
    format!(
        "(has({object}.spec.user) ? {object}.spec.user : {})",
        effective_name(object)
    )
}

/// CEL: an option of `spec.postgresql` that the server cannot change stays as it is, once the database was created.
/// Before that it may be corrected.
fn fixed_once_created(option: &str) -> String {
    let value = |object: &str| {
        format!(
            "(has({object}.spec.postgresql) && has({object}.spec.postgresql.{option}) ? {object}.spec.postgresql.{option} : '')"
        )
    };
    format!(
        "!has(oldSelf.status) || !has(oldSelf.status.state) || oldSelf.status.state == 'CREATING' || {} == {}",
        value("self"),
        value("oldSelf")
    )
}

/// What deleting a `Database` does on the server.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum DeletionPolicy {
    /// The claim is released; database and user stay.
    #[default]
    Retain,
    /// Database and user are dropped.
    Delete,
    /// Database and user are dropped after a final backup has completed.
    BackupBeforeDelete,
}

/// What to do with a SQL database or user that already exists.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum AdoptionPolicy {
    /// Leave it alone.
    #[default]
    Never,
    /// Take it over, if the instance lists it and no other `Database` has claimed it.
    IfUnclaimed,
}

/// Settings for databases on PostgreSQL only.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PostgresqlDatabase {
    /// Character encoding, for example `UTF8`. Immutable once the database exists. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]+$')")
        .message("encoding is a PostgreSQL character set, for example UTF8"))]
    pub encoding: Option<String>,

    /// Collation order and character classification, for example `C.UTF-8` or `de_DE.UTF-8`. Immutable once the
    /// database exists. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_.@-]+$')")
        .message("locale is the name of a locale that the server has, for example C.UTF-8"))]
    pub locale: Option<String>,

    /// Extensions that the database has. They are created, never dropped; those that PostgreSQL does not trust database
    /// owners with must be in the instance's allowedExtensions. At most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub extensions: Vec<Extension>,

    /// Schemas that the database has in addition to `public`, owned by its user. They are created, never dropped. At
    /// most 64. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub schemas: Vec<SqlSchema>,
}

/// An extension of a PostgreSQL database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Extension {
    /// Its name, for example `pg_trgm`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$')")
        .message("an extension's name has letters, digits, '_' and '-', for example pg_trgm"))]
    pub name: String,
}

/// A schema in a PostgreSQL database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SqlSchema {
    /// Its name, at most 63 bytes, for example `audit`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::schema_not_reserved())]
    pub name: String,
}

/// Settings for databases on MySQL and MariaDB only.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MysqlDatabase {
    /// Character set of new tables, for example `utf8mb4`. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]+$')")
        .message("characterSet is one of those that SHOW CHARACTER SET lists, for example utf8mb4"))]
    pub character_set: Option<String>,

    /// Collation of new tables, for example `utf8mb4_0900_ai_ci`. Default: the character set's, or the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]+$')")
        .message("collation is one of those that SHOW COLLATION lists, for example utf8mb4_bin"))]
    pub collation: Option<String>,
}

/// What a Database's Secret contains in addition to its fixed keys.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SecretTemplate {
    /// Labels of the Secret, in the format that Kubernetes accepts. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = text(63)))]
    #[x_kube(
        validation = own_metadata("labels"),
        validation = Rule::new(qualified_keys("")).message(
            "a label's key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and has at most 63 characters after an optional domain and '/', for example example.com/team"),
        validation = Rule::new("self.all(key, self[key].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))").message(
            "a label's value has letters, digits, '-', '_' and '.' only, and begins and ends with a letter or digit: what else there is to say fits an annotation")
    )]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the Secret. At most 32, of 8192 characters each and 16384 in total.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = text(8192)))]
    #[x_kube(
        validation = own_metadata("annotations"),
        validation = Rule::new(qualified_keys("(?i)")).message(
            "an annotation's key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and has at most 63 characters after an optional domain and '/', for example example.com/owner"),
        validation = Rule::new(in_all(ANNOTATIONS_LENGTH))
            .message(format!("annotations have at most {ANNOTATIONS_LENGTH} characters in all: shorten them").as_str())
    )]
    pub annotations: BTreeMap<String, String>,

    /// Additional keys, each with a handlebars template that may use `host`, `port`, `database`, `username`, `password`,
    /// `uri`, `jdbc-url`, `type`, `provider` and `sslmode`, and the helper `uriencode`, for example
    /// `DATABASE_URL: "postgres://{{uriencode username}}:{{uriencode password}}@{{host}}:{{port}}/{{uriencode database}}"`.
    /// At most 32, of 8192 characters each and 65536 in total.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = text(8192)))]
    #[x_kube(
        validation = Rule::new(format!("!self.exists(key, key in {SECRET_KEYS:?})"))
            .message(format!("the keys {} are the operator's: choose other ones", SECRET_KEYS.join(", ")).as_str()),
        validation = Rule::new("self.all(key, size(key) <= 253 && key.matches('^[-._a-zA-Z0-9]+$'))")
            .message("a key of a Secret has letters, digits, '-', '_' and '.' only, and at most 253 of them, for example DATABASE_URL"),
        validation = Rule::new(in_all(TEMPLATES_LENGTH))
            .message(format!("the templates of a Secret have at most {TEMPLATES_LENGTH} characters in all: shorten them, or take some away").as_str())
    )]
    pub data: BTreeMap<String, String>,
}

/// The maximum length of all templates of a Secret together. All objects are held in memory.
const TEMPLATES_LENGTH: usize = 65_536;

/// The maximum length of all its annotations together.
const ANNOTATIONS_LENGTH: usize = 16_384;

/// The schema of a value. All objects are held in memory, so none may be as large as the API server would take it.
fn text(length: usize) -> serde_json::Value {
    serde_json::json!({"type": "string", "maxLength": length})
}

/// CEL: the values of a map have no more characters than that, all together.
fn in_all(length: usize) -> String {
    format!("self.map(key, size(self[key])).sum() <= {length}")
}

/// CEL: each key is what Kubernetes calls a qualified name. `flags` are of the domain's regular expression.
fn qualified_keys(flags: &str) -> String {
    let label = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
    let name = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
    format!(
        "self.all(key, key.indexOf('/') <= 253 && key.matches('^({flags}{label}([.]{label})*/)?{name}$'))"
    )
}

/// Labels and annotations of the operator's own domain are the operator's.
fn own_metadata(what: &str) -> kube::core::Rule {
    kube::core::Rule::new("!self.exists(key, key.startsWith('db-operator.dev/'))").message(
        format!("{what} that begin with db-operator.dev/ are the operator's: choose other ones")
            .as_str(),
    )
}

impl Database {
    /// Name of the SQL database.
    #[must_use]
    pub fn sql_name(&self) -> String {
        self.spec.name.clone().unwrap_or_else(|| self.name_any())
    }

    /// Name of the SQL user that owns it.
    #[must_use]
    pub fn sql_user(&self) -> String {
        self.spec.user.clone().unwrap_or_else(|| self.sql_name())
    }

    /// Its state, if it has one yet.
    #[must_use]
    pub fn state(&self) -> Option<DatabaseState> {
        self.status.as_ref().and_then(|status| status.state)
    }

    /// Name of the `Backup` for one attempt (from 1) at the final backup: always the same for the same object and
    /// attempt, and different for every other object, whatever its namespace.
    #[must_use]
    pub fn final_backup_name(&self, attempt: i32) -> String {
        backup::final_name(&self.name_any(), self.uid().as_deref(), attempt)
    }
}
