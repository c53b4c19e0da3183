//! Fetches one object: several of its ranges at the same time, handed on in order.
//!
//! | file | its one job |
//! |---|---|
//! | `ranges.rs` | which ranges (pure) |
//! | `get.rs` | a single attempt: one request, and what the store's reply means |
//! | `fetcher.rs` | several ranges at once, each until it has come or certainly will not, in bounded memory |

mod fetcher;
mod get;
mod ranges;

pub(super) use fetcher::{FetchError, Fetcher};
pub(super) use get::Getter;
