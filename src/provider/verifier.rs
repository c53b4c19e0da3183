//! The only place that turns a password into what a server stores.
//!
//! A server is sent the verifier and never the password, so none of its logs can hold the password.

use std::fmt;

/// What a server stores to check a password: a salted hash in the server's own notation.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(String);

impl Verifier {
    /// For PostgreSQL: `SCRAM-SHA-256$…`, RFC 5803, 4096 iterations, a fresh salt. The password is prepared by
    /// SASLprep where it can be and taken byte by byte where it cannot, as the server itself does.
    #[must_use]
    pub fn scram_sha_256(password: &str) -> Self {
        Self(postgres_protocol::password::scram_sha_256(
            password.as_bytes(),
        ))
    }

    /// The server's notation. It is as good as a password to somebody with time: keep it out of logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}
