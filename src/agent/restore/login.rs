//! How this process itself logs in, beside the tool: to look at what is there, to count it, and to ask the team's questions.

use std::io;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::agent::protocol::restore::Target;

/// What the sessions of a restore are called in the server.
pub(super) const APPLICATION: &str = "db-operator restore";

/// Who logs in, and where.
#[derive(Clone, Debug)]
pub(super) struct Login {
    target: Target,
    username: String,
    password: SecretString,
    ca: Option<Vec<u8>>,
}

/// What is wrong with the mounted files.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {error}; the Secret with the load's login must be mounted there")]
pub(super) struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl Login {
    /// From the Secret that is mounted there.
    pub(super) fn read(target: &Target, secret: &Path) -> Result<Self, Unreadable> {
        let text = |key: &str| {
            let path = secret.join(key);
            std::fs::read_to_string(&path).map_err(|error| Unreadable { path, error })
        };
        Ok(Self {
            target: target.clone(),
            username: text("username")?,
            password: text("password")?.into(),
            ca: std::fs::read(secret.join("ca.crt")).ok(),
        })
    }

    /// The user that logs in.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// The target.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// For PostgreSQL. With `pinned`, no setting of the database or of a role changes what statements mean.
    pub(super) fn postgresql(&self, pinned: bool) -> PgConnectOptions {
        let mode = match self.target.tls.as_str() {
            "disable" => PgSslMode::Disable,
            "require" => PgSslMode::Require,
            "verify-ca" => PgSslMode::VerifyCa,
            _ => PgSslMode::VerifyFull,
        };
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&self.target.host)
            .port(self.target.port)
            .username(&self.username)
            .password(self.password.expose_secret())
            .database(&self.target.database)
            .ssl_mode(mode)
            .application_name(APPLICATION)
            .disable_statement_logging();
        if pinned {
            options = options.options([
                ("search_path", "pg_catalog"),
                ("standard_conforming_strings", "on"),
                // A policy would hide rows: better an error.
                ("row_security", "off"),
                ("statement_timeout", "0"),
                ("lock_timeout", "0"),
                ("idle_in_transaction_session_timeout", "0"),
                ("default_transaction_read_only", "off"),
            ]);
        }
        match &self.ca {
            Some(ca) => options.ssl_root_cert_from_pem(ca.clone()),
            None => options,
        }
    }

    /// For MySQL and MariaDB.
    pub(super) fn mysql(&self) -> MySqlConnectOptions {
        let mode = match self.target.tls.as_str() {
            "disable" => MySqlSslMode::Disabled,
            "require" => MySqlSslMode::Required,
            "verify-ca" => MySqlSslMode::VerifyCa,
            _ => MySqlSslMode::VerifyIdentity,
        };
        let options = MySqlConnectOptions::new()
            .host(&self.target.host)
            .port(self.target.port)
            .username(&self.username)
            .password(self.password.expose_secret())
            .database(&self.target.database)
            .ssl_mode(mode)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .disable_statement_logging();
        match &self.ca {
            Some(ca) => options.ssl_ca_from_pem(ca.clone()),
            None => options,
        }
    }
}
