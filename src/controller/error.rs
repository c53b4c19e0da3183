//! How a reconcile fails: with a word for the condition, the metric and the Event, and whether trying again by itself can
//! help.

use crate::client::ApiError;
use crate::provider::ProviderError;
use crate::server::ServerError;
use crate::store::StoreError;

/// Why an object could not be brought to what it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the Kubernetes API failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A database server did not do what it was asked.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The object store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server does not accept what the Secret holds.
    #[error("logging in as {user} with the Secret's values does not work")]
    LoginFailed {
        /// The SQL user.
        user: String,
    },
    /// This process must not do anything any more.
    #[error("this process does not lead any more")]
    NotLeading,
    /// The instances were not read yet since this process began, or this one cannot be read.
    #[error("the DatabaseInstance was not read yet")]
    NotRead,
    /// Something keeps a database or a user from being dropped.
    #[error("{what}")]
    Blocked {
        /// What, and what to do about it.
        what: String,
    },
}

impl Error {
    /// Turns a client's error into ours; to be used with `map_err`.
    pub fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| ApiError::of(doing)(source).into()
    }

    /// The object changed between being read and being written: it is read again.
    #[must_use]
    pub const fn changed(doing: &'static str) -> Self {
        Self::Api(ApiError::Changed { doing })
    }

    /// Whether nothing is wrong with the object: it is read again, or looked after by another process.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(ApiError::Changed { .. }) | Self::NotLeading)
    }

    /// The HTTP status, if it was the API server that refused.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api(error) => error.code(),
            Self::Server(_)
            | Self::Store(_)
            | Self::LoginFailed { .. }
            | Self::NotLeading
            | Self::NotRead
            | Self::Blocked { .. } => None,
        }
    }

    /// A stable `CamelCase` word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(error) => error.reason(),
            Self::Server(error) => error
                .provider()
                .map_or("ServerPaused", ProviderError::category),
            Self::Store(error) if error.is_retryable() => "StoreUnreachable",
            Self::Store(_) => "StoreRefused",
            Self::LoginFailed { .. } => "LoginFailed",
            Self::NotLeading => "NotLeading",
            Self::NotRead => "NotRead",
            Self::Blocked { .. } => "DeletionBlocked",
        }
    }

    /// Whether somebody's lock or session was in the way, and a slot was held for nothing meanwhile.
    #[must_use]
    pub fn has_waited(&self) -> bool {
        match self {
            // Also where it was inside one database: its owner's sessions hold locks there.
            Self::Server(error) => matches!(
                error.provider().map(ProviderError::cause),
                Some(ProviderError::Busy { .. })
            ),
            Self::Blocked { .. } => true,
            Self::Api(_)
            | Self::Store(_)
            | Self::LoginFailed { .. }
            | Self::NotLeading
            | Self::NotRead => false,
        }
    }

    /// Whether the server as a whole is out of order, which is no namespace's doing.
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        match self {
            Self::Server(error) => error.provider().is_none_or(ProviderError::is_server_down),
            Self::Api(_)
            | Self::Store(_)
            | Self::LoginFailed { .. }
            | Self::NotLeading
            | Self::NotRead
            | Self::Blocked { .. } => false,
        }
    }

    /// Whether the same again may work by itself. What is not retryable is looked at again at the
    /// next resync, or when something changes.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Api(error) => error.is_retryable(),
            Self::Server(error) => error.provider().is_none_or(ProviderError::is_retryable),
            // Whoever does not try again says so before it becomes this error.
            Self::Store(_)
            | Self::NotLeading
            | Self::NotRead
            | Self::LoginFailed { .. }
            | Self::Blocked { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_inside_a_database_was_waited_for_like_any_other() {
        let failed = |source| {
            Error::from(ServerError::Failed {
                instance: "main".to_owned(),
                source,
            })
        };
        let busy = ProviderError::Busy {
            doing: "create the schema \"audit\"".to_owned(),
            detail: "no lock was granted in time".to_owned(),
        };
        assert!(failed(busy.clone()).has_waited());
        assert!(failed(busy.in_database("orders")).has_waited());
        let unexpected = ProviderError::Unexpected {
            doing: "connect".to_owned(),
            detail: "could not access file \"nope\"".to_owned(),
        };
        assert!(!failed(unexpected.in_database("orders")).has_waited());
    }
}
