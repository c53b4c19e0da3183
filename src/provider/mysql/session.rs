//! One session of the administrator: pinned settings, statements bounded in time, answers as plain values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection, Execute, Executor as _, MySql, Row as _,
};
use tokio::time::timeout;

use super::error::{self, Attempt, Failure};
use super::{fence, pinned};
use crate::provider::{ProviderError, ServerConfig, TlsMode, dial, pool};

/// How long a server that may be gone is given to answer.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a statement is tried if it is the victim of a deadlock each time.
const TRIES: usize = 5;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, MySql, MySqlArguments>;

/// How to reach a server. What sqlx would set in a session by itself is left to [`pinned::pin`].
pub(super) fn options(config: &ServerConfig) -> MySqlConnectOptions {
    let mode = match config.tls.mode {
        TlsMode::Disable => MySqlSslMode::Disabled,
        TlsMode::Require => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
    };
    let options = MySqlConnectOptions::new()
        .host(&config.host)
        .port(config.port)
        .ssl_mode(mode)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .set_names(false)
        .disable_statement_logging();
    match &config.tls.ca {
        Some(pem) => options.ssl_ca_from_pem(pem.clone()),
        None => options,
    }
}

/// A connection that is logged in as the administrator.
pub(super) struct Session {
    connection: MySqlConnection,
    /// Names the session's lock on the server, by which another process finds it.
    token: String,
    server: Arc<str>,
    limit: Duration,
    grant: Arc<str>,
    /// Whether no statement is under way and none broke the protocol. Otherwise the session is not used again.
    sound: bool,
    registered: bool,
}

impl pool::Session for Session {
    fn is_reusable(&self) -> bool {
        self.sound
    }

    async fn pulse(&mut self) -> pool::Pulse {
        pool::pulse(self.connection.ping()).await
    }

    /// Deletes the registration first. If that fails, the next session of this process does it.
    async fn close(mut self) {
        if self.registered {
            let token = self.token.clone();
            let _ = timeout(GOODBYE, fence::forget(&mut self, &token)).await;
        }
        let _ = timeout(GOODBYE, self.connection.close()).await;
    }
}

impl Session {
    /// Connects, and pins the session's settings.
    pub(super) async fn open(
        config: &ServerConfig,
        server: &Arc<str>,
        token: String,
    ) -> Result<Self, ProviderError> {
        let options = options(config)
            .username(&config.username)
            .password(config.password.expose_secret());
        let limits = config.timeouts;
        let attempt = Attempt {
            server,
            doing: "connecting",
            limit: limits.connect,
            grant: "",
        };
        let connection = match timeout(limits.connect, dial::mysql(&options)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                let error = error::connecting(&error, &attempt);
                return Err(error::without_tls(error, config.tls.mode));
            }
            Err(_) => {
                return Err(ProviderError::Unreachable {
                    server: server.to_string(),
                    detail: format!("no session after {:?}", limits.connect),
                });
            }
        };
        let mut session = Self {
            connection,
            token,
            server: Arc::clone(server),
            limit: limits.statement,
            grant: Arc::from(""),
            sound: true,
            registered: false,
        };
        let pin = pinned::pin(&limits, &lock_name(&session.token));
        session.run("pinning the session's settings", pin).await?;
        Ok(session)
    }

    /// `host:port`, for messages.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// The name under which the session is registered.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Sets the statement that errors name if the administrator lacks a privilege.
    pub(super) fn set_grant(&mut self, grant: &Arc<str>) {
        self.grant = Arc::clone(grant);
    }

    /// Marks the session as registered, so that the registration is deleted when it is closed.
    pub(super) fn set_registered(&mut self) {
        self.registered = true;
    }

    /// Runs a statement without parameters (DDL). It is built from what `ident.rs` returns; this is the only place of
    /// this provider that sends assembled text. Each statement is a transaction of its own (`autocommit`), so one that
    /// was the victim of a deadlock did nothing and is run again: processes that create or change accounts at the same
    /// time deadlock in the server's own tables.
    pub(super) async fn run(&mut self, doing: &str, sql: String) -> Result<u64, Failure> {
        self.change(doing, || sqlx::raw_sql(AssertSqlSafe(sql.clone())))
            .await
    }

    /// Runs a statement without parameters that returns rows (SHOW).
    pub(super) async fn show(&mut self, doing: &str, sql: String) -> Result<Vec<Row>, Failure> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql));
        self.sound = false;
        let outcome = timeout(self.limit, statement.fetch_all(&mut self.connection)).await;
        Ok(self.outcome(doing, outcome)?.into_iter().map(Row).collect())
    }

    /// Runs a statement with parameters, and counts the rows that it changed or matched. Runs it again if it was the
    /// victim of a deadlock, like [`Session::run`].
    pub(super) async fn change<'q, S: Execute<'q, MySql> + 'q>(
        &mut self,
        doing: &str,
        statement: impl Fn() -> S,
    ) -> Result<u64, Failure> {
        let mut tries = 1..TRIES;
        loop {
            self.sound = false;
            let outcome = timeout(self.limit, self.connection.execute(statement())).await;
            match self.outcome(doing, outcome) {
                Err(failure)
                    if failure.number == Some(error::DEADLOCK) && tries.next().is_some() => {}
                outcome => return outcome.map(|done| done.rows_affected()),
            }
        }
    }

    /// Runs a statement with parameters, and returns its rows.
    pub(super) async fn rows(
        &mut self,
        doing: &str,
        statement: Statement<'_>,
    ) -> Result<Vec<Row>, Failure> {
        self.sound = false;
        let outcome = timeout(self.limit, statement.fetch_all(&mut self.connection)).await;
        Ok(self.outcome(doing, outcome)?.into_iter().map(Row).collect())
    }

    /// Runs a statement with parameters, and reads each of its rows.
    pub(super) async fn list<T>(
        &mut self,
        doing: &str,
        statement: Statement<'_>,
        read: impl Fn(&Row) -> Result<T, ProviderError>,
    ) -> Result<Vec<T>, ProviderError> {
        let rows = self.rows(doing, statement).await?;
        rows.iter().map(read).collect()
    }

    /// Runs SHOW VARIABLES or SHOW STATUS, and returns values by name.
    pub(super) async fn variables(
        &mut self,
        doing: &str,
        sql: &str,
    ) -> Result<HashMap<String, String>, ProviderError> {
        let rows = self.show(doing, sql.to_owned()).await?;
        rows.iter()
            .map(|row| Ok((row.text_at(0)?, row.text_at(1)?)))
            .collect()
    }

    /// Turns the outcome of a statement into a result. After an answer of the server, even a refusal, the session is
    /// sound.
    fn outcome<T>(
        &mut self,
        doing: &str,
        outcome: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, Failure> {
        match outcome {
            Ok(Ok(value)) => {
                self.sound = true;
                Ok(value)
            }
            Ok(Err(error)) => {
                let attempt = Attempt {
                    server: &self.server,
                    doing,
                    limit: self.limit,
                    grant: &self.grant,
                };
                let number = error::number(&error);
                let error = error::running(&error, &attempt);
                // A session that misses db_operator may be older than a rebuilt server: start over with a new one.
                self.sound = !matches!(number, None | Some(error::NO_SCHEMA | error::NO_TABLE))
                    && !matches!(error, ProviderError::Unreachable { .. });
                Err(Failure { number, error })
            }
            Err(_) => Err(Failure {
                number: None,
                error: ProviderError::Timeout {
                    doing: doing.to_owned(),
                    limit: self.limit,
                },
            }),
        }
    }
}

/// 128 random bits as text.
pub(super) fn token() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Whether a text may be one of [`token`].
pub(super) fn is_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of the lock that a session holds as long as it lives; at most 64 characters on MySQL.
pub(super) fn lock_name(token: &str) -> String {
    format!("db_operator/{token}")
}

/// A row of an answer. The columns of the servers' catalogs have various types and collations, so a value is read as
/// what it is asked for; each statement casts its numbers to SIGNED.
pub(super) struct Row(MySqlRow);

impl Row {
    /// A text, empty for NULL.
    pub(super) fn text(&self, column: &str) -> Result<String, ProviderError> {
        Ok(self.optional_text(column)?.unwrap_or_default())
    }

    /// A text or NULL.
    pub(super) fn optional_text(&self, column: &str) -> Result<Option<String>, ProviderError> {
        self.0
            .try_get_unchecked::<Option<String>, _>(column)
            .map_err(|error| unreadable(column, &error))
    }

    /// A number or NULL.
    pub(super) fn optional_number(&self, column: &str) -> Result<Option<i64>, ProviderError> {
        self.0
            .try_get_unchecked::<Option<i64>, _>(column)
            .map_err(|error| unreadable(column, &error))
    }

    /// A number, 0 for NULL.
    pub(super) fn number(&self, column: &str) -> Result<i64, ProviderError> {
        Ok(self.optional_number(column)?.unwrap_or_default())
    }

    /// Bytes, none for NULL.
    pub(super) fn bytes(&self, column: &str) -> Result<Vec<u8>, ProviderError> {
        self.0
            .try_get_unchecked::<Option<Vec<u8>>, _>(column)
            .map(Option::unwrap_or_default)
            .map_err(|error| unreadable(column, &error))
    }

    /// A boolean of the server: true for a number that is not 0.
    pub(super) fn flag(&self, column: &str) -> Result<bool, ProviderError> {
        Ok(self.number(column)? != 0)
    }

    /// The text in the column of that position, counted from 0.
    pub(super) fn text_at(&self, position: usize) -> Result<String, ProviderError> {
        self.0
            .try_get_unchecked::<String, _>(position)
            .map_err(|error| unreadable(&position.to_string(), &error))
    }

    /// Whether the answer has this column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.0.try_column(column).is_ok()
    }
}

fn unreadable(column: &str, error: &sqlx::Error) -> ProviderError {
    ProviderError::Unexpected {
        doing: format!("reading the column {column:?} of the server's answer"),
        detail: error.to_string(),
    }
}
