//! The Backup controller.

pub mod controller;
