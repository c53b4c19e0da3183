//! What the Secret of a Database will contain: its password is kept, or generated. Read and rendered before anything is
//! claimed, written before the role on the server follows it.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use rand::RngExt;
use secrecy::SecretString;

use super::CredentialsError;
use super::keys::{self, Connection};
use super::raw::{Metadata, RawSecret};
use super::secret::{self, Found, Missing};
use crate::api::Database;
use crate::api::database::Credentials;
use crate::blocking::compute;
use crate::provider::Flavour;

/// Characters of a generated password: 40 of 62 letters and digits are 238 bits, and need no quoting anywhere.
const PASSWORD_LENGTH: usize = 40;
const PASSWORD_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What the Secret is going to hold.
pub struct Generated {
    current: Option<RawSecret>,
    wanted: Secret,
    password: SecretString,
    missing: Option<Missing>,
}

/// The Secret as it is now.
pub struct Stored {
    version: Credentials,
    /// Its password.
    pub password: SecretString,
    /// Why the password was generated in this pass: the server cannot know it.
    pub missing: Option<Missing>,
    /// The Secret is not the one that a login last worked with.
    pub changed: bool,
}

impl Stored {
    /// The Secret as it stands, where it cannot become what is asked for; `None` if there is none to keep, or it does not say
    /// how to log in, which `connection` does once the password is known. `known` is the one that a login last worked with.
    /// Client required.
    pub async fn kept(
        secrets: &Api<Secret>,
        database: &Database,
        flavour: Flavour,
        known: Option<&Credentials>,
        connection: impl FnOnce(SecretString) -> Connection,
    ) -> Result<Option<Self>, CredentialsError> {
        let Found::Usable(secret) = secret::read(secrets, database).await? else {
            return Ok(None);
        };
        let Ok(Ok(password)) = secret::password(Some(&secret), flavour) else {
            return Ok(None);
        };
        let wanted = keys::fixed_keys(&connection(password.clone()));
        let is_right = |(key, value): (&String, &String)| {
            secret.value(key).as_deref() == Some(value.as_bytes())
        };
        if !wanted.iter().all(is_right) {
            return Ok(None);
        }
        let version = version(&secret.metadata);
        Ok(Some(Self {
            changed: known != Some(&version),
            version,
            password,
            missing: None,
        }))
    }

    /// The password was generated in this pass: the server cannot know it.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.missing.is_some()
    }

    /// What the status remembers of it.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        self.version.clone()
    }
}

impl Generated {
    /// Reads the Secret and renders what it should hold, which `connection` says once the password is known. Client
    /// required.
    pub async fn prepare(
        secrets: &Api<Secret>,
        database: &Database,
        flavour: Flavour,
        connection: impl FnOnce(SecretString) -> Connection,
    ) -> Result<Self, CredentialsError> {
        let name = database.name_any();
        let current = match secret::read(secrets, database).await? {
            Found::Absent => None,
            Found::Usable(secret) => Some(*secret),
            Found::Foreign => return Err(CredentialsError::Foreign { name }),
        };
        let (password, missing) = match secret::password(current.as_ref(), flavour) {
            Ok(Ok(password)) => (password, None),
            Ok(Err(missing)) => (generate(), Some(missing)),
            Err(unusable) => return Err(CredentialsError::Password { name, unusable }),
        };
        let connection = connection(password.clone());
        let templates = database.spec.secret_template.clone();
        let templates = templates.unwrap_or_default().data;
        // The team's templates, over values that the team may have written.
        let keys = compute(move || keys::render(&connection, &templates)).await?;
        let wanted = secret::wanted(database, flavour, keys, current.as_ref());
        if let Some(current) = current.as_ref()
            && secret::is_fixed(current, &wanted)
        {
            return Err(CredentialsError::Immutable { name });
        }
        Ok(Self {
            current,
            wanted,
            password,
            missing,
        })
    }

    /// Writes the Secret, unless it holds all that already; `known` is the one that a login last worked with. Client
    /// required.
    pub async fn store(
        self,
        secrets: &Api<Secret>,
        known: Option<&Credentials>,
    ) -> Result<Stored, CredentialsError> {
        let before = self
            .current
            .as_ref()
            .map(|secret| version(&secret.metadata));
        let exists = before.is_some();
        // What is written now changes the version, but not whether a login worked with what was there before.
        let changed = before.is_none() || before.as_ref() != known;
        let written = secret::apply(secrets, &self.wanted, self.current)
            .await
            .map_err(|source| CredentialsError::NotWritten { source, exists })?;
        Ok(Stored {
            version: version(&written),
            password: self.password,
            missing: self.missing,
            changed,
        })
    }
}

/// Generates a password.
#[must_use]
pub fn generate() -> SecretString {
    let mut random = rand::rng();
    (0..PASSWORD_LENGTH)
        .map(|_| char::from(PASSWORD_ALPHABET[random.random_range(0..PASSWORD_ALPHABET.len())]))
        .collect::<String>()
        .into()
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
    use secrecy::ExposeSecret;

    #[test]
    fn passwords_are_long_and_differ() {
        let passwords: Vec<_> = (0..100)
            .map(|_| generate().expose_secret().to_owned())
            .collect();
        assert!(
            passwords
                .iter()
                .all(|password| password.len() == PASSWORD_LENGTH)
        );
        assert_eq!(
            passwords
                .iter()
                .collect::<std::collections::HashSet<_>>()
                .len(),
            100
        );
    }
}
