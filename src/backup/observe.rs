//! What a pass sees before it decides. Nothing is changed here: no slot is taken, nothing is committed, nothing is written.

use kube::ResourceExt;

use super::blocked::Blocked;
use super::database_ref::{self, BackupKind, Freshness, Resolved};
use super::pending::{self, Ready, Waits};
use super::state::{Facts, Work};
use super::{Pass, commit};
use crate::agent::protocol::result::Done;
use crate::api::{BackupState, FINALIZER};
use crate::controller::Error;
use crate::job::outcome::Failure;
use crate::provider::Assessment;
use crate::store::Committed;

/// What was seen of a Backup, and what the acts of its pass found out since: that is not looked for again.
pub(super) struct Observation {
    /// The object is being deleted.
    pub deleting: bool,
    /// Its Database is being deleted, and it is not that deletion's final backup.
    pub cancelled: bool,
    /// After the end: nothing is left to be stopped or aborted.
    pub cleaned: bool,
    /// What a backup that may begin needs.
    pub ready: Option<Ready>,
    /// How large its dump will be, as a look of just now found.
    pub assessment: Option<Assessment>,
    /// Why it does not begin.
    pub waits: Option<Waits>,
    /// How far the work on it is.
    pub found: Found,
    /// Why it cannot be said how far that is.
    pub unknown: Option<Blocked>,
}

/// How far the work on a backup is, with what is known of it.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing is known to run.
    NotRunning,
    /// This Job was created for it; its UID.
    Running(String),
    /// This was reported. Where its Job has failed since, that is why the backup fails if it is not in the store.
    Reported(Done, Option<Failure>),
    /// This is in the store, whole and checked, with its manifest.
    Committed(Committed),
    /// The Job failed with this transient error.
    Passing(Failure),
    /// It cannot become a backup any more.
    Failed(Failure),
}

impl Observation {
    /// What a decision needs.
    pub(super) const fn facts(&self) -> Facts {
        Facts {
            deleting: self.deleting,
            turn: self.ready.is_some(),
            cancelled: self.cancelled,
            work: match self.found {
                Found::NotRunning => Work::NotRunning,
                Found::Running(_) => Work::Running,
                Found::Reported(_, _) => Work::Reported,
                Found::Committed(_) => Work::Committed,
                Found::Passing(_) => Work::Passing,
                Found::Failed(_) => Work::Failed,
            },
            cleaned: self.cleaned,
        }
    }

    /// Whether the backup is to end, whatever its Job does.
    pub(super) const fn is_ending(&self) -> bool {
        self.deleting || self.cancelled
    }
}

/// Observes a Backup. Client required; server and store where they decide what follows.
pub(super) async fn observe(pass: &Pass<'_>) -> Result<Observation, Error> {
    let mut seen = Observation {
        deleting: pass.is_deleting(),
        cancelled: false,
        cleaned: false,
        ready: None,
        assessment: None,
        waits: None,
        found: Found::NotRunning,
        unknown: None,
    };
    match pass.state() {
        None if seen.deleting => {}
        None => match pending::look(pass).await {
            Ok((ready, assessment)) => {
                seen.ready = Some(ready);
                seen.assessment = Some(assessment);
            }
            Err(waits) => seen.waits = Some(waits),
        },
        Some(state @ (BackupState::Starting | BackupState::BackingUp)) => {
            seen.cancelled = is_cancelled(pass).await?;
            if seen.is_ending() && state == BackupState::BackingUp {
                // A commit that was interrupted may have been done.
                match commit::find(pass).await {
                    Ok(found) => seen.found = found,
                    Err(blocked) => seen.unknown = Some(blocked),
                }
            }
        }
        // The finalizer goes when all is cleaned up, and is the note of it.
        Some(BackupState::Completed | BackupState::Failed) => {
            let finalizers = pass.object.finalizers();
            seen.cleaned = !finalizers.iter().any(|name| name == FINALIZER);
        }
    }
    Ok(seen)
}

/// Whether the Database of a running backup is going or gone. Its final backup is not cancelled by that.
async fn is_cancelled(pass: &Pass<'_>) -> Result<bool, Error> {
    let source = pass.status().and_then(|status| status.source.as_ref());
    let known = source.map(|source| source.database_uid.clone());
    Ok(
        match database_ref::resolve(pass.context, &pass.object, Freshness::Cached).await? {
            Resolved::Known(_, BackupKind::Final) => false,
            Resolved::Known(database, BackupKind::Ordinary) => {
                database.metadata.deletion_timestamp.is_some()
                    || known.is_some_and(|uid| Some(uid) != database.uid())
            }
            Resolved::Missing | Resolved::Foreign => true,
        },
    )
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
