//! The Database controller.

pub mod controller;
pub mod secret;
pub mod state;
