//! The Database controller.

pub mod secret;
