//! Why the Secret of a Database could not be brought up to date.

use super::keys::SecretError;
use crate::api::ADOPT_LABEL;
use crate::client::ApiError;
use crate::provider::password::Unusable;

/// Why the Secret of a Database could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It cannot be read.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// It does not belong to the Database.
    #[error(
        "the Secret {name} exists and is not of this Database: remove it, rename it, or label it {ADOPT_LABEL}=true to use its password"
    )]
    Foreign {
        /// The Secret's name.
        name: String,
    },
    /// Logging in with its password is impossible.
    #[error("the password in the Secret {name} {unusable}; or remove the key, so that one is made")]
    Password {
        /// The Secret's name.
        name: String,
        /// What is wrong with the password.
        unusable: Unusable,
    },
    /// The team's template cannot be rendered.
    #[error(transparent)]
    Template(#[from] SecretError),
    /// It would have to change, and never can.
    #[error(
        "the Secret {name} is immutable and is not what it has to be: remove it, so that it is made again"
    )]
    Immutable {
        /// The Secret's name.
        name: String,
    },
    /// It cannot be written.
    #[error("{source}")]
    NotWritten {
        /// What the API server says.
        source: ApiError,
        /// A working Secret already exists.
        exists: bool,
    },
}

impl CredentialsError {
    /// Whether the Secret stays as it is because of this, and works as before if it did.
    #[must_use]
    pub fn leaves_the_secret(&self) -> bool {
        match self {
            Self::Template(_) | Self::Immutable { .. } => true,
            Self::NotWritten { source, exists } => *exists && source.is_refusal(),
            Self::Api(_) | Self::Foreign { .. } | Self::Password { .. } => false,
        }
    }
}
