//! Why a restore failed.

use tokio::task::JoinError;

use super::fetch::FetchError;
use crate::agent::protocol::restore::RestoreCause;

/// Why a restore failed, before it becomes a result.
#[derive(Debug)]
pub(super) struct Failure {
    /// The kind of failure.
    pub cause: RestoreCause,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// What differs from the backup, a sentence each.
    pub differences: Vec<String>,
}

impl Failure {
    /// A failure of this kind.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an error ends here, as words"
    )]
    pub(super) fn new(cause: RestoreCause, message: impl ToString) -> Self {
        Self {
            cause,
            message: message.to_string(),
            differences: Vec::new(),
        }
    }

    /// The pod lacks something, or cannot use it.
    pub(super) fn misconfigured(message: impl ToString) -> Self {
        Self::new(RestoreCause::Misconfigured, message)
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self::misconfigured(format!(
            "a part of db-operator failed: {error}; please report this"
        ))
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let cause = match error {
            FetchError::Mismatch(_) => RestoreCause::ObjectMismatch,
            FetchError::NotSigned(_) | FetchError::Refused { .. } | FetchError::GaveUp { .. } => {
                RestoreCause::FetchFailed
            }
        };
        Self::new(cause, error)
    }
}
