//! Removes a database and its user: locks out, ends sessions, drops, and names what is in the way.

use std::time::Duration;

use super::catalog::{self, ANY_HOST, Which};
use super::connect::ServerProfile;
use super::dependents::{definitions, referenced};
use super::error::{self, Failure};
use super::facts::{self, Fit};
use super::grants::{account_of, revoke_all, revoke_parts};
use super::locks;
use super::restore_tables;
use super::session::Session;
use super::sessions::{end_sessions, some};
use crate::provider::ident::mysql_identifier;
use crate::provider::{ProviderError, Removal, Removed, SqlName};

/// Removes what `removal` says. `end_within` is how long sessions may take to end.
pub(super) async fn remove(
    session: &mut Session,
    profile: &ServerProfile,
    removal: &Removal,
    end_within: Duration,
) -> Result<Removed, ProviderError> {
    let blocked = proceed(session, profile, removal, end_within).await?;
    if blocked.is_none() && (removal.database || removal.role) {
        // Nobody is left to be let in again after a load.
        restore_tables::forget_row(session, &removal.names.database).await?;
    }
    Ok(blocked.map_or(Removed::Done, Removed::Blocked))
}

/// Goes as far as it can, and says what is in the way if that is not everything.
async fn proceed(
    session: &mut Session,
    profile: &ServerProfile,
    removal: &Removal,
    end_within: Duration,
) -> Result<Option<String>, ProviderError> {
    let names = &removal.names;
    let accounts = catalog::accounts(session, &profile.dialect, Some(&names.role)).await?;
    let account = accounts.iter().find(|account| account.host == ANY_HOST);
    if removal.role
        && account.is_some_and(|account| !account.locked)
        && let Some(blocked) = lock_out(session, profile, removal, end_within).await?
    {
        return Ok(Some(blocked));
    }
    if removal.database
        && let Some(blocked) = drop_events(session, profile, &names.database).await?
    {
        return Ok(Some(blocked));
    }
    if account.is_some() && (removal.role || removal.database) {
        // If the role stays, only its sessions in the database have to go.
        let within = (!removal.role).then_some(&names.database);
        if let Some(blocked) =
            end_sessions(session, profile, &names.role, within, end_within).await?
        {
            return Ok(Some(blocked));
        }
    }
    if removal.database
        && let Some(blocked) = drop_database(session, profile, removal).await?
    {
        return Ok(Some(blocked));
    }
    if removal.role && account.is_some() {
        return drop_user(session, profile, removal).await;
    }
    Ok(None)
}

/// Keeps the user from logging in. If one of its own sessions holds that up, its sessions are ended first.
async fn lock_out(
    session: &mut Session,
    profile: &ServerProfile,
    removal: &Removal,
    end_within: Duration,
) -> Result<Option<String>, ProviderError> {
    let user = &removal.names.role;
    let lock = format!("ALTER USER {} ACCOUNT LOCK", account_of(user));
    let doing = "locking the user out";
    let Err(failure) = session.run(doing, lock.clone()).await else {
        return Ok(None);
    };
    match failure.number {
        Some(error::CANNOT_USER) => return Ok(None),
        Some(error::LOCK_TIMEOUT) => {}
        Some(_) | None => return Err(failure.error),
    }
    let lingering = end_sessions(session, profile, user, None, end_within).await?;
    match session.run(doing, lock).await {
        Ok(_) => Ok(lingering),
        Err(failure) if failure.number == Some(error::LOCK_TIMEOUT) => {
            let what = format!("the account of user {user}");
            let schema = &removal.names.database;
            Ok(Some(locks::holders(session, profile, &what, schema).await?))
        }
        Err(failure) => Err(failure.error),
    }
}

/// Drops the events of the schema. They would go on although their definer is locked out, each time in a session of it.
pub(super) async fn drop_events(
    session: &mut Session,
    profile: &ServerProfile,
    schema: &SqlName,
) -> Result<Option<String>, ProviderError> {
    for event in catalog::events(session, schema).await? {
        let drop = format!("DROP EVENT {}.{}", schema.mysql(), mysql_identifier(&event));
        match run_in_schema(session, schema, "dropping an event", drop).await {
            Ok(_) => {}
            Err(failure) if failure.number == Some(error::NO_EVENT) => {}
            Err(failure) => return refused(session, profile, schema, failure).await.map(Some),
        }
    }
    Ok(None)
}

/// Drops the schema, and the privileges on it, which the server would keep for the next schema of that name.
async fn drop_database(
    session: &mut Session,
    profile: &ServerProfile,
    removal: &Removal,
) -> Result<Option<String>, ProviderError> {
    let names = &removal.names;
    let schema = &names.database;
    if !catalog::schemas(session, &profile.dialect, Some(schema))
        .await?
        .is_empty()
    {
        if let Some(blocked) = referenced(session, schema).await? {
            return Ok(Some(blocked));
        }
        let drop = format!("DROP DATABASE {}", schema.mysql());
        match run_in_schema(session, schema, "dropping the database", drop).await {
            Ok(_) => {}
            Err(failure) if failure.number == Some(error::SCHEMA_GONE) => {}
            Err(failure) => return refused(session, profile, schema, failure).await.map(Some),
        }
    }
    let concerning = Which::Concerning(schema, &names.role);
    for grant in catalog::grants(session, &profile.dialect, &[], concerning).await? {
        if facts::fit(&profile.dialect, &grant, schema) == Fit::Exact {
            revoke_all(session, &profile.dialect, &grant).await?;
        }
    }
    revoke_parts(session, &profile.dialect, schema).await?;
    Ok(None)
}

/// Runs a statement on a schema, even on one that its owner made read-only, which only MySQL allows.
pub(super) async fn run_in_schema(
    session: &mut Session,
    schema: &SqlName,
    doing: &str,
    sql: String,
) -> Result<u64, Failure> {
    match session.run(doing, sql.clone()).await {
        Err(failure) if failure.number == Some(error::SCHEMA_READ_ONLY) => {
            let writable = format!("ALTER DATABASE {} READ ONLY = 0", schema.mysql());
            session
                .run("making the database writable", writable)
                .await?;
            session.run(doing, sql).await
        }
        other => other,
    }
}

/// Describes why the server does not do something in a schema that is removed. What is in it belongs to its owner, so
/// the failure says nothing about the server.
async fn refused(
    session: &mut Session,
    profile: &ServerProfile,
    schema: &SqlName,
    failure: Failure,
) -> Result<String, ProviderError> {
    if failure.number == Some(error::LOCK_TIMEOUT) {
        let what = format!("database {schema}");
        return locks::holders(session, profile, &what, schema).await;
    }
    match failure.error {
        ProviderError::Timeout { doing, limit } => Ok(format!(
            "{doing} {schema} took longer than {limit:?}; the server may go on with it, and it is tried again"
        )),
        ProviderError::Unexpected { doing, detail } => Ok(format!(
            "{doing} {schema} failed: {detail}; it is tried again"
        )),
        other => Err(other),
    }
}

/// Drops the account, unless something elsewhere would stop working without it.
async fn drop_user(
    session: &mut Session,
    profile: &ServerProfile,
    removal: &Removal,
) -> Result<Option<String>, ProviderError> {
    let user = &removal.names.role;
    let left = definitions(session, user)
        .await
        // What has to be searched belongs to the databases.
        .map_err(|error| error.in_database(removal.names.database.as_str()))?;
    if !left.is_empty() {
        return Ok(Some(format!(
            "user {user} is the definer of what stands in other databases and would no longer work; make it anew with \
             another DEFINER, or run: {}",
            some(&left, "; ")
        )));
    }
    let drop = format!("DROP USER {}", account_of(user));
    match session.run("dropping the user", drop).await {
        Ok(_) => Ok(None),
        Err(failure) => match (failure.number, failure.error) {
            (Some(error::CANNOT_USER), _) => Ok(None),
            (Some(error::LOCK_TIMEOUT), _) => {
                let what = format!("the account of user {user}");
                let schema = &removal.names.database;
                locks::holders(session, profile, &what, schema)
                    .await
                    .map(Some)
            }
            // A mandatory role, say.
            (Some(_), ProviderError::Unexpected { detail, .. }) => Ok(Some(format!(
                "user {user} is locked out, and the server does not drop it: {detail}"
            ))),
            (_, other) => Err(other),
        },
    }
}
