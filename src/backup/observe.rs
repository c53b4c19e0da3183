//! What a pass sees before it decides. Nothing is changed here: no slot is taken, and nothing is written.

use kube::ResourceExt;

use super::blocked::Blocked;
use super::commit::{self, Finished};
use super::database_ref::{self, BackupKind, Freshness, Resolved};
use super::pass::Pass;
use super::pending::{self, Ready, Waits};
use super::state::{Facts, Work};
use crate::api::{BackupState, FINALIZER};
use crate::controller::Error;
use crate::job::outcome::Failure;
use crate::provider::Assessment;

/// What was seen of a Backup, and what the acts of its pass found out since.
pub struct Observation {
    /// What a decision needs.
    pub facts: Facts,
    /// What a backup that begins needs.
    pub ready: Option<Ready>,
    /// How large its dump will be, as a look of just now found.
    pub assessment: Option<Assessment>,
    /// Why it does not begin.
    pub waits: Option<Waits>,
    /// What is in the store.
    pub finished: Option<Finished>,
    /// Why it cannot be said what is in the store.
    pub unknown: Option<Blocked>,
    /// The UID of the Job that was created for it.
    pub job_uid: Option<String>,
    /// Why it cannot become a backup any more.
    pub failure: Option<Failure>,
}

/// Observes a Backup. Client required; server and store where they decide what follows.
pub async fn observe(pass: &Pass<'_>) -> Result<Observation, Error> {
    let mut seen = Observation {
        facts: Facts {
            deleting: pass.is_deleting(),
            turn: false,
            cancelled: false,
            work: Work::NotRunning,
            cleaned: false,
        },
        ready: None,
        assessment: None,
        waits: None,
        finished: None,
        unknown: None,
        job_uid: None,
        failure: None,
    };
    match pass.state() {
        None if seen.facts.deleting => {}
        None => match pending::look(pass).await {
            Ok((ready, assessment)) => {
                seen.ready = Some(ready);
                seen.assessment = Some(assessment);
                seen.facts.turn = true;
            }
            Err(waits) => seen.waits = Some(waits),
        },
        Some(state @ (BackupState::Starting | BackupState::BackingUp)) => {
            seen.facts.cancelled = is_cancelled(pass).await?;
            let ends = seen.facts.deleting || seen.facts.cancelled;
            if ends && state == BackupState::BackingUp {
                // A commit that was interrupted may have been done.
                match commit::found(pass).await {
                    Ok(None) => {}
                    Ok(Some(finished)) => {
                        seen.finished = Some(finished);
                        seen.facts.work = Work::Committed;
                    }
                    Err(blocked) => seen.unknown = Some(blocked),
                }
            }
        }
        // The finalizer goes when all is cleaned up, and is the note of it.
        Some(BackupState::Completed | BackupState::Failed) => {
            let finalizers = pass.backup.finalizers();
            seen.facts.cleaned = !finalizers.iter().any(|name| name == FINALIZER);
        }
    }
    Ok(seen)
}

/// Whether the Database of a running backup is going or gone. Its final backup is not cancelled by that.
async fn is_cancelled(pass: &Pass<'_>) -> Result<bool, Error> {
    let known = pass.status().source.map(|source| source.database_uid);
    Ok(
        match database_ref::resolve(pass.context, &pass.backup, Freshness::Cached).await? {
            Resolved::Known(_, BackupKind::Final) => false,
            Resolved::Known(database, BackupKind::Ordinary) => {
                database.metadata.deletion_timestamp.is_some()
                    || known.is_some_and(|uid| Some(uid) != database.uid())
            }
            Resolved::Missing | Resolved::Foreign => true,
        },
    )
}
