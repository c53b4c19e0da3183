//! The loaded database on the eve of its swap: whether it is what was noted, and how it is closed.

use std::time::{Duration, Instant};

use super::checks::{Checked, Checks, Claimed, not_noted};
use super::grants::permit;
use super::restore_tables::{FoundDatabase, Purpose, RestoreState, ScratchRow};
use super::session::Session;
use super::swap_lock::{give, take};
use super::{Postgresql, quoted};
use crate::provider::ProviderError;
use crate::provider::restore::{Load, Scratch, Swapped};

/// How long the sessions in a database that nobody misses may take to end.
pub(super) const CLOSED_WITHIN: Duration = Duration::from_secs(10);

impl Postgresql {
    /// Takes the loaded database, and locks its login out. Nobody misses either.
    pub(super) async fn close_loaded(
        &self,
        session: &mut Session,
        load: &Load,
        claimed: &Claimed,
        row: &ScratchRow,
        assumable: bool,
    ) -> Result<Option<Swapped>, ProviderError> {
        let (Some(found), Some(id)) = (&row.found, row.database_id.as_deref()) else {
            return Ok(Some(Swapped::ChangedHands(not_noted(&row.database_name))));
        };
        let database = row.database()?;
        let databases = [
            (row.database_name.as_str(), id),
            (load.target.database.as_str(), row.target_id.as_str()),
        ];
        let checks = Checks {
            claimed: Some(claimed),
            databases: &databases,
        };
        let version = session.version();
        let mut statements = take(&database.postgresql(), found, version);
        if let (Some(login), true) = (&row.role_name, row.has_login()) {
            let login = quoted(login);
            statements.push(format!(
                "REVOKE ALL ON DATABASE {} FROM {login}",
                database.postgresql()
            ));
            statements.push(format!("ALTER ROLE {login} NOLOGIN"));
        }
        let doing = format!("close the loaded database {database:?}");
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
        let inside = self
            .end_all_inside(session, &database, &[], deadline)
            .await?;
        if let Some(sentence) = inside {
            return Ok(Some(Swapped::Blocked(sentence)));
        }
        // A prepared transaction has no session, and only its user ends it, or a superuser, from inside.
        let left = self.left_inside(session, database.as_str()).await?;
        if left.is_empty() {
            return Ok(None);
        }
        let role = &load.target.role;
        let mut open = vec![format!(
            "ALTER DATABASE {} ALLOW_CONNECTIONS true",
            database.postgresql()
        )];
        open.extend(give(&database.postgresql(), role, assumable, version));
        let doing = format!("open the loaded database {database:?} again");
        Ok(Some(
            match self.checked(session, &doing, checks, open).await? {
                Checked::Done => Swapped::Blocked(left.join("; ")),
                Checked::ChangedHands(sentence) | Checked::Taken(sentence) => {
                    Swapped::ChangedHands(sentence)
                }
                Checked::Failed(failure) => {
                    let administrator = &self.config.username;
                    return Err(failure.needing(|| permit(role.as_str(), administrator, version)));
                }
            },
        ))
    }
}

/// The row of the loaded database, if all is as it was noted.
pub(super) fn loaded<'a>(
    load: &Load,
    claimed: &Claimed,
    scratch: &Scratch,
    state: &'a RestoreState,
) -> Result<&'a ScratchRow, String> {
    if state.claim.is_none() {
        return Err(claimed.missing());
    }
    let row = state
        .row(Purpose::Load, Some(&load.restore.uid))
        .filter(|row| {
            row.database_name == scratch.database.as_str()
                && row.role_name.as_deref() == Some(scratch.login.as_str())
        });
    let Some(row) = row.filter(|row| row.database_id.is_some() && row.is_there()) else {
        return Err(not_noted(scratch.database.as_str()));
    };
    let is_target = |target: &FoundDatabase| target.id == row.target_id;
    if state.target.as_ref().is_some_and(is_target) {
        Ok(row)
    } else {
        Err(not_noted(load.target.database.as_str()))
    }
}
