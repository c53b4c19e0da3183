//! A session on a server, as a superuser or with a Secret's credentials.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};

/// A session that takes SQL as it stands. It ends with this value.
pub enum Session {
    /// On PostgreSQL.
    Postgres(Box<PgConnection>),
    /// On MySQL or MariaDB.
    Mysql(Box<MySqlConnection>),
}

impl Session {
    /// Logs in with the values of a Database's Secret and nothing else, over TLS that is checked against `ca.crt`.
    ///
    /// The host's name is one of the cluster, which this machine does not resolve: its address is asked from the API.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the login.
    pub async fn open(
        client: &Client,
        secret: &BTreeMap<String, String>,
    ) -> Result<Self, sqlx::Error> {
        let value = |key: &str| {
            secret
                .get(key)
                .unwrap_or_else(|| panic!("no {key}"))
                .as_str()
        };
        let host = address(client, value("host")).await;
        let port = value("port").parse().unwrap();
        let ca = value("ca.crt").as_bytes().to_vec();
        if value("type") == "postgresql" {
            let options = PgConnectOptions::new_without_pgpass()
                .host(&host)
                .port(port)
                .username(value("username"))
                .password(value("password"))
                .database(value("database"))
                .ssl_mode(PgSslMode::VerifyCa)
                .ssl_root_cert_from_pem(ca);
            Ok(Self::Postgres(Box::new(options.connect().await?)))
        } else {
            let options = MySqlConnectOptions::new()
                .host(&host)
                .port(port)
                .username(value("username"))
                .password(value("password"))
                .database(value("database"))
                .ssl_mode(MySqlSslMode::VerifyCa)
                .ssl_ca_from_pem(ca);
            Ok(Self::Mysql(Box::new(options.connect().await?)))
        }
    }

    /// Runs SQL as it stands.
    ///
    /// # Errors
    /// When the server refuses it.
    pub async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(connection) => statement.execute(&mut **connection).await.map(drop),
            Self::Mysql(connection) => statement.execute(&mut **connection).await.map(drop),
        }
    }

    /// The first column of the answer, as text.
    ///
    /// # Errors
    /// When the server refuses the statement.
    pub async fn column(&mut self, sql: &str) -> Result<Vec<String>, sqlx::Error> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self {
            Self::Postgres(connection) => {
                let rows = statement.fetch_all(&mut **connection).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
            Self::Mysql(connection) => {
                let rows = statement.fetch_all(&mut **connection).await?;
                rows.iter().map(|row| row.try_get_unchecked(0)).collect()
            }
        }
    }

    /// Ends it, with a word to the server.
    pub async fn close(self) {
        self.end().await.unwrap();
    }

    /// The same, where the server may have ended it already.
    ///
    /// # Errors
    /// When the word does not get there.
    pub async fn end(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Mysql(connection) => connection.close().await,
        }
    }
}

/// The address of a Service by its name in the cluster.
async fn address(client: &Client, host: &str) -> String {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return host.to_owned();
    }
    let mut parts = host.split('.');
    let (Some(name), Some(namespace)) = (parts.next(), parts.next()) else {
        return host.to_owned();
    };
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let service = services.get(name).await.unwrap();
    service.spec.unwrap().cluster_ip.unwrap()
}
