//! `cargo xtask campaign databases`: one fault at each request of each thing that the operator does with a Database,
//! and every time the same end as without it.
//!
//! In reading order:
//! - [`control_plane`]: an API server of the campaign's own, so that no other operator sees its objects
//! - [`server`]: the cluster's database servers, as the campaign looks at them past the operator
//! - [`operator`]: the operator's process, which dies and is started again
//! - [`fixture`]: all of that, with proxies in between
//! - [`scenario`]: what the operator is asked to do
//! - [`outcome`]: what is compared
//! - [`run`](mod@run), [`slice`]: which faults, how many, and how it ended
//!
//! [`backups`] is `cargo xtask campaign backups`, [`restores`] `cargo xtask campaign restores`, and [`pauses`] `cargo xtask
//! campaign pauses`.

pub mod backups;
pub mod control_plane;
pub mod fixture;
pub mod operator;
pub mod outcome;
pub mod pauses;
pub mod restores;
pub mod run;
pub mod scenario;
pub mod server;
pub mod slice;

pub use control_plane::ControlPlane;
pub use fixture::Fixture;
pub use operator::Operator;
pub use run::{Options, Tally, run};
pub use server::{Engine, Server};
pub use slice::Slice;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{Error, Result};

/// How often a condition is looked at.
const GLANCE: Duration = Duration::from_millis(25);

/// The days since 1970: the seed of what changes with the date.
#[must_use]
pub fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / 86_400
}

/// Looks until `look` finds something.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if began.elapsed() > limit {
            return Err(Error::Timeout {
                what: what.to_owned(),
                seconds: limit.as_secs(),
                tail: String::new(),
            });
        }
        tokio::time::sleep(GLANCE).await;
    }
}
