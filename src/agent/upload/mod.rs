//! Uploads parts from memory to the store, with signed requests and no keys.
//!
//! | file | its one job |
//! |---|---|
//! | `part.rs` | a part that is ready to be uploaded |
//! | `uploader.rs` | several parts at once, each until the store has it or certainly will not take it |
//! | `signatures.rs` | the signed request for a part, waited for where it is not there yet |
//! | `store.rs` | a single attempt: one request, and what the store's reply means |

mod part;
mod signatures;
mod store;
mod uploader;

pub use part::Part;
pub use signatures::Signatures;
pub use store::Store;
pub use uploader::{UploadError, Uploader};
