//! Ends a load: what it left is dropped, and the user let in again.
//!
//! Dropping comes before letting in, and the row goes last: a call that is cut short is completed by the next one.

use super::checks::Task;
use super::emptying::{self, Emptied};
use super::lockout;
use super::restore_tables::Stage;
use super::scratch;
use super::session::Session;
use crate::provider::ProviderError;
use crate::provider::restore::{Ended, Leftover};

/// Drops what is left of a restore.
pub(super) async fn drop_leftover(
    session: &mut Session,
    task: &Task<'_>,
    which: Leftover,
) -> Result<Ended, ProviderError> {
    if which == Leftover::Former {
        // There is none: what was in the target before was nothing.
        return Ok(Ended::Done);
    }
    // Where somebody dropped the database, the user is let in all the same: nobody else would do that.
    let target = match lockout::look_at_user(session, task.profile, task.load).await {
        Ok(target) => target,
        // Nobody is there to be let in.
        Err(ProviderError::InTheWay(_)) => return Ok(Ended::Done),
        Err(error) => return Err(error),
    };
    let is_own = target
        .row
        .as_ref()
        .is_some_and(|row| row.is_of(&task.load.restore));
    if !is_own {
        return Ok(Ended::Done);
    }
    if let Some(sentence) = task.changed_hands(session).await? {
        return Ok(Ended::ChangedHands(sentence));
    }
    match (which, target.stage) {
        (Leftover::Scratch, Stage::Loading) => {
            lockout::lock_all_out(session, task.profile, task.load).await?;
            if let Some(lingering) = lockout::end_all(session, task, true).await? {
                return Ok(Ended::Blocked(lingering));
            }
            match emptying::empty(session, task).await? {
                Emptied::Done => {}
                Emptied::Blocked(sentence) => return Ok(Ended::Blocked(sentence)),
                Emptied::ChangedHands(sentence) => return Ok(Ended::ChangedHands(sentence)),
            }
        }
        // Not before the restore is recorded: until then only giving up ends it.
        (Leftover::Login, Stage::Loading | Stage::LockedOut) => return Ok(Ended::Done),
        (Leftover::Scratch | Leftover::Login, Stage::LockedOut | Stage::Recorded | Stage::Open)
        | (Leftover::Former, _) => {}
    }
    scratch::let_in(session, task, &target).await?;
    Ok(Ended::Done)
}
