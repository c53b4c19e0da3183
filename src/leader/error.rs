//! How requests for the lease fail, and how leadership ends.

use std::time::Duration;

use kube::core::Status;

/// How a try for the lease failed.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The API server refused a request.
    #[error("{}", refused(.0))]
    Refused(Box<Status>),
    /// The API server gave no answer in time.
    #[error("the API server gave no answer within {0:?}")]
    NoAnswer(Duration),
    /// The API server could not be asked.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(kube::Error),
    /// The lease was written by someone else between the look and the write.
    #[error("another process wrote the lease first")]
    LostRace,
    /// The lease says, after our own write, that someone else holds it.
    #[error("the lease is held by \"{0}\"")]
    HeldByAnother(String),
    /// The library met a Lease it cannot read.
    #[error("the lease cannot be used: {0}")]
    Library(kube_leader_election::Error),
}

fn refused(status: &Status) -> String {
    let hint = match status.code {
        401 => "; check the service account's token",
        403 => {
            "; the service account needs get, create and patch on leases in the operator's namespace (kustomize/base/rbac.yaml)"
        }
        404 => "; does the lease's namespace exist?",
        _ => "",
    };
    format!(
        "the API server refused ({}): {}{hint}",
        status.code, status.message
    )
}

/// Why leadership ended.
#[derive(Debug, thiserror::Error)]
pub enum LostLease {
    /// It could not be renewed in time.
    #[error("the lease was not renewed in time{}", .failure.as_ref().map(|f| format!(": {f}")).unwrap_or_default())]
    Expired {
        /// What went wrong last; nothing, if the process itself stood still.
        failure: Option<LeaseError>,
    },
    /// Someone else holds it.
    #[error("the lease was taken over by \"{holder}\"")]
    Taken {
        /// The new holder; empty if the lease was released by hand.
        holder: String,
    },
    /// The rest of the process does not show that it runs.
    #[error("nothing in this process but the thread of the lease has run for {limit:?}")]
    Hangs {
        /// How long that was waited for.
        limit: Duration,
    },
}

pub(super) fn from_kube(error: kube::Error) -> LeaseError {
    match error {
        kube::Error::Api(status) if status.code == 409 => LeaseError::LostRace,
        kube::Error::Api(status) => LeaseError::Refused(status),
        other => LeaseError::Unreachable(other),
    }
}

pub(super) fn from_library(error: kube_leader_election::Error) -> LeaseError {
    use kube_leader_election::Error as Library;
    match error {
        Library::GetLease(error)
        | Library::CreateLease(error)
        | Library::AcquireLease(error)
        | Library::RenewLease(error)
        | Library::ReleaseLease(error)
        | Library::Kube(error) => from_kube(error),
        Library::ApiError { response } => from_kube(kube::Error::Api(response)),
        Library::ReleaseLockWhenNotLeading { leader } => LeaseError::HeldByAnother(leader),
        other
        @ (Library::TraverseLease { .. } | Library::SerdeError(_) | Library::JiffError(_)) => {
            LeaseError::Library(other)
        }
    }
}
