//! One backup of one `Database`: its life, and in time its Job, its upload and its end.

pub mod controller;
pub mod job;
pub mod state;
