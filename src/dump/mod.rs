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

pub mod errand;
pub mod parts;
pub mod progress;
pub mod report;
pub mod window;
