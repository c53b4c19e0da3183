//! The Secret in the course of a pass: read and drafted before anything is claimed, written before the role follows it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;

use super::credentials::{self, Found, Lack};
use super::pass::{Obstacle, Pass};
use super::secret::{self, Connection};
use super::stored::{Metadata, Stored};
use crate::api::database::Credentials;
use crate::api::{DatabaseInstance, DatabaseReason};
use crate::blocking::compute;
use crate::error::Error;
use crate::instance::server::Server;
use crate::provider::Verifier;
use crate::provider::password::Unusable;

/// What the Secret is going to hold.
pub struct Draft {
    current: Option<Stored>,
    wanted: Secret,
    password: SecretString,
    lack: Option<Lack>,
}

/// The Secret as it is now.
pub struct Held {
    version: Credentials,
    /// Its password.
    pub password: SecretString,
    /// Why the password was generated in this pass: the server cannot know it.
    pub lack: Option<Lack>,
    /// The Secret is not the one that a login last worked with.
    pub changed: bool,
}

impl Held {
    /// The password was generated in this pass: the server cannot know it.
    pub fn is_fresh(&self) -> bool {
        self.lack.is_some()
    }

    /// What the status remembers of it.
    pub fn credentials(&self) -> Credentials {
        self.version.clone()
    }
}

impl Draft {
    /// Reads the Secret and renders what it should hold. Client required.
    pub async fn prepare(
        pass: &Pass<'_>,
        instance: &DatabaseInstance,
        server: &Server,
    ) -> Result<Self, Obstacle> {
        let name = pass.database.name_any();
        let current = match credentials::read(&pass.secrets(), &pass.database).await? {
            Found::Absent => None,
            Found::Usable(secret) => Some(*secret),
            Found::Foreign => {
                let message = format!(
                    "the Secret {name} exists and is not of this Database: remove it, rename it, or label it {}=true to use its password",
                    crate::api::ADOPT_LABEL
                );
                return Err(Obstacle::stalled(DatabaseReason::SecretNotOurs, message));
            }
        };
        let flavour = server.flavour();
        let (password, lack) = match credentials::password(current.as_ref(), flavour) {
            Ok(Ok(password)) => (password, None),
            Ok(Err(lack)) => (secret::generate_password(), Some(lack)),
            Err(unusable) => return Err(unusable_password(&name, &unusable)),
        };
        let connection = connection(pass, instance, server, password.clone());
        let templates = pass.database.spec.secret_template.clone();
        let templates = templates.unwrap_or_default().data;
        // The team's templates, over values that the team may have written.
        let keys = compute(move || secret::render(&connection, &templates))
            .await
            .map_err(|error| {
                Obstacle::stalled(DatabaseReason::InvalidTemplate, error.to_string())
            })?;
        let wanted = credentials::wanted(&pass.database, flavour, keys, current.as_ref());
        if let Some(current) = current.as_ref()
            && credentials::is_fixed(current, &wanted)
        {
            let message = format!(
                "the Secret {name} is immutable and is not what it has to be: remove it, so that it is made again"
            );
            return Err(Obstacle::stalled(DatabaseReason::SecretRefused, message));
        }
        Ok(Self {
            current,
            wanted,
            password,
            lack,
        })
    }

    /// Writes the Secret, unless it holds all that already. Client required.
    pub async fn write(self, pass: &Pass<'_>) -> Result<Held, Obstacle> {
        let before = self
            .current
            .as_ref()
            .map(|secret| version(&secret.metadata));
        let known = pass.status().and_then(|status| status.credentials.as_ref());
        // What is written now changes the version, but not whether a login worked with what was there before.
        let changed = before.is_none() || before.as_ref() != known;
        let written = credentials::apply(&pass.secrets(), &self.wanted, self.current)
            .await
            .map_err(|error| not_written(error, before.is_some()))?;
        Ok(Held {
            version: version(&written),
            password: self.password,
            lack: self.lack,
            changed,
        })
    }
}

/// Everything that is needed to use the database, with this password.
pub fn connection(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    password: SecretString,
) -> Connection {
    let spec = &instance.spec;
    Connection {
        engine: server.flavour(),
        host: spec.host.clone(),
        port: u16::try_from(spec.effective_port()).unwrap_or_default(),
        database: pass.database.sql_name(),
        username: pass.database.sql_user(),
        password,
        sslmode: spec.tls.mode.as_str().to_owned(),
        ca: server.ca().map(str::to_owned),
    }
}

/// What the server will store for a password: thousands of rounds of a hash.
pub async fn verifier(server: &Arc<Server>, password: &SecretString) -> Verifier {
    let (server, password) = (Arc::clone(server), password.clone());
    compute(move || server.provider().verifier(&password)).await
}

/// A password that nobody can log in with. Trying again does not make it another one.
fn unusable_password(secret: &str, unusable: &Unusable) -> Obstacle {
    let message = format!(
        "the password in the Secret {secret} {unusable}; or remove the key, so that one is made"
    );
    Obstacle::stalled(DatabaseReason::PasswordUnusable, message)
}

/// What the API server refuses stays refused until a person changes something: a quota, a policy, what is asked for.
fn not_written(error: Error, exists: bool) -> Obstacle {
    if !error.is_refusal() {
        return error.into();
    }
    Obstacle {
        // The Secret that is there still works.
        breaks: !exists,
        ..Obstacle::stalled(DatabaseReason::SecretRefused, error.to_string())
    }
}

fn version(secret: &Metadata) -> Credentials {
    Credentials {
        uid: secret.uid.clone().unwrap_or_default(),
        resource_version: secret.resource_version.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Outcome, Reason};

    fn answer(code: u16, reason: &str, message: &str) -> Error {
        let status = kube::core::Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..kube::core::Status::default()
        };
        Error::api("write the Secret")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn what_a_person_has_to_change_is_not_tried_again_by_itself() {
        let quota =
            "secrets \"orders\" is forbidden: exceeded quota: none, requested: count/secrets=1";
        for (code, reason, message, refused) in [
            (403, "Forbidden", quota, true),
            (
                422,
                "Invalid",
                "data: Forbidden: field is immutable when `immutable` is set",
                true,
            ),
            (
                400,
                "BadRequest",
                "admission webhook denied the request",
                true,
            ),
            (409, "AlreadyExists", "", false),
            (500, "InternalError", "failed calling webhook", false),
            (503, "ServiceUnavailable", "", false),
        ] {
            for exists in [false, true] {
                let obstacle = not_written(answer(code, reason, message), exists);
                assert_eq!(obstacle.retry.is_none(), refused, "{code}");
                if refused {
                    assert_eq!(obstacle.reason, DatabaseReason::SecretRefused);
                    assert_eq!(obstacle.reason.outcome(), Outcome::Stalled);
                    assert_eq!(obstacle.breaks, !exists);
                    assert!(obstacle.message.contains(message), "{}", obstacle.message);
                    assert!(!obstacle.message.contains("rbac"), "{}", obstacle.message);
                }
            }
        }
    }

    #[test]
    fn an_unusable_password_is_said_with_its_limit_and_what_to_do() {
        let unusable =
            crate::provider::password::too_long(crate::provider::Flavour::Mysql, 120_000);
        let obstacle = unusable_password("orders", &unusable);
        assert_eq!(obstacle.reason.outcome(), Outcome::Stalled);
        assert!(obstacle.retry.is_none());
        for part in ["Secret orders", "120000", "at most 255"] {
            assert!(obstacle.message.contains(part), "{}", obstacle.message);
        }
    }
}
