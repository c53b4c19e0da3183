//! Logging in as a database's own user, with nothing but what its Secret holds.

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
        Ok(Ok(connection)) => {
            // The answer is known; the connection ends with this value, whatever the server says to the goodbye.
            let _ = timeout(limit, connection.close()).await;
            return Ok(Login::Accepted);
        }
        Ok(Err(failure)) => failure,
        Err(_) => {
            return Err(ProviderError::Unreachable {
                server: sessions.server.to_string(),
                detail: format!("no session after {limit:?}"),
            });
        }
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
                other => Err(other),
            }
        }
    }
}
