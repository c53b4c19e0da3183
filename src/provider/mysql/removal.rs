//! Taking away: lock out, end sessions, drop, and name what is in the way.

use std::time::{Duration, Instant};

use super::super::ident::mysql_identifier;
use super::super::{ProviderError, Removal, Removed, SqlName};
use super::catalog::{self, ANY_HOST, Which};
use super::contact::Contact;
use super::ensure::{account_of, revoke_all, revoke_parts};
use super::facts::{self, Fit};
use super::obstacles::{self, some};
use super::session::{Failure, Session};
use super::{error, fence};

/// How often a session that was ended is looked for.
const POLL: Duration = Duration::from_millis(20);

/// Takes away what `removal` says. `patience` is how long sessions may take to end.
pub(super) async fn remove(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
    patience: Duration,
) -> Result<Removed, ProviderError> {
    let obstacle = go_on(session, contact, removal, patience).await?;
    Ok(obstacle.map_or(Removed::Done, Removed::Blocked))
}

/// Goes as far as it can, and says what is in the way then.
async fn go_on(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
    patience: Duration,
) -> Result<Option<String>, ProviderError> {
    let names = &removal.names;
    let accounts = catalog::accounts(session, &contact.dialect, Some(&names.role)).await?;
    let account = accounts.iter().find(|account| account.host == ANY_HOST);
    if removal.role
        && account.is_some_and(|account| !account.locked)
        && let Some(obstacle) = lock_out(session, contact, removal, patience).await?
    {
        return Ok(Some(obstacle));
    }
    if removal.database
        && let Some(obstacle) = drop_events(session, contact, &names.database).await?
    {
        return Ok(Some(obstacle));
    }
    if account.is_some() && (removal.role || removal.database) {
        // Without the role's end only its sessions in the database have to go.
        let within = (!removal.role).then_some(&names.database);
        if let Some(obstacle) =
            end_sessions(session, contact, &names.role, within, patience).await?
        {
            return Ok(Some(obstacle));
        }
    }
    if removal.database
        && let Some(obstacle) = drop_database(session, contact, removal).await?
    {
        return Ok(Some(obstacle));
    }
    if removal.role && account.is_some() {
        return drop_user(session, contact, removal).await;
    }
    Ok(None)
}

/// Keeps the user from logging in. Where a session of its own holds that up, that is ended first.
async fn lock_out(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
    patience: Duration,
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
    let lingering = end_sessions(session, contact, user, None, patience).await?;
    match session.run(doing, lock).await {
        Ok(_) => Ok(lingering),
        Err(failure) if failure.number == Some(error::LOCK_TIMEOUT) => {
            let what = format!("the account of user {user}");
            let schema = &removal.names.database;
            Ok(Some(
                obstacles::in_the_way(session, contact, &what, schema).await?,
            ))
        }
        Err(failure) => Err(failure.error),
    }
}

/// Drops the events of the schema: they go on although their definer is locked out, in a session of it each time.
async fn drop_events(
    session: &mut Session,
    contact: &Contact,
    schema: &SqlName,
) -> Result<Option<String>, ProviderError> {
    for event in catalog::events(session, schema).await? {
        let drop = format!("DROP EVENT {}.{}", schema.mysql(), mysql_identifier(&event));
        match within(session, schema, "dropping an event", drop).await {
            Ok(_) => {}
            Err(failure) if failure.number == Some(error::NO_EVENT) => {}
            Err(failure) => return refused(session, contact, schema, failure).await.map(Some),
        }
    }
    Ok(None)
}

/// Ends the user's sessions and waits until they are gone.
async fn end_sessions(
    session: &mut Session,
    contact: &Contact,
    user: &SqlName,
    within: Option<&SqlName>,
    patience: Duration,
) -> Result<Option<String>, ProviderError> {
    let deadline = Instant::now() + patience;
    loop {
        let mut living = obstacles::processes(session).await?;
        living.retain(|process| {
            process.user == user.as_str()
                && within.is_none_or(|schema| process.schema == schema.as_str())
        });
        if living.is_empty() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(
                obstacles::lingering(session, contact, user, &living).await,
            ));
        }
        for process in &living {
            fence::kill(session, process.id, contact.kills_by_procedure).await?;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Drops the schema and the privileges on it, which the server would keep for the next schema of that name.
async fn drop_database(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
) -> Result<Option<String>, ProviderError> {
    let names = &removal.names;
    let schema = &names.database;
    if !catalog::schemas(session, Some(schema)).await?.is_empty() {
        if let Some(obstacle) = referenced(session, schema).await? {
            return Ok(Some(obstacle));
        }
        let drop = format!("DROP DATABASE {}", schema.mysql());
        match within(session, schema, "dropping the database", drop).await {
            Ok(_) => {}
            Err(failure) if failure.number == Some(error::SCHEMA_GONE) => {}
            Err(failure) => return refused(session, contact, schema, failure).await.map(Some),
        }
    }
    let concerning = Which::Concerning(schema, &names.role);
    for grant in catalog::grants(session, &contact.dialect, &[], concerning).await? {
        if facts::fit(&contact.dialect, &grant, schema) == Fit::Exact {
            revoke_all(session, &contact.dialect, &grant).await?;
        }
    }
    revoke_parts(session, &contact.dialect, schema).await?;
    Ok(None)
}

/// Runs a statement on a schema, also on one that its owner made read-only, which only MySQL lets anybody do.
async fn within(
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

/// What is said where the server does not do something about a schema that is to go. Whatever is in it is its owner's, so
/// it says nothing of the server.
async fn refused(
    session: &mut Session,
    contact: &Contact,
    schema: &SqlName,
    failure: Failure,
) -> Result<String, ProviderError> {
    if failure.number == Some(error::LOCK_TIMEOUT) {
        let what = format!("database {schema}");
        return obstacles::in_the_way(session, contact, &what, schema).await;
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

/// Foreign keys elsewhere would stop the server after it dropped a part of the tables.
async fn referenced(
    session: &mut Session,
    schema: &SqlName,
) -> Result<Option<String>, ProviderError> {
    let references = obstacles::references(session, schema)
        .await
        .map_err(|error| error.in_database(schema.as_str()))?;
    if references.is_empty() {
        return Ok(None);
    }
    let statements: Vec<String> = references
        .iter()
        .map(|reference| {
            format!(
                "ALTER TABLE {}.{} DROP FOREIGN KEY {}",
                mysql_identifier(&reference.schema),
                mysql_identifier(&reference.table),
                mysql_identifier(&reference.constraint)
            )
        })
        .collect();
    Ok(Some(format!(
        "tables of other databases refer to database {schema} by foreign keys; run: {}",
        some(&statements, "; ")
    )))
}

/// Drops the account, unless something elsewhere would no longer work without it.
async fn drop_user(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
) -> Result<Option<String>, ProviderError> {
    let user = &removal.names.role;
    let left = definitions(session, user)
        .await
        // What there is to look through is the databases' own.
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
                obstacles::in_the_way(session, contact, &what, schema)
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

/// The statements that drop the views, routines, triggers and events that run as the user. Those of its own database are
/// gone when it is asked.
async fn definitions(session: &mut Session, user: &SqlName) -> Result<Vec<String>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(kind USING utf8mb4) AS kind, CONVERT(of_schema USING utf8mb4) AS of_schema, \
         CONVERT(name USING utf8mb4) AS name, definer FROM (\
         SELECT 'VIEW' AS kind, TABLE_SCHEMA AS of_schema, TABLE_NAME AS name, DEFINER AS definer \
         FROM information_schema.VIEWS UNION ALL \
         SELECT ROUTINE_TYPE, ROUTINE_SCHEMA, ROUTINE_NAME, DEFINER FROM information_schema.ROUTINES UNION ALL \
         SELECT 'TRIGGER', TRIGGER_SCHEMA, TRIGGER_NAME, DEFINER FROM information_schema.TRIGGERS UNION ALL \
         SELECT 'EVENT', EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS) AS defined \
         WHERE definer = ?";
    let definer = format!("{user}@{ANY_HOST}");
    let rows = session
        .rows(
            "looking for what the user defined",
            sqlx::query(SQL).bind(definer.clone()),
        )
        .await?;
    let mut found = Vec::new();
    for row in &rows {
        if row.text("definer")? == definer {
            found.push(format!(
                "DROP {} {}.{}",
                row.text("kind")?,
                mysql_identifier(&row.text("of_schema")?),
                mysql_identifier(&row.text("name")?)
            ));
        }
    }
    Ok(found)
}
