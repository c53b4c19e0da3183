//! Sessions of others: listed, ended, and named if they do not go.

use std::time::{Duration, Instant};

use super::catalog::ANY_HOST;
use super::connect::ServerProfile;
use super::error;
use super::session::Session;
use super::transactions::{Transaction, transactions};
use crate::provider::{ProviderError, SqlName};

/// The most of each kind that are named.
const NAMED: usize = 5;

/// How long to wait before looking again for a session that was ended.
const POLL: Duration = Duration::from_millis(20);

/// A line of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: i64,
    pub(super) user: String,
    pub(super) host: String,
    pub(super) schema: String,
    pub(super) command: String,
    /// What it does, or waits for.
    pub(super) state: String,
    /// How long it has been doing that.
    pub(super) seconds: i64,
}

impl Process {
    /// Whether an event runs in it: the server then gives the host of its definer, where others have an address or a name.
    fn is_event(&self) -> bool {
        self.host == ANY_HOST
    }

    /// Without whose it is and what it does: a session outside a tenant's schema may be another tenant's.
    pub(super) fn anonymous(self) -> Self {
        Self {
            user: String::new(),
            host: String::new(),
            state: String::new(),
            ..self
        }
    }
}

/// Whether a state of the process list is that of a session which waits for another one's lock.
pub(super) fn is_lock_wait(state: &str) -> bool {
    state.starts_with("Waiting for ") && (state.contains("lock") || state.contains("flush"))
}

/// Lists every session that the administrator sees.
pub(super) async fn processes(session: &mut Session) -> Result<Vec<Process>, ProviderError> {
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
                state: row.text("State")?,
                seconds: row.number("Time")?,
            })
        })
        .collect()
}

/// Ends the user's sessions and waits until they are gone. Describes those that do not go.
pub(super) async fn end_sessions(
    session: &mut Session,
    profile: &ServerProfile,
    user: &SqlName,
    within: Option<&SqlName>,
    end_within: Duration,
) -> Result<Option<String>, ProviderError> {
    let is_within =
        |process: &Process| within.is_none_or(|schema| process.schema == schema.as_str());
    end_those(session, profile, user, is_within, end_within).await
}

/// Ends the sessions in which somebody logged in as the user, like [`end_sessions`]. Its events go on.
pub(super) async fn end_logins(
    session: &mut Session,
    profile: &ServerProfile,
    user: &SqlName,
    end_within: Duration,
) -> Result<Option<String>, ProviderError> {
    let is_login = |process: &Process| !process.is_event();
    end_those(session, profile, user, is_login, end_within).await
}

async fn end_those(
    session: &mut Session,
    profile: &ServerProfile,
    user: &SqlName,
    is_meant: impl Fn(&Process) -> bool,
    end_within: Duration,
) -> Result<Option<String>, ProviderError> {
    let deadline = Instant::now() + end_within;
    loop {
        let mut living = processes(session).await?;
        living.retain(|process| process.user == user.as_str() && is_meant(process));
        if living.is_empty() {
            return Ok(None);
        }
        if Instant::now() >= deadline {
            return Ok(Some(lingering(session, profile, user, &living).await));
        }
        for process in &living {
            end_session(session, process.id, profile.kills_by_procedure).await?;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Ends the session with this connection id. It may be gone already.
pub(super) async fn end_session(
    session: &mut Session,
    id: i64,
    by_procedure: bool,
) -> Result<(), ProviderError> {
    let doing = "ending a session of another user";
    let outcome = session.run(doing, format!("KILL CONNECTION {id}")).await;
    let outcome = match outcome {
        Err(failure) if failure.number == Some(error::KILL_DENIED) && by_procedure => {
            session
                .run(doing, format!("CALL mysql.rds_kill({id})"))
                .await
        }
        other => other,
    };
    match outcome {
        Err(failure) if failure.number != Some(error::NO_SESSION) => Err(failure.error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Describes sessions of a user that were ended and do not go.
pub(super) async fn lingering(
    session: &mut Session,
    profile: &ServerProfile,
    user: &SqlName,
    living: &[Process],
) -> String {
    let open = transactions(session).await.unwrap_or_default();
    format!(
        "sessions of user {user} were ended and are still there: {}; they roll back what they did, or hang, and it is \
         tried again; to end one by hand, run: {}",
        named(living, &open),
        kill_statements(profile, living)
    )
}

/// The statements that end sessions, in the form that works on this server.
pub(super) fn kill_statements(profile: &ServerProfile, processes: &[Process]) -> String {
    let each: Vec<String> = processes
        .iter()
        .map(|process| kill_statement(profile, process.id))
        .collect();
    some(&each, "; ")
}

/// The statement that ends a session, in the form that works on this server.
pub(super) fn kill_statement(profile: &ServerProfile, id: i64) -> String {
    if profile.kills_by_procedure && !profile.held.may_kill(&profile.dialect) {
        format!("CALL mysql.rds_kill({id})")
    } else {
        format!("KILL {id}")
    }
}

/// Sessions, each with the transaction that it has open, or else with what it does; whose it is, where that may be told. For how
/// long is not said, which would be something else each time.
pub(super) fn named(processes: &[Process], open: &[Transaction]) -> String {
    let each: Vec<String> = processes
        .iter()
        .map(|process| {
            let Process {
                id,
                user,
                host,
                command,
                state,
                ..
            } = process;
            let transaction = open.iter().find(|t| t.session == Some(*id));
            let doing = match transaction {
                Some(t) => format!("in a transaction since {}", t.began()),
                None if state.is_empty() => command.clone(),
                None => format!("{command}, {state:?}"),
            };
            let whose = if user.is_empty() {
                String::new()
            } else {
                format!(" of {user}@{host}")
            };
            format!("{id}{whose} ({doing})")
        })
        .collect();
    some(&each, ", ")
}

/// The first few of a list, and how many more there are.
pub(super) fn some(all: &[String], between: &str) -> String {
    let first = all
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join(between);
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_lock_is_told_from_other_waiting() {
        for (state, expected) in [
            ("Waiting for table metadata lock", true),
            ("Waiting for table level lock", true),
            ("Waiting for table flush", true),
            ("Waiting for backup lock", true),
            ("Waiting for next activation", false),
            ("Sending to client", false),
            ("", false),
        ] {
            assert_eq!(is_lock_wait(state), expected, "{state}");
        }
    }

    #[test]
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&all, ", "), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&all[..2], ", "), "0, 1");
    }
}
