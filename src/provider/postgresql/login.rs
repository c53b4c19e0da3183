//! Logging in as the database's own user would.

use secrecy::SecretString;

use super::Postgresql;
use super::failure::{Failure, Kind};
use super::session::{Login as As, Session};
use crate::provider::pool::Session as _;
use crate::provider::{Login, Names, ProviderError};

impl Postgresql {
    pub(super) async fn try_login(
        &self,
        names: &Names,
        password: &SecretString,
    ) -> Result<Login, ProviderError> {
        let slot = self.pool.visit().await?;
        let login = As {
            user: names.role.as_str(),
            password,
            database: names.database.as_str(),
        };
        let result = match Session::open(&self.config, login).await {
            Ok(session) => {
                session.close().await;
                Ok(Login::Accepted)
            }
            Err(failure) => judge(failure),
        };
        drop(slot);
        result
    }
}

/// The server checks the password, then the role's limit, then the database; each has a code of its own, and where
/// two share one, the function that raised it tells them apart.
fn judge(failure: Failure) -> Result<Login, ProviderError> {
    let said = failure.said();
    match failure.code() {
        // invalid_password, invalid_authorization_specification
        Some("28P01" | "28000") => Ok(Login::Refused(said)),
        // too_many_connections, of this role or of this database rather than of the server
        Some("53300")
            if failure.raised_in("InitializeSessionUserId")
                || failure.raised_in("CheckMyDatabase") =>
        {
            Ok(Login::AtConnectionLimit)
        }
        // invalid_catalog_name, insufficient_privilege, object_not_in_prerequisite_state
        Some("3D000" | "42501" | "55000") => Ok(Login::NoDatabase(said)),
        None if matches!(failure.kind, Kind::Driver(_)) => Err(ProviderError::Unsupported(
            format!("this user name or password cannot be used for a login with SCRAM: {said}"),
        )),
        Some(_) | None => Err(failure.into()),
    }
}
