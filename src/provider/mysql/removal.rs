//! Taking away: lock out, end sessions, drop, and name what is in the way.

use std::time::{Duration, Instant};

use super::super::{ProviderError, Removal, Removed, SqlName};
use super::catalog::{self, ANY_HOST};
use super::contact::Contact;
use super::ensure::{account_of, revoke_all};
use super::facts::{self, Fit};
use super::session::Session;
use super::{error, fence};

/// How often a session that was ended is looked for.
const POLL: Duration = Duration::from_millis(20);

/// How many of those in the way are named.
const NAMED: usize = 5;

/// Takes away what `removal` says. `patience` is how long sessions may take to end.
pub(super) async fn remove(
    session: &mut Session,
    contact: &Contact,
    removal: &Removal,
    patience: Duration,
) -> Result<Removed, ProviderError> {
    let names = &removal.names;
    let user = &names.role;
    let accounts = catalog::accounts(session, &contact.dialect, Some(user)).await?;
    let account = accounts.iter().find(|account| account.host == ANY_HOST);
    if removal.role && account.is_some_and(|account| !account.locked) {
        let lock = format!("ALTER USER {} ACCOUNT LOCK", account_of(user));
        session.run("locking the user out", lock).await?;
    }
    if account.is_some() && (removal.role || removal.database) {
        // Without the role's end only its sessions in the database have to go.
        let within = (!removal.role).then_some(&names.database);
        if let Some(sentence) = end_sessions(session, contact, user, within, patience).await? {
            return Ok(Removed::Blocked(sentence));
        }
    }
    if removal.database
        && let Some(sentence) = drop_database(session, contact, removal).await?
    {
        return Ok(Removed::Blocked(sentence));
    }
    if removal.role
        && account.is_some()
        && let Some(sentence) = drop_user(session, user).await?
    {
        return Ok(Removed::Blocked(sentence));
    }
    Ok(Removed::Done)
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
        let mut living = processes(session).await?;
        living.retain(|process| {
            process.user == user.as_str()
                && within.is_none_or(|schema| process.schema == schema.as_str())
        });
        if living.is_empty() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(format!(
                "sessions of user {user} were ended and are still there: {}; they roll back what they did, or hang",
                named(&living)
            )));
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
        let drop = format!("DROP DATABASE {}", schema.mysql());
        match session.run("dropping the database", drop).await {
            Ok(_) => {}
            Err(failure) if failure.number == Some(error::SCHEMA_GONE) => {}
            Err(failure) if failure.number == Some(error::LOCK_TIMEOUT) => {
                return Ok(Some(in_the_way(session, contact, schema).await?));
            }
            Err(failure) => return Err(failure.error),
        }
    }
    let read = Some((schema, &names.role));
    for grant in catalog::grants(session, &contact.dialect, &[], read).await? {
        if facts::fit(&contact.dialect, &grant, schema) == Fit::Exact {
            revoke_all(session, &grant).await?;
        }
    }
    Ok(None)
}

/// Which sessions of others keep the database from being dropped.
async fn in_the_way(
    session: &mut Session,
    contact: &Contact,
    schema: &SqlName,
) -> Result<String, ProviderError> {
    let own = connection_id(session).await?;
    let mut others = processes(session).await?;
    others.retain(|process| process.id != own && process.command != "Daemon");
    let holders = lock_holders(session, contact, schema).await;
    let suspects: Vec<Process> = if holders.is_empty() {
        // The server does not say who holds the lock: those who are in the database or in a transaction may.
        let open = transactions(session).await.unwrap_or_default();
        others.retain(|process| process.schema == schema.as_str() || open.contains(&process.id));
        others
    } else {
        others.retain(|process| holders.contains(&process.id));
        others
    };
    let who = if suspects.is_empty() {
        "which, the server does not tell".to_owned()
    } else {
        named(&suspects)
    };
    Ok(format!(
        "database {schema} is locked by other sessions ({who}); it is dropped when they are done, or end them with KILL"
    ))
}

/// Drops the account, unless something elsewhere would no longer work without it.
async fn drop_user(session: &mut Session, user: &SqlName) -> Result<Option<String>, ProviderError> {
    let left = definitions(session, user).await?;
    if !left.is_empty() {
        return Ok(Some(format!(
            "user {user} is the definer of {} in other databases, which would no longer work; drop them or change \
             their DEFINER",
            some(&left)
        )));
    }
    match session
        .run(
            "dropping the user",
            format!("DROP USER {}", account_of(user)),
        )
        .await
    {
        Ok(_) => Ok(None),
        Err(failure) if failure.number == Some(error::CANNOT_USER) => Ok(None),
        Err(failure) => Err(failure.error),
    }
}

/// Views, routines, triggers and events that run as the user. Those of its own database are gone when it is asked.
async fn definitions(session: &mut Session, user: &SqlName) -> Result<Vec<String>, ProviderError> {
    const SQL: &str = "SELECT CONVERT(what USING utf8mb4) AS what, definer FROM (\
         SELECT CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME) AS what, DEFINER AS definer \
         FROM information_schema.VIEWS UNION ALL \
         SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, '.', ROUTINE_NAME), DEFINER \
         FROM information_schema.ROUTINES UNION ALL \
         SELECT CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME), DEFINER \
         FROM information_schema.TRIGGERS UNION ALL \
         SELECT CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME), DEFINER FROM information_schema.EVENTS) AS defined \
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
            found.push(row.text("what")?);
        }
    }
    Ok(found)
}

/// A line of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    id: i64,
    user: String,
    host: String,
    schema: String,
    command: String,
}

async fn processes(session: &mut Session) -> Result<Vec<Process>, ProviderError> {
    let rows = session
        .show("reading the process list", "SHOW PROCESSLIST".to_owned())
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Process {
                id: row.number("Id")?,
                user: row.text("User")?,
                host: row.text("Host")?,
                schema: row.text("db")?,
                command: row.text("Command")?,
            })
        })
        .collect()
}

async fn connection_id(session: &mut Session) -> Result<i64, ProviderError> {
    let query = sqlx::query("SELECT CAST(CONNECTION_ID() AS SIGNED) AS id");
    let rows = session
        .rows("asking for the connection's id", query)
        .await?;
    rows.first().map_or(Ok(0), |row| row.number("id"))
}

/// Who holds a lock in the schema, as far as the server tells.
async fn lock_holders(session: &mut Session, contact: &Contact, schema: &SqlName) -> Vec<i64> {
    let query = sqlx::query(contact.dialect.lock_holders_sql()).bind(schema.as_str().to_owned());
    let rows = session.rows("reading the metadata locks", query).await;
    rows.unwrap_or_default()
        .iter()
        .filter_map(|row| row.number("id").ok())
        .collect()
}

/// The sessions that have a transaction open.
async fn transactions(session: &mut Session) -> Result<Vec<i64>, ProviderError> {
    let query = sqlx::query(
        "SELECT CAST(trx_mysql_thread_id AS SIGNED) AS id FROM information_schema.INNODB_TRX",
    );
    let rows = session.rows("reading the open transactions", query).await?;
    rows.iter().map(|row| row.number("id")).collect()
}

fn named(processes: &[Process]) -> String {
    let each: Vec<String> = processes
        .iter()
        .map(|process| format!("{} of {}@{}", process.id, process.user, process.host))
        .collect();
    some(&each)
}

/// The first few of a list, and how many more there are.
fn some(all: &[String]) -> String {
    let first = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&all), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&all[..2]), "0, 1");
    }
}
