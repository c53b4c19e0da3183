//! Logs in as a database's own user, with nothing but what its Secret contains.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection;
use tokio::time::timeout;

use super::connect::Sessions;
use super::error::{self, Attempt};
use super::session;
use crate::provider::{Flavour, Login, Names, ProviderError, dial, password as passwords};

/// Tries a login. One that gets no answer says nothing about the server until a session of the administrator was tried: a server
/// can be set to make one user wait (`connection_control`, after wrong passwords from anyone).
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
            // MariaDB lets a user in who has to change the password first, and then refuses every statement.
            let asked = timeout(limit, sqlx::raw_sql("DO 1").execute(&mut connection)).await;
            // The answer is known. The connection ends with this value, whatever the server says to the goodbye.
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
    let longest = passwords::longest(Flavour::Mysql);
    let said = error::describe(&failure);
    match error::number(&failure) {
        // Unknown database, or no privilege on it: the server says either only after it has accepted the password.
        Some(1049 | 1044) => Ok(Login::NoDatabase(said)),
        // MAX_USER_CONNECTIONS of the account, or the server's max_user_connections.
        Some(1203 | 1226) => Ok(Login::AtConnectionLimit),
        // ER_USER_ACCESS_DENIED_FOR_USER_ACCOUNT_BLOCKED_BY_PASSWORD_LOCK of MySQL, ER_USER_IS_BLOCKED of MariaDB.
        Some(3955 | 4150) => Ok(Login::Blocked(said)),
        // ER_NEW_ABORTING_CONNECTION.
        Some(1184) => Ok(Login::Ended(format!(
            "{said}; the server runs init_connect for each user, and it fails for {}",
            names.role
        ))),
        _ => {
            let attempt = Attempt {
                server: &sessions.server,
                doing: "logging in",
                limit,
                grant: "",
            };
            match error::connecting(&failure, &attempt) {
                ProviderError::LoginRefused { detail, .. }
                    if password.expose_secret().len() > longest =>
                {
                    Ok(Login::Refused(format!(
                        "{detail}; MySQL takes passwords of up to {longest} bytes, and this one is longer"
                    )))
                }
                ProviderError::LoginRefused { detail, .. } => Ok(Login::Refused(detail)),
                // The administrator still gets a connection: MySQL and MariaDB reserve one for it.
                full @ ProviderError::TooManyConnections { .. } => {
                    Err(full.in_database(names.database.as_str()))
                }
                other => Err(other),
            }
        }
    }
}

fn too_slow(names: &Names, limit: Duration) -> ProviderError {
    ProviderError::Timeout {
        doing: format!("logging in as {}", names.role),
        limit,
    }
}
