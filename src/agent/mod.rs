//! What runs in the pod of a backup or a restore. Of a backup: it owns the dump tool, compresses what the tool writes and
//! uploads it. Of a restore: it fetches an object, feeds it to the tool that loads, and checks what is there then. It reports
//! how far it has come and how it ended.
//!
//! The operator and the agent are the same binary on two sides of a wall: the operator's client, credentials and
//! configuration are not used here.
//!
//! | place | its one job |
//! |---|---|
//! | `protocol/` | what the operator and the agent tell each other; depends on nothing else |
//! | `run.rs` | from the task of a backup to its result |
//! | `prepare.rs` | everything that must be right before the tool is started |
//! | `dump/` | from the dump tool to parts |
//! | `contents/` | what a dump holds, table by table: gathered, appended to the object, read again |
//! | `upload/` | from parts to the store |
//! | `restore/` | from an object in the store back to a database |
//! | `tool/` | the vendor's tool: a child of our process |
//! | `store/` | signed requests to the store |
//! | `retry.rs` | whether a failed attempt is followed by another one, and what is different then |
//! | `meter.rs`, `tables.rs` | what has moved so far; which table the tool has come to |
//! | `stop.rs` | the signals that end it |
//! | `stall.rs` | progress lines, and noticing that nothing moves any more |
//! | `memory.rs` | how much memory the pod may use |
//! | `failure.rs`, `log.rs` | why a task failed; log lines for people |
//! | `install.rs` | copies this binary to where a container of another image can run it |

pub mod contents;
mod dump;
mod failure;
pub mod install;
mod log;
mod memory;
mod meter;
mod prepare;
pub mod protocol;
pub mod restore;
mod retry;
pub mod run;
mod stall;
mod stop;
mod store;
mod tables;
mod tool;
mod upload;

pub use prepare::Folders;
