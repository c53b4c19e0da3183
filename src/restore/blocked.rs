//! Why a pass over a Restore could not do what it was about, in the words of its conditions.

use crate::api::RestoreReason;
use crate::client::ApiError;
use crate::controller::{self, Error};
use crate::provider::ProviderError;
use crate::server::ServerError;
use crate::server::resolve::Unusable;
use crate::store::{DestinationError, NoBackup, StoreError};

/// Why a pass over a Restore could not do what it was about. What only a person can mend ends a restore that has begun.
pub(super) type Blocked = controller::Blocked<RestoreReason>;

impl From<Error> for Blocked {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Server(error) => error.into(),
            error => Self::retried(RestoreReason::Preparing, error.to_string(), error),
        }
    }
}

impl From<ApiError> for Blocked {
    fn from(error: ApiError) -> Self {
        Error::Api(error).into()
    }
}

impl From<ServerError> for Blocked {
    fn from(error: ServerError) -> Self {
        let message = error.to_string();
        match error.provider() {
            Some(ProviderError::NotPermitted { .. }) => {
                return Self::new(RestoreReason::MissingPrivileges, message);
            }
            Some(ProviderError::Unsupported(_)) => {
                return Self::new(RestoreReason::Unsupported, message);
            }
            Some(ProviderError::InTheWay(_)) => {
                return Self::new(RestoreReason::InTheWay, message);
            }
            Some(_) | None => {}
        }
        Self::retried(RestoreReason::WaitingForDatabase, message, error)
    }
}

impl From<StoreError> for Blocked {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if error.is_retryable() {
            Self::retried(RestoreReason::StoreUnreachable, message, error)
        } else {
            Self::new(RestoreReason::StoreRefused, message)
        }
    }
}

impl From<NoBackup> for Blocked {
    fn from(error: NoBackup) -> Self {
        match error {
            NoBackup::Store(error) => error.into(),
            NoBackup::Missing(message) | NoBackup::None { message, any: true } => {
                Self::new(RestoreReason::BackupNotFound, message)
            }
            NoBackup::None {
                message,
                any: false,
            } => Self::new(RestoreReason::NoBackups, message),
            NoBackup::Refused(message) => Self::new(RestoreReason::SourceRefused, message),
        }
    }
}

impl From<DestinationError> for Blocked {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Api(error) => error.into(),
            DestinationError::Missing(message) => Self::new(RestoreReason::NoDestination, message),
            DestinationError::Store(error) => error.into(),
        }
    }
}

impl From<Unusable> for Blocked {
    fn from(unusable: Unusable) -> Self {
        let message = unusable.to_string();
        let reason = match unusable {
            Unusable::NotAllowed { .. } => RestoreReason::NamespaceNotAllowed,
            Unusable::NotFound { .. } | Unusable::NotReady { .. } | Unusable::Moved { .. } => {
                RestoreReason::WaitingForDatabase
            }
        };
        Self::new(reason, message)
    }
}

/// What the API server does not let in is refused for good; anything else is tried again.
pub(super) fn not_written(error: ApiError) -> Blocked {
    if error.is_final_refusal() {
        Blocked::new(RestoreReason::JobRefused, error.to_string())
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_may_come_back_is_waited_for_and_a_missing_backup_is_not() {
        let of = |error| Blocked::from(NoBackup::Store(error));
        let away = of(StoreError::Unreachable("no answer".to_owned()));
        assert_eq!(away.reason, RestoreReason::StoreUnreachable);
        assert!(away.retry.is_some() && !away.is_final());
        assert_eq!(of(StoreError::NoBucket).reason, RestoreReason::StoreRefused);
        let missing = Blocked::from(NoBackup::Missing(String::new()));
        assert_eq!(missing.reason, RestoreReason::BackupNotFound);
        assert!(missing.is_final());
        let none = |any| {
            let message = String::new();
            Blocked::from(NoBackup::None { message, any }).reason
        };
        assert_eq!(none(true), RestoreReason::BackupNotFound);
        assert_eq!(none(false), RestoreReason::NoBackups);
        let refused = Blocked::from(NoBackup::Refused(String::new()));
        assert_eq!(refused.reason, RestoreReason::SourceRefused);
    }
}
