//! What a pass sees before it decides. The server is asked only where that decides about a final backup.

use super::pass::Pass;
use super::state::{self, BackupSeen, Existence, Seen};
use super::{desired, give_up, turn};
use crate::api::{Backup, DeletionPolicy, RELEASE};
use crate::error::Error;
use kube::ResourceExt;

/// What was seen, and the Backups that it was seen of.
pub struct View {
    /// What a decision needs.
    pub seen: Seen,
    /// The Backup whose turn it is, or the first in line.
    pub backup: Option<Backup>,
    /// The Backup that `status.finalBackup` names; none once its completion is noted there.
    pub final_backup: Option<Backup>,
}

/// Looks.
pub async fn observe(pass: &Pass<'_>) -> Result<View, Error> {
    let database = &pass.database;
    let deleting = database.metadata.deletion_timestamp.is_some();
    let may_drop = pass
        .status()
        .and_then(|status| status.claim.as_ref())
        .is_none_or(|claim| claim.created_database || claim.drop_adopted)
        && !pass.made_nothing();
    // An instance that is not known forbids nothing: the deletion waits for it.
    let allowed = pass.allowed || pass.instance.is_none();
    let policy = state::effective_policy(database.spec.deletion_policy, allowed, may_drop);
    let existence = if deleting && policy == DeletionPolicy::BackupBeforeDelete {
        exists(pass).await
    } else {
        Existence::Unknown
    };
    let mut view = View {
        seen: Seen {
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
        },
        backup: None,
        final_backup: None,
    };
    view.follow(pass).await?;
    Ok(view)
}

impl View {
    /// Sees what depends on the status: to be called again after each step.
    pub async fn follow(&mut self, pass: &Pass<'_>) -> Result<(), Error> {
        let status = pass.status();
        let completed = status
            .and_then(|status| status.final_backup.as_ref())
            .is_some_and(|last| last.completed);
        self.backup = turn::current(pass).await?;
        self.final_backup = turn::final_backup(pass).await?;
        self.seen.backup = turn::seen(self.backup.as_ref());
        self.seen.final_backup = if completed {
            BackupSeen::Completed
        } else {
            turn::seen(self.final_backup.as_ref())
        };
        self.seen.deletion = status.and_then(|status| status.deletion);
        Ok(())
    }
}

/// Whether there is something to back up: what is not claimed for this object is not dropped with it either.
async fn exists(pass: &Pass<'_>) -> Existence {
    let (Ok((_, server)), Ok(names)) = (pass.server(), desired::names(&pass.database)) else {
        return Existence::Unknown;
    };
    match server.observe(&names, None).await {
        Ok(observed) => {
            if observed.database.is_some() && give_up::own(pass, &names, &observed).is_some() {
                Existence::Present
            } else {
                Existence::Missing
            }
        }
        Err(_) => Existence::Unknown,
    }
}
