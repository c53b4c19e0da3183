//! Why a pass could not do what it was about.

use super::Error;
use crate::api::{Outcome, Reason};

/// Why a pass could not do what it was about. The conditions say so.
#[derive(Debug)]
pub struct Blocked<R> {
    /// The condition's reason.
    pub reason: R,
    /// Its message.
    pub message: String,
    /// Why it is tried again soon; `None` where only a change can help.
    pub retry: Option<Box<Error>>,
    /// What worked before does not work any more, also where the reason alone would not say so.
    pub breaks: bool,
}

impl<R: Reason> Blocked<R> {
    /// Something that announces its change, or that only a person can mend.
    pub fn new(reason: R, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            retry: None,
            breaks: false,
        }
    }

    /// The same, tried again soon because of this error.
    pub fn retried(reason: R, message: impl Into<String>, error: impl Into<Error>) -> Self {
        Self {
            retry: Some(Box::new(error.into())),
            ..Self::new(reason, message)
        }
    }

    /// Whether only a person can mend it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.reason.outcome() == Outcome::Stalled
    }
}
