//! The part of the acts `Create` and `Maintain` that logs in with the Secret.

use std::sync::Arc;

use kube::runtime::events::EventType;
use secrecy::SecretString;

use super::blocked::Blocked;
use super::pass::Pass;
use crate::api::DatabaseReason;
use crate::controller::Error;
use crate::credentials::{self, Stored};
use crate::provider::{Desired, Extent, Inside, Login, Probe, ProviderError, SqlName};
use crate::server::{Server, ServerError};

/// Whether the pass logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It does: something has changed, or was asked for.
    Asked,
    /// It does, because it is time to. If no connection is left for that, the next resync tries again.
    Routine,
    /// It does not.
    None,
}

/// Whether a pass logs in: something was `asked` for or changed, or a login is `due` as it is at each resync.
pub(super) const fn need(asked: bool, due: bool) -> Need {
    match (asked, due) {
        (true, _) => Need::Asked,
        (false, true) => Need::Routine,
        (false, false) => Need::None,
    }
}

/// What a login that worked has shown.
#[derive(Default)]
pub(super) struct LoggedIn {
    /// The password was set before.
    pub reset: bool,
    /// What the user sees inside, if it could look.
    pub inside: Option<Inside>,
}

/// Logs in, and looks at what `extent` says in the same session; without one, the database was made just now. `CREATED` is
/// said only of a Secret that a login worked with. A password that the server does not have is set once, and so is one whose
/// user wrong passwords have blocked, which unblocks it.
pub(super) async fn log_in(
    pass: &Pass<'_>,
    server: &Arc<Server>,
    desired: &Desired,
    stored: &Stored,
    need: Need,
    extent: Option<Extent>,
) -> Result<LoggedIn, Blocked> {
    if need == Need::None {
        return Ok(LoggedIn::default());
    }
    let mut answer = match probe(server, desired, &stored.password, extent).await {
        Err(blocked) if need == Need::Routine && had_no_connection(&blocked) => {
            return Ok(LoggedIn::default());
        }
        answer => answer?,
    };
    let names = &desired.names;
    let mended = what_a_password_mends(&answer.login, &names.role);
    let reset = mended.is_some();
    if let Some((reason, note)) = mended {
        let verifier = credentials::verifier(server, &stored.password).await;
        let set = server.ask("ensure_role", |provider| {
            provider.ensure_role(desired, Some(&verifier))
        });
        // The server has just refused what the Secret says: whatever keeps that from being mended, nobody can log in.
        set.await.map_err(|error| Blocked {
            breaks: true,
            ..Blocked::from(error)
        })?;
        server.note_password(&names.role, Some(&verifier));
        answer = probe(server, desired, &stored.password, extent).await?;
        if let Login::Accepted | Login::AtConnectionLimit = answer.login {
            pass.record_event(EventType::Normal, reason, note).await;
        }
    }
    match answer.login {
        Login::Accepted | Login::AtConnectionLimit => Ok(LoggedIn {
            reset,
            inside: answer.inside,
        }),
        // Trying again does not change it.
        Login::Unusable(detail) => Err(Blocked::new(
            DatabaseReason::PasswordUnusable,
            format!("the password in the Secret cannot be used: {detail}"),
        )),
        Login::Refused(detail)
        | Login::Blocked(detail)
        | Login::Barred(detail)
        | Login::NoDatabase(detail)
        | Login::Ended(detail) => Err(Blocked::retried(
            DatabaseReason::LoginFailed,
            format!("logging in as {} does not work: {detail}", names.role),
            Error::LoginFailed {
                user: names.role.to_string(),
            },
        )),
    }
}

/// What is said once the password was set, where that helps against how the login went. Nothing is written where it does not.
fn what_a_password_mends(login: &Login, user: &SqlName) -> Option<(&'static str, String)> {
    match login {
        Login::Refused(_) => Some((
            "PasswordSet",
            format!("the password of user {user} follows the Secret"),
        )),
        Login::Blocked(detail) => Some((
            "Repaired",
            format!(
                "wrong passwords had blocked the user {user}, which may log in again; the server had said: {detail}"
            ),
        )),
        Login::Accepted
        | Login::AtConnectionLimit
        | Login::Barred(_)
        | Login::NoDatabase(_)
        | Login::Ended(_)
        | Login::Unusable(_) => None,
    }
}

async fn probe(
    server: &Arc<Server>,
    desired: &Desired,
    password: &SecretString,
    extent: Option<Extent>,
) -> Result<Probe, Blocked> {
    let mut answer = ask(server, desired, password, extent).await;
    if answer.as_ref().is_err_and(is_silence) {
        // A server that answers nobody is its instance's matter. And one packet that was lost makes no database unusable.
        server.observe(&desired.names, None).await?;
        answer = ask(server, desired, password, extent).await;
    }
    answer.map_err(|error| match met_by_every_login(&error) {
        Some(said) => Blocked::retried(
            DatabaseReason::LoginFailed,
            format!("logging in as {} does not work: {said}", desired.names.role),
            error,
        ),
        None => error.into(),
    })
}

async fn ask(
    server: &Arc<Server>,
    desired: &Desired,
    password: &SecretString,
    extent: Option<Extent>,
) -> Result<Probe, ServerError> {
    let names = &desired.names;
    let Some(extent) = extent else {
        let login = server.ask("login", |provider| provider.login(names, password));
        return login.await.map(Probe::from);
    };
    server
        .ask("login", |provider| {
            provider.probe(desired, password, extent)
        })
        .await
}

/// What went wrong with a session of this user, of a server that is not known to be down.
fn of_user(error: &ServerError) -> Option<&ProviderError> {
    match error.provider()? {
        ProviderError::InDatabase { source, .. } => Some(source),
        _ => None,
    }
}

/// Whether a login got no answer, or was cut off: the user may have to wait for a lock that its own sessions hold, or because
/// others tried wrong passwords.
fn is_silence(error: &ServerError) -> bool {
    matches!(
        of_user(error),
        Some(ProviderError::Unreachable { .. } | ProviderError::Timeout { .. })
    )
}

/// What every login of this user meets, whatever the password: such as a library of the database's settings that cannot be
/// loaded, or silence, again, where the server has answered somebody else meanwhile. Having no connection left is none of it.
fn met_by_every_login(error: &ServerError) -> Option<String> {
    match of_user(error)? {
        ProviderError::Unexpected { detail, .. } | ProviderError::Unreachable { detail, .. } => {
            Some(detail.clone())
        }
        ProviderError::Timeout { limit, .. } => Some(format!("no answer within {limit:?}")),
        _ => None,
    }
}

/// Whether there was no connection left for a login, which says nothing about whether it works.
fn had_no_connection(blocked: &Blocked) -> bool {
    let Some(Error::Server(error)) = blocked.retry.as_deref() else {
        return false;
    };
    matches!(
        error.provider().map(ProviderError::cause),
        Some(ProviderError::AllInUse { .. } | ProviderError::TooManyConnections { .. })
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::provider::{MysqlSettings, Names, PostgresqlSettings};
    use crate::server::fakes;

    fn failed(source: ProviderError) -> ServerError {
        ServerError::Failed {
            instance: "main".to_owned(),
            source,
        }
    }

    #[test]
    fn what_every_login_meets_is_told_from_what_the_server_does_to_all() {
        let unexpected = ProviderError::Unexpected {
            doing: "connect".to_owned(),
            detail: "could not access file \"nope\"".to_owned(),
        };
        let limit = Duration::from_secs(10);
        let late = ProviderError::Timeout {
            doing: "logging in as orders".to_owned(),
            limit,
        };
        let cut_off = ProviderError::Unreachable {
            server: "host:1".to_owned(),
            detail: "no answer to connect".to_owned(),
        };
        for (error, silent, said) in [
            (unexpected, false, "could not access file \"nope\""),
            (late, true, "no answer within 10s"),
            (cut_off, true, "no answer to connect"),
        ] {
            let inside = failed(error.clone().in_database("orders"));
            assert_eq!(met_by_every_login(&inside).as_deref(), Some(said));
            assert_eq!(is_silence(&inside), silent, "{inside}");
            let outside = failed(error);
            assert_eq!(met_by_every_login(&outside), None);
            assert!(!is_silence(&outside), "{outside}");
        }
        let full = ProviderError::TooManyConnections {
            server: "host:1".to_owned(),
            detail: "remaining connection slots are reserved".to_owned(),
        };
        let full = failed(full.in_database("orders"));
        assert!(met_by_every_login(&full).is_none() && !is_silence(&full));
    }

    /// A server that answers the administrator, and logins of a Database's user only from this one on.
    async fn logged_in(silent: u32, is_down: bool) -> (Result<Probe, Blocked>, u32) {
        let (server, logins) = fakes::silent_to_users(silent, is_down);
        let name = |name: &str| SqlName::new(name).unwrap();
        let desired = Desired {
            names: Names {
                database: name("orders"),
                role: name("app"),
            },
            connection_limit: None,
            postgresql: PostgresqlSettings::default(),
            mysql: MysqlSettings::default(),
        };
        let password = SecretString::from("secret");
        let answer = probe(&server, &desired, &password, Some(Extent::Nothing)).await;
        (answer, logins.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn a_login_that_hangs_is_told_and_one_lost_packet_is_not() {
        let (answer, logins) = logged_in(u32::MAX, false).await;
        let blocked = answer.unwrap_err();
        assert_eq!((blocked.reason, logins), (DatabaseReason::LoginFailed, 2));
        assert!(blocked.retry.is_some(), "it is tried again");
        assert_eq!(
            blocked.message,
            "logging in as app does not work: no answer within 10s"
        );
        let (answer, logins) = logged_in(1, false).await;
        assert_eq!((answer.unwrap().login, logins), (Login::Accepted, 2));
        let (answer, logins) = logged_in(u32::MAX, true).await;
        let blocked = answer.unwrap_err();
        assert_eq!(
            (blocked.reason, logins),
            (DatabaseReason::InstanceNotReady, 1)
        );
    }

    #[test]
    fn a_password_is_set_only_where_that_helps() {
        let user = SqlName::new("orders").unwrap();
        let said = || "the server's words".to_owned();
        for (login, reason) in [
            (Login::Refused(said()), Some("PasswordSet")),
            (Login::Blocked(said()), Some("Repaired")),
            (Login::Barred(said()), None),
            (Login::NoDatabase(said()), None),
            (Login::Ended(said()), None),
            (Login::Unusable(said()), None),
            (Login::AtConnectionLimit, None),
            (Login::Accepted, None),
        ] {
            let mends = what_a_password_mends(&login, &user);
            assert_eq!(mends.map(|(reason, _)| reason), reason, "{login:?}");
        }
    }

    #[test]
    fn no_connection_left_says_nothing_about_a_login() {
        let limit = Duration::from_secs(30);
        let blocked = Blocked::from(failed(ProviderError::AllInUse { limit }));
        assert!(had_no_connection(&blocked));
        let limit = ProviderError::Timeout {
            doing: "connect".to_owned(),
            limit,
        };
        assert!(!had_no_connection(&Blocked::from(failed(limit))));
        let full = ProviderError::TooManyConnections {
            server: "host:1".to_owned(),
            detail: "remaining connection slots are reserved".to_owned(),
        };
        let full = full.in_database("orders");
        assert!(had_no_connection(&Blocked::from(failed(full))));
    }
}
