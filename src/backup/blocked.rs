//! Why a pass over a Backup could not do what it was about, in the words of its conditions.

use crate::api::BackupReason;
use crate::client::ApiError;
use crate::controller::{self, Error};
use crate::provider::ProviderError;
use crate::server::ServerError;
use crate::server::resolve::Unusable;
use crate::store::DestinationError;
use crate::store::StoreError;

/// Why a pass over a Backup could not do what it was about. What only a person can mend ends a backup that has begun.
pub(super) type Blocked = controller::Blocked<BackupReason>;

impl From<Error> for Blocked {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            error => Self::retried(BackupReason::Starting, error.to_string(), error),
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
        if let Some(ProviderError::NotPermitted { .. }) = error.provider() {
            return Self::new(BackupReason::MissingPrivileges, message);
        }
        Self::retried(BackupReason::WaitingForDatabase, message, error)
    }
}

impl From<StoreError> for Blocked {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        if error.is_retryable() {
            Self::retried(BackupReason::StoreUnreachable, message, error)
        } else {
            Self::new(BackupReason::StoreRefused, message)
        }
    }
}

impl From<DestinationError> for Blocked {
    fn from(error: DestinationError) -> Self {
        match error {
            DestinationError::Api(error) => error.into(),
            DestinationError::Missing(message) => Self::new(BackupReason::NoDestination, message),
            DestinationError::Store(error) => error.into(),
        }
    }
}

impl From<Unusable> for Blocked {
    fn from(unusable: Unusable) -> Self {
        let message = unusable.to_string();
        let reason = match unusable {
            Unusable::NotAllowed { .. } => BackupReason::NamespaceNotAllowed,
            Unusable::NotFound { .. } | Unusable::NotReady { .. } | Unusable::Moved { .. } => {
                BackupReason::WaitingForDatabase
            }
        };
        Self::new(reason, message)
    }
}

/// What the API server does not let in is refused for good; anything else is tried again.
pub(super) fn not_written(error: ApiError) -> Blocked {
    if error.is_final_refusal() {
        Blocked::new(BackupReason::JobRefused, error.to_string())
    } else {
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn refused(code: u16, message: &str) -> Blocked {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        not_written(ApiError::of("create the Job")(kube::Error::Api(Box::new(
            status,
        ))))
    }

    #[test]
    fn a_quota_refuses_for_good_and_missing_rights_of_the_operator_do_not() {
        let quota =
            "jobs.batch \"b\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1";
        assert_eq!(refused(403, quota).reason, BackupReason::JobRefused);
        assert_eq!(
            refused(403, quota).message,
            format!("cannot create the Job: {quota}")
        );
        let rbac = "jobs.batch is forbidden: User \"system:serviceaccount:x\" cannot create resource \"jobs\"";
        assert!(refused(403, rbac).retry.is_some());
        assert!(refused(500, "failed calling webhook").retry.is_some());
        assert_eq!(refused(422, "invalid").reason, BackupReason::JobRefused);
    }
}
