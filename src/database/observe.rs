//! What a pass sees before it decides. The server is asked only where that decides about a final backup.

use super::pass::Pass;
use super::state::{self, BackupSeen, Existence, Facts};
use super::{backups, delete};
use crate::api::{Backup, DeletionPolicy, RELEASE};
use crate::controller::Error;
use crate::server::names;
use kube::ResourceExt;

/// What was seen, and the Backups that it was seen of.
pub struct Observation {
    /// What a decision needs.
    pub facts: Facts,
    /// The Backup whose turn it is, or the first in line.
    pub backup: Option<Backup>,
    /// The Backup that `status.finalBackup` names; `None` once its completion is noted there.
    pub final_backup: Option<Backup>,
}

/// Observes a Database.
pub async fn observe(pass: &Pass<'_>) -> Result<Observation, Error> {
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
        },
        backup: None,
        final_backup: None,
    };
    seen.follow(pass).await?;
    Ok(seen)
}

impl Observation {
    /// Sees what depends on the status: to be called again after each step.
    pub async fn follow(&mut self, pass: &Pass<'_>) -> Result<(), Error> {
        let status = pass.status();
        let completed = status
            .and_then(|status| status.final_backup.as_ref())
            .is_some_and(|last| last.completed);
        self.backup = backups::current(pass).await?;
        self.final_backup = backups::final_backup(pass).await?;
        self.facts.backup = backups::seen(self.backup.as_ref());
        self.facts.final_backup = if completed {
            BackupSeen::Completed
        } else {
            backups::seen(self.final_backup.as_ref())
        };
        self.facts.deletion = status.and_then(|status| status.deletion);
        Ok(())
    }
}

/// Whether there is something to back up: what is not claimed for this object is not dropped with it either.
async fn exists(pass: &Pass<'_>) -> Existence {
    let (Ok((_, server)), Ok(names)) = (pass.server(), names(&pass.database)) else {
        return Existence::Unknown;
    };
    match server.observe(&names, None).await {
        Ok(observed) => {
            if observed.database.is_some() && delete::own(pass, &names, &observed).is_some() {
                Existence::Present
            } else {
                Existence::Missing
            }
        }
        Err(_) => Existence::Unknown,
    }
}
