//! The names that are never created, adopted or altered.
