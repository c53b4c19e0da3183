//! Uploads parts from memory to the store, with signed requests and no keys.
//!
//! | file | its one job |
//! |---|---|
//! | `part.rs` | a part that is ready to be uploaded |
//! | `uploader.rs` | several parts at once, each until the store has it or certainly will not take it |
//! | `put.rs` | a single attempt: one request, and what the store's reply means |

mod part;
mod put;
mod uploader;

pub(super) use part::Part;
pub(super) use put::Store;
pub(super) use uploader::{UploadError, Uploader};
