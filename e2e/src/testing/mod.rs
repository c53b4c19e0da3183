//! What tests of the operator in the cluster share. They use only the API and SQL, as its users do.
//!
//! | file | what it holds |
//! |---|---|
//! | `fixture.rs` | a namespace of a test's own, on one server, that leaves nothing behind |
//! | `objects.rs`, `instances.rs` | Databases, Secrets, Events, instances: written, read, waited for |
//! | `backups.rs`, `restores.rs` | Backups, also those before a deletion; Restores |
//! | `bucket.rs`, `restore.rs` | what a backup left in the store, and bringing it back as the documentation says |
//! | `history.rs` | everything that an object was, one version after the other |
//! | `leader.rs` | the process that leads, and its end |
//! | `server.rs`, `session.rs` | the servers: SQL as superuser, and logging in with a Secret |
//! | `tenant.rs` | somebody of an application team, with such a team's rights and no more |
//! | `audit.rs` | what the operator asked of the API server, and what it logged |
//! | `polls.rs` | how long the operator's passes hold a thread |
//! | `canary.rs` | passwords and keys, and everything in which they must not show |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a failed test may panic"
)]

pub mod audit;
mod backups;
mod bucket;
pub mod canary;
mod fixture;
mod history;
mod instances;
mod leader;
mod objects;
mod polls;
mod restore;
mod restores;
mod server;
mod session;
mod tenant;

pub use backups::{BACKED_UP, reason};
pub use bucket::Bucket;
pub use fixture::{Fixture, catch, on_every_server, with_fixture};
pub use history::History;
pub use objects::{condition, is_ready, password};
pub use polls::Polls;
pub use restore::{Into, RestoreEnded};
pub use restores::RESTORED;
pub use server::Server;
pub use session::Session;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use kube::core::object::HasStatus;
use kube::{Api, Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How long something may take that takes a moment on an idle machine.
pub const SOON: Duration = Duration::from_secs(30);

/// How long something may take that waits for the next look at an object that did not change: the resync of the
/// overlay `development`, and a busy machine.
pub const NEXT_LOOK: Duration = Duration::from_mins(1);

/// A client of the cluster that `KUBECONFIG` names.
pub async fn client() -> Client {
    let config = Config::infer().await.expect("KUBECONFIG names a cluster");
    Client::try_from(config).expect("a client of the cluster")
}

/// Looks until `look` finds something; says what was waited for, and what was there last, when it never does.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(
                began.elapsed() < limit,
                "not within {limit:?}: {what}; last: {last}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until an object is as wanted, and returns it then; shows its status when it never is.
pub async fn object_until<K>(
    api: &Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    wanted: impl Fn(&K) -> bool,
) -> K
where
    K: Clone + DeserializeOwned + Debug + HasStatus<Status: Serialize>,
{
    eventually(&format!("{name}: {what}"), limit, async || {
        let found = api.get(name).await.map_err(|error| error.to_string())?;
        if wanted(&found) {
            return Ok(found);
        }
        Err(serde_json::to_string(&found.status()).unwrap_or_default())
    })
    .await
}

/// Looks for as long as `time` whether nothing changes what `look` sees.
pub async fn unchanged<T: PartialEq + Debug>(
    what: &str,
    time: Duration,
    mut look: impl AsyncFnMut() -> T,
) {
    let began = Instant::now();
    let first = look().await;
    while began.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(look().await, first, "{what}, after {:?}", began.elapsed());
    }
}
