//! A database server past the operator: sessions on it, and what stands on it.

use std::collections::BTreeMap;
use std::fmt;

use db_operator::provider::{SqlName, dial};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{Api, Client};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::servers::{NAMESPACE, OPERATOR_NAMESPACE};
use crate::{Error, Result};

/// The servers that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    Mariadb,
}

impl Engine {
    pub(super) const ALL: [Self; 2] = [Self::Postgres, Self::Mariadb];

    /// The name of its Deployment and of its DatabaseInstance.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    /// A name as this engine quotes it.
    pub(super) fn quoted(self, name: &str) -> Result<String> {
        let name = SqlName::new(name).map_err(Error::trial("name a database"))?;
        Ok(match self {
            Self::Postgres => name.postgresql(),
            Self::Mariadb => name.mysql(),
        })
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
        })
    }
}

/// Where a server is, and who administers it.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) engine: Engine,
    pub(super) administrator: String,
    address: String,
    ca: Vec<u8>,
    password: String,
}

impl Server {
    pub(super) async fn find(client: &Client, engine: Engine) -> Result<Self> {
        let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
        let service = services
            .get(engine.name())
            .await
            .map_err(Error::trial("find a server's address"))?;
        let address = service.spec.and_then(|spec| spec.cluster_ip);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let admin = read(&secrets, &format!("{}-admin", engine.name())).await?;
        let ca = read(&secrets, &format!("{}-ca", engine.name())).await?;
        Ok(Self {
            engine,
            administrator: value(&admin, "username"),
            address: address.unwrap_or_default(),
            ca: value(&ca, "ca.crt").into_bytes(),
            password: value(&admin, "password"),
        })
    }

    /// A session of the administrator.
    pub(super) async fn administer(&self) -> Result<Session> {
        let database = (self.engine == Engine::Postgres).then_some("postgres");
        self.open(&self.administrator, &self.password, database)
            .await
    }

    /// Logs in as a tenant, over TLS that is checked against the server's authority, and leaves again.
    pub(super) async fn log_in(&self, user: &str, password: &str, database: &str) -> Result<()> {
        let session = self.open(user, password, Some(database)).await?;
        session.close().await
    }

    async fn open(&self, user: &str, password: &str, database: Option<&str>) -> Result<Session> {
        let doing = || Error::trial(format!("log in to {} as {user}", self.engine));
        match self.engine {
            Engine::Postgres => {
                let options = PgConnectOptions::new_without_pgpass()
                    .host(&self.address)
                    .username(user)
                    .password(password)
                    .database(database.unwrap_or(user))
                    .ssl_mode(PgSslMode::VerifyCa)
                    .ssl_root_cert_from_pem(self.ca.clone())
                    .disable_statement_logging();
                let connection = dial::postgresql(&options).await.map_err(doing())?;
                Ok(Session::Postgres(Box::new(connection)))
            }
            Engine::Mariadb => {
                let options = MySqlConnectOptions::new()
                    .host(&self.address)
                    .username(user)
                    .password(password)
                    .ssl_mode(MySqlSslMode::VerifyCa)
                    .ssl_ca_from_pem(self.ca.clone())
                    // What the driver would set by itself is not a part of a login.
                    .pipes_as_concat(false)
                    .no_engine_substitution(false)
                    .timezone(None)
                    .set_names(false)
                    .disable_statement_logging();
                let options = match database {
                    Some(database) => options.database(database),
                    None => options,
                };
                let connection = dial::mysql(&options).await.map_err(doing())?;
                Ok(Session::Mariadb(Box::new(connection)))
            }
        }
    }
}

/// A session that takes SQL as it stands.
pub(super) enum Session {
    Postgres(Box<PgConnection>),
    Mariadb(Box<MySqlConnection>),
}

impl Session {
    pub(super) async fn run(&mut self, sql: String) -> Result<()> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql));
        let result = match self {
            Self::Postgres(connection) => statement.execute(&mut **connection).await.map(drop),
            Self::Mariadb(connection) => statement.execute(&mut **connection).await.map(drop),
        };
        result.map_err(Error::trial("run SQL as the administrator"))
    }

    pub(super) async fn close(self) -> Result<()> {
        let result = match self {
            Self::Postgres(connection) => connection.close().await,
            Self::Mariadb(connection) => connection.close().await,
        };
        result.map_err(Error::trial("end a session"))
    }
}

/// A Secret's values as text.
pub(super) async fn read(secrets: &Api<Secret>, name: &str) -> Result<BTreeMap<String, String>> {
    let secret = secrets
        .get(name)
        .await
        .map_err(Error::trial(format!("read the Secret {name}")))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let data = secret.data.unwrap_or_default().into_iter();
    Ok(data.map(|(key, value)| (key, text(value.0))).collect())
}

/// A value of a Secret; empty when it is missing, which no login works with.
pub(super) fn value(secret: &BTreeMap<String, String>, key: &str) -> String {
    secret.get(key).cloned().unwrap_or_default()
}
