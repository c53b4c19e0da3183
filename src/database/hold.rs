//! The Secret in the course of a pass: read and drafted before anything is claimed, written before the role follows it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;

use super::credentials::{self, Found};
use super::pass::{Obstacle, Pass};
use super::secret::{self, Connection};
use crate::api::database::Credentials;
use crate::api::{DatabaseInstance, DatabaseReason};
use crate::error::Error;
use crate::instance::server::Server;

/// What the Secret is going to hold.
pub struct Draft {
    current: Option<Secret>,
    keys: BTreeMap<String, String>,
    password: SecretString,
    fresh: bool,
}

/// The Secret as it is now.
pub struct Held {
    secret: Secret,
    /// Its password.
    pub password: SecretString,
    /// The password was generated in this pass: the server cannot know it.
    pub fresh: bool,
    /// The Secret is not the one that a login last worked with.
    pub changed: bool,
}

impl Held {
    /// What the status remembers of it.
    pub fn credentials(&self) -> Credentials {
        version(&self.secret)
    }
}

impl Draft {
    /// Reads the Secret and renders what it should hold. Client required.
    pub async fn prepare(
        pass: &Pass<'_>,
        instance: &DatabaseInstance,
        server: &Server,
    ) -> Result<Self, Obstacle> {
        let (current, password) = match credentials::read(&pass.secrets(), &pass.database).await? {
            Found::Absent => (None, None),
            Found::Usable { secret, password } => (Some(*secret), password),
            Found::Foreign => {
                let name = pass.database.name_any();
                let message = format!(
                    "the Secret {name} exists and is not of this Database: remove it, rename it, or label it {}=true to use its password",
                    crate::api::ADOPT_LABEL
                );
                return Err(Obstacle::stalled(DatabaseReason::SecretNotOurs, message));
            }
        };
        let fresh = password.is_none();
        let password = password.unwrap_or_else(secret::generate_password);
        let connection = connection(pass, instance, server, password.clone());
        let templates = pass
            .database
            .spec
            .secret_template
            .clone()
            .unwrap_or_default()
            .data;
        let keys = secret::render(&connection, &templates).map_err(|error| {
            Obstacle::stalled(DatabaseReason::InvalidTemplate, error.to_string())
        })?;
        Ok(Self {
            current,
            keys,
            password,
            fresh,
        })
    }

    /// Writes the Secret, unless it holds all that already. Client required.
    pub async fn write(self, pass: &Pass<'_>, server: &Server) -> Result<Held, Error> {
        let before = self.current.as_ref().map(version);
        let known = pass.status().and_then(|status| status.credentials.as_ref());
        // What is written now changes the version, but not whether a login worked with what was there before.
        let changed = before.is_none() || before.as_ref() != known;
        let secret = credentials::write(
            &pass.secrets(),
            &pass.database,
            server.flavour(),
            self.keys,
            self.current,
        )
        .await?;
        Ok(Held {
            secret,
            password: self.password,
            fresh: self.fresh,
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

fn version(secret: &Secret) -> Credentials {
    Credentials {
        uid: secret.uid().unwrap_or_default(),
        resource_version: secret.resource_version().unwrap_or_default(),
    }
}
