//! Instances: the servers, each with its provider, its breaker and what was last found on it.

pub mod breaker;
pub mod controller;
