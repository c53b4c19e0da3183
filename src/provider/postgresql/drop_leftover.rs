//! Drops what a restore has left beside a tenant's database. A database goes only if it is the noted one and the claim still
//! stands; a login of ours goes in any case.

use super::checks::{Checked, Checks, Claimed, not_noted};
use super::grants::permit;
use super::restore_tables::{Purpose, RestoreState, ScratchRow, beside};
use super::session::{Session, column};
use super::sessions::Ending;
use super::swap_lock::take;
use super::{Postgresql, quoted};
use crate::provider::restore::{Ended, Leftover, Load};
use crate::provider::{Names, ProviderError, Removed};

const FORGET: &str = "DELETE FROM db_operator.scratch WHERE database_name = $1";

/// The database that was dropped is no longer the former one of any restore.
const FORGET_FORMER: &str =
    "UPDATE db_operator.restores SET former_database = NULL, former_id = NULL
WHERE former_database = $1";

/// Whether a CREATE DATABASE runs, which holds this lock on its template until it is done.
const CREATES: &str = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'object'
  AND classid = 'pg_database'::regclass AND mode = 'ShareLock' AND pid <> pg_backend_pid()
  AND objid = (SELECT oid FROM pg_database WHERE datname = 'template0')) AS creates";

impl Postgresql {
    pub(super) async fn drop_left(
        &self,
        load: &Load,
        which: Leftover,
    ) -> Result<Ended, ProviderError> {
        self.refuse_reserved(&load.target)?;
        let claimed = Claimed::by(load);
        let uid = &load.restore.uid;
        let state = {
            let mut session = self.session().await?;
            self.state_of(&mut session, load, &claimed).await?
        };
        match which {
            Leftover::Scratch => {
                let Some(row) = state.row(Purpose::Load, Some(uid)) else {
                    // It was given up although it was done: its COMMIT was seen late. What is left is the login.
                    return self.drop_after_swap(load, &claimed, &state).await;
                };
                if row.locked {
                    self.reopen_target(load).await?;
                }
                self.drop_scratch(&claimed, row).await
            }
            Leftover::Login => self.drop_after_swap(load, &claimed, &state).await,
            Leftover::Former => {
                // The object may have been made anew since: one restore of its name is on record, and the row is that one's.
                let done = state.record.as_ref().map_or(uid, |record| &record.uid);
                let Some(row) = state.row(Purpose::Former, Some(done)) else {
                    return Ok(Ended::Done);
                };
                let mut session = self.session().await?;
                self.drop_former(&mut session, &claimed, &state, row).await
            }
        }
    }

    /// Drops the login of a load that is done, and the former database that was not to be kept.
    async fn drop_after_swap(
        &self,
        load: &Load,
        claimed: &Claimed,
        state: &RestoreState,
    ) -> Result<Ended, ProviderError> {
        let uid = &load.restore.uid;
        let unkept = {
            let mut session = self.session().await?;
            self.drop_unkept(&mut session, claimed, state, uid).await?
        };
        let login = match state.row(Purpose::Login, Some(uid)) {
            Some(row) => self.drop_login(&load.target, row).await?,
            None => Ended::Done,
        };
        Ok(match unkept {
            // What stays for good is told once the login is gone.
            Ended::Adopted(_) if login == Ended::Done => unkept,
            Ended::Done | Ended::Adopted(_) => login,
            Ended::Blocked(_) | Ended::ChangedHands(_) => unkept,
        })
    }

    /// Drops what restores have left beside a database that is about to be dropped, of whichever restore: what was loaded,
    /// and the former databases if the database itself goes, too. `None` if nothing is in the way.
    pub(super) async fn drop_beside(
        &self,
        names: &Names,
        formers: bool,
    ) -> Result<Option<Removed>, ProviderError> {
        let claimed = Claimed::of_cluster(names, self.fence.cluster_id());
        let state = {
            let mut session = self.session().await?;
            self.restores_beside(&mut session, &claimed).await?
        };
        if state.claim.is_none() {
            return Ok(None);
        }
        for row in &state.rows {
            let ended = match row.purpose {
                Purpose::Load => self.drop_scratch(&claimed, row).await?,
                Purpose::Login => match self.drop_login(names, row).await? {
                    // It is locked for good, and a member of nothing: the database does not wait for it.
                    Ended::Done
                    | Ended::Blocked(_)
                    | Ended::ChangedHands(_)
                    | Ended::Adopted(_) => Ended::Done,
                },
                Purpose::Former if formers => {
                    let mut session = self.session().await?;
                    self.drop_former(&mut session, &claimed, &state, row)
                        .await?
                }
                Purpose::Former | Purpose::Test => Ended::Done,
            };
            match ended {
                Ended::Done | Ended::ChangedHands(_) => {}
                // Its user owns it, and could not be dropped.
                Ended::Blocked(sentence) | Ended::Adopted(sentence) => {
                    return Ok(Some(Removed::Blocked(sentence)));
                }
            }
        }
        Ok(None)
    }

    /// Drops the former database of mode `Empty`, in which there was nothing.
    pub(super) async fn drop_unkept(
        &self,
        session: &mut Session,
        claimed: &Claimed,
        state: &RestoreState,
        uid: &str,
    ) -> Result<Ended, ProviderError> {
        match state.row(Purpose::Former, Some(uid)) {
            Some(row) if !row.kept => self.drop_former(session, claimed, state, row).await,
            Some(_) | None => Ok(Ended::Done),
        }
    }

    /// Drops a database that was loaded into, and its login.
    pub(super) async fn drop_scratch(
        &self,
        claimed: &Claimed,
        row: &ScratchRow,
    ) -> Result<Ended, ProviderError> {
        {
            let mut session = self.session().await?;
            // Whatever becomes of the database, nobody acts for its user by a login of ours.
            if let (Some(login), true) = (&row.role_name, row.has_login()) {
                self.lock_login(&mut session, login).await?;
            }
            match self
                .drop_noted(&mut session, claimed.names(), Some(claimed), row)
                .await?
            {
                Ended::Done => {}
                ended @ (Ended::Blocked(_) | Ended::ChangedHands(_) | Ended::Adopted(_)) => {
                    return Ok(ended);
                }
            }
        }
        self.drop_login(claimed.names(), row).await
    }

    async fn drop_former(
        &self,
        session: &mut Session,
        claimed: &Claimed,
        state: &RestoreState,
        row: &ScratchRow,
    ) -> Result<Ended, ProviderError> {
        let database = &row.database_name;
        let Some(claim) = &state.claim else {
            return Ok(Ended::ChangedHands(claimed.missing()));
        };
        if row.adopted && !claim.drop_adopted && row.found.is_some() {
            return Ok(Ended::Adopted(format!(
                "the former database {database:?} was adopted without permission to drop it, and stays on the server: the \
                 platform team runs DROP DATABASE {}",
                quoted(database)
            )));
        }
        match self
            .drop_noted(session, claimed.names(), Some(claimed), row)
            .await?
        {
            Ended::Done => {}
            ended @ (Ended::Blocked(_) | Ended::ChangedHands(_) | Ended::Adopted(_)) => {
                return Ok(ended);
            }
        }
        let forget = sqlx::query(FORGET_FORMER).bind(database);
        session
            .execute("note that a database is gone", forget)
            .await?;
        forget_row(session, row).await?;
        Ok(Ended::Done)
    }

    /// Drops the database of a row if it is the noted one. It is taken first, in the transaction with the checks: from then
    /// on nobody but the administrator and superusers can rename it, so the DROP, which cannot run in a transaction, meets
    /// the same one. `names` are those of its user, and of what it is beside.
    pub(super) async fn drop_noted(
        &self,
        session: &mut Session,
        names: &Names,
        claimed: Option<&Claimed>,
        row: &ScratchRow,
    ) -> Result<Ended, ProviderError> {
        let Some(found) = &row.found else {
            let begun = row.database_id.is_none() && row.database_mark.is_some();
            if begun && self.someone_creates(session).await? {
                let sentence = format!("the database {:?} is still being made", row.database_name);
                return Ok(Ended::Blocked(sentence));
            }
            return Ok(Ended::Done);
        };
        if !row.is_there() {
            // Ours was never made: someone else's has the name, and is left alone.
            if row.database_id.is_none() {
                return Ok(Ended::Done);
            }
            return Ok(Ended::ChangedHands(not_noted(&row.database_name)));
        }
        let database = row.database()?;
        let databases = [(database.as_str(), found.id.as_str())];
        let checks = Checks {
            claimed,
            databases: &databases,
        };
        let version = session.version();
        let mut statements = take(&database.postgresql(), found, version);
        if found.connections != -2 {
            // Its owner could set that while it was open, and a template is not dropped.
            statements.push(format!(
                "ALTER DATABASE {} IS_TEMPLATE false",
                database.postgresql()
            ));
        }
        let doing = format!("take the database {database:?}");
        match self.checked(session, &doing, checks, statements).await? {
            Checked::Done => {}
            Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                return Ok(Ended::ChangedHands(sentence));
            }
            Checked::Failed(failure) => {
                let administrator = &self.config.username;
                return Err(failure.needing(|| permit(&found.owner, administrator, version)));
            }
        }
        self.end_sessions(session, Some(database.as_str()), None, Ending::Awaited)
            .await?;
        let names = beside(&database, names);
        let catalog = self.read_catalog(session, &names).await?;
        let Some(found) = catalog.database() else {
            return Ok(Ended::Done);
        };
        Ok(match self.drop_database(session, &names, found).await? {
            None | Some(Removed::Done) => Ended::Done,
            Some(Removed::Blocked(sentence) | Removed::LeftOver(sentence)) => {
                Ended::Blocked(sentence)
            }
        })
    }

    /// Whether a database may appear whose CREATE DATABASE lost its connection: the server goes on with it.
    async fn someone_creates(&self, session: &mut Session) -> Result<bool, ProviderError> {
        let query = sqlx::query(CREATES);
        match session
            .row("look whether a database is being made", query)
            .await?
        {
            Some(row) => column(&row, "creates"),
            None => Ok(false),
        }
    }
}

/// Deletes the row of something that is gone.
pub(super) async fn forget_row(
    session: &mut Session,
    row: &ScratchRow,
) -> Result<(), ProviderError> {
    let query = sqlx::query(FORGET).bind(&row.database_name);
    session
        .execute("note that what a restore made is gone", query)
        .await?;
    Ok(())
}
