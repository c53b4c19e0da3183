//! Why a dump did not work, before it becomes a report.

use tokio::task::JoinError;

use super::report::Cause;
use super::upload::UploadError;

/// A failure before its report.
#[derive(Debug)]
pub struct Failure {
    /// The kind.
    pub cause: Cause,
    /// For a person.
    pub message: String,
}

impl Failure {
    /// Of this kind.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an error ends here, as words"
    )]
    pub fn new(cause: Cause, message: impl ToString) -> Self {
        Self {
            cause,
            message: message.to_string(),
        }
    }

    /// The pod lacks something, or cannot use it.
    pub fn misconfigured(message: impl ToString) -> Self {
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
