//! What the server's error numbers mean to the operator.
//!
//! Numbers: MySQL's server error reference, and MariaDB's list of error codes.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use crate::provider::lock_wait::LOCKED;
use crate::provider::{ProviderError, TlsMode};

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

/// What was being tried when an error came up.
#[derive(Clone, Debug)]
pub(super) struct Attempt<'a> {
    /// `host:port`.
    pub(super) server: &'a str,
    /// What was tried, as in "… failed".
    pub(super) doing: &'a str,
    /// How long it may take.
    pub(super) limit: Duration,
    /// The statement that gives the administrator all that it needs.
    pub(super) grant: &'a str,
}

/// The server's error number, if the server answered.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(database) => database
            .try_downcast_ref::<MySqlDatabaseError>()
            .map(MySqlDatabaseError::number),
        _ => None,
    }
}

/// A unique key is taken (`ER_DUP_ENTRY`).
pub(super) const DUPLICATE: u16 = 1062;
/// The table has a column of that name (`ER_DUP_FIELDNAME`).
pub(super) const DUPLICATE_COLUMN: u16 = 1060;
/// The schema does not exist (`ER_BAD_DB_ERROR`).
pub(super) const NO_SCHEMA: u16 = 1049;
/// The table does not exist (`ER_NO_SUCH_TABLE`).
pub(super) const NO_TABLE: u16 = 1146;
/// The schema exists already (`ER_DB_CREATE_EXISTS`).
pub(super) const SCHEMA_EXISTS: u16 = 1007;
/// The schema does not exist, said by DROP (`ER_DB_DROP_EXISTS`).
pub(super) const SCHEMA_GONE: u16 = 1008;
/// CREATE, ALTER or DROP USER met an account that exists, or does not (`ER_CANNOT_USER`).
pub(super) const CANNOT_USER: u16 = 1396;
/// No privilege is recorded that could be revoked (`ER_NONEXISTING_GRANT`).
pub(super) const NO_GRANT: u16 = 1141;
/// The same of a table, and of a routine (`ER_NONEXISTING_TABLE_GRANT`, `ER_NONEXISTING_PROC_GRANT`).
pub(super) const NO_PART_GRANT: [u16; 2] = [1147, 1403];
/// The account, table or routine is gone that a privilege is for (`ER_PASSWORD_NO_MATCH`, `ER_NO_SUCH_TABLE`,
/// `ER_SP_DOES_NOT_EXIST`).
pub(super) const NO_SUBJECT: [u16; 3] = [1133, NO_TABLE, 1305];
/// The role is not granted (any more) to whom it is asked of (`ER_ROLE_NOT_GRANTED`).
pub(super) const NO_ROLE: u16 = 3530;
/// There is no such event (`ER_EVENT_DOES_NOT_EXIST`).
pub(super) const NO_EVENT: u16 = 1539;
/// The schema is read-only by its own option (`ER_SCHEMA_READ_ONLY`).
pub(super) const SCHEMA_READ_ONLY: u16 = 3989;
/// A lock was not granted in time (`ER_LOCK_WAIT_TIMEOUT`).
pub(super) const LOCK_TIMEOUT: u16 = 1205;
/// The server ended the statement to resolve a deadlock, and rolled it back (`ER_LOCK_DEADLOCK`).
pub(super) const DEADLOCK: u16 = 1213;
/// There is no such session (`ER_NO_SUCH_THREAD`).
pub(super) const NO_SESSION: u16 = 1094;
/// The session belongs to another user (`ER_KILL_DENIED_ERROR`).
pub(super) const KILL_DENIED: u16 = 1095;

/// The error of a failed connection as the administrator.
pub(super) fn connecting(error: &sqlx::Error, attempt: &Attempt<'_>) -> ProviderError {
    let server = attempt.server.to_owned();
    let detail = describe(error);
    match number(error) {
        // Access denied (also: no password, wrong plugin, expired, locked, too many wrong passwords), host not allowed.
        Some(1045 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3955 | 4150 | 4151) => {
            ProviderError::LoginRefused { server, detail }
        }
        // ER_SECURE_TRANSPORT_REQUIRED: require_secure_transport is on.
        Some(3159) => ProviderError::TlsRequired { server, detail },
        Some(_) => running(error, attempt),
        None => match error {
            sqlx::Error::Tls(_) => ProviderError::Tls { server, detail },
            // rustls reports a certificate that it does not accept as invalid data of the stream.
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
                ProviderError::Tls { server, detail }
            }
            // `dial` read MySQL's greeting in plaintext. Or the account has this authentication on MariaDB: sqlx was
            // built without RSA, so its full exchange needs TLS.
            sqlx::Error::Configuration(_) => needs_tls(server),
            _ => running(error, attempt),
        },
    }
}

/// Why MySQL is refused without TLS.
pub(super) fn needs_tls(server: String) -> ProviderError {
    ProviderError::TlsRequired {
        server,
        detail: "the full exchange of MySQL's authentication (caching_sha2_password) needs it"
            .to_owned(),
    }
}

/// Adds to a refusal of a plaintext login what else may be behind it: MariaDB says no more than that access is denied.
pub(super) fn without_tls(error: ProviderError, mode: TlsMode) -> ProviderError {
    match error {
        ProviderError::LoginRefused { server, detail } if mode == TlsMode::Disable => {
            ProviderError::LoginRefused {
                server,
                detail: format!(
                    "{detail}; it may demand TLS (require_secure_transport, or REQUIRE SSL of the account), which \
                     spec.tls.mode disables"
                ),
            }
        }
        other => other,
    }
}

/// The error of a failed statement in a session of the administrator.
pub(super) fn running(error: &sqlx::Error, attempt: &Attempt<'_>) -> ProviderError {
    let server = attempt.server.to_owned();
    let doing = attempt.doing.to_owned();
    let detail = describe(error);
    match number(error) {
        Some(1040 | 1203 | 1226) => ProviderError::TooManyConnections { server, detail },
        Some(LOCK_TIMEOUT) => ProviderError::Busy {
            doing,
            detail: LOCKED.to_owned(),
        },
        Some(DEADLOCK | 3058 | 3572) => ProviderError::Busy { doing, detail },
        // --read-only and --super-read-only; 1290 also stands for other options, which the message tells.
        Some(1792 | 1836) => ProviderError::ReadOnly { server },
        Some(1290) if detail.contains("read-only") || detail.contains("read_only") => {
            ProviderError::ReadOnly { server }
        }
        // ER_OPTION_PREVENTS_STATEMENT of other options, and ER_NOT_VALID_PASSWORD. `settings.rs` has those that are known.
        Some(1290 | 1819) => ProviderError::InTheWay(format!(
            "{doing} failed: {detail}; a setting of the server forbids it, which the platform team has to change: \
             status.warnings of the instance has the statement"
        )),
        // Statement timeout (MariaDB 1969, MySQL 3024).
        Some(1969 | 3024) => ProviderError::Timeout {
            doing,
            limit: attempt.limit,
        },
        // The server is going down, lets in administrators only (`offline_mode`), or someone ended the session.
        Some(1053 | 1077 | 1079 | 1317 | 1927 | 3032 | 3169 | 4031) => {
            ProviderError::Unreachable { server, detail }
        }
        // Access denied to a schema, table, column, routine, or for want of a global privilege.
        Some(1044 | 1045 | 1095 | 1142 | 1143 | 1227 | 1370 | 1410 | 1698) => {
            ProviderError::NotPermitted {
                doing: format!("do this ({doing})"),
                detail,
                grant: attempt.grant.to_owned(),
            }
        }
        Some(SCHEMA_READ_ONLY) => ProviderError::InTheWay(format!(
            "{doing} failed: {detail}; its owner made it so, and takes it back by ALTER DATABASE … READ ONLY = 0"
        )),
        Some(_) => ProviderError::Unexpected { doing, detail },
        None => match error {
            sqlx::Error::Io(_) => ProviderError::Unreachable { server, detail },
            _ => ProviderError::Unexpected { doing, detail },
        },
    }
}

/// What the server said, without the part of the statement that a syntax error quotes.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match (number(error), error) {
        (Some(1064), _) => "the server did not understand the statement (error 1064)".to_owned(),
        (Some(number), sqlx::Error::Database(database)) => {
            format!("{} (error {number})", database.message())
        }
        _ => error.to_string(),
    }
}
