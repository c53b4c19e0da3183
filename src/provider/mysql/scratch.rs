//! Makes a target ready to be loaded: its user locked out, its sessions ended, nothing in it.
//!
//! What a crash leaves after each statement, and what the next call does about it:
//!
//! | after | what is left | what follows |
//! |---|---|---|
//! | the row was written | the user as it was | begins anew: the row is written again |
//! | the password was set | the user locked out | its sessions are ended, and it is looked whether the target is empty |
//! | some of a former load was dropped | less of it | the rest is dropped |
//! | the row says that it was empty | a target to be loaded | what is in it by then comes from the load, and is dropped |
//!
//! Giving up ([`super::drop_leftover`]) lets the user in from any of them. Whenever somebody else gave the user a password
//! meanwhile, as a Database without a restore does by itself, nothing that is in the target is dropped any more.

use super::checks::Task;
use super::contained::{Contained, contained};
use super::emptying::{self, Emptied};
use super::lockout::{self, Target};
use super::restore_tables::{self, Former, ScratchRow, Stage, mark, mark_of};
use super::session::Session;
use crate::provider::restore::Scratch;
use crate::provider::{ProviderError, SqlName, Verifier};

/// Makes the target ready.
pub(super) async fn make(
    session: &mut Session,
    task: &Task<'_>,
    verifier: &Verifier,
) -> Result<Scratch, ProviderError> {
    let (profile, load) = (task.profile, task.load);
    let database = &load.target.database;
    task.check(session).await?;
    let mut target = lockout::look(session, profile, load).await?;
    if target.stage == Stage::Recorded {
        // Of a former restore, which is done but for this.
        let_in(session, task, &target).await?;
        target = lockout::look(session, profile, load).await?;
    }
    if target.stage != Stage::Loading {
        let found = contained(session, &profile.dialect, database).await?;
        if !found.is_nothing() {
            let_in(session, task, &target).await?;
            return Err(not_empty(database, &found));
        }
    }
    let mut row = begin(task, &target, verifier);
    restore_tables::write_row(session, task, &row).await?;
    lockout::lock_out(session, profile, &target.account, load, verifier).await?;
    if let Some(lingering) = lockout::end_all(session, task, row.seen_empty).await? {
        return Err(busy(lingering));
    }
    if row.seen_empty {
        match emptying::empty(session, task).await? {
            Emptied::Done => {}
            Emptied::Blocked(sentence) => return Err(busy(sentence)),
            Emptied::ChangedHands(_) => return Err(task.why_not(session).await?),
        }
    } else {
        let found = contained(session, &profile.dialect, database).await?;
        if !found.is_nothing() {
            task.check(session).await?;
            lockout::let_in(session, profile, load, &row.former).await?;
            restore_tables::forget_row(session, database).await?;
            return Err(not_empty(database, &found));
        }
    }
    row.seen_empty = true;
    row.marks = vec![mark_of(&profile.dialect, verifier)];
    restore_tables::write_row(session, task, &row).await?;
    Ok(Scratch {
        database: database.clone(),
        login: load.target.role.clone(),
        owner: load.target.role.clone(),
    })
}

/// The row with which a load begins. Until the user has the new password, the one of the load before is known, too.
fn begin(task: &Task<'_>, target: &Target, verifier: &Verifier) -> ScratchRow {
    let account = &target.account;
    let mut row = ScratchRow::new(&task.load.restore, Former::of(account));
    if let (Stage::LockedOut | Stage::Loading, Some(standing)) = (target.stage, &target.row) {
        row.former = standing.former.clone();
        row.locked_at = standing.locked_at;
        row.seen_empty = target.stage == Stage::Loading;
        row.marks.push(mark(&account.plugin, &account.hash));
    }
    row.marks.push(mark_of(&task.profile.dialect, verifier));
    row
}

/// Lets the user in if a load has locked it out, and forgets the load.
pub(super) async fn let_in(
    session: &mut Session,
    task: &Task<'_>,
    target: &Target,
) -> Result<(), ProviderError> {
    let (profile, load) = (task.profile, task.load);
    match (target.stage, &target.row) {
        (Stage::LockedOut | Stage::Loading | Stage::Recorded, Some(row)) => {
            lockout::let_in(session, profile, load, &row.former).await?;
        }
        (Stage::Open, Some(_)) => {
            lockout::unlock(session, profile, load, &target.account).await?;
        }
        (_, None) => return Ok(()),
    }
    restore_tables::forget_row(session, &load.target.database).await
}

fn not_empty(database: &SqlName, found: &Contained) -> ProviderError {
    ProviderError::InTheWay(format!(
        "the database {database:?} is not empty, and what is in it is never overwritten: it has {}; drop that first, or \
         restore into another Database",
        found.names().join(", ")
    ))
}

fn busy(detail: String) -> ProviderError {
    ProviderError::Busy {
        doing: "making the database ready to be loaded".to_owned(),
        detail,
    }
}
