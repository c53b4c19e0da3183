//! A MySQL or MariaDB server that tests may do anything with: where it is, its superuser, and its statement log.

use std::process::Command;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::{Error, Result, command};

/// A server, its superuser, and the CA of its certificate.
#[derive(Clone, Debug)]
pub struct MysqlServer {
    /// For messages: `mariadb 10.11 (local)`.
    pub name: String,
    /// Its host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The CA that issued its certificate, PEM.
    pub ca: String,
    /// A name in its certificate, where `host` is none: connections by the address verify the CA only.
    pub verifies_host: bool,
    /// Who may do everything: name and password.
    pub superuser: (String, String),
}

/// A line of the server's statement log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The connection.
    pub connection: u64,
    /// `Connect`, `Query`, `Prepare`, `Execute`, `Quit`, …
    pub command: String,
    /// The statement, with its parameters in their places.
    pub statement: String,
}

impl MysqlServer {
    /// How to connect as anybody.
    #[must_use]
    pub fn options(&self) -> MySqlConnectOptions {
        let mode = if self.verifies_host {
            MySqlSslMode::VerifyIdentity
        } else {
            MySqlSslMode::VerifyCa
        };
        MySqlConnectOptions::new()
            .host(&self.host)
            .port(self.port)
            .ssl_mode(mode)
            .ssl_ca_from_pem(self.ca.clone().into_bytes())
            .disable_statement_logging()
    }

    /// A session of the superuser.
    pub async fn root(&self) -> sqlx::Result<MySqlConnection> {
        let (name, password) = &self.superuser;
        self.options()
            .username(name)
            .password(password)
            .connect()
            .await
    }

    /// Runs statements as the superuser.
    pub async fn run(&self, statements: &[impl AsRef<str> + Sync]) -> sqlx::Result<()> {
        let mut root = self.root().await?;
        for statement in statements {
            sqlx::raw_sql(AssertSqlSafe(statement.as_ref().to_owned()))
                .execute(&mut root)
                .await?;
        }
        Ok(())
    }

    /// The first column of the first row of a query, as text.
    pub async fn value(&self, query: &str) -> sqlx::Result<Option<String>> {
        Ok(self.column(query).await?.into_iter().next())
    }

    /// The first column of a query, as texts.
    pub async fn column(&self, query: &str) -> sqlx::Result<Vec<String>> {
        let mut root = self.root().await?;
        let rows = sqlx::raw_sql(AssertSqlSafe(query.to_owned()))
            .fetch_all(&mut root)
            .await?;
        rows.iter()
            .map(|row| row.try_get_unchecked::<String, _>(0))
            .collect()
    }

    /// Makes the server write every statement to a table that [`Self::log`] reads, beside its usual log.
    pub async fn log_to_table(&self) -> sqlx::Result<()> {
        self.run(&[
            "SET GLOBAL log_output = 'TABLE,FILE'",
            "SET GLOBAL general_log = ON",
        ])
        .await
    }

    /// What was logged of the sessions of one account, in order.
    pub async fn log(&self, account: &str) -> sqlx::Result<Vec<Logged>> {
        let mut root = self.root().await?;
        // The user_host of a login is `[user] @ …`, afterwards `user[user] @ …`.
        let rows = sqlx::query(
            "SELECT CAST(thread_id AS UNSIGNED) AS connection, CONVERT(command_type USING utf8mb4) AS command, \
             CONVERT(argument USING utf8mb4) AS statement FROM mysql.general_log \
             WHERE INSTR(user_host, CONCAT('[', ?, ']')) > 0 ORDER BY event_time",
        )
        .bind(account)
        .fetch_all(&mut root)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Logged {
                    connection: row.try_get_unchecked("connection")?,
                    command: row.try_get_unchecked("command")?,
                    statement: row.try_get_unchecked("statement")?,
                })
            })
            .collect()
    }

    /// How many lines of the whole statement log hold a text.
    pub async fn log_mentions(&self, text: &str) -> sqlx::Result<i64> {
        let mut root = self.root().await?;
        // The text is a parameter of a prepared statement and would find itself: it is cut in two.
        let (first, second) = text.split_at(text.len() / 2);
        let row = sqlx::query(
            "SELECT CAST(COUNT(*) AS SIGNED) AS mentions FROM mysql.general_log \
             WHERE INSTR(CONVERT(argument USING utf8mb4), CONCAT(?, ?)) > 0",
        )
        .bind(first)
        .bind(second)
        .fetch_one(&mut root)
        .await?;
        row.try_get_unchecked("mentions")
    }

    /// The server of this name in the cluster that `kubectl` finds by its environment.
    pub fn in_cluster(name: &str) -> Result<Self> {
        let secret = |namespace: &str, secret: &str, key: &str| {
            let template = format!("{{{{index .data {key:?} | base64decode}}}}");
            command::output(Command::new("kubectl").args([
                "--namespace",
                namespace,
                "get",
                "secret",
                secret,
                "--output",
                &format!("go-template={template}"),
            ]))
        };
        let host = command::output(Command::new("kubectl").args([
            "--namespace=databases",
            "get",
            "service",
            name,
            "--output=jsonpath={.spec.clusterIP}",
        ]))?;
        let superuser = format!("{name}-superuser");
        Ok(Self {
            name: format!("{name} (cluster)"),
            host,
            port: 3306,
            ca: secret("db-operator-system", &format!("{name}-ca"), "ca.crt")?,
            verifies_host: false,
            superuser: (
                secret("databases", &superuser, "username")?,
                secret("databases", &superuser, "password")?,
            ),
        })
    }

    /// Waits until the superuser can log in.
    pub async fn wait(&self, within: Duration) -> Result<()> {
        let deadline = std::time::Instant::now() + within;
        loop {
            match self.root().await {
                Ok(_) => return Ok(()),
                Err(error) if std::time::Instant::now() >= deadline => {
                    return Err(Error::Precondition(format!(
                        "{} did not answer within {within:?}: {error}",
                        self.name
                    )));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}
