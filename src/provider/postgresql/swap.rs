//! The swap: the loaded database takes the name of the target in one transaction.
//!
//! Before it, the target is locked (`swap_lock.rs`) and its sessions are ended; whatever goes wrong until the transaction
//! is committed ends with the target open and as it was. After a crash, calling this again goes on, and
//! [`Postgresql::reopen_target`] opens the target.
//!
//! For mode `Empty`, nothing may be lost with the former database. Nobody can look inside a locked database, so a session
//! of ours is inside before it is locked. From the lock on nobody enters, and nobody but the administrator or a superuser
//! can open it again. Then those end who were inside or on their way in; then that session looks, and leaves; and the
//! RENAME itself fails if anybody is inside. So what was seen is what there is.

use std::time::{Duration, Instant};

use super::Postgresql;
use super::checks::{Claimed, not_noted};
use super::exchange::Exchange;
use super::loaded::loaded;
use super::restore_tables::{RestoreState, ScratchRow, name};
use super::session::Session;
use super::swap_lock::{Lockable, Locking};
use super::swap_statements::Forward;
use super::tenant_session::TenantSession;
use crate::provider::ProviderError;
use crate::provider::restore::{Load, LoadMode, Scratch, Swapped};

/// What came of a look into a database that was then locked.
enum Emptied {
    /// It is locked until then, and empty.
    Locked(Instant),
    /// It is not to be swapped.
    Ended(Swapped),
}

impl Postgresql {
    pub(super) async fn swap_loaded(
        &self,
        load: &Load,
        scratch: &Scratch,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let claimed = Claimed::by(load);
        match self.try_to_swap(load, &claimed, scratch, most).await {
            Ok(swapped) => Ok(swapped),
            Err(error) => {
                self.recover(load, &claimed, error, |state| state.record.is_some())
                    .await?;
                let mut session = self.session().await?;
                let state = self.state_of(&mut session, load, &claimed).await?;
                self.done(&mut session, load, &claimed, state).await
            }
        }
    }

    async fn try_to_swap(
        &self,
        load: &Load,
        claimed: &Claimed,
        scratch: &Scratch,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        let row = {
            let mut session = self.session().await?;
            let state = self.state_of(&mut session, load, claimed).await?;
            if state.record.is_some() {
                return self.done(&mut session, load, claimed, state).await;
            }
            let ready = self
                .prepare(&mut session, load, claimed, scratch, state)
                .await?;
            match ready {
                Ok(row) => row,
                Err(swapped) => {
                    self.unlock(&mut session, load).await?;
                    return Ok(swapped);
                }
            }
        };
        match load.mode {
            LoadMode::Replace => {
                // No session of this process is inside meanwhile.
                let _turn = self
                    .tenant_sessions
                    .lock(load.target.database.clone())
                    .await;
                let mut session = self.session().await?;
                if let Some(swapped) = self.lock(&mut session, load, claimed, &row, &[]).await? {
                    self.unlock(&mut session, load).await?;
                    return Ok(swapped);
                }
                let deadline = Instant::now() + most;
                self.exchange_for_loaded(&mut session, load, claimed, &row, deadline)
                    .await
            }
            LoadMode::Empty => self.swap_empty(load, claimed, &row, most).await,
            LoadMode::Test => Ok(Swapped::ChangedHands(
                "a test takes the place of no database".to_owned(),
            )),
        }
    }

    /// Looks whether all is as noted and nothing is in the way, and closes the loaded database.
    async fn prepare(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        scratch: &Scratch,
        state: RestoreState,
    ) -> Result<Result<ScratchRow, Swapped>, ProviderError> {
        let row = match loaded(load, claimed, scratch, &state) {
            Ok(row) => row.clone(),
            Err(sentence) => return Ok(Err(Swapped::ChangedHands(sentence))),
        };
        let in_the_way = self
            .lasting_obstacles(session, &load.target.database)
            .await?;
        if !in_the_way.is_empty() {
            return Ok(Err(Swapped::Blocked(in_the_way.join("; "))));
        }
        let assumable = state.assumable;
        if let Some(swapped) = self
            .close_loaded(session, load, claimed, &row, assumable)
            .await?
        {
            return Ok(Err(swapped));
        }
        if load.mode == LoadMode::Empty {
            // After a crash, it can only be looked into once it is open.
            self.unlock(session, load).await?;
        }
        Ok(Ok(row))
    }

    /// Locks the target. `None` once it is locked.
    async fn lock(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        row: &ScratchRow,
        spared: &[i32],
    ) -> Result<Option<Swapped>, ProviderError> {
        let state = self.state_of(session, load, claimed).await?;
        let database = &load.target.database;
        let Some(found) = state.target.filter(|found| found.id == row.target_id) else {
            return Ok(Some(Swapped::ChangedHands(not_noted(database.as_str()))));
        };
        let lockable = Lockable {
            database,
            found: &found,
            row: &row.database_name,
            spared,
        };
        Ok(
            match self.lock_for_swap(session, claimed, lockable).await? {
                Locking::Locked => None,
                Locking::Blocked(sentence) => Some(Swapped::Blocked(sentence)),
                Locking::ChangedHands(sentence) => Some(Swapped::ChangedHands(sentence)),
            },
        )
    }

    async fn swap_empty(
        &self,
        load: &Load,
        claimed: &Claimed,
        row: &ScratchRow,
        most: Duration,
    ) -> Result<Swapped, ProviderError> {
        let mut tenant = self.open_tenant_session(&load.target).await?;
        match self
            .lock_if_empty(&mut tenant, load, claimed, row, most)
            .await
        {
            Ok(Emptied::Locked(deadline)) => {
                let (mut session, _turn) = self.leave_tenant_session(tenant).await;
                self.exchange_for_loaded(&mut session, load, claimed, row, deadline)
                    .await
            }
            Ok(Emptied::Ended(swapped)) => {
                let opened = self.unlock(tenant.outside(), load).await;
                self.close_tenant_session(tenant, opened.map(|()| swapped))
                    .await
            }
            Err(error) => self.close_tenant_session(tenant, Err(error)).await,
        }
    }

    /// See the head of this file.
    async fn lock_if_empty(
        &self,
        tenant: &mut TenantSession,
        load: &Load,
        claimed: &Claimed,
        row: &ScratchRow,
        most: Duration,
    ) -> Result<Emptied, ProviderError> {
        let database = &load.target.database;
        let contained = self.contained(&mut tenant.session).await?.names();
        if !contained.is_empty() {
            return Ok(Emptied::Ended(Swapped::NotEmpty(contained)));
        }
        let spared = [tenant.pid()];
        let outside = tenant.outside();
        if let Some(swapped) = self.lock(outside, load, claimed, row, &spared).await? {
            return Ok(Emptied::Ended(swapped));
        }
        let deadline = Instant::now() + most;
        if !self
            .wait_for_starting(outside, database, &spared, deadline)
            .await?
        {
            let sentence =
                format!("sessions that enter database {database:?} take too long to start");
            return Ok(Emptied::Ended(Swapped::Blocked(sentence)));
        }
        if let Some(sentence) = self
            .end_all_inside(outside, database, &spared, deadline)
            .await?
        {
            return Ok(Emptied::Ended(Swapped::Blocked(sentence)));
        }
        let contained = self.contained(&mut tenant.session).await?.names();
        if !contained.is_empty() {
            return Ok(Emptied::Ended(Swapped::NotEmpty(contained)));
        }
        Ok(Emptied::Locked(deadline))
    }

    /// Puts the loaded database in the place of the locked target.
    async fn exchange_for_loaded(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        row: &ScratchRow,
        deadline: Instant,
    ) -> Result<Swapped, ProviderError> {
        let state = self.state_of(session, load, claimed).await?;
        let properties = self.properties(session, &load.target.database).await?;
        let forward = properties
            .as_ref()
            .and_then(|properties| Forward::new(load, claimed, row, &state, properties));
        let Some(forward) = forward else {
            self.unlock(session, load).await?;
            let database = load.target.database.as_str();
            return Ok(Swapped::ChangedHands(not_noted(database)));
        };
        if let Some(sentence) = forward.refused() {
            self.unlock(session, load).await?;
            return Ok(Swapped::Blocked(sentence));
        }
        let exchange = Exchange {
            load,
            claimed,
            databases: [
                (load.target.database.as_str(), row.target_id.as_str()),
                (row.database_name.as_str(), forward.loaded_id()),
            ],
            deadline,
        };
        let statements = forward.statements(session.version());
        if let Some(swapped) = self.exchange(session, exchange, statements).await? {
            return Ok(swapped);
        }
        let state = self.state_of(session, load, claimed).await?;
        self.done(session, load, claimed, state).await
    }

    /// The answer of a swap that was done, now or before.
    async fn done(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        state: RestoreState,
    ) -> Result<Swapped, ProviderError> {
        let uid = &load.restore.uid;
        let Some(record) = state.record.as_ref().filter(|record| record.uid == *uid) else {
            return Err(ProviderError::InTheWay(format!(
                "a Restore {}/{} was done before, and it was another object: choose another name",
                load.restore.namespace, load.restore.name
            )));
        };
        // What cannot be dropped now goes with the login.
        let _ = self.drop_unkept(session, claimed, &state, uid).await;
        Ok(Swapped::Done {
            downtime: Duration::from_millis(record.downtime_ms),
            former: match state.former(uid) {
                Some(row) => Some(name(&row.database_name)?),
                None => None,
            },
        })
    }

    /// Reads what concerns the restore of a load.
    pub(super) async fn state_of(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
    ) -> Result<RestoreState, ProviderError> {
        self.restore_state(session, claimed, &load.restore, &load.take_over_from)
            .await
    }
}
