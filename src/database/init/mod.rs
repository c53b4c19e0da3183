//! What comes before `CREATED` where a database is to begin with a backup (`spec.initFrom`).
//!
//! The user and an empty database are made, with a password that nobody knows; then a `Restore` of the operator's own loads,
//! compares and switches, as any other does; then the Database is created as one that was there already: the Secret is
//! written, and its password set. So nobody is let in before the backup is.
//!
//! | persisted (`status.init`) | what a crash after it leaves | what follows |
//! |---|---|---|
//! | `restore`, the name | nothing, or a user and a database that nobody can log in to | both are made, and the Restore |
//! | `restoreUid` | a Restore that waits, runs, or has ended | it is let in and waited for |
//! | `outcome` | a database with its backup, and no Secret | it is created |
//!
//! | file | its one job |
//! |---|---|
//! | `plan.rs` | what follows from what is noted and what became of the Restore (pure) |
//! | `place.rs` | whether a database is one to begin with a backup; the user and the database to load into |
//! | `restore.rs` | the Restore: how it is called, how it is, making it |
//! | `told.rs` | what the conditions and Events say meanwhile (pure) |

mod place;
mod plan;
mod restore;
mod told;

use kube::ResourceExt;

use super::blocked::Blocked;
use super::pass::Pass;
use super::restores;
use crate::api::database::{DatabaseInit, DatabaseStatus, InitOutcome};
use crate::api::{Condition, Database, DatabaseState, Report, Restore, RestoreState};
use crate::controller::Error;
use crate::controller::cache::Cache;
use plan::Plan;

/// Whether the Database may be created now.
pub(super) enum Followed {
    /// It begins with nothing, or has what it begins with.
    Create,
    /// It does not yet: this is persisted and said.
    Waits(Box<DatabaseStatus>, Report),
}

/// Goes on with the beginning of a Database, as far as it can.
pub(super) async fn follow(pass: &mut Pass<'_>) -> Result<Followed, Blocked> {
    loop {
        let restore = find(pass).await?;
        match plan::plan(&pass.object, restore.as_ref()) {
            Plan::Create => return Ok(Followed::Create),
            Plan::Forget => note(pass, None).await?,
            Plan::Begin { due } => {
                let is_due = due || place::is_due(pass).await?;
                let init = if is_due {
                    restore::begin(&pass.object)
                } else {
                    restore::left_as_it_is(&pass.object)
                };
                let known = noted(&pass.object).and_then(|init| init.outcome);
                let news = init.outcome.filter(|outcome| Some(*outcome) != known);
                note(pass, Some(init)).await?;
                told::record(pass, news).await;
            }
            Plan::Make => {
                make(pass).await?;
                return Ok(Followed::Waits(Box::new(pass.next_status()), told::begun()));
            }
            Plan::Conclude(outcome) => {
                conclude(pass, outcome, restore.as_ref()).await?;
                told::record(pass, Some(outcome)).await;
            }
            Plan::Wait => {
                let report = told::waits(restore.as_ref())?;
                let next = with_source(pass.next_status(), restore.as_ref());
                return Ok(Followed::Waits(Box::new(next), report));
            }
            Plan::Failed => return Err(told::failed(restore.as_ref())),
        }
    }
}

/// Makes the place to load into, and then the Restore, whose UID is noted: from then on it may be let in.
async fn make(pass: &mut Pass<'_>) -> Result<(), Blocked> {
    place::make(pass).await?;
    let Some(mut init) = noted(&pass.object).cloned() else {
        return Ok(());
    };
    let made = restore::create(pass, &init.restore).await?;
    init.restore_uid = made.uid();
    note(pass, Some(init)).await?;
    Ok(())
}

async fn conclude(
    pass: &mut Pass<'_>,
    outcome: InitOutcome,
    restore: Option<&Restore>,
) -> Result<(), Error> {
    let next = with_source(pass.next_status(), restore);
    let Some(mut init) = next.init else {
        return Ok(());
    };
    init.outcome = Some(outcome);
    note(pass, Some(init)).await
}

async fn note(pass: &mut Pass<'_>, init: Option<DatabaseInit>) -> Result<(), Error> {
    let mut next = pass.next_status();
    next.init = init;
    pass.persist(next).await
}

/// The status with the backup that the Restore has chosen.
fn with_source(mut status: DatabaseStatus, restore: Option<&Restore>) -> DatabaseStatus {
    let source = restore.and_then(|restore| restore.status.as_ref()?.source.clone());
    if let (Some(init), Some(source)) = (status.init.as_mut(), source) {
        init.source = Some(source);
    }
    status
}

/// The Restore that is noted, as the cache has it, or else as it is. Client required then.
async fn find(pass: &Pass<'_>) -> Result<Option<Restore>, Error> {
    let Some((name, uid)) = noted(&pass.object).and_then(named) else {
        return Ok(None);
    };
    pass.view().find_restore(name, uid).await
}

fn noted(database: &Database) -> Option<&DatabaseInit> {
    database.status.as_ref()?.init.as_ref()
}

fn named(init: &DatabaseInit) -> Option<(&str, &str)> {
    Some((&init.restore, init.restore_uid.as_deref()?))
}

/// Whether an empty database is what was asked for, or all that there is.
pub(super) fn may_be_empty(database: &Database) -> bool {
    database.spec.init_from.is_none()
        || noted(database).is_some_and(|init| init.outcome == Some(InitOutcome::Empty))
}

/// Whether the user was given a password that nobody knows, so that nobody was let in before.
pub(super) fn has_locked_out(database: &Database) -> bool {
    let outcome = noted(database).and_then(|init| init.outcome);
    match outcome {
        Some(InitOutcome::Loaded | InitOutcome::Empty) => true,
        Some(InitOutcome::Existing | InitOutcome::Failed) | None => false,
    }
}

/// What a pass depends on of the Restore that a Database begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    uid: Option<String>,
    state: Option<RestoreState>,
    deleting: bool,
    unclean: bool,
    says: Vec<Condition>,
}

/// What it depends on now, as the cache has it; nothing once the Database has begun.
pub(super) fn seen(cache: &Cache, database: &Database) -> Option<Seen> {
    if database.state() != Some(DatabaseState::Creating) || !database.has_yet_to_begin() {
        return None;
    }
    let restore = restores::cached(cache, database, &noted(database)?.restore)?;
    let status = restore.status.clone().unwrap_or_default();
    Some(Seen {
        uid: restore.uid(),
        state: restore.state(),
        deleting: restore.metadata.deletion_timestamp.is_some(),
        unclean: restore.is_unclean(),
        says: status.conditions,
    })
}
