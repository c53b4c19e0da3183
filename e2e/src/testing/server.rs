//! The servers as their superuser sees them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};

use super::Session;
use crate::servers::NAMESPACE;

/// One of the cluster's servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
    /// MySQL.
    Mysql,
}

impl Server {
    /// The name of its Deployment, Service and shared instance.
    #[must_use]
    pub fn instance(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }

    /// Whether it is PostgreSQL.
    #[must_use]
    pub fn is_postgres(self) -> bool {
        self == Self::Postgres
    }

    /// A name as an identifier.
    #[must_use]
    pub fn quote(self, name: &str) -> String {
        match self {
            Self::Postgres => format!("\"{}\"", name.replace('"', "\"\"")),
            Self::Mariadb | Self::Mysql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A user in SQL.
    #[must_use]
    pub fn user(self, name: &str) -> String {
        match self {
            Self::Postgres => self.quote(name),
            Self::Mariadb | Self::Mysql => format!("{}@'%'", self.quote(name)),
        }
    }

    /// A session of the superuser in a database.
    pub async fn superuser(self, client: &Client, database: &str) -> Session {
        let text = async |name: String, key: &str| {
            let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
            let data = secrets.get(&name).await.unwrap().data.unwrap();
            String::from_utf8(data[key].0.clone()).unwrap()
        };
        let instance = self.instance();
        let account = format!("{instance}-superuser");
        let port = if self.is_postgres() { "5432" } else { "3306" };
        let kind = if self.is_postgres() {
            "postgresql"
        } else {
            "mysql"
        };
        let values = BTreeMap::from([
            ("host", format!("{instance}.{NAMESPACE}.svc")),
            ("port", port.to_owned()),
            ("type", kind.to_owned()),
            ("database", database.to_owned()),
            ("username", text(account.clone(), "username").await),
            ("password", text(account, "password").await),
            ("ca.crt", text(format!("{instance}-tls"), "ca.crt").await),
        ]);
        let values = values
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value));
        Session::open(client, &values.collect()).await.unwrap()
    }

    /// A session of the superuser in the server's own database.
    pub async fn root(self, client: &Client) -> Session {
        let database = if self.is_postgres() {
            "postgres"
        } else {
            "mysql"
        };
        self.superuser(client, database).await
    }

    /// A session of the superuser beside the operator's claims.
    pub async fn claims(self, client: &Client) -> Session {
        self.superuser(client, "db_operator").await
    }

    /// Databases, users and claims whose names begin like this, each with its kind.
    pub async fn names(self, client: &Client, prefix: &str) -> Vec<String> {
        let (databases, users) = self.catalog(prefix);
        let mut root = self.root(client).await;
        let mut all = Vec::new();
        for (kind, sql) in [("database", databases), ("user", users)] {
            let found = root.column(&sql).await.unwrap();
            all.extend(found.into_iter().map(|name| format!("{kind} {name}")));
        }
        root.close().await;
        let mut claims = self.claims(client).await;
        let sql = format!(
            "SELECT database_name FROM {}claims WHERE database_name LIKE '{prefix}%'",
            self.schema()
        );
        let found = claims.column(&sql).await.unwrap();
        all.extend(found.into_iter().map(|name| format!("claim {name}")));
        claims.close().await;
        all
    }

    /// The databases that the operator has noted on behalf of the Restore with this UID.
    pub async fn scratch_rows(self, client: &Client, uid: &str) -> Vec<String> {
        let mut claims = self.claims(client).await;
        let sql = format!(
            "SELECT database_name FROM {}scratch WHERE uid = '{uid}'",
            self.schema()
        );
        let found = claims.column(&sql).await.unwrap();
        claims.close().await;
        found
            .into_iter()
            .map(|name| format!("row {name}"))
            .collect()
    }

    /// Takes everything away whose name begins like this, whoever made it.
    pub async fn sweep(self, client: &Client, prefix: &str) {
        let (databases, users) = self.catalog(prefix);
        let mut root = self.root(client).await;
        for name in root.column(&databases).await.unwrap() {
            let force = if self.is_postgres() {
                " WITH (FORCE)"
            } else {
                ""
            };
            let drop = format!("DROP DATABASE IF EXISTS {}{force}", self.quote(&name));
            root.run(&drop).await.unwrap();
        }
        for name in root.column(&users).await.unwrap() {
            let drop = if self.is_postgres() {
                "DROP ROLE"
            } else {
                "DROP USER"
            };
            let sql = format!("{drop} IF EXISTS {}", self.user(&name));
            root.run(&sql).await.unwrap();
        }
        root.close().await;
        let mut claims = self.claims(client).await;
        let sql = format!(
            "DELETE FROM {}claims WHERE database_name LIKE '{prefix}%'",
            self.schema()
        );
        claims.run(&sql).await.unwrap();
        claims.close().await;
    }

    /// The schema of the operator's tables, as a prefix.
    #[must_use]
    pub fn schema(self) -> &'static str {
        // A database on MySQL, a schema in a database of that name on PostgreSQL.
        "db_operator."
    }

    /// What lists databases, and what lists users, whose names begin like this.
    fn catalog(self, prefix: &str) -> (String, String) {
        match self {
            Self::Postgres => (
                format!("SELECT datname::text FROM pg_database WHERE datname LIKE '{prefix}%'"),
                format!("SELECT rolname::text FROM pg_roles WHERE rolname LIKE '{prefix}%'"),
            ),
            Self::Mariadb | Self::Mysql => (
                format!(
                    "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE '{prefix}%'"
                ),
                format!("SELECT user FROM mysql.user WHERE user LIKE '{prefix}%'"),
            ),
        }
    }
}
