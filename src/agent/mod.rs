//! What runs in the backup pod: it owns the dump tool, compresses what the tool writes, uploads it, and reports how far it
//! has come and how it ended.
//!
//! The operator and the agent are the same binary on two sides of a wall: the operator's client, credentials and
//! configuration are not used here.
//!
//! | place | its one job |
//! |---|---|
//! | `protocol/` | what the operator and the agent tell each other; depends on nothing else |
//! | `run.rs` | from the task to its result |
//! | `prepare.rs` | everything that must be right before the tool is started |
//! | `dump/` | from the dump tool to parts |
//! | `upload/` | from parts to the store |
//! | `meter.rs`, `stall.rs` | what has moved so far; progress lines, and noticing that nothing moves any more |
//! | `failure.rs`, `log.rs` | why a task failed; log lines for people |
//! | `install.rs` | copies this binary to where a container of another image can run it |

mod dump;
mod failure;
pub mod install;
mod log;
mod meter;
mod prepare;
pub mod protocol;
pub mod run;
mod stall;
mod upload;

pub use prepare::Folders;
