//! Requests to the store that the operator signed: what uploads and fetches have in common.
//!
//! | file | its one job |
//! |---|---|
//! | `client.rs` | the way to the store |
//! | `reply.rs` | what its replies mean |
//! | `signed.rs` | the requests, from the file that the operator keeps ahead of what is needed |

mod client;
mod reply;
mod signed;

pub(super) use client::{StoreClient, TlsError, client};
pub(super) use reply::{ATTEMPTS, Refusal, drain, etag, pause, refusal};
pub(super) use signed::{NotSigned, Signed, SignedFile};
