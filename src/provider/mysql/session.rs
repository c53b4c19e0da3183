//! One session of the administrator: pinned settings, statements bounded in time, answers as plain values.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlRow, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection, MySql, Row as _};
use tokio::time::timeout;

use super::super::{ProviderError, ServerConfig, TlsMode, dial, pool};
use super::error::{self, Site};
use super::{dialect, fence};

/// What a server that may be gone is given to answer.
const GOODBYE: Duration = Duration::from_secs(1);

/// How often a statement is tried that is the victim of a deadlock each time.
const TRIES: usize = 5;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, MySql, MySqlArguments>;

/// How to reach a server; what sqlx would set by itself in a session is left to [`dialect::pin`].
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

/// A statement that failed, with the server's error number where it is the server that refused.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) number: Option<u16>,
    pub(super) error: ProviderError,
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        failure.error
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
    /// No statement is under way and none broke the protocol; otherwise the session is not used again.
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

    /// Takes back the registration first. If that fails, the next session of this process does it.
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
        let site = Site {
            server,
            doing: "connecting",
            limit: limits.connect,
            grant: "",
        };
        let connection = match timeout(limits.connect, dial::mysql(&options)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(error::connecting(&error, &site)),
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
        let pin = dialect::pin(&limits, &lock_name(&session.token));
        session.run("pinning the session's settings", pin).await?;
        Ok(session)
    }

    /// What the session is registered under.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// The statement that errors name when the administrator lacks a privilege.
    pub(super) fn set_grant(&mut self, grant: &Arc<str>) {
        self.grant = Arc::clone(grant);
    }

    /// The registration is to be taken back when the session is closed.
    pub(super) fn set_registered(&mut self) {
        self.registered = true;
    }

    /// Runs a statement that takes no parameters (DDL). What it is built from comes from `ident.rs`; this is the only
    /// place of this provider that sends built text. As each statement is a transaction of its own (`autocommit`), one
    /// that was the victim of a deadlock did nothing and is run again: several processes that make or change accounts
    /// deadlock in the server's own tables.
    pub(super) async fn run(&mut self, doing: &str, sql: String) -> Result<u64, Failure> {
        for _ in 1..TRIES {
            match self.run_once(doing, sql.clone()).await {
                Err(failure) if failure.number == Some(error::DEADLOCK) => {}
                outcome => return outcome,
            }
        }
        self.run_once(doing, sql).await
    }

    async fn run_once(&mut self, doing: &str, sql: String) -> Result<u64, Failure> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql));
        self.sound = false;
        let outcome = timeout(self.limit, statement.execute(&mut self.connection)).await;
        self.outcome(doing, outcome)
            .map(|done| done.rows_affected())
    }

    /// Runs a statement that takes no parameters and answers in rows (SHOW).
    pub(super) async fn show(&mut self, doing: &str, sql: String) -> Result<Vec<Row>, Failure> {
        let statement = sqlx::raw_sql(AssertSqlSafe(sql));
        self.sound = false;
        let outcome = timeout(self.limit, statement.fetch_all(&mut self.connection)).await;
        Ok(self.outcome(doing, outcome)?.into_iter().map(Row).collect())
    }

    /// Runs a statement with parameters and counts the rows that it changed or matched; again where it was the victim of
    /// a deadlock, as [`Session::run`] does.
    pub(super) async fn change<'q>(
        &mut self,
        doing: &str,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<u64, Failure> {
        for _ in 1..TRIES {
            match self.change_once(doing, statement()).await {
                Err(failure) if failure.number == Some(error::DEADLOCK) => {}
                outcome => return outcome,
            }
        }
        self.change_once(doing, statement()).await
    }

    async fn change_once(&mut self, doing: &str, statement: Statement<'_>) -> Result<u64, Failure> {
        self.sound = false;
        let outcome = timeout(self.limit, statement.execute(&mut self.connection)).await;
        self.outcome(doing, outcome)
            .map(|done| done.rows_affected())
    }

    /// Runs a statement with parameters and takes its rows.
    pub(super) async fn rows(
        &mut self,
        doing: &str,
        statement: Statement<'_>,
    ) -> Result<Vec<Row>, Failure> {
        self.sound = false;
        let outcome = timeout(self.limit, statement.fetch_all(&mut self.connection)).await;
        Ok(self.outcome(doing, outcome)?.into_iter().map(Row).collect())
    }

    /// Runs SHOW VARIABLES or SHOW STATUS: names and values.
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

    /// Judges what came of a statement. After an answer of the server, also a refusal, the session is sound.
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
                let site = Site {
                    server: &self.server,
                    doing,
                    limit: self.limit,
                    grant: &self.grant,
                };
                let number = error::number(&error);
                let error = error::running(&error, &site);
                // A session that misses db_operator may be one of before the server was rebuilt: begin with a new one.
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

/// A row of an answer. The servers give their catalogs' columns various types and collations, so values are taken by
/// what they are asked for; each statement casts its numbers to SIGNED.
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

    /// A truth value of the server: a number that is not 0.
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
