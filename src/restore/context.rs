//! What every pass over a Restore has at hand.

use std::ops::Deref;
use std::sync::Arc;

use super::remembered::{About, Remembered};
use crate::controller;
use crate::controller::revisit::Revisit;
use crate::job::image::OwnImage;
use crate::job::watch::Work;
use crate::queue::slots::Slots;

/// What every pass over a Restore has at hand: what all passes have, and what only these need.
pub struct Context {
    shared: Arc<controller::Context>,
    /// How long a finished Job is kept for its log, in seconds.
    pub keep_seconds: u32,
    /// The operator's own image.
    pub image: OwnImage,
    /// The slots that were given away.
    pub slots: Slots,
    /// When each Restore is looked at again.
    pub revisit: Revisit<About>,
    /// What was seen of each Restore.
    pub remembered: Remembered,
    /// The Jobs and their pods.
    pub work: Arc<Work>,
}

impl Context {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(shared: Arc<controller::Context>, keep_seconds: u32, image: OwnImage) -> Self {
        Self {
            shared,
            keep_seconds,
            image,
            slots: Slots::default(),
            revisit: Revisit::default(),
            remembered: Remembered::default(),
            work: Arc::default(),
        }
    }
}

impl Deref for Context {
    type Target = controller::Context;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}
