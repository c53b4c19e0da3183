//! `DatabaseInstance`: where a database server is, how to log in as its administrator, who may use it, and where its
//! backups go. Written by the platform team.
//!
//! This file holds what is asked for; `access.rs` which namespaces may use a server, `restore.rs` how restores are made,
//! `status.rs` what was found there.

mod access;
mod restore;
mod status;

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::destination::BackupDestination;
use super::names;
use super::references::{SecretKeyRef, SecretRef};

pub use access::{AllowedNamespaces, LabelOperator, LabelRequirement, NamespaceSelector};
pub use restore::RestoreSettings;
pub use status::{
    DatabaseInstanceStatus, Flavour, MissingPrivilege, ServerIdentity, TlsInUse, Warning,
};

/// Key of the administrator's user name in the Secret of `spec.adminSecretRef`.
pub const ADMIN_USERNAME_KEY: &str = "username";

/// Key of the administrator's password in the Secret of `spec.adminSecretRef`.
pub const ADMIN_PASSWORD_KEY: &str = "password";

/// Where a server is, how to log in as its administrator, who may use it, and where its backups go.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, PartialEq, Serialize)]
#[kube(
    group = "db-operator.dev",
    version = "v1alpha1",
    kind = "DatabaseInstance",
    plural = "databaseinstances",
    shortname = "dbi",
    category = "db-operator",
    status = "DatabaseInstanceStatus",
    derive = "PartialEq",
    doc = "A database server that exists already (in the cluster, or a managed one): where it is, how to log in as its administrator, which namespaces may have databases in it, and where their backups go. Deleting this object never touches the server.",
    validation = names::fits_a_label(),
    printcolumn(name = "Provider", type_ = "string", json_path = ".spec.provider", description = "The kind of server"),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host", description = "Where it is"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version", description = "The version that answered"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether Databases can use it"),
    printcolumn(name = "Databases", type_ = "integer", json_path = ".status.databases", description = "How many Databases it holds"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.postgresql) || self.provider == 'postgresql'")
    .message("postgresql can only be set for provider postgresql: remove it, or correct spec.provider"))]
pub struct DatabaseInstanceSpec {
    /// The kind of server: `postgresql`, or `mysql` for both MySQL and MariaDB, which are told apart when connected.
    /// Immutable.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("provider cannot be changed: create a new DatabaseInstance"))]
    pub provider: Provider,

    /// DNS name or IP address of the server, without a port, for example `postgres.databases.svc`. With TLS mode
    /// verify-full, the server's certificate must be issued for this name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(is_host("self"))
        .message("host must be a DNS name or an IP address without a port, for example postgres.databases.svc; the port goes into spec.port"))]
    pub host: String,

    /// Further hosts of the same server that applications may use, by a name for each, for example
    /// `reader: replica.databases.svc`: `{{hosts.reader}}` stands for it in a Database's `secretTemplate`. The operator itself
    /// connects to none of them. At most 16, with names of at most 32 characters. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = host_schema()))]
    #[x_kube(
        validation = Rule::new("self.all(name, size(name) <= 32 && name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$') && name != 'this')")
            .message("a name in hosts consists of at most 32 lower case letters, digits and '-', begins with a letter and is not 'this', for example reader"),
        validation = Rule::new(format!("self.all(name, {})", is_host("self[name]")))
            .message("a host must be a DNS name or an IP address without a port, for example replica.databases.svc; a port goes into the secretTemplate")
    )]
    pub hosts: BTreeMap<String, String>,

    /// TCP port of the server; default: 5432 for PostgreSQL, 3306 for MySQL and MariaDB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,

    /// How connections are encrypted and the server's certificate is checked, by the operator, by backup Jobs and in
    /// the Secrets of applications. Default: `mode: verify-full` with publicly trusted certificate authorities.
    #[serde(default)]
    pub tls: Tls,

    /// Secret with the keys `username` and `password` of an administrator who may create databases and roles; it does
    /// not have to be a superuser. The Secret is in the operator's own namespace and its values never leave it.
    pub admin_secret_ref: SecretRef,

    /// Which namespaces may have Databases on this server: exactly one of `all: true`, `names` and `selector`.
    /// A namespace that loses its permission keeps its databases, but nothing is changed there any more.
    pub allowed_namespaces: AllowedNamespaces,

    /// Databases that already exist on the server and may be taken over by a Database object that asks for it with
    /// `adoptionPolicy: IfUnclaimed`. At most 256. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["database".to_owned()]))]
    pub adoptable: Vec<Adoptable>,

    /// Ids of former clusters whose databases continue in this one (`status.clusterId` of the instance there, or the
    /// operator's `--cluster-id`): Databases with the same namespace and name take over what those clusters claimed on
    /// this server. At most 16. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(id, id.matches('^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$'))")
        .message("a cluster's ID may contain only letters, digits, '-', '_' and '.': write the --cluster-id of its operator, or the UID of its namespace kube-system"))]
    pub take_over_claims_from: Vec<String>,

    /// The maximum number of connections that the operator itself opens to this server. Backup Jobs are not counted.
    /// Default: 4.
    #[serde(default = "default_max_connections")]
    #[schemars(range(min = 1, max = 100))]
    pub max_connections: i32,

    /// Settings for PostgreSQL servers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgresql: Option<PostgresqlInstance>,

    /// Where backups of this server's databases go, and how their Jobs are created. Without it there are no backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupDestination>,

    /// How restores into this server's databases are made. They read the bucket of `spec.backup`. Default: one at a time,
    /// with Jobs like those of backups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreSettings>,

    /// True: leave this server alone; nothing is checked or changed on it, and no backup or restore starts. Default: false.
    #[serde(default)]
    pub suspend: bool,
}

/// CEL: `value` is a DNS name or an IP address, without a port.
fn is_host(value: &str) -> String {
    format!(
        "{value}.matches('^([-_.A-Za-z0-9]+|[0-9A-Fa-f:.]+:[0-9A-Fa-f:.]*)$') && !{value}.matches('^[^:]+:[0-9]+$')"
    )
}

/// The schema of a host in a map.
fn host_schema() -> serde_json::Value {
    serde_json::json!({"type": "string", "minLength": 1, "maxLength": 253})
}

fn default_max_connections() -> i32 {
    4
}

/// The kind of server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// PostgreSQL 14 to 18.
    Postgresql,
    /// MySQL 8.4 and 9, MariaDB 10.11 and 11.
    Mysql,
}

impl Provider {
    /// The TCP port that such a server listens on unless told otherwise.
    #[must_use]
    pub const fn default_port(self) -> i32 {
        match self {
            Self::Postgresql => 5432,
            Self::Mysql => 3306,
        }
    }
}

/// How connections are encrypted and the server's certificate is checked.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("!has(self.ca) || self.mode in ['verify-ca', 'verify-full']")
    .message("tls.ca needs a mode that verifies: set tls.mode to verify-full or verify-ca, or remove tls.ca"))]
pub struct Tls {
    /// `disable`: no TLS (refused for MySQL, whose authentication needs it; MariaDB's does not); `require`: TLS with any certificate;
    /// `verify-ca`: the certificate is from a trusted authority; `verify-full` (default): it is also for spec.host.
    #[serde(default)]
    pub mode: TlsMode,

    /// The authority that the server's certificate is checked against. Default: publicly trusted authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<CertificateAuthority>,
}

/// How far a server's certificate is checked, in the words of libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS, whatever the certificate.
    Require,
    /// TLS, and the certificate is from a trusted authority.
    VerifyCa,
    /// TLS, and the certificate is from a trusted authority and for the host's name.
    #[default]
    VerifyFull,
}

impl TlsMode {
    /// The word that libpq and the Secret's key `sslmode` use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Where the certificates of an authority are.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateAuthority {
    /// Key of a Secret in the operator's namespace that has one or more certificates in PEM. It is copied to the key
    /// `ca.crt` of applications' Secrets.
    pub secret_ref: SecretKeyRef,
}

/// A database that already exists on the server, and who may take it over.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Adoptable {
    /// Name of the SQL database, for example `legacy`.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::not_reserved())]
    pub database: String,

    /// Name of the SQL user that owns it, or will own it. Its password is replaced.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters(), validation = names::not_reserved())]
    pub user: String,

    /// The namespace whose Database may take it over.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::namespace_name())]
    pub namespace: String,

    /// True: once adopted, the Database's deletionPolicy may drop it. Default: false, which keeps it whatever the
    /// policy.
    #[serde(default)]
    pub drop: bool,
}

/// Settings for PostgreSQL servers only.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostgresqlInstance {
    /// The database that the administrator connects to first. Default: `postgres`.
    #[serde(default = "default_maintenance_database")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = names::sql_length(), validation = names::sql_characters())]
    pub maintenance_database: String,

    /// Extensions that Databases may use although PostgreSQL does not trust database owners with them, for example
    /// `[postgis]`; the administrator creates them, if it may. At most 128. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_extensions: Vec<String>,

    /// Databases that Databases may be copies of (`spec.postgresql.template`), for example `[template1]`. Whoever may
    /// have Databases here can read all that is in them. The administrator needs a template (`IS_TEMPLATE true`) or one
    /// of its own. At most 32. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    #[x_kube(validation = Rule::new("self.all(name, name != 'db_operator')")
        .message("db_operator holds the operator's own tables and cannot be a template: choose another database"))]
    pub allowed_templates: Vec<String>,
}

impl Default for PostgresqlInstance {
    fn default() -> Self {
        Self {
            maintenance_database: default_maintenance_database(),
            allowed_extensions: Vec::new(),
            allowed_templates: Vec::new(),
        }
    }
}

fn default_maintenance_database() -> String {
    "postgres".to_owned()
}

impl DatabaseInstanceSpec {
    /// How restores are made: what is set, or the defaults.
    #[must_use]
    pub fn effective_restore(&self) -> RestoreSettings {
        self.restore.clone().unwrap_or_default()
    }

    /// The port to connect to: the one in the spec, or the provider's own.
    #[must_use]
    pub fn effective_port(&self) -> i32 {
        self.port.unwrap_or(self.provider.default_port())
    }

    /// The database that the administrator connects to first; `None` where connections need none.
    #[must_use]
    pub fn maintenance_database(&self) -> Option<String> {
        match self.provider {
            Provider::Postgresql => Some(
                self.postgresql
                    .clone()
                    .unwrap_or_default()
                    .maintenance_database,
            ),
            Provider::Mysql => None,
        }
    }

    /// The entry that allows this namespace to take over this database with this user.
    #[must_use]
    pub fn adoptable(&self, database: &str, user: &str, namespace: &str) -> Option<&Adoptable> {
        self.adoptable
            .iter()
            .find(|a| a.database == database && a.user == user && a.namespace == namespace)
    }
}
