//! What the server stores for a password.

use std::sync::Arc;

use secrecy::SecretString;

use crate::blocking::compute;
use crate::provider::Verifier;
use crate::server::Server;

/// What the server will store for a password: thousands of rounds of a hash.
pub async fn verifier(server: &Arc<Server>, password: &SecretString) -> Verifier {
    let (server, password) = (Arc::clone(server), password.clone());
    compute(move || server.provider().verifier(&password)).await
}
