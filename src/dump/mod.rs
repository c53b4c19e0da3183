//! Inside the backup pod: own the dump tool, compress, upload, and say how far it is and what came of it.
//!
//! The operator and this code are the same binary on two sides of a wall: nothing of the operator's client, its
//! credentials or its configuration is here. What crosses the wall is in three files, read by both sides:
//!
//! | file | what crosses |
//! |---|---|
//! | `errand.rs` | operator → pod, once: what to dump, and where to |
//! | `window.rs` | operator → pod, again and again: signed requests for the next parts |
//! | `report.rs` | pod → operator, at the end: what came of it, as the termination message |
//! | `progress.rs` | pod → operator and people, as it goes: the lines of the log |
//! | `parts.rs` | how large each part is: decided by the operator, followed by the pod |
//!
//! What happens in the pod, in the order in which bytes pass:
//!
//! | file | its one job |
//! |---|---|
//! | `run.rs` | from the errand to the report |
//! | `prepare.rs`, `failure.rs` | what must be right before the tool is started; why it did not work |
//! | `work.rs`, `watch.rs` | the stream and what came of it; progress, and a stall |
//! | `tool.rs`, `credentials.rs` | which tool it is, and how it logs in |
//! | `child.rs`, `messages.rs` | owns the tool's process; what it says on its standard error |
//! | `read.rs`, `whole/` | takes what the tool writes, and watches for its end |
//! | `compress.rs`, `cut.rs` | zstd; parts and their hashes |
//! | `buffers.rs` | the bounded memory between them |
//! | `upload.rs`, `store.rs`, `signatures.rs` | several parts at once; one request; what it is signed with |
//! | `meter.rs`, `log.rs` | what has moved; lines for people |
//! | `install.rs` | puts this binary where a pod's other image can run it |

mod buffers;
mod child;
mod compress;
mod credentials;
mod cut;
pub mod errand;
mod failure;
pub mod install;
mod log;
mod messages;
mod meter;
pub mod parts;
mod prepare;
pub mod progress;
mod read;
pub mod report;
pub mod run;
mod signatures;
mod store;
mod tool;
mod upload;
mod watch;
mod whole;
pub mod window;
mod work;
