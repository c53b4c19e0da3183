//! `Database`: one database on a server, and the user that owns it. Written by the application team.
//!
//! This file holds what is asked for; `status.rs` what the operator knows.

mod init;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema, ResourceExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::InstanceRef;
use super::{backup, names};

pub use init::{DatabaseInit, InitFrom, InitOutcome, Otherwise};
pub use status::{
    ActiveBackup, Binding, Claim, Credentials, DatabaseRestore, DatabaseState, DatabaseStatus,
    DeletionEffect, FinalBackup, LastBackup, Replaced,
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
        .message("the name of the SQL database (spec.name, by default metadata.name) cannot be changed: create a new Database and move the data"),
    validation = Rule::new(format!("{} == {}", effective_user("self"), effective_user("oldSelf")))
        .message("the name of the SQL user (spec.user, by default the database's name) cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("encoding"))
        .message("the encoding of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("locale"))
        .message("the locale of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("localeProvider"))
        .message("the locale provider of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("icuLocale"))
        .message("the ICU locale of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("builtinLocale"))
        .message("the builtin locale of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(fixed_once_created("template"))
        .message("the template of an existing PostgreSQL database cannot be changed: create a new Database and move the data"),
    validation = Rule::new(init::fixed_while_loading())
        .message("initFrom cannot be changed while its backup is being loaded: wait until that has ended, or delete the Restore of status.init first"),
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
    .message("postgresql and mysql cannot both be set: keep the one that matches the instance's server and remove the other"),
    validation = Rule::new("!has(self.initFrom) || !has(self.postgresql) || !has(self.postgresql.template)")
    .message("initFrom and postgresql.template both say what is in a new database: keep one of them"))]
pub struct DatabaseSpec {
    /// The DatabaseInstance whose server holds the database. Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("instanceRef cannot be changed: create a new Database on the other instance and move the data"))]
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

    /// The backup that the database begins with. It is loaded and compared before the Secret appears and the state is
    /// CREATED. It counts only where the operator makes the database, again with `db-operator.dev/recreate-requested-at`: one
    /// that exists with something in it, or is adopted, stays as it is. Default: the database begins empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<InitFrom>,

    /// Settings for databases on PostgreSQL only; `Unsupported` on an instance of another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgresqlDatabase>,

    /// Settings for databases on MySQL and MariaDB only; `Unsupported` on an instance of another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mysql: Option<MysqlDatabase>,

    /// What the Secret contains in addition to its fixed keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_template: Option<SecretTemplate>,

    /// True: do not repair what changed on the server, and start no backup or restore. Deletion still works. Default: false.
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
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.icuLocale) == (has(self.localeProvider) && self.localeProvider == 'icu')")
        .message("localeProvider icu and icuLocale go together: write both, for example localeProvider: icu and icuLocale: de-DE, or neither"),
    validation = Rule::new("has(self.builtinLocale) == (has(self.localeProvider) && self.localeProvider == 'builtin')")
        .message("localeProvider builtin and builtinLocale go together: write both, for example localeProvider: builtin and builtinLocale: C.UTF-8, or neither")
)]
pub struct PostgresqlDatabase {
    /// The database that the new one is a copy of, which the instance has to list in spec.postgresql.allowedTemplates.
    /// Encoding and locale are the template's. It must have no sessions while it is copied, and a copy that takes
    /// longer than a minute is given up. Immutable once the database exists. Default: `template0`, which is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::not_operators_own())]
    pub template: Option<String>,

    /// Character encoding, for example `UTF8`. Immutable once the database exists. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_-]+$')")
        .message("encoding must be a PostgreSQL character set, for example UTF8"))]
    pub encoding: Option<String>,

    /// Collation order and character classification of the operating system (`LC_COLLATE` and `LC_CTYPE`), for example
    /// `C.UTF-8` or `de_DE.UTF-8`. With localeProvider icu or builtin, those decide about most of it instead. Immutable
    /// once the database exists. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_.@-]+$')")
        .message("locale must be a locale that the server has, for example C.UTF-8"))]
    pub locale: Option<String>,

    /// Where the default collation comes from: `libc` (the server's operating system), `icu` (PostgreSQL 15 and later,
    /// with icuLocale) or `builtin` (PostgreSQL 17 and later, with builtinLocale). Immutable once the database exists.
    /// Default: `libc` where locale is set, otherwise the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locale_provider: Option<LocaleProvider>,

    /// ICU locale as a language tag (BCP 47), for example `de-DE` or `de-u-co-phonebk`. Immutable once the database
    /// exists. Only with localeProvider icu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$')")
        .message("icuLocale must be a language tag, for example de-DE, en-US-u-kn or und"))]
    pub icu_locale: Option<String>,

    /// Locale that PostgreSQL itself has: `C`, `C.UTF-8` or, from PostgreSQL 18 on, `PG_UNICODE_FAST`. Immutable once
    /// the database exists. Only with localeProvider builtin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self in ['C', 'C.UTF-8', 'PG_UNICODE_FAST']")
        .message("builtinLocale must be C, C.UTF-8 or PG_UNICODE_FAST"))]
    pub builtin_locale: Option<String>,

    /// Extensions that the database has. They are created, never dropped; those that PostgreSQL does not trust database
    /// owners with must be in the instance's allowedExtensions, and what an extension needs has to be listed, too. At
    /// most 64. Default: none.
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

/// Where the default collation of a PostgreSQL database comes from.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LocaleProvider {
    /// The server's operating system.
    Libc,
    /// The ICU library (PostgreSQL 15 and later).
    Icu,
    /// PostgreSQL itself (17 and later).
    Builtin,
}

/// An extension of a PostgreSQL database.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Extension {
    /// Its name, for example `pg_trgm`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$')")
        .message("the name of an extension may contain only letters, digits, '_' and '-', for example pg_trgm"))]
    pub name: String,

    /// Schema that the extension is in, for example `extensions`. It is created if it does not exist. An extension that is
    /// in another one is moved if the administrator may do so, otherwise the condition has the SQL. Default: the schema
    /// that the extension insists on, or `public`; one that is installed stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::schema_not_reserved())]
    pub schema: Option<String>,

    /// Version of the extension, for example `"1.6"` (in quotes: it is text). One that is installed in another version
    /// is updated to it, if the server has the scripts for that. Default: the server's default version; one that is
    /// installed keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_.+]+(-[A-Za-z0-9_.+]+)*$')")
        .message("version must be one that pg_available_extension_versions lists, for example 1.6"))]
    pub version: Option<String>,
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
    /// Character set of new tables, for example `utf8mb4`; put back if it was changed by hand. Default: the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]+$')")
        .message("characterSet must be one that SHOW CHARACTER SET lists, for example utf8mb4"))]
    pub character_set: Option<String>,

    /// Collation of new tables, for example `utf8mb4_0900_ai_ci`, or `uca1400_ai_ci` on MariaDB, which is the one for the
    /// character set; put back if it was changed by hand. Default: the character set's, or the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9_]+$')")
        .message("collation must be one that SHOW COLLATION lists, for example utf8mb4_bin"))]
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
            "a label's key consists of letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and has at most 63 characters after an optional domain and '/', for example example.com/team"),
        validation = Rule::new("self.all(key, self[key].matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$'))").message(
            "a label's value consists of letters, digits, '-', '_' and '.', and begins and ends with a letter or digit: use an annotation for any other text")
    )]
    pub labels: BTreeMap<String, String>,

    /// Annotations of the Secret. At most 32, of 8192 characters each and 16384 in total.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = text(8192)))]
    #[x_kube(
        validation = own_metadata("annotations"),
        validation = Rule::new(qualified_keys("(?i)")).message(
            "an annotation's key consists of letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and has at most 63 characters after an optional domain and '/', for example example.com/owner"),
        validation = Rule::new(in_all(ANNOTATIONS_LENGTH))
            .message(format!("annotations have at most {ANNOTATIONS_LENGTH} characters in all: shorten them").as_str())
    )]
    pub annotations: BTreeMap<String, String>,

    /// Additional keys, each with a handlebars template that may use `host`, `port`, `database`, `username`, `password`,
    /// `uri`, `jdbc-url`, `type`, `provider`, `sslmode`, `ca`, the server's `version` and the instance's `hosts` (for example
    /// `hosts.reader`), and the helper `uriencode`, for example
    /// `DATABASE_URL: "postgres://{{uriencode username}}:{{uriencode password}}@{{host}}:{{port}}/{{uriencode database}}"`.
    /// At most 32, of 8192 characters each and 65536 in total.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32, "additionalProperties" = text(8192)))]
    #[x_kube(
        validation = Rule::new(format!("!self.exists(key, key in {SECRET_KEYS:?})"))
            .message(format!("the keys {} are reserved for the operator: choose others", SECRET_KEYS.join(", ")).as_str()),
        validation = Rule::new("self.all(key, size(key) <= 253 && key.matches('^[-._a-zA-Z0-9]+$'))")
            .message("a key of a Secret consists of letters, digits, '-', '_' and '.', at most 253 of them, for example DATABASE_URL"),
        validation = Rule::new(in_all(TEMPLATES_LENGTH))
            .message(format!("the templates of a Secret have at most {TEMPLATES_LENGTH} characters in all: shorten or remove some").as_str())
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
        format!(
            "{what} that begin with db-operator.dev/ are reserved for the operator: choose others"
        )
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

    /// The identity of the server that holds it, if one does: where its claim was made.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        let claim = self.status.as_ref()?.claim.as_ref()?;
        Some(&claim.server_identity)
    }

    /// Name of the `Backup` for one attempt (from 1) at the final backup: always the same for the same object and
    /// attempt, and different for every other object, whatever its namespace.
    #[must_use]
    pub fn final_backup_name(&self, attempt: i32) -> String {
        backup::final_name(&self.name_any(), self.uid().as_deref(), attempt)
    }
}
