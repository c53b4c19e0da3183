//! One session: how it is opened, and how a statement runs in it.
//!
//! Settings are pinned in the startup packet, so there is no moment at which a setting of the role or the database
//! (which a tenant may own) is in force: see `pinned.rs`.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Postgres, Row};

use super::failure::{Failure, Kind, is_nothing_there};
use super::fence::FORGET_THIS;
pub(super) use super::pinned::Pinned;
use crate::provider::{ProviderError, ServerConfig, TlsMode, dial, pool};

/// Our side waits this much longer than the server, which gives the better answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the operator's sessions show in `pg_stat_activity`: so, or with more behind it.
pub(super) const APPLICATION: &str = "db-operator";

/// A session with the server.
pub(super) struct Session {
    connection: PgConnection,
    server: String,
    /// What the server gives a statement.
    limit: Duration,
    /// In the middle of a statement or of a transaction.
    busy: bool,
    /// When the latest statement began.
    since: Instant,
    /// The fence knows it, and it is in the operator's own database.
    registered: bool,
}

/// As whom to log in.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a SecretString,
    pub(super) database: &'a str,
    /// How the session shows in `pg_stat_activity`.
    pub(super) application: &'a str,
    pub(super) pinned: Pinned,
}

impl Session {
    /// Logs in. Runs no statement: everything that is pinned goes with the startup packet.
    pub(super) async fn open(config: &ServerConfig, login: Login<'_>) -> Result<Self, Failure> {
        let server = format!("{}:{}", config.host, config.port);
        let doing = format!("connect to database {:?}", login.database);
        let limit = config.timeouts.connect;
        let connecting = options(config, &login);
        match tokio::time::timeout(limit, dial::postgresql(&connecting)).await {
            Ok(Ok(connection)) => Ok(Self {
                connection,
                server,
                limit: config.timeouts.statement,
                busy: false,
                since: Instant::now(),
                registered: false,
            }),
            Ok(Err(error)) => Err(Failure::new(&doing, &server, error)),
            Err(_) => {
                let text = format!("no answer to {doing} within {limit:?}");
                Err(Failure {
                    doing,
                    server,
                    kind: Kind::Network(text),
                })
            }
        }
    }

    /// To be said of a session in the operator's own database. It takes its registration along when it is closed.
    pub(super) fn is_registered(&mut self) {
        self.registered = true;
    }

    /// This session where it was let in; else it is closed, and why it was not is the error.
    pub(super) async fn kept_if(
        self,
        let_in: Result<(), ProviderError>,
    ) -> Result<Self, ProviderError> {
        match let_in {
            Ok(()) => Ok(self),
            Err(error) => {
                pool::Session::close(self).await;
                Err(error)
            }
        }
    }

    /// The server's version as PostgreSQL counts it: 170004 is 17.4.
    pub(super) fn version(&self) -> u32 {
        self.connection.server_version_num().unwrap_or_default()
    }

    /// Runs one statement with parameters; says how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, Failure> {
        self.begin();
        let result = within(self.limit + PATIENCE, query.execute(&mut self.connection)).await;
        self.settle(doing, result).map(|done| done.rows_affected())
    }

    /// Runs one query; at most one row.
    pub(super) async fn row(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<PgRow>, Failure> {
        self.begin();
        let result = within(
            self.limit + PATIENCE,
            query.fetch_optional(&mut self.connection),
        )
        .await;
        self.settle(doing, result)
    }

    /// Runs one query; all rows.
    pub(super) async fn rows(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, Failure> {
        self.begin();
        let result = within(self.limit + PATIENCE, query.fetch_all(&mut self.connection)).await;
        self.settle(doing, result)
    }

    /// Runs one query whose answer is one JSON document.
    pub(super) async fn json<T: DeserializeOwned>(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<T, Failure> {
        let row = self.row(doing, query).await?;
        let driver = |text: String| Failure {
            doing: doing.to_owned(),
            server: self.server.clone(),
            kind: Kind::Driver(text),
        };
        let row = row.ok_or_else(|| driver("no row came back".to_owned()))?;
        let text: String = row.try_get(0).map_err(|error| driver(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| driver(error.to_string()))
    }

    /// Runs one statement that takes no parameters and may not be in a transaction.
    pub(super) async fn statement(&mut self, doing: &str, sql: String) -> Result<(), Failure> {
        self.script(doing, sql).await
    }

    /// Runs these statements, all or none, in one message to the server.
    pub(super) async fn transaction(
        &mut self,
        doing: &str,
        statements: &[String],
    ) -> Result<(), Failure> {
        let script = format!("BEGIN;\n{};\nCOMMIT", statements.join(";\n"));
        let result = self.script(doing, script).await;
        // After an answer of the server, which has the transaction open still.
        if result.is_err() && !self.busy {
            self.script("roll back", "ROLLBACK".to_owned()).await?;
        }
        result
    }

    /// The only place where text that was put together becomes a statement. All parts of it that came from outside
    /// were quoted by `ident.rs`.
    async fn script(&mut self, doing: &str, sql: String) -> Result<(), Failure> {
        self.begin();
        let run = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut self.connection);
        let result = within(self.limit + PATIENCE, run).await;
        self.settle(doing, result).map(|_| ())
    }

    fn begin(&mut self) {
        self.busy = true;
        self.since = Instant::now();
    }

    /// After an answer of the server the session may be used again; after anything else it may not.
    fn settle<T>(&mut self, doing: &str, result: Result<T, Stopped>) -> Result<T, Failure> {
        let stopped = match result {
            Ok(value) => {
                self.busy = false;
                return Ok(value);
            }
            Err(stopped) => stopped,
        };
        let mut failure = match stopped {
            Stopped::Late => {
                let kind = Kind::Timeout(self.limit);
                Failure {
                    doing: doing.to_owned(),
                    server: self.server.clone(),
                    kind,
                }
            }
            Stopped::Failed(error) => Failure::new(doing, &self.server, error),
        };
        // Class 57P is the server saying goodbye. A session that misses db_operator may be one of before the server was
        // made anew: begin with a new one.
        self.busy =
            failure.code().is_none_or(|code| code.starts_with("57P")) || is_nothing_there(&failure);
        // query_canceled by statement_timeout, and not by somebody
        if failure.code() == Some("57014") && self.since.elapsed() >= self.limit {
            failure.kind = Kind::Timeout(self.limit);
        }
        Err(failure)
    }
}

impl pool::Session for Session {
    fn is_reusable(&self) -> bool {
        !self.busy
    }

    async fn pulse(&mut self) -> pool::Pulse {
        pool::pulse(self.connection.ping()).await
    }

    async fn close(mut self) {
        // A server that does not take the goodbye finds the socket closed.
        let _ = tokio::time::timeout(PATIENCE, async {
            if self.registered && !self.busy {
                let _ = sqlx::query(FORGET_THIS).execute(&mut self.connection).await;
            }
            let _ = self.connection.close().await;
        })
        .await;
    }
}

enum Stopped {
    Late,
    Failed(sqlx::Error),
}

async fn within<T>(
    limit: Duration,
    run: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Stopped> {
    match tokio::time::timeout(limit, run).await {
        Ok(result) => result.map_err(Stopped::Failed),
        Err(_) => Err(Stopped::Late),
    }
}

fn options(config: &ServerConfig, login: &Login<'_>) -> PgConnectOptions {
    let mode = match config.tls.mode {
        TlsMode::Disable => PgSslMode::Disable,
        TlsMode::Require => PgSslMode::Require,
        TlsMode::VerifyCa => PgSslMode::VerifyCa,
        TlsMode::VerifyFull => PgSslMode::VerifyFull,
    };
    let options = PgConnectOptions::new_without_pgpass()
        .host(&config.host)
        .port(config.port)
        .username(login.user)
        .password(login.password.expose_secret())
        .database(login.database)
        .ssl_mode(mode)
        .application_name(login.application)
        .options(login.pinned.settings(config))
        // Statements hold verifiers, and a log is no place for these.
        .disable_statement_logging();
    match &config.tls.ca {
        Some(ca) => options.ssl_root_cert_from_pem(ca.clone()),
        None => options,
    }
}
