//! Locks the user of a target out for the time of a load, and lets it in again.
//!
//! The load logs in as the database's own user, so that all that it makes belongs to it: with a password for this load
//! alone, which takes the place of the user's own. That is what locks everyone else out, and what the pod knows is worth
//! nothing afterwards.

use super::catalog::{self, ANY_HOST};
use super::checks::Task;
use super::connect::ServerProfile;
use super::error;
use super::grants::account_of;
use super::locks;
use super::remove::drop_events;
use super::restore_tables::{self, Former, ScratchRow, Stage};
use super::role::differences;
use super::rows::Account;
use super::session::Session;
use super::sessions::{end_logins, end_sessions};
use crate::provider::restore::Load;
use crate::provider::{Names, ProviderError, Verifier};

/// Sessions that a load may have at once, whatever the application's limit is: the tool's, the checks', and ones that are
/// about to end.
pub(super) const SESSIONS: u32 = 5;

/// A target with its user.
pub(super) struct Target {
    pub(super) account: Account,
    pub(super) row: Option<ScratchRow>,
    pub(super) stage: Stage,
}

/// Looks at the user of a target, and at how far a load is there. Fails if either is missing.
pub(super) async fn look(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
) -> Result<Target, ProviderError> {
    let database = &load.target.database;
    if catalog::schemas(session, &profile.dialect, Some(database))
        .await?
        .is_empty()
    {
        return Err(ProviderError::InTheWay(format!(
            "the database {database:?} is missing"
        )));
    }
    look_at_user(session, profile, load).await
}

/// Looks at the user alone: of its database nothing may be left.
pub(super) async fn look_at_user(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
) -> Result<Target, ProviderError> {
    let Names { database, role } = &load.target;
    let accounts = catalog::accounts(session, &profile.dialect, Some(role)).await?;
    let account = accounts
        .into_iter()
        .find(|account| account.host == ANY_HOST && !account.is_role)
        .ok_or_else(|| ProviderError::InTheWay(format!("the user {role:?} is missing")))?;
    let row = restore_tables::row(session, database).await?;
    Ok(Target {
        stage: restore_tables::stage(row.as_ref(), &account),
        account,
        row,
    })
}

/// Gives the user this password for a load, and nothing that would end the load. Its sessions go on.
pub(super) async fn lock_out(
    session: &mut Session,
    profile: &ServerProfile,
    account: &Account,
    load: &Load,
    verifier: &Verifier,
) -> Result<(), ProviderError> {
    let user = account_of(&load.target.role);
    let (clauses, _) = differences(&profile.dialect, account, SESSIONS, Some(verifier));
    if !clauses.is_empty() {
        let alter = format!("ALTER USER {user} {}", clauses.join(" "));
        alter_user(session, profile, load, "locking the user out", alter).await?;
    }
    if !profile.dialect.is_mariadb() {
        // Otherwise a password that a rotation retained would still log in.
        let discard = format!("ALTER USER {user} DISCARD OLD PASSWORD");
        alter_user(session, profile, load, "locking the user out", discard).await?;
    }
    Ok(())
}

/// Locks the account itself, so that the load cannot log in any more either.
pub(super) async fn lock_all_out(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
) -> Result<(), ProviderError> {
    let lock = format!("ALTER USER {} ACCOUNT LOCK", account_of(&load.target.role));
    alter_user(session, profile, load, "locking the user out", lock).await
}

/// Gives the user back what it had before it was locked out.
pub(super) async fn let_in(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
    former: &Former,
) -> Result<(), ProviderError> {
    let alter = format!(
        "ALTER USER {} {} WITH MAX_USER_CONNECTIONS {} ACCOUNT UNLOCK",
        account_of(&load.target.role),
        profile
            .dialect
            .identified_again(&former.plugin, &former.hash),
        former.limit.max(0),
    );
    alter_user(session, profile, load, "letting the user in again", alter).await
}

/// Unlocks an account that was locked, and that has another password than a load's by now.
pub(super) async fn unlock(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
    account: &Account,
) -> Result<(), ProviderError> {
    if !account.locked {
        return Ok(());
    }
    let unlock = format!(
        "ALTER USER {} ACCOUNT UNLOCK",
        account_of(&load.target.role)
    );
    alter_user(session, profile, load, "letting the user in again", unlock).await
}

/// Ends the user's sessions, and first the events that would begin ever new ones: all of them come from a load that was
/// broken off. Says what does not end.
pub(super) async fn end_all(
    session: &mut Session,
    task: &Task<'_>,
    has_leftovers: bool,
) -> Result<Option<String>, ProviderError> {
    let Names { database, role } = &task.load.target;
    if has_leftovers && let Some(blocked) = drop_events(session, task.profile, database).await? {
        return Ok(Some(blocked));
    }
    end_sessions(session, task.profile, role, None, task.end_within).await
}

/// Ends the sessions of a load that is done. Events that were loaded go on. Says what does not end.
pub(super) async fn end_load(
    session: &mut Session,
    task: &Task<'_>,
) -> Result<Option<String>, ProviderError> {
    end_logins(
        session,
        task.profile,
        &task.load.target.role,
        task.end_within,
    )
    .await
}

async fn alter_user(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
    doing: &str,
    sql: String,
) -> Result<(), ProviderError> {
    match session.run(doing, sql).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.number == Some(error::LOCK_TIMEOUT) => {
            let Names { database, role } = &load.target;
            let what = format!("the account of user {role}");
            Err(ProviderError::Busy {
                doing: doing.to_owned(),
                detail: locks::holders(session, profile, &what, database).await?,
            })
        }
        Err(failure) => Err(failure.error),
    }
}
