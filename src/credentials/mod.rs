//! The life of a password: it is generated, kept in a Secret, and set on the server.
//!
//! | file | its one job |
//! |---|---|
//! | `generate.rs` | what the Secret of a Database is going to hold, and writing it |
//! | `secret.rs` | whose the Secret is, and how it should be |
//! | `keys.rs` | the keys of the Secret (pure) |
//! | `raw.rs` | a Secret as the API server has it, with nothing decoded that is not asked for |
//! | `apply.rs` | what the server stores for a password |
//! | `error.rs` | why a Secret does not become what it has to be |

mod apply;
mod error;
mod generate;
pub(crate) mod keys;
pub(crate) mod raw;
pub(crate) mod secret;

pub use apply::verifier;
pub use error::CredentialsError;
pub use generate::{Generated, Stored, generate};
pub use keys::Connection;
pub use secret::Missing;
