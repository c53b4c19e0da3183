//! One leader: who may act, and until when.
//!
//! `kube-leader-election` reads and writes the Lease. Three things are added here:
//!
//! - **Every write is conditional** ([`precondition`]): it carries the version of the Lease that was
//!   looked at, so of two candidates for one expired lease the API server lets one through.
//! - **Clocks are not compared** ([`decision`]): a lease is expired when it stood still for its
//!   whole duration by the clock of the one who watches it. A Lease that the library cannot take (no
//!   holder, a field missing, a clock that is wrong) is made takeable first.
//! - **Leadership ends by the clock** ([`Leadership`]): a renewal is good from the moment *before* it
//!   was sent, for less than the lease's duration; whoever has not renewed by then stops, whatever
//!   the answers were.
//!
//! All of it runs on a thread of its own ([`LeaseThread`]), so that no work of the process delays a renewal.
//!
//! None of this stops a process that was frozen between its last look at the clock and its next
//! write. What must never happen twice is fenced where it happens, by the database server.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use kube_leader_election::{LeaseLock, LeaseLockParams, LeaseLockResult};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

mod decision;
mod error;
mod precondition;
mod pulse;
mod term;
mod thread;

pub use error::{LeaseError, LostLease};
pub use precondition::Precondition;
pub use term::Leadership;
pub use thread::{LeaseThread, LeaseThreadError};

use crate::health::Health;
use decision::{Record, Step, Watched};
use error::{from_kube, from_library};
use term::safe_part;

/// The longest that a standby waits between two looks at the lease. A graceful hand-over takes no
/// longer than this and three requests.
const LOOK: Duration = Duration::from_millis(500);

/// The longest that releasing the lease may take. The pod's grace period has to cover it in addition to `--shutdown-grace`.
const STEP_DOWN: Duration = Duration::from_secs(15);

/// The settings of the elector.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The Lease's name.
    pub name: String,
    /// The Lease's namespace.
    pub namespace: String,
    /// The name under which this process holds it.
    pub identity: String,
    /// How long a lease is good for after its last renewal.
    pub ttl: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How long the rest of the process may stand still before the lease is given up.
    pub gives_way: Duration,
}

/// Asks for the lease, keeps it, gives it back.
struct Elector {
    settings: Settings,
    leases: Api<Lease>,
    lock: LeaseLock,
    precondition: Precondition,
    watched: Watched,
    leadership: Leadership,
    health: Health,
}

impl Elector {
    /// `client` has to send `precondition` with its writes and must not retry by itself.
    fn new(
        client: Client,
        precondition: Precondition,
        settings: Settings,
        leadership: Leadership,
        health: Health,
    ) -> Self {
        let leases = Api::namespaced(client.clone(), &settings.namespace);
        let lock = LeaseLock::new(
            client,
            &settings.namespace,
            LeaseLockParams {
                lease_name: settings.name.clone(),
                holder_id: settings.identity.clone(),
                lease_ttl: settings.ttl,
            },
        );
        Self {
            watched: Watched::new(settings.ttl),
            settings,
            leases,
            lock,
            precondition,
            leadership,
            health,
        }
    }

    /// Asks until this process leads, or, between two looks, until `ends` says so. Says whether it leads.
    async fn campaign(&mut self, ends: &mut watch::Receiver<bool>) -> bool {
        let mut last_error = String::new();
        // What is granted after that is over by then.
        let limit = safe_part(self.settings.ttl);
        loop {
            self.health.turned();
            match self.within(limit, Self::try_to_lead).await {
                Ok(true) => {
                    tracing::info!(lease = %self.settings.name, identity = %self.settings.identity, "leading");
                    return true;
                }
                Ok(false) => last_error.clear(),
                Err(error @ LeaseError::LostRace) => tracing::debug!(%error, "not leading yet"),
                Err(error) => {
                    // Said once, not twice a second for as long as it lasts.
                    let text = error.to_string();
                    if text != last_error {
                        tracing::warn!(error = %text, "cannot ask for the lease, trying again");
                        last_error = text;
                    }
                }
            }
            tokio::select! {
                // That nobody is left who could say so is the caller's business.
                Ok(_) = ends.wait_for(|ends| *ends) => return false,
                () = sleep(jittered(LOOK)) => {}
            }
        }
    }

    /// Keeps the lease; returns, with the reason, when it is lost, and without one between two renewals once `ends` says so.
    async fn hold(&mut self, ends: &mut watch::Receiver<bool>) -> Option<LostLease> {
        let mut failure: Option<LeaseError> = None;
        let mut took = Duration::ZERO;
        loop {
            let left = self.leadership.left();
            let pause = pause(self.settings.renew, took, left, failure.is_some());
            tokio::select! {
                biased;
                () = sleep(left) => return Some(LostLease::Expired { failure }),
                Ok(_) = ends.wait_for(|ends| *ends) => return None,
                () = sleep(jittered(pause)) => {}
            }
            self.health.turned();
            let left = self.leadership.left();
            let began = Instant::now();
            let renewal = tokio::select! {
                biased;
                () = sleep(left) => return Some(LostLease::Expired { failure }),
                renewal = self.within(patience(left), Self::keep) => renewal,
            };
            took = began.elapsed();
            match renewal {
                Ok(()) => failure = None,
                Err(LeaseError::HeldByAnother(holder)) => return Some(LostLease::Taken { holder }),
                Err(error) => {
                    let (left, text) = (self.leadership.left(), error.to_string());
                    // Said once, not twice a second for as long as it lasts.
                    if failure.is_none_or(|failure| failure.to_string() != text) {
                        tracing::warn!(error = %text, ?left, "the lease was not renewed, trying again");
                    }
                    failure = Some(error);
                }
            }
        }
    }

    /// Leads no more from now on, whatever the lease says.
    fn ends(&self) {
        self.leadership.end();
    }

    /// Gives the lease back until then, so that another process leads at once.
    async fn step_down(&mut self, until: Instant) {
        if !self.leadership.is_held() {
            // The version that was read last may be another holder's.
            self.precondition.expect(None);
        }
        self.ends();
        for _ in 0..3 {
            let left = until.saturating_duration_since(Instant::now());
            match self.within(left, Self::release).await {
                Ok(()) => return tracing::info!("gave the lease back"),
                Err(LeaseError::LostRace) => {}
                Err(error @ LeaseError::NoAnswer(_)) => {
                    tracing::warn!(%error, "it is not known whether the lease was released: otherwise it expires");
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the lease was not released: it expires");
                    return;
                }
            }
        }
    }

    /// Looks at the lease and takes it if that is allowed. Says whether this process leads.
    async fn try_to_lead(&mut self) -> Result<bool, LeaseError> {
        let lease = self
            .leases
            .get_opt(&self.settings.name)
            .await
            .map_err(from_kube)?;
        self.health.api_answered();
        let record = lease.as_ref().map(Record::of);
        let step = self.watched.step(
            record.as_ref(),
            &self.settings.identity,
            Instant::now(),
            jiff::Timestamp::now(),
        );
        match (step, record) {
            // There is nothing to clear where there is no lease.
            (Step::Wait, _) | (Step::Clear(_), None) => return Ok(false),
            (Step::Take, record) => self.precondition.expect(record.map(|r| r.version)),
            (Step::Clear(why), Some(record)) => {
                tracing::warn!(lease = %self.settings.name, why, "taking over an abandoned lease");
                self.precondition.expect(Some(record.version.clone()));
                let cleared = self.clear(&record).await?;
                self.precondition.expect(cleared.metadata.resource_version);
            }
        }
        self.renew().await?;
        Ok(true)
    }

    /// Renews the lease. If the last attempt left it unclear who wrote it last, reads it first.
    async fn keep(&mut self) -> Result<(), LeaseError> {
        if !self.precondition.is_set() {
            let lease = self
                .leases
                .get_opt(&self.settings.name)
                .await
                .map_err(from_kube)?;
            if let Some(lease) = lease {
                let holder = holder(&lease);
                if holder != self.settings.identity {
                    return Err(LeaseError::HeldByAnother(holder));
                }
                self.precondition.expect(lease.metadata.resource_version);
            }
        }
        self.renew().await
    }

    /// Takes or renews the lease, provided that it has not changed since it was last read.
    async fn renew(&mut self) -> Result<(), LeaseError> {
        let sent = Instant::now();
        let result = match self.lock.try_acquire_or_renew().await {
            Ok(result) => result,
            Err(error) => {
                self.precondition.expect(None);
                return Err(from_library(error));
            }
        };
        self.health.api_answered();
        let (LeaseLockResult::Acquired(lease) | LeaseLockResult::NotAcquired(lease)) = result;
        let holder = holder(&lease);
        if holder != self.settings.identity {
            return Err(LeaseError::HeldByAnother(holder));
        }
        self.precondition.expect(lease.metadata.resource_version);
        self.leadership.extend(sent, self.settings.ttl);
        Ok(())
    }

    /// Rewrites a lease that is no longer held so that the library can take it.
    async fn clear(&self, record: &Record) -> Result<Lease, LeaseError> {
        self.rewrite(json!({ "leaseTransitions": record.transitions }))
            .await
    }

    /// Writes that nobody holds the lease, with these fields besides.
    async fn rewrite(&self, mut spec: Value) -> Result<Lease, LeaseError> {
        spec["holderIdentity"] = json!("");
        spec["renewTime"] = json!("1970-01-01T00:00:00.000000Z");
        spec["leaseDurationSeconds"] = json!(1);
        self.leases
            .patch(
                &self.settings.name,
                &PatchParams::apply(&self.settings.identity),
                &Patch::Merge(json!({ "spec": spec })),
            )
            .await
            .map_err(from_kube)
    }

    /// Releases the lease, provided that it has not changed since it was last read: in one request where its version is known.
    async fn release(&mut self) -> Result<(), LeaseError> {
        if !self.precondition.is_set() {
            let lease = self
                .leases
                .get(&self.settings.name)
                .await
                .map_err(from_kube)?;
            if holder(&lease) != self.settings.identity {
                return Ok(());
            }
            self.precondition.expect(lease.metadata.resource_version);
        }
        let released = self.rewrite(json!({})).await;
        if released.is_err() {
            self.precondition.expect(None);
        }
        released.map(|_| ())
    }

    /// Bounds a turn, however many requests it takes.
    async fn within<T>(
        &mut self,
        limit: Duration,
        turn: impl AsyncFnOnce(&mut Self) -> Result<T, LeaseError>,
    ) -> Result<T, LeaseError> {
        if let Ok(result) = timeout(limit, turn(self)).await {
            return result;
        }
        // What was sent may have been done.
        self.precondition.expect(None);
        Err(LeaseError::NoAnswer(limit))
    }
}

/// How long a renewal may take where leadership ends after `left`: so long that a slow API server is waited for, and not
/// so long that nothing is left for another try, over a new connection, where the answer was lost.
fn patience(left: Duration) -> Duration {
    left * 2 / 3
}

/// How long to wait before the next renewal, after one that took a time: what took long is begun again sooner, and where
/// little is left, nothing is waited for.
fn pause(renew: Duration, took: Duration, left: Duration, failed: bool) -> Duration {
    let pause = if failed {
        LOOK
    } else {
        renew.saturating_sub(took).max(LOOK.min(renew))
    };
    pause.min(left / 4)
}

fn holder(lease: &Lease) -> String {
    lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.clone())
        .unwrap_or_default()
}

/// 80 to 100 per cent of a time, so that replicas do not ask in step.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.8..1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RENEW: Duration = Duration::from_secs(2);

    #[test]
    fn what_took_long_is_begun_again_sooner() {
        let seconds = Duration::from_secs;
        let left = seconds(20);
        assert_eq!(pause(RENEW, Duration::ZERO, left, false), RENEW);
        assert_eq!(pause(RENEW, seconds(1), left, false), seconds(1));
        assert_eq!(pause(RENEW, seconds(8), left, false), LOOK);
        assert_eq!(pause(RENEW, Duration::ZERO, left, true), LOOK);
        assert_eq!(
            pause(RENEW, Duration::ZERO, seconds(1), false),
            seconds(1) / 4
        );
    }

    /// A renewal is two requests: they may take this long each, again and again, with the default settings.
    #[test]
    fn a_server_that_takes_four_seconds_an_answer_is_waited_for() {
        let ttl = Duration::from_secs(30);
        let renewal = Duration::from_secs(4) * 2;
        let mut left = safe_part(ttl);
        for _ in 0..100 {
            left -= pause(RENEW, renewal, left, false);
            assert!(patience(left) > renewal, "{left:?}");
            // Granted from the moment at which it was sent.
            left = safe_part(ttl).saturating_sub(renewal);
        }
    }
}
