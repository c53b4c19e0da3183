//! The vendor's tool that dumps or loads: a child of our process.
//!
//! | file | its one job |
//! |---|---|
//! | `program.rs` | which tool it is, and whether it fits the server |
//! | `credentials.rs` | how it logs in |
//! | `child.rs` | owns its process |
//! | `messages.rs`, `lines.rs` | what it says on its standard error; what that means |

pub(super) mod child;
pub(super) mod credentials;
pub(super) mod lines;
pub(super) mod messages;
mod program;

pub(super) use messages::Said;
pub(super) use program::{Purpose, Tool};
