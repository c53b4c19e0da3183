//! The signed request for each part, from the file that the operator keeps ahead of the upload. The file is read again
//! whenever it does not reach far enough.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::agent::log;
use crate::agent::meter::Meter;
use crate::agent::protocol::signed_parts::{SignedPart, SignedParts};

/// How often the file is read while a part waits for it.
const POLL: Duration = Duration::from_secs(1);

/// A request that expires this soon is not started.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The signed requests that are available.
#[derive(Debug)]
pub struct Signatures {
    file: PathBuf,
    /// How long a part waits for its request.
    limit: Duration,
    meter: Arc<Meter>,
    signed: Mutex<SignedParts>,
}

/// The request for a part was not signed in time.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no signed request for part {number} came within {waited:?}: the operator signs them and replaces the Job's Secret, so see whether it runs and what it says of this Backup"
)]
pub struct NotSigned {
    /// The part.
    pub number: u32,
    /// How long it waited.
    pub waited: Duration,
}

impl Signatures {
    /// Reads them from this file.
    #[must_use]
    pub fn new(file: PathBuf, limit: Duration, meter: Arc<Meter>) -> Self {
        Self {
            file,
            limit,
            meter,
            signed: Mutex::default(),
        }
    }

    /// How long a part waits for its request.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The request for a part: one that has not expired and is not `but`, waited for if necessary.
    pub async fn get(&self, number: u32, but: Option<&str>) -> Result<SignedPart, NotSigned> {
        match self.find(number, but) {
            Some(signed) => Ok(signed),
            None => self.wait(number, but, self.limit).await,
        }
    }

    /// Waits for a request for a part that is not `but`.
    pub async fn wait(
        &self,
        number: u32,
        but: Option<&str>,
        limit: Duration,
    ) -> Result<SignedPart, NotSigned> {
        let _waiting = Waiting::begin(&self.meter);
        let start = Instant::now();
        let mut told = false;
        loop {
            self.reload();
            if let Some(signed) = self.find(number, but) {
                if told {
                    log::say(format_args!("part {number} has its signed request"));
                }
                return Ok(signed);
            }
            if !told {
                told = true;
                log::say(format_args!(
                    "part {number} waits for the operator to sign its request"
                ));
            }
            if start.elapsed() >= limit {
                return Err(NotSigned {
                    number,
                    waited: limit,
                });
            }
            sleep(POLL.min(limit)).await;
        }
    }

    fn find(&self, number: u32, but: Option<&str>) -> Option<SignedPart> {
        let all = self.signed.lock();
        let signed = all.part(number)?;
        let ends = signed.expires_at.saturating_sub(MARGIN).ok()?;
        (Some(signed.url.as_str()) != but && Timestamp::now() < ends).then_some(signed)
    }

    /// Reads the file. If that fails because it is being replaced, the next time will do.
    fn reload(&self) {
        let read = std::fs::read(&self.file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(read) = read {
            *self.signed.lock() = read;
        }
    }
}

/// Counts a waiting part for as long as this value lives.
struct Waiting<'a>(&'a Meter);

impl<'a> Waiting<'a> {
    fn begin(meter: &'a Meter) -> Self {
        meter.waiting.fetch_add(1, Ordering::Relaxed);
        Self(meter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
