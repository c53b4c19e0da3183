//! Why a task failed.

use tokio::task::JoinError;

use super::protocol::result::Cause;
use super::upload::UploadError;

/// Why a task failed, before it becomes a result.
#[derive(Debug)]
pub(super) struct Failure {
    /// The kind of failure.
    pub cause: Cause,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// It is transient: another attempt may succeed.
    pub passing: bool,
}

impl Failure {
    /// A failure of this kind.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an error ends here, as words"
    )]
    pub(super) fn new(cause: Cause, message: impl ToString) -> Self {
        Self {
            cause,
            message: message.to_string(),
            passing: false,
        }
    }

    /// The same, of which it is known whether it is transient.
    #[must_use]
    pub(super) fn passing(self, passing: bool) -> Self {
        Self { passing, ..self }
    }

    /// The pod lacks something, or cannot use it.
    pub(super) fn misconfigured(message: impl ToString) -> Self {
        Self::new(Cause::Misconfigured, message)
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        Self::misconfigured(format!(
            "a part of db-operator failed: {error}; please report this"
        ))
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        let cause = match error {
            UploadError::NotSigned(_) => Cause::NoProgress,
            UploadError::Refused { .. } | UploadError::GaveUp { .. } => Cause::UploadFailed,
        };
        Self::new(cause, error)
    }
}
