//! What a pass sees before it decides. Nothing is changed here: no slot is taken, no turn asked for, nothing is written.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;

use super::blocked::Blocked;
use super::failure::Failure;
use super::pending::{self, Looked, Ready, Waits};
use super::state::{Facts, Work};
use super::{Pass, cleanup, database_ref, former, switch, trial};
use crate::agent::protocol::restore::Loaded;
use crate::api::restore::Destined;
use crate::api::restore::{RestoreJobRef, RestoreTarget};
use crate::api::{FINALIZER, RestoreState};
use crate::controller::Error;

/// What was seen of a Restore, and what the acts of its pass found out since: that is not looked for again.
pub(super) struct Observation {
    /// The object is being deleted.
    pub deleting: bool,
    /// It only tries a backup out.
    pub test: bool,
    /// Its Database is being deleted, or gone; of a test, its instance.
    pub cancelled: bool,
    /// After the end: nothing is left to be removed.
    pub cleaned: bool,
    /// After the end: someone asks for the former database.
    pub undo: bool,
    /// After the end: the former database is not kept any longer.
    pub former_due: bool,
    /// What a restore that may begin needs.
    pub ready: Option<Box<Ready>>,
    /// Why it does not begin.
    pub waits: Option<Waits>,
    /// How far the work on it is.
    pub found: Found,
    /// Why it cannot be said how far that is.
    pub unknown: Option<Blocked>,
}

/// How far the work on a restore is, with what is known of it.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing is known to run.
    NotRunning,
    /// This Job was created for it, and loads.
    Loading(Option<RestoreJobRef>),
    /// The Job compares.
    Checking,
    /// The Job reported this.
    Loaded(Box<Loaded>),
    /// The restored database has the name.
    Switched(Switched),
    /// It was done before.
    DoneBefore(Box<Before>),
    /// It cannot be done.
    Failed(Box<Failure>),
}

/// What came of the switch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Switched {
    /// How long nobody could log in.
    pub downtime: Duration,
    /// The name that the former database has now, if it was kept.
    pub former: Option<String>,
    /// What did not work afterwards.
    pub warnings: Vec<String>,
}

/// A restore that was done before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Before {
    /// Where it went.
    pub target: RestoreTarget,
    /// When.
    pub at: Timestamp,
    /// The former database, if it is still there.
    pub former: Option<String>,
}

impl Observation {
    /// What a decision needs.
    pub(super) const fn facts(&self) -> Facts {
        Facts {
            deleting: self.deleting,
            turn: self.ready.is_some(),
            test: self.test,
            cancelled: self.cancelled,
            work: match self.found {
                Found::NotRunning => Work::NotRunning,
                Found::Loading(_) => Work::Loading,
                Found::Checking => Work::Checking,
                Found::Loaded(_) => Work::Loaded,
                Found::Switched(_) => Work::Switched,
                Found::DoneBefore(_) => Work::DoneBefore,
                Found::Failed(_) => Work::Failed,
            },
            cleaned: self.cleaned,
            undo: self.undo,
            former_due: self.former_due,
        }
    }

    /// Whether the restore is to end, whatever its Job does.
    pub(super) const fn is_ending(&self) -> bool {
        self.deleting || self.cancelled
    }
}

/// Observes a Restore. Client required; server and store where they decide what follows.
pub(super) async fn observe(pass: &Pass<'_>) -> Result<Observation, Error> {
    let mut seen = Observation {
        deleting: pass.is_deleting(),
        test: pass.object.is_test(),
        cancelled: false,
        cleaned: false,
        undo: false,
        former_due: false,
        ready: None,
        waits: None,
        found: Found::NotRunning,
        unknown: None,
    };
    match pass.state() {
        None if seen.deleting => {}
        None => match pending::look(pass).await {
            Looked::Ready(ready) => seen.ready = Some(ready),
            Looked::Decided(found) => seen.found = found,
            Looked::Waits(waits) => seen.waits = Some(waits),
        },
        Some(
            state @ (RestoreState::Preparing
            | RestoreState::Loading
            | RestoreState::Checking
            | RestoreState::Switching),
        ) => {
            seen.cancelled = is_cancelled(pass).await?;
            if seen.is_ending() && state == RestoreState::Switching {
                // A switch that was interrupted may have been done.
                match switch::find(pass).await {
                    Ok(Some(switched)) => seen.found = Found::Switched(switched),
                    Ok(None) => {}
                    // There is no server any more that could tell: the clean-up says so.
                    Err(blocked) if cleanup::is_gone(pass, &blocked) => {}
                    Err(blocked) => seen.unknown = Some(blocked),
                }
            }
        }
        // The finalizer goes when all is cleaned up, and is the note of it.
        Some(state @ (RestoreState::Completed | RestoreState::Failed)) => {
            let finalizers = pass.object.finalizers();
            seen.cleaned = !finalizers.iter().any(|name| name == FINALIZER);
            seen.undo = state == RestoreState::Completed && pass.undo_requested().is_some();
            seen.former_due = former::is_due(pass, Timestamp::now());
        }
    }
    Ok(seen)
}

/// Whether the Database of a running restore is going or gone; of a test, whether its instance is.
async fn is_cancelled(pass: &Pass<'_>) -> Result<bool, Error> {
    match pass.object.spec.destined() {
        Destined::Database(_) => {}
        Destined::Test(instance) => return trial::is_withdrawn(pass, instance).await,
        // What is in the way says so.
        Destined::Nowhere => return Ok(false),
    }
    let database = database_ref::find(pass.context, &pass.object).await?;
    let target = pass.status().and_then(|status| status.target.as_ref());
    let uid = target.map(|target| target.database_uid.as_str());
    Ok(database_ref::is_gone(database.as_ref(), uid))
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
