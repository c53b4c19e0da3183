//! Ends a load: what it left is dropped, and the user let in again.
//!
//! Dropping comes before letting in, and the row goes last: a call that is cut short is completed by the next one.

use super::checks::Task;
use super::contained::contained;
use super::emptying::{self, Emptied};
use super::lockout::{self, Target};
use super::restore_tables::{ScratchRow, Stage};
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
    let mut stays = None;
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
        (Leftover::Scratch, Stage::Open) => stays = what_stays(session, task, &target).await?,
        (Leftover::Scratch, Stage::LockedOut | Stage::Recorded)
        | (Leftover::Login, Stage::Recorded | Stage::Open)
        | (Leftover::Former, _) => {}
    }
    scratch::let_in(session, task, &target).await?;
    Ok(stays.map_or(Ended::Done, Ended::ChangedHands))
}

/// What is in a target whose user was let in while it was loaded, if anything is: it may be the load's or the application's, so
/// it stays, and somebody has to know.
async fn what_stays(
    session: &mut Session,
    task: &Task<'_>,
    target: &Target,
) -> Result<Option<String>, ProviderError> {
    if !target.row.as_ref().is_some_and(may_be_loaded) {
        return Ok(None);
    }
    let names = &task.load.target;
    let found = contained(session, &task.profile.dialect, &names.database).await?;
    if found.is_nothing() {
        return Ok(None);
    }
    Ok(Some(format!(
        "the password of user {} was changed during the load, so what is in database {} may be its application's own, and \
         stays: {}; drop what is of the load",
        names.role,
        names.database,
        found.names().join(", ")
    )))
}

/// Whether a load began to write, and did not come to its end.
fn may_be_loaded(row: &ScratchRow) -> bool {
    row.seen_empty && !row.recorded
}

#[cfg(test)]
mod tests {
    use super::super::restore_tables::Former;
    use super::*;
    use crate::provider::restore::RestoreId;

    #[test]
    fn only_a_load_that_began_and_did_not_end_may_have_left_something() {
        let restore = RestoreId {
            cluster_id: "c".to_owned(),
            namespace: "team-a".to_owned(),
            name: "r".to_owned(),
            uid: "1".to_owned(),
            spec_hash: String::new(),
        };
        let former = Former {
            plugin: "caching_sha2_password".to_owned(),
            hash: "h".to_owned(),
            limit: 0,
        };
        let of = |seen_empty, recorded| {
            let mut row = ScratchRow::new(&restore, former.clone());
            (row.seen_empty, row.recorded) = (seen_empty, recorded);
            row
        };
        assert!(may_be_loaded(&of(true, false)));
        for (seen_empty, recorded) in [(false, false), (true, true), (false, true)] {
            assert!(!may_be_loaded(&of(seen_empty, recorded)));
        }
    }
}
