//! Sessions of others: listed, ended, and named if they do not go.

use std::time::{Duration, Instant};

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
    let deadline = Instant::now() + end_within;
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
    let by_procedure = profile.kills_by_procedure && !profile.held.may_kill(&profile.dialect);
    let each: Vec<String> = processes
        .iter()
        .map(|process| {
            if by_procedure {
                format!("CALL mysql.rds_kill({})", process.id)
            } else {
                format!("KILL {}", process.id)
            }
        })
        .collect();
    some(&each, "; ")
}

/// Sessions, each with its age and the state that it is in.
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
                seconds,
                ..
            } = process;
            let state = if state.is_empty() {
                String::new()
            } else {
                format!(", {state:?}")
            };
            let transaction = open
                .iter()
                .find(|t| t.session == Some(*id))
                .map_or_else(String::new, |t| {
                    format!(", in a transaction for {} s", t.seconds)
                });
            format!("{id} of {user}@{host} ({command} for {seconds} s{state}{transaction})")
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
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        assert_eq!(some(&all, ", "), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&all[..2], ", "), "0, 1");
    }
}
