//! What every pass over a Database can use.

use std::ops::Deref;
use std::sync::Arc;

use super::remembered::{About, Remembered};
use crate::controller;
use crate::controller::revisit::Revisit;

/// What every pass over a Database can use: what all kinds share, and what only this kind needs.
pub struct Context {
    shared: Arc<controller::Context>,
    /// When each Database is looked at again.
    pub revisit: Revisit<About>,
    /// What was seen of each Database.
    pub remembered: Remembered,
}

impl Context {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(shared: Arc<controller::Context>) -> Self {
        Self {
            shared,
            revisit: Revisit::default(),
            remembered: Remembered::default(),
        }
    }
}

impl Deref for Context {
    type Target = controller::Context;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}
