//! Sees whether the server works while nothing else moves: one index, or the count of one large table, may take hours.

use std::time::Duration;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;
use tokio::time::{sleep, timeout};

use super::login::Login;
use super::meter::Meter;
use super::postgresql::Session;
use crate::agent::protocol::task::Flavour;
use crate::provider::dial;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// The sessions of this user that the server works on: those that wait for a lock of a table, or for us, are not at work.
const AT_WORK: &str = "SELECT COUNT(*) FROM information_schema.PROCESSLIST
WHERE USER = SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AND ID <> CONNECTION_ID() AND COMMAND IN ('Query', 'Execute')
  AND COALESCE(STATE, '') NOT LIKE 'Waiting for %'";

/// Does something that the server works on, and looks meanwhile whether it does.
pub(super) async fn with_pulse<T>(
    login: &Login,
    meter: &Meter,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        done = work => done,
        never = look(login, meter) => match never {},
    }
}

/// A session that looks.
enum Eye {
    Postgresql(Session),
    Mysql(MySqlConnection),
}

impl Eye {
    async fn open(login: &Login) -> Result<Self, sqlx::Error> {
        Ok(match login.target().flavour {
            Flavour::Postgresql => Self::Postgresql(Session::of_login(login).await?),
            Flavour::Mysql | Flavour::Mariadb => Self::Mysql(dial::mysql(&login.mysql()).await?),
        })
    }

    async fn is_at_work(&mut self) -> Result<bool, sqlx::Error> {
        match self {
            Self::Postgresql(session) => session.is_at_work().await,
            Self::Mysql(connection) => {
                let row = sqlx::query(AT_WORK).fetch_one(connection).await?;
                Ok(row.try_get::<i64, _>(0)? > 0)
            }
        }
    }
}

/// Looks, with a session of its own. A server that does not answer is not at work.
async fn look(login: &Login, meter: &Meter) -> std::convert::Infallible {
    let mut eye = None;
    loop {
        sleep(EVERY).await;
        let mut open = match eye.take() {
            Some(open) => open,
            None => match timeout(ANSWER, Eye::open(login)).await {
                Ok(Ok(open)) => open,
                Ok(Err(_)) | Err(_) => continue,
            },
        };
        if let Ok(Ok(is_at_work)) = timeout(ANSWER, open.is_at_work()).await {
            if is_at_work {
                meter.seen_at_work();
            }
            eye = Some(open);
        }
    }
}
