//! The Database controller.

pub mod secret;
pub mod state;
