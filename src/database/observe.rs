//! What a pass over a Database sees before it decides. It changes nothing: a [`View`] only reads. The server is asked only
//! where that decides about a final backup.

use kube::ResourceExt;

use super::pass::requested;
use super::state::{self, BackupSeen, Existence, Facts};
use super::view::View;
use super::{backups, drift, restores};
use crate::api::{Backup, DatabaseState, DeletionPolicy, RECREATE_REQUESTED_AT, RELEASE};
use crate::controller::Error;
use crate::server::names;

/// What was seen, and the Backups that it was seen of.
pub(super) struct Observation {
    /// What a decision needs.
    pub facts: Facts,
    /// The Backup that the status names, or else the first in line.
    pub backup: Option<Backup>,
    /// The Backup that `status.finalBackup` names; `None` once its completion is noted there.
    pub final_backup: Option<Backup>,
}

/// Observes a Database.
pub(super) async fn observe(view: &View<'_>) -> Result<Observation, Error> {
    let database = view.database();
    let deleting = database.metadata.deletion_timestamp.is_some();
    let may_drop = view
        .status()
        .and_then(|status| status.claim.as_ref())
        .is_none_or(|claim| claim.created_database || claim.drop_adopted)
        && !view.made_nothing();
    let allowed = !view.is_forbidden();
    let policy = state::effective_policy(database.spec.deletion_policy, allowed, may_drop);
    let existence = if deleting && policy == DeletionPolicy::BackupBeforeDelete {
        existence(view).await
    } else {
        Existence::Unknown
    };
    let mut seen = Observation {
        facts: Facts {
            deleting,
            release: database
                .annotations()
                .get(RELEASE)
                .is_some_and(|name| *name == database.sql_name()),
            policy,
            database: existence,
            usable: false,
            suspended: database.spec.suspend,
            backup: BackupSeen::None,
            final_backup: BackupSeen::None,
            deletion: None,
            deleted: false,
            begins_anew: false,
        },
        backup: None,
        final_backup: None,
    };
    seen.follow(view).await?;
    Ok(seen)
}

impl Observation {
    /// Observes again what depends on the status: to be called after each step.
    pub(super) async fn follow(&mut self, view: &View<'_>) -> Result<(), Error> {
        let status = view.status();
        let completed = status
            .and_then(|status| status.final_backup.as_ref())
            .is_some_and(|last| last.completed);
        self.backup = backups::current(view).await?;
        self.final_backup = backups::final_backup(view).await?;
        self.facts.backup = backups::seen(self.backup.as_ref());
        self.facts.final_backup = if completed {
            BackupSeen::Completed
        } else {
            backups::seen(self.final_backup.as_ref())
        };
        self.facts.deletion = status.and_then(|status| status.deletion);
        self.facts.begins_anew = begins_anew(view).await;
        Ok(())
    }
}

/// Whether the database was dropped by hand, is asked for anew, and is to begin with a backup. Server required only where
/// somebody asks.
async fn begins_anew(view: &View<'_>) -> bool {
    let database = view.database();
    let is_asked = database.state() == Some(DatabaseState::Created)
        && database.spec.init_from.is_some()
        && !database.spec.suspend
        && database.metadata.deletion_timestamp.is_none()
        && requested(database, RECREATE_REQUESTED_AT).is_some();
    if !is_asked || restores::has_turn(database) {
        return false;
    }
    let Ok(names) = names(database) else {
        return false;
    };
    view.on_server(&names).await.is_some_and(|observed| {
        observed.database.is_none()
            && drift::own_claim(&view.claimant(), &names, &observed).is_some()
    })
}

/// Whether there is something to back up: what is not claimed for this object is not dropped with it either. A database that
/// has yet to begin is empty, or half loaded: a backup of it would be taken for the last good one.
async fn existence(view: &View<'_>) -> Existence {
    if view.database().has_yet_to_begin() {
        return Existence::Missing;
    }
    let Ok(names) = names(view.database()) else {
        return Existence::Unknown;
    };
    match view.on_server(&names).await {
        Some(observed)
            if observed.database.is_some()
                && drift::own_claim(&view.claimant(), &names, &observed).is_some() =>
        {
            Existence::Present
        }
        Some(_) => Existence::Missing,
        None => Existence::Unknown,
    }
}

#[cfg(test)]
#[path = "observe_tests.rs"]
mod tests;
