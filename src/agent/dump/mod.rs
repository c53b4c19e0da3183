//! Turns the dump tool's output into parts for the upload.
//!
//! In the order in which bytes pass:
//!
//! | file | its one job |
//! |---|---|
//! | `pipeline.rs` | runs all of this and the upload at once, and decides whether the dump is good |
//! | `tool.rs`, `credentials.rs` | which tool it is, and whether it fits the server; how it logs in |
//! | `child.rs`, `messages.rs` | owns the tool's process; hears what it says on its standard error |
//! | `read.rs`, `completeness/` | reads the tool's output; decides whether it was complete |
//! | `compress.rs`, `split.rs` | zstd; parts and their hashes |
//! | `buffers.rs` | the bounded memory between them |

mod buffers;
pub mod child;
mod completeness;
mod compress;
pub mod credentials;
pub mod messages;
mod pipeline;
mod read;
mod split;
mod tool;

pub use buffers::Buffers;
pub use pipeline::Pipeline;
pub use tool::Tool;
