//! The way back: the former database takes its place again, as long as it is there. Once for each restore, so that a call
//! after a crash does not swap forward again.
//!
//! It is the contents that come back. Settings, privileges and limit are made as the target has them at that moment, as in
//! a swap: whom the platform has shut out since stays out.

use std::time::{Duration, Instant};

use super::checks::{Checked, Checks, Claimed, not_noted};
use super::exchange::Exchange;
use super::grants::permit;
use super::loaded::CLOSED_WITHIN;
use super::properties::Properties;
use super::restore_tables::{Purpose, RestoreState, ScratchRow, name};
use super::session::Session;
use super::sessions::OtherSession;
use super::swap_lock::{Lockable, Locking, in_use_by, take};
use super::swap_statements::Back;
use super::{Postgresql, quoted};
use crate::provider::restore::{Load, Swapped};
use crate::provider::{ProviderError, SqlName};

impl Postgresql {
    pub(super) async fn undo_swap(
        &self,
        load: &Load,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let claimed = Claimed::by(load);
        match self.try_to_undo(load, &claimed, most).await {
            Ok(swapped) => Ok(swapped),
            Err(error) => {
                let undone = |state: &RestoreState| {
                    state.record.as_ref().is_some_and(|record| record.undone)
                };
                self.recover(load, &claimed, error, undone).await?;
                let mut session = self.session().await?;
                undone_before(load, &self.state_of(&mut session, load, &claimed).await?)
            }
        }
    }

    async fn try_to_undo(
        &self,
        load: &Load,
        claimed: &Claimed,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        // No session of this process is inside meanwhile.
        let _turn = self
            .tenant_sessions
            .lock(load.target.database.clone())
            .await;
        let mut session = self.session().await?;
        let state = self.state_of(&mut session, load, claimed).await?;
        if state.record.as_ref().is_some_and(|record| record.undone) {
            return undone_before(load, &state);
        }
        let swapped = self
            .undo_once(&mut session, load, claimed, &state, most)
            .await?;
        match swapped {
            Some(swapped) => {
                self.unlock(&mut session, load).await?;
                Ok(swapped)
            }
            None => undone_before(load, &self.state_of(&mut session, load, claimed).await?),
        }
    }

    /// `None` once it is done.
    async fn undo_once(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        state: &RestoreState,
        most: Duration,
    ) -> Result<Option<Swapped>, ProviderError> {
        let database = &load.target.database;
        let (row, former_id) = match undoable(load, claimed, state) {
            Ok(found) => found,
            Err(sentence) => return Ok(Some(Swapped::ChangedHands(sentence))),
        };
        let (Some(found), Some(record), Some(spare)) =
            (&state.target, &state.record, row.other_name.as_deref())
        else {
            return Ok(Some(Swapped::ChangedHands(not_noted(database.as_str()))));
        };
        let in_the_way = self.in_the_way_of_undo(session, database, row).await?;
        if !in_the_way.is_empty() {
            return Ok(Some(Swapped::Blocked(in_the_way.join("; "))));
        }
        if let Some(swapped) = self.close_former(session, claimed, row, former_id).await? {
            return Ok(Some(swapped));
        }
        let lockable = Lockable {
            database,
            found,
            row: &row.database_name,
            spared: &[],
        };
        match self.lock_for_swap(session, claimed, lockable).await? {
            Locking::Locked => {}
            Locking::Blocked(sentence) => return Ok(Some(Swapped::Blocked(sentence))),
            Locking::ChangedHands(sentence) => return Ok(Some(Swapped::ChangedHands(sentence))),
        }
        let deadline = Instant::now() + most;
        let (now, then) = match self.set_on_both(session, database, row).await? {
            Ok(both) => both,
            Err(swapped) => return Ok(Some(swapped)),
        };
        let back = Back {
            load,
            claimed,
            row,
            former_id,
            spare,
            record,
            assumable: state.assumable,
            now: &now,
            then: &then,
        };
        let exchange = Exchange {
            load,
            claimed,
            databases: [
                (database.as_str(), record.restored_id.as_str()),
                (row.database_name.as_str(), former_id),
            ],
            deadline,
        };
        let statements = back.statements(session.version());
        self.exchange(session, exchange, statements).await
    }

    /// What has to go first, while the target is open.
    async fn in_the_way_of_undo(
        &self,
        session: &mut Session,
        database: &SqlName,
        row: &ScratchRow,
    ) -> Result<Vec<String>, ProviderError> {
        let mut in_the_way = self.lasting_obstacles(session, database).await?;
        if let Some(properties) = self.properties(session, database).await? {
            in_the_way.extend(properties.not_copied(database));
        }
        let former = &row.database_name;
        let left = self.left_inside(session, former).await?;
        if !left.is_empty() {
            in_the_way.push(format!(
                "{} (to let somebody in there, run: ALTER DATABASE {} ALLOW_CONNECTIONS true)",
                left.join("; "),
                quoted(former)
            ));
        }
        let mut sessions = self.list_sessions(session, Some(former), None, &[]).await?;
        sessions.retain(OtherSession::is_out_of_reach);
        if !sessions.is_empty() {
            in_the_way.push(in_use_by(&row.database()?, &sessions));
        }
        Ok(in_the_way)
    }

    /// Closes the former database, takes it and ends who is inside: people look into it before they undo. `None` once nobody
    /// is.
    async fn close_former(
        &self,
        session: &mut Session,
        claimed: &Claimed,
        row: &ScratchRow,
        former_id: &str,
    ) -> Result<Option<Swapped>, ProviderError> {
        let Some(found) = &row.found else {
            return Ok(Some(Swapped::ChangedHands(not_noted(&row.database_name))));
        };
        let former = row.database()?;
        let databases = [(former.as_str(), former_id)];
        let checks = Checks {
            claimed: Some(claimed),
            databases: &databases,
        };
        let version = session.version();
        let statements = take(&former.postgresql(), found, version);
        let doing = format!("close the former database {former:?}");
        match self.checked(session, &doing, checks, statements).await? {
            Checked::Done => {}
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                return Ok(Some(Swapped::ChangedHands(sentence)));
            }
            Checked::Failed(failure) => {
                let administrator = &self.config.username;
                return Err(failure.needing(|| permit(&found.owner, administrator, version)));
            }
        }
        let deadline = Instant::now() + CLOSED_WITHIN;
        let left = self.end_all_inside(session, &former, &[], deadline).await?;
        Ok(left.map(Swapped::Blocked))
    }

    /// What is set on the target, which is locked, and on the former database.
    async fn set_on_both(
        &self,
        session: &mut Session,
        database: &SqlName,
        row: &ScratchRow,
    ) -> Result<Result<(Properties, Properties), Swapped>, ProviderError> {
        let former = row.database()?;
        let now = self.properties(session, database).await?;
        let then = self.properties(session, &former).await?;
        let (Some(now), Some(then)) = (now, then) else {
            let sentence = not_noted(database.as_str());
            return Ok(Err(Swapped::ChangedHands(sentence)));
        };
        let too_long = now.too_long(database).or_else(|| then.too_long(&former));
        Ok(match too_long {
            Some(sentence) => Err(Swapped::Blocked(sentence)),
            None => Ok((now, then)),
        })
    }
}

/// The former database, and which one it is, if this restore is the newest of its database.
fn undoable<'a>(
    load: &Load,
    claimed: &Claimed,
    state: &'a RestoreState,
) -> Result<(&'a ScratchRow, &'a str), String> {
    if state.claim.is_none() {
        return Err(claimed.missing());
    }
    let uid = &load.restore.uid;
    let Some(record) = &state.record else {
        return Err(
            "the server does not know of this restore, so there is nothing to undo".to_owned(),
        );
    };
    if record.uid != *uid {
        return Err(
            "this object was made anew since the restore was done, and only the one that it was done by can undo it"
                .to_owned(),
        );
    }
    if !record.newest {
        return Err(format!(
            "a newer restore has replaced database {:?} since, and only the newest can be undone",
            load.target.database
        ));
    }
    let is_restored = |id: &str| id == record.restored_id;
    if !state
        .target
        .as_ref()
        .is_some_and(|target| is_restored(&target.id))
    {
        return Err(not_noted(load.target.database.as_str()));
    }
    state
        .former(uid)
        .and_then(|row| Some((row, row.database_id.as_deref()?)))
        .ok_or_else(|| {
            format!(
                "the former database of {:?} is not there any more, so there is no way back",
                load.target.database
            )
        })
}

/// The answer of an undo that was done, now or before.
fn undone_before(load: &Load, state: &RestoreState) -> Result<Swapped, ProviderError> {
    let uid = &load.restore.uid;
    let former = match state
        .row(Purpose::Former, Some(uid))
        .filter(|row| row.is_there())
    {
        Some(row) => Some(name(&row.database_name)?),
        None => None,
    };
    let downtime = state
        .record
        .as_ref()
        .and_then(|record| record.undo_downtime_ms);
    Ok(Swapped::Done {
        downtime: Duration::from_millis(downtime.unwrap_or_default()),
        former,
    })
}
