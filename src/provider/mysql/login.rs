//! Logging in as a database's own user, with nothing but what its Secret holds.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use tokio::time::timeout;

use super::super::{Login, Names, ProviderError, dial};
use super::contact::Sessions;
use super::error::{self, Site};
use super::session;

/// The longest password that MySQL's `caching_sha2_password` checks, in bytes (`MAX_PLAINTEXT_LENGTH` of its plugin,
/// with the NUL at the end).
const MYSQL_LONGEST: usize = 255;

/// Tries a login.
pub(super) async fn login(
    sessions: &Sessions,
    names: &Names,
    password: &SecretString,
) -> Result<Login, ProviderError> {
    let _slot = sessions.slot().await?;
    let options = session::options(&sessions.config)
        .username(names.role.as_str())
        .password(password.expose_secret())
        .database(names.database.as_str());
    let limit = sessions.config.timeouts.connect;
    let failure = match timeout(limit, dial::mysql(&options)).await {
        Ok(Ok(mut connection)) => {
            // MariaDB lets in who has to change the password first, and refuses every statement then.
            let asked = timeout(limit, sqlx::raw_sql("DO 1").execute(&mut connection)).await;
            // The answer is known; the connection ends with this value, whatever the server says to the goodbye.
            let _ = timeout(limit, connection.close()).await;
            match asked {
                Ok(Ok(_)) => return Ok(Login::Accepted),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(too_slow(names, limit)),
            }
        }
        Ok(Err(failure)) => failure,
        Err(_) => return Err(too_slow(names, limit)),
    };
    let said = error::describe(&failure);
    match error::number(&failure) {
        // Unknown database, or no privilege on it: both are told after the password was accepted.
        Some(1049 | 1044) => Ok(Login::NoDatabase(said)),
        // MAX_USER_CONNECTIONS of the account, or the server's max_user_connections.
        Some(1203 | 1226) => Ok(Login::AtConnectionLimit),
        _ => {
            let site = Site {
                server: &sessions.server,
                doing: "logging in",
                limit,
                grant: "",
            };
            match error::connecting(&failure, &site) {
                ProviderError::LoginRefused { detail, .. }
                    if password.expose_secret().len() > MYSQL_LONGEST =>
                {
                    Ok(Login::Refused(format!(
                        "{detail}; MySQL takes passwords of up to {MYSQL_LONGEST} bytes, and this one is longer"
                    )))
                }
                ProviderError::LoginRefused { detail, .. } => Ok(Login::Refused(detail)),
                // The administrator has a connection nevertheless: MySQL and MariaDB keep one for it.
                full @ ProviderError::TooManyConnections { .. } => {
                    Err(full.in_database(names.database.as_str()))
                }
                other => Err(other),
            }
        }
    }
}

/// A server can be made to let one user wait (`connection_control`, after wrong passwords of anybody), so this says
/// nothing of the server: whether that answers, the administrator's sessions find out.
fn too_slow(names: &Names, limit: Duration) -> ProviderError {
    ProviderError::Timeout {
        doing: format!("logging in as {}", names.role),
        limit,
    }
    .in_database(names.database.as_str())
}
