//! The end of a load: the restore is recorded, and the user let in to what was loaded.
//!
//! What a crash leaves after each statement, and what the next call does about it:
//!
//! | after | what is left | what follows |
//! |---|---|---|
//! | the record was written | a restore that is done, its user still locked out | the user is let in |
//! | the user was let in | a row of `scratch` too many | it is removed |
//!
//! The record is the point of no return: before it, giving up empties the target; after it, nothing of it is dropped.

use std::time::Duration;

use super::checks::Task;
use super::lockout::{self, Target};
use super::restore_tables::{self, Stage};
use super::scratch;
use super::session::Session;
use crate::provider::ProviderError;
use crate::provider::restore::{Restored, Swapped};

/// Records the restore, and lets the user in.
pub(super) async fn swap(session: &mut Session, task: &Task<'_>) -> Result<Swapped, ProviderError> {
    let (profile, load) = (task.profile, task.load);
    if let Some(sentence) = task.changed_hands(session).await? {
        return Ok(Swapped::ChangedHands(sentence));
    }
    let target = match lockout::look(session, profile, load).await {
        Ok(target) => target,
        Err(ProviderError::InTheWay(sentence)) => return Ok(Swapped::ChangedHands(sentence)),
        Err(error) => return Err(error),
    };
    if let Some(record) = own_record(session, task).await? {
        return finished(session, task, &target, &record).await;
    }
    if let Some(sentence) = unloaded(task, &target) {
        return Ok(Swapped::ChangedHands(sentence));
    }
    // Whatever the load still has open: what it does from now on would be done to a database in use.
    if let Some(lingering) = lockout::end_load(session, task).await? {
        return Ok(Swapped::Blocked(lingering));
    }
    if !restore_tables::record(session, task).await? {
        // Another writer was faster, be it of the record, the claim or the row.
        return Err(task.why_not(session).await?);
    }
    let target = lockout::look(session, profile, load).await?;
    match own_record(session, task).await? {
        Some(record) => finished(session, task, &target, &record).await,
        None => Err(ProviderError::Unexpected {
            doing: "recording a restore".to_owned(),
            detail: "the server forgets what is written to db_operator".to_owned(),
        }),
    }
}

/// Lets the user in after a swap that a crash cut short. Does nothing otherwise: while a load runs, the user stays out.
pub(super) async fn reopen(session: &mut Session, task: &Task<'_>) -> Result<(), ProviderError> {
    if task.changed_hands(session).await?.is_some() {
        return Ok(());
    }
    match lockout::look(session, task.profile, task.load).await {
        Ok(target) if target.stage == Stage::Recorded => {
            scratch::let_in(session, task, &target).await
        }
        Ok(_) | Err(ProviderError::InTheWay(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn own_record(
    session: &mut Session,
    task: &Task<'_>,
) -> Result<Option<Restored>, ProviderError> {
    restore_tables::restored(session, &task.load.restore, &[]).await
}

/// Lets the user in to what was restored, if it was this object that did it.
async fn finished(
    session: &mut Session,
    task: &Task<'_>,
    target: &Target,
    record: &Restored,
) -> Result<Swapped, ProviderError> {
    let restore = &task.load.restore;
    if record.uid != restore.uid {
        return Ok(Swapped::ChangedHands(format!(
            "another Restore {}/{} was done already",
            restore.namespace, restore.name
        )));
    }
    if target.row.as_ref().is_some_and(|row| row.is_of(restore)) {
        scratch::let_in(session, task, target).await?;
    }
    Ok(Swapped::Done {
        downtime: Duration::from_millis(record.downtime_millis),
        former: None,
    })
}

/// Why what is in the target is not, or not only, what this restore loaded.
fn unloaded(task: &Task<'_>, target: &Target) -> Option<String> {
    let (load, user) = (task.load, &task.load.target.role);
    let is_own = target
        .row
        .as_ref()
        .is_some_and(|row| row.is_of(&load.restore));
    match (target.stage, is_own) {
        (Stage::Loading, true) => None,
        (Stage::Open, true) => Some(format!(
            "the password of user {user} was changed during the load, so others may have worked in the database: empty it, \
             and restore again"
        )),
        (Stage::Open | Stage::LockedOut | Stage::Loading | Stage::Recorded, _) => Some(format!(
            "database {} was not made ready for this restore",
            load.target.database
        )),
    }
}
