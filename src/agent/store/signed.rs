//! Signed requests in a file that the operator replaces: read again whenever it does not reach far enough.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::agent::log;

/// How often the file is read while a request is waited for.
const POLL: Duration = Duration::from_secs(1);

/// A request that expires this soon is not started.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// A pod sees a changed Secret after about two minutes.
const RENEWED_WITHIN: Duration = Duration::from_mins(4);

/// A signed request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Signed {
    /// Where it goes.
    pub url: String,
    /// When its signature expires.
    pub expires_at: Timestamp,
}

/// The signed requests that are available.
#[derive(Debug)]
pub(crate) struct SignedFile<T> {
    file: PathBuf,
    /// How long a request is waited for.
    limit: Duration,
    /// How many are waited for now.
    waiting: Arc<AtomicU32>,
    read: Mutex<Option<T>>,
}

/// A request was not signed in time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no signed request for {what} came within {waited:?}: the operator signs them and replaces the Job's Secret, so see whether it runs and what it says of this object"
)]
pub(crate) struct NotSigned {
    /// For what.
    pub what: String,
    /// How long it waited.
    pub waited: Duration,
}

impl<T: DeserializeOwned> SignedFile<T> {
    /// Reads them from this file.
    #[must_use]
    pub(crate) fn new(file: PathBuf, limit: Duration, waiting: Arc<AtomicU32>) -> Self {
        Self {
            file,
            limit,
            waiting,
            read: Mutex::default(),
        }
    }

    /// What `find` finds and has not expired, waited for if necessary; `what` it is for, for people.
    pub(crate) async fn get(
        &self,
        what: &str,
        find: impl Fn(&T) -> Option<Signed>,
    ) -> Result<Signed, NotSigned> {
        match self.find(&find, None) {
            Some(signed) => Ok(signed),
            None => self.wait(what, &find, None, self.limit).await,
        }
    }

    /// Another one than one that was refused. The operator renews a request that has expired. One that was refused although
    /// it is still valid may have been signed with keys that have changed since, or the store may mean what it says: that is
    /// not waited for longer than `patience`.
    pub(crate) async fn renewed(
        &self,
        what: &str,
        find: impl Fn(&T) -> Option<Signed>,
        refused: &Signed,
        patience: Duration,
    ) -> Result<Signed, NotSigned> {
        let has_expired = refused.expires_at <= Timestamp::now();
        let limit = renewed_within(has_expired, self.limit, patience);
        self.wait(what, &find, Some(&refused.url), limit).await
    }

    async fn wait(
        &self,
        what: &str,
        find: &impl Fn(&T) -> Option<Signed>,
        but: Option<&str>,
        limit: Duration,
    ) -> Result<Signed, NotSigned> {
        let _waiting = Waiting::begin(&self.waiting);
        let start = Instant::now();
        let mut told = false;
        loop {
            self.reload();
            if let Some(signed) = self.find(find, but) {
                if told {
                    log::say(format_args!("{what} has its signed request"));
                }
                return Ok(signed);
            }
            if !told {
                told = true;
                log::say(format_args!(
                    "{what} waits for the operator to sign its request"
                ));
            }
            if start.elapsed() >= limit {
                let what = what.to_owned();
                let waited = limit;
                return Err(NotSigned { what, waited });
            }
            sleep(POLL.min(limit)).await;
        }
    }

    fn find(&self, find: &impl Fn(&T) -> Option<Signed>, but: Option<&str>) -> Option<Signed> {
        let signed = find(self.read.lock().as_ref()?)?;
        let ends = signed.expires_at.saturating_sub(MARGIN).ok()?;
        (Some(signed.url.as_str()) != but && Timestamp::now() < ends).then_some(signed)
    }

    /// Reads the file. If that fails because it is being replaced, the next time will do.
    fn reload(&self) {
        let read = std::fs::read(&self.file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(read) = read {
            *self.read.lock() = Some(read);
        }
    }
}

fn renewed_within(has_expired: bool, signed_within: Duration, stall: Duration) -> Duration {
    let patience = if has_expired { signed_within } else { stall };
    RENEWED_WITHIN.min(patience)
}

/// Counts a waiting request for as long as this value lives.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_request_is_waited_for_as_long_as_a_kubelet_needs() {
        let (signed_within, stall) = (Duration::from_mins(5), Duration::from_secs(30));
        let within = |has_expired| renewed_within(has_expired, signed_within, stall);
        assert_eq!((within(true), within(false)), (RENEWED_WITHIN, stall));
    }
}
