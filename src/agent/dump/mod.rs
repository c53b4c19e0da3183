//! Turns the dump tool's output into parts for the upload.
//!
//! In the order in which bytes pass:
//!
//! | file | its one job |
//! |---|---|
//! | `pipeline.rs` | runs all of this and the upload at once, and decides whether the dump is good |
//! | `views.rs` | finds the views that end a dump of MySQL or MariaDB, and leaves them out |
//! | `events.rs` | finds out whether the tool gets past the events of MySQL or MariaDB |
//! | `read.rs`, `completeness/` | reads the tool's output; decides whether it was complete, and counts what is in it |
//! | `compress.rs`, `split.rs` | zstd; parts and their hashes |
//! | `buffers.rs` | the bounded memory between them |

mod buffers;
pub(super) mod completeness;
mod compress;
pub(super) mod events;
mod pipeline;
mod read;
mod split;
pub(super) mod views;

pub(super) use buffers::Buffers;
pub(super) use pipeline::{Pipeline, Streamed};
