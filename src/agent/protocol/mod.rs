//! The protocol between the operator and the agent.
//!
//! Both ends are the same binary, on two sides of a wall: the agent has none of the operator's credentials, and does not
//! talk to the API server. All that crosses the wall is here. This folder depends on nothing else of the crate but the
//! names of the engines, and on neither kube nor k8s-openapi.
//!
//! | file | direction | what crosses |
//! |---|---|---|
//! | `task.rs` | operator → agent, once | what to dump, and where to |
//! | `signed_parts.rs` | operator → agent, repeatedly | signed requests for the next parts |
//! | `progress.rs`, `restore_progress.rs` | agent → operator and people, while it runs | the lines of the log |
//! | `result.rs` | agent → operator, at the end | the outcome, as the termination message |
//! | `restore.rs` | both | what to load, from where and into what; what came of it |
//! | `contents.rs` | | what a dump holds, table by table |
//! | `part_sizes.rs` | | how large each part is: planned by the operator, followed by the agent |

pub mod contents;
pub mod part_sizes;
pub mod progress;
pub mod restore;
pub mod restore_progress;
pub mod result;
pub mod signed_parts;
pub mod task;
