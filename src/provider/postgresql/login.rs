//! Logs in as the database's own user would.

use secrecy::{ExposeSecret, SecretString};

use super::Postgresql;
use super::error::{Failure, Kind};
use super::session::{APPLICATION, Login as As, Pinned, Session};
use super::tenant_session::blame;
use crate::provider::pool::Session as _;
use crate::provider::{Login, Names, ProviderError, password};

impl Postgresql {
    pub(super) async fn login_as_user(
        &self,
        names: &Names,
        password: &SecretString,
    ) -> Result<Login, ProviderError> {
        let slot = self.pool.one_off_slot().await?;
        let login = As {
            user: names.role.as_str(),
            password,
            database: names.database.as_str(),
            application: APPLICATION,
            pinned: Pinned::Nothing,
        };
        let result = match Session::open(&self.config, login).await {
            Ok(session) => {
                session.close().await;
                Ok(Login::Accepted)
            }
            Err(failure) => explain(failure, password.expose_secret()),
        };
        drop(slot);
        match result {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let outside = self.session().await.err();
                Err(blame(&names.database, error, outside))
            }
        }
    }
}

/// Explains a failed login. The server checks the password, then the role's limit, then the database. Each has its own
/// code, and where two share one, the function that raised it tells them apart.
fn explain(failure: Failure, secret: &str) -> Result<Login, ProviderError> {
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
        None if matches!(failure.kind, Kind::Driver(_)) => match password::prohibited(secret) {
            Some(unusable) => Ok(Login::Unusable(format!("it {unusable}"))),
            None => Err(ProviderError::Unsupported(format!(
                "the driver cannot log in as this user: {said}"
            ))),
        },
        Some(_) | None => Err(failure.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(password: &str) -> Result<Login, ProviderError> {
        let failure = Failure {
            doing: "log in".to_owned(),
            server: "host:1".to_owned(),
            kind: Kind::Driver("the driver's words".to_owned()),
        };
        explain(failure, password)
    }

    #[test]
    fn a_password_that_no_client_takes_is_said_but_not_shown() {
        let Ok(Login::Unusable(sentence)) = explained("trailing\n") else {
            panic!("a line break")
        };
        assert!(
            sentence.contains("(U+000A)") && !sentence.contains("trailing"),
            "{sentence}"
        );
        let Ok(Login::Unusable(sentence)) = explained("crab\u{1f980}") else {
            panic!("not in Unicode 3.2")
        };
        assert!(
            !sentence.contains("crab") && !sentence.contains('\u{1f980}'),
            "{sentence}"
        );
    }

    #[test]
    fn what_else_the_driver_cannot_do_is_unsupported() {
        assert!(matches!(
            explained("fine"),
            Err(ProviderError::Unsupported(_))
        ));
    }
}
