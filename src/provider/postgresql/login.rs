//! Logs in as the database's own user would, and looks around as that user.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Postgresql;
use super::accessible::{Answer, answer, extent, inaccessible};
use super::error::{Failure, Kind};
use super::session::{APPLICATION, Login as As, Pinned, Session};
use crate::provider::blame::blame;
use crate::provider::pool::Session as _;
use crate::provider::{
    Desired, Extent, Inside, Login, Names, Probe, ProviderError, SqlName, password,
};

/// What the user `$1` sees inside: whether the schemas `$3`, and the extensions `$4` in the schemas `$5` of the versions
/// `$6`, are as they are wanted, and what it cannot use (`$2`). Whoever has rights there may make it slow, but not lie to
/// anybody but themselves.
const INSIDE: &str = concat!(
    inaccessible!(),
    "
SELECT json_build_object(
  'differs', EXISTS (SELECT FROM tenant CROSS JOIN unnest($3::text[]) AS w (name)
      LEFT JOIN pg_namespace n ON n.nspname::text = w.name
    WHERE n.oid IS NULL OR NOT pg_has_role(tenant.oid, n.nspowner, 'USAGE'))
  OR EXISTS (SELECT FROM unnest($4::text[], $5::text[], $6::text[]) AS w (name, schema, version)
      LEFT JOIN pg_extension e ON e.extname::text = w.name LEFT JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.oid IS NULL OR w.schema <> n.nspname::text OR w.version <> e.extversion),",
    answer!(),
    ")::text"
);

/// The answer to [`INSIDE`].
#[derive(Deserialize)]
struct Seen {
    differs: bool,
    #[serde(flatten)]
    inaccessible: Answer,
}

impl Postgresql {
    pub(super) async fn login_as_user(
        &self,
        names: &Names,
        password: &SecretString,
    ) -> Result<Login, ProviderError> {
        let slot = self.pool.one_off_slot().await?;
        let result = match self.open_as_user(names, password, Pinned::Nothing).await {
            Ok(session) => {
                session.close().await;
                Ok(Login::Accepted)
            }
            Err(failure) => explain(failure, password.expose_secret()),
        };
        drop(slot);
        self.or_blame(names, result).await
    }

    pub(super) async fn probe_as_user(
        &self,
        desired: &Desired,
        password: &SecretString,
        extent: Extent,
    ) -> Result<Probe, ProviderError> {
        let names = &desired.names;
        let slot = self.pool.one_off_slot().await?;
        let result = match self.open_as_user(names, password, Pinned::Question).await {
            Ok(mut session) => {
                session.limit(self.config.timeouts.connect);
                let inside = look(&mut session, desired, extent).await;
                session.close().await;
                Ok(Probe {
                    login: Login::Accepted,
                    // The tenant's own settings may end the session here. A deep look does not depend on them.
                    inside: inside.ok(),
                })
            }
            Err(failure) => explain(failure, password.expose_secret()).map(Probe::from),
        };
        drop(slot);
        self.or_blame(names, result)
            .await
            .map_err(|error| match error {
                // The operator's own session answers: a look at each Database must not make the whole server look down.
                ProviderError::TooManyConnections { .. } => {
                    error.in_database(names.database.as_str())
                }
                other => other,
            })
    }

    async fn open_as_user(
        &self,
        names: &Names,
        password: &SecretString,
        pinned: Pinned,
    ) -> Result<Session, Failure> {
        let login = As {
            user: names.role.as_str(),
            password,
            database: names.database.as_str(),
            application: APPLICATION,
            pinned,
        };
        Session::open(&self.config, login).await
    }

    async fn or_blame<T>(
        &self,
        names: &Names,
        result: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        match result {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let outside = self.session().await.err();
                Err(blame(&names.database, error, outside))
            }
        }
    }
}

async fn look(session: &mut Session, desired: &Desired, of: Extent) -> Result<Inside, Failure> {
    let wanted = &desired.postgresql;
    let extensions = wanted.extensions.iter();
    let schemas: Vec<&str> = wanted.schemas.iter().map(SqlName::as_str).collect();
    let names: Vec<&str> = extensions.clone().map(|one| one.name.as_str()).collect();
    let places: Vec<Option<&str>> = extensions
        .clone()
        .map(|one| one.schema.as_ref().map(SqlName::as_str))
        .collect();
    let versions: Vec<Option<&str>> = extensions.map(|one| one.version.as_deref()).collect();
    let query = sqlx::query(INSIDE)
        .bind(desired.names.role.as_str())
        .bind(extent(of))
        .bind(schemas)
        .bind(names)
        .bind(places)
        .bind(versions);
    let doing = format!("look into the database {:?}", desired.names.database);
    let seen: Seen = session.json(&doing, query).await?;
    Ok(Inside {
        differs: seen.differs,
        inaccessible: seen.inaccessible.described(&desired.names.role),
    })
}

/// The server's functions that refuse a login because of a rule of its `pg_hba.conf`.
const RULES: [&str; 2] = ["ClientAuthentication", "auth_failed"];

/// Explains a failed login. The server checks the password, then the role's limit, then the database. Each has its own
/// code, and where two share one, the function that raised it tells them apart.
fn explain(failure: Failure, secret: &str) -> Result<Login, ProviderError> {
    let said = failure.said();
    match failure.code() {
        // invalid_authorization_specification, from a rule of pg_hba.conf: one that refuses, none at all, or one that asks for
        // something else than the password that the server stores. Otherwise it is the user that may not log in.
        Some("28000") if RULES.iter().any(|rules| failure.raised_in(rules)) => Ok(Login::Barred(
            format!("{said}; what the server lets in, and how, is in its pg_hba.conf"),
        )),
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
    fn what_no_password_can_mend_is_told_from_what_one_can() {
        let of = |code: &str, routine: &str| {
            let failure = Failure {
                doing: "log in".to_owned(),
                server: "host:1".to_owned(),
                kind: Kind::Server {
                    code: code.to_owned(),
                    message: "the server's words".to_owned(),
                    routine: routine.to_owned(),
                },
            };
            explain(failure, "fine").unwrap()
        };
        for routine in RULES {
            let Login::Barred(said) = of("28000", routine) else {
                panic!("{routine}")
            };
            assert!(
                said.contains("the server's words") && said.contains("pg_hba.conf"),
                "{said}"
            );
        }
        // A wrong password, and a user that may not log in, which is put right together with its password.
        for (code, routine) in [
            ("28P01", "auth_failed"),
            ("28000", "InitializeSessionUserId"),
        ] {
            let login = of(code, routine);
            assert!(matches!(login, Login::Refused(_)), "{login:?}");
        }
    }

    #[test]
    fn what_else_the_driver_cannot_do_is_unsupported() {
        assert!(matches!(
            explained("fine"),
            Err(ProviderError::Unsupported(_))
        ));
    }
}
