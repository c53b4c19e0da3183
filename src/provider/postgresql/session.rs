//! One session: how it is opened, and how a statement runs in it.
//!
//! Settings are pinned in the startup packet, so a setting of the role or of the database, which a tenant may own, is
//! never in force: see `pinned.rs`.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Postgres, Row};

use super::error::{Failure, Kind, is_nothing_there, unexpected};
use super::fence::FORGET_THIS;
pub(super) use super::pinned::Pinned;
use crate::provider::{ProviderError, ServerConfig, TlsMode, dial, pool};

/// We wait this much longer than the server does, because its answer says more.
const PATIENCE: Duration = Duration::from_secs(2);

/// The name of the operator's sessions in `pg_stat_activity`, or the beginning of it.
pub(super) const APPLICATION: &str = "db-operator";

/// A session with the server.
pub(super) struct Session {
    connection: PgConnection,
    server: String,
    /// How long the server lets a statement run.
    limit: Duration,
    /// Whether it is in the middle of a statement or of a transaction.
    busy: bool,
    /// When the latest statement began.
    since: Instant,
    /// Whether it is registered with the fence and in the operator's own database.
    registered: bool,
}

/// Who logs in, and where.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a SecretString,
    pub(super) database: &'a str,
    /// The name of the session in `pg_stat_activity`.
    pub(super) application: &'a str,
    pub(super) pinned: Pinned,
}

impl Session {
    /// Logs in. Runs no statement: pinned settings are sent in the startup packet.
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

    /// Marks a session in the operator's own database as registered, so that it deletes its registration when it is
    /// closed.
    pub(super) fn set_registered(&mut self) {
        self.registered = true;
    }

    /// Lets no statement take longer than this on our side.
    pub(super) fn limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Returns this session if it was let in. Otherwise closes it and returns the error.
    pub(super) async fn keep_if(
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

    /// Runs one statement with parameters, and returns how many rows it changed.
    pub(super) async fn execute(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<u64, Failure> {
        self.begin();
        let result = within(self.limit + PATIENCE, query.execute(&mut self.connection)).await;
        self.settle(doing, result).map(|done| done.rows_affected())
    }

    /// Runs one query, and returns at most one row.
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

    /// Runs one query, and returns all rows.
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
        self.optional_json(doing, query)
            .await?
            .ok_or_else(|| Failure {
                doing: doing.to_owned(),
                server: self.server.clone(),
                kind: Kind::Driver("no row came back".to_owned()),
            })
    }

    /// The same for a query that may have no answer.
    pub(super) async fn optional_json<T: DeserializeOwned>(
        &mut self,
        doing: &str,
        query: Query<'_, Postgres, PgArguments>,
    ) -> Result<Option<T>, Failure> {
        match self.row(doing, query).await? {
            Some(row) => self.document(doing, &row).map(Some),
            None => Ok(None),
        }
    }

    fn document<T: DeserializeOwned>(&self, doing: &str, row: &PgRow) -> Result<T, Failure> {
        let driver = |text: String| Failure {
            doing: doing.to_owned(),
            server: self.server.clone(),
            kind: Kind::Driver(text),
        };
        let text: String = row.try_get(0).map_err(|error| driver(error.to_string()))?;
        serde_json::from_str(&text).map_err(|error| driver(error.to_string()))
    }

    /// Runs one statement that has no parameters and cannot run in a transaction.
    pub(super) async fn statement(&mut self, doing: &str, sql: String) -> Result<(), Failure> {
        self.script(doing, sql).await
    }

    /// Runs all of these statements or none, in one message to the server.
    pub(super) async fn transaction(
        &mut self,
        doing: &str,
        statements: &[String],
    ) -> Result<(), Failure> {
        let script = format!("BEGIN;\n{};\nCOMMIT", statements.join(";\n"));
        let result = self.script(doing, script).await;
        // The server has answered, and its transaction is still open.
        if result.is_err() && !self.busy {
            self.script("roll back", "ROLLBACK".to_owned()).await?;
        }
        result
    }

    /// The only place where assembled text becomes a statement. All parts that came from outside were quoted by
    /// `ident.rs`.
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

    /// After an answer of the server the session can be used again; after anything else it cannot.
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
        // Class 57P is the server saying goodbye. A session that misses db_operator may be older than a rebuilt server:
        // start over with a new one.
        self.busy =
            failure.code().is_none_or(|code| code.starts_with("57P")) || is_nothing_there(&failure);
        // query_canceled by statement_timeout, and not by someone
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
        // A server that does not accept the goodbye finds the socket closed.
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
        // Statements contain verifiers, which must not be logged.
        .disable_statement_logging();
    match &config.tls.ca {
        Some(ca) => options.ssl_root_cert_from_pem(ca.clone()),
        None => options,
    }
}

/// Reads a column of an answer.
pub(super) fn column<'r, T>(row: &'r PgRow, name: &str) -> Result<T, ProviderError>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(name)
        .map_err(|error| unexpected("read an answer", &error.to_string()))
}
