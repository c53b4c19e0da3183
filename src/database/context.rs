//! What every pass over a Database can use.

use std::ops::Deref;
use std::sync::Arc;

use super::revisit::Revisits;
use crate::controller;

/// What every pass over a Database can use: what all kinds share, and what only this kind needs.
pub struct Context {
    shared: Arc<controller::Context>,
    /// What is remembered of each Database between its passes.
    pub revisits: Revisits,
}

impl Context {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(shared: Arc<controller::Context>) -> Self {
        Self {
            shared,
            revisits: Revisits::default(),
        }
    }
}

impl Deref for Context {
    type Target = controller::Context;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}
