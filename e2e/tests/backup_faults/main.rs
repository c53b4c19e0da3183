//! What goes wrong with backups in a real cluster, with real servers and an object store. Each case ends with the truth in
//! the status, nothing truncated or stray in the store, no upload open, the Database as before, and the next backup works.
//!
//! | file | what goes wrong |
//! |---|---|
//! | `tool.rs` | the dump tool: killed, out of memory, ended too early, stuck, endless |
//! | `pod.rs` | its pod and its Job: killed, deleted, evicted, without an image |
//! | `refused.rs` | the cluster does not let the Job, its pod or its Secret in |
//! | `second_attempt.rs` | a transient error after bytes were sent |
//! | `logs.rs` | … and the logs of what failed stay |
//! | `store.rs` | the store: errors, resets, lies, no bucket, other keys, few parts |
//! | `case.rs`, `end.rs` | what they share: a Database with a store of its own; how it has to end |
//! | `template.rs` | templates that make things go wrong; of the store, a proxy before it does (`e2e::fault_proxy`) |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod case;
mod end;
mod logs;
mod pod;
mod refused;
mod second_attempt;
mod store;
mod template;
mod tool;
