//! What PostgreSQL or the network said, and which [`ProviderError`] it is.
//!
//! Codes are from the appendix "PostgreSQL Error Codes" of its manual. Messages are never compared: they are
//! translated, codes are not.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgDatabaseError;

use crate::provider::ProviderError;
use crate::provider::lock_wait::LOCKED;

/// A statement or a connection that failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// What was tried, for people: `make the database "orders"`.
    pub(super) doing: String,
    /// `host:port`.
    pub(super) server: String,
    /// What went wrong.
    pub(super) kind: Kind,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum Kind {
    /// The server answered with an error.
    Server {
        /// SQLSTATE.
        code: String,
        /// Message, detail and hint in one line.
        message: String,
        /// The server's function that raised it, for codes with several meanings.
        routine: String,
    },
    /// The network failed, or the server closed the connection.
    Network(String),
    /// No TLS in the mode that was asked for.
    Tls(String),
    /// It took longer than we wait.
    Timeout(Duration),
    /// The driver cannot do it at all.
    Driver(String),
}

impl Failure {
    pub(super) fn new(doing: &str, server: &str, error: sqlx::Error) -> Self {
        Self {
            doing: doing.to_owned(),
            server: server.to_owned(),
            kind: Kind::from(error),
        }
    }

    /// The SQLSTATE, if the server answered.
    pub(super) fn code(&self) -> Option<&str> {
        match &self.kind {
            Kind::Server { code, .. } => Some(code),
            Kind::Network(_) | Kind::Tls(_) | Kind::Timeout(_) | Kind::Driver(_) => None,
        }
    }

    /// Whether the server's function of this name raised it.
    pub(super) fn raised_in(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::Server { routine, .. } if routine == name)
    }

    /// What the server or the network said.
    pub(super) fn said(&self) -> String {
        match &self.kind {
            Kind::Server { message, .. } => message.clone(),
            Kind::Network(text) | Kind::Tls(text) | Kind::Driver(text) => text.clone(),
            Kind::Timeout(limit) => format!("it took longer than {limit:?}"),
        }
    }

    /// The error, with the statement that fixes it if it is "permission denied".
    pub(super) fn needing(self, grant: impl FnOnce() -> String) -> ProviderError {
        if self.code() == Some("42501") {
            return ProviderError::NotPermitted {
                detail: self.said(),
                doing: self.doing,
                grant: grant(),
            };
        }
        self.into()
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        let Failure {
            doing,
            server,
            kind,
        } = failure;
        let (code, detail, routine) = match kind {
            Kind::Network(detail) => return Self::Unreachable { server, detail },
            Kind::Tls(detail) => return Self::Tls { server, detail },
            Kind::Timeout(limit) => return Self::Timeout { doing, limit },
            Kind::Driver(detail) => return Self::Unexpected { doing, detail },
            Kind::Server {
                code,
                message,
                routine,
            } => (code, message, routine),
        };
        match code.as_str() {
            // invalid_authorization_specification, invalid_password
            "28000" | "28P01" => Self::LoginRefused { server, detail },
            // too_many_connections, of this database only
            "53300" if routine == "CheckMyDatabase" => Self::Unexpected { doing, detail },
            // too_many_connections
            "53300" => Self::TooManyConnections { server, detail },
            // read_only_sql_transaction
            "25006" => Self::ReadOnly { server },
            // admin_shutdown, crash_shutdown, cannot_connect_now
            "57P01" | "57P02" | "57P03" => Self::Unreachable { server, detail },
            // lock_not_available
            "55P03" => Self::Busy {
                doing,
                detail: LOCKED.to_owned(),
            },
            // query_canceled by someone (if it was statement_timeout, it is a Timeout already); deadlock_detected,
            // serialization_failure, object_in_use, duplicate_database, duplicate_object: someone else is working on it
            "57014" | "40P01" | "40001" | "55006" | "42P04" | "42710" => {
                Self::Busy { doing, detail }
            }
            // "tuple concurrently updated" has no code of its own
            "XX000" if routine.starts_with("simple_heap_") => Self::Busy { doing, detail },
            // insufficient_privilege, where the caller knows no statement that fixes it
            "42501" => Self::InTheWay(format!("the administrator may not {doing}: {detail}")),
            _ => Self::Unexpected {
                doing,
                detail: format!("{detail} (SQLSTATE {code})"),
            },
        }
    }
}

impl From<sqlx::Error> for Kind {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
                Ok(error) => server(&error),
                Err(error) => Self::Driver(error.to_string()),
            },
            // The TLS handshake reports a certificate that it does not accept as invalid data.
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                Self::Tls(error.to_string())
            }
            sqlx::Error::Io(error) => Self::Network(error.to_string()),
            sqlx::Error::Tls(error) => Self::Tls(error.to_string()),
            error => Self::Driver(error.to_string()),
        }
    }
}

/// Whether the operator's own tables do not exist (undefined_table, invalid_schema_name) or are those of a former
/// version (undefined_column). Everything else that a session in `db_operator` reads belongs to the server.
pub(super) fn is_nothing_there(failure: &Failure) -> bool {
    matches!(failure.code(), Some("42P01" | "3F000" | "42703"))
}

fn server(error: &PgDatabaseError) -> Kind {
    let mut message = error.message().to_owned();
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        message.push_str("; ");
        message.push_str(&more.replace('\n', "; "));
    }
    Kind::Server {
        code: error.code().to_owned(),
        message,
        routine: error.routine().unwrap_or_default().to_owned(),
    }
}

/// An answer that makes no sense.
pub(super) fn unexpected(doing: &str, detail: &str) -> ProviderError {
    ProviderError::Unexpected {
        doing: doing.to_owned(),
        detail: detail.to_owned(),
    }
}
