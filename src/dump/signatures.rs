//! What parts are signed with: the window that the operator moves along, read again whenever it does not reach.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use super::log;
use super::meter::Meter;
use super::window::{SignedPart, Window};

/// How often the file is looked at while a part waits for it.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// A request that ends so soon is not begun.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);

/// The signed requests that are there now.
#[derive(Debug)]
pub struct Signatures {
    file: PathBuf,
    /// How long a part waits.
    limit: Duration,
    meter: Arc<Meter>,
    window: Mutex<Window>,
}

/// No signature came in time.
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
    /// From this file.
    #[must_use]
    pub fn new(file: PathBuf, limit: Duration, meter: Arc<Meter>) -> Self {
        Self {
            file,
            limit,
            meter,
            window: Mutex::default(),
        }
    }

    /// How long a part waits.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The request for a part, when there is one that has not ended and is not `but`.
    pub async fn get(&self, number: u32, but: Option<&str>) -> Result<SignedPart, NotSigned> {
        match self.look(number, but) {
            Some(signed) => Ok(signed),
            None => self.wait(number, but, self.limit).await,
        }
    }

    /// The request for a part that is another than `but`, waited for at most so long.
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
            if let Some(signed) = self.look(number, but) {
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
            sleep(LOOK_EACH.min(limit)).await;
        }
    }

    fn look(&self, number: u32, but: Option<&str>) -> Option<SignedPart> {
        let window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let signed = window.part(number)?;
        let ends = signed.expires_at.saturating_sub(MARGIN).ok()?;
        (Some(signed.url.as_str()) != but && Timestamp::now() < ends).then_some(signed)
    }

    /// Reads the file. One that cannot be read now, because it is being replaced, is read the next time.
    fn reload(&self) {
        let read = std::fs::read(&self.file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(read) = read {
            *self.window.lock().unwrap_or_else(PoisonError::into_inner) = read;
        }
    }
}

/// Counts a part that waits, as long as it lives.
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
