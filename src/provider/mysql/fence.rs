//! The fence on MySQL and MariaDB: epochs, and how another process recognizes a session.
//!
//! Each session takes a named lock (`GET_LOCK`) with a random name and registers that name with its epoch and its
//! connection id. The server frees the lock when the session ends, whatever ends it, so `IS_USED_LOCK` says at once
//! whether a registered session still lives. Ids alone would not do: they start again at 1 when the server restarts,
//! and neither server says when a connection began. The lock alone would not do either: any user may take a lock of any
//! name once it is free, so only the session with the id that registered it is the registered one.

use std::time::{Duration, Instant};

use super::session::Session;
use super::sessions::end_session;
use super::{administrator, error, schema};
use crate::provider::ProviderError;
use crate::provider::fence::{Entry, Fence, Tenure};

/// How long to wait before looking again for registered sessions that were ended.
const POLL: Duration = Duration::from_millis(20);

/// Enters this process into the fence on its first contact: raises the epoch of its cluster id and ends the sessions
/// of former leaders, or joins another provider of the same process.
pub(super) async fn enter(
    session: &mut Session,
    fence: &Fence,
    end_within: Duration,
) -> Result<i64, ProviderError> {
    let standing = schema::standing(session, fence.cluster_id()).await?.epoch;
    let entry = fence.entry(standing.as_ref());
    // Checked after the answer, so that a process that was paused before or while it asked finds its lease gone here.
    fence.check_held()?;
    let epoch = match entry {
        Entry::Join(epoch) => epoch,
        Entry::Found(epoch) => {
            let insert = || {
                sqlx::query(
                    "INSERT INTO db_operator.epochs (cluster_id, epoch, process) VALUES (?, ?, ?)",
                )
                .bind(fence.cluster_id())
                .bind(epoch)
                .bind(fence.process())
            };
            match session.change("writing the first epoch", insert).await {
                Ok(_) => epoch,
                Err(failure) if failure.number == Some(error::DUPLICATE) => {
                    entered_meanwhile(session, fence).await?
                }
                Err(failure) => return Err(failure.error),
            }
        }
        Entry::Raise { from, to } => {
            let raise = || {
                sqlx::query(
                    "UPDATE db_operator.epochs SET epoch = ?, process = ? WHERE cluster_id = ? AND epoch = ?",
                )
                .bind(to)
                .bind(fence.process())
                .bind(fence.cluster_id())
                .bind(from)
            };
            if session.change("raising the epoch", raise).await? == 1 {
                to
            } else {
                entered_meanwhile(session, fence).await?
            }
        }
    };
    end_older(session, fence, epoch, end_within).await?;
    Ok(epoch)
}

/// Registers a session under the epoch of this process, before its first other statement. The shared lock on the
/// epoch's row makes this and a raise by another process wait for each other. Says `false` where the server has
/// forgotten that epoch, and what `recognize` says where it is another server.
pub(super) async fn register(
    session: &mut Session,
    fence: &Fence,
    epoch: i64,
    recognize: impl Fn(Option<&str>) -> Result<(), ProviderError>,
) -> Result<bool, ProviderError> {
    let token = session.token().to_owned();
    let insert = || {
        sqlx::query(
            "INSERT INTO db_operator.sessions (token, cluster_id, epoch, connection_id) \
         SELECT ?, cluster_id, epoch, CONNECTION_ID() FROM db_operator.epochs \
         WHERE cluster_id = ? AND epoch = ? AND process = ? \
         AND IS_USED_LOCK(CONCAT('db_operator/', ?)) = CONNECTION_ID() LOCK IN SHARE MODE",
        )
        .bind(token.clone())
        .bind(fence.cluster_id())
        .bind(epoch)
        .bind(fence.process())
        .bind(token.clone())
    };
    let doing = "registering a session";
    match session.change(doing, insert).await {
        Ok(1) => {
            session.set_registered();
            Ok(true)
        }
        Ok(_) => {
            let standing = schema::standing(session, fence.cluster_id()).await?;
            recognize(standing.identity.as_deref())?;
            match fence.tenure(epoch, standing.epoch.as_ref()) {
                Tenure::Held => Err(ProviderError::Unexpected {
                    doing: doing.to_owned(),
                    detail: "the server did not give the session its named lock (GET_LOCK)"
                        .to_owned(),
                }),
                Tenure::Superseded { newer } => Err(ProviderError::Superseded {
                    mine: Some(epoch),
                    newer,
                }),
                Tenure::Forgotten => Ok(false),
            }
        }
        Err(failure) if matches!(failure.number, Some(error::NO_SCHEMA | error::NO_TABLE)) => {
            Ok(false)
        }
        Err(failure) => Err(failure.error),
    }
}

/// Deletes the registrations of sessions of this epoch that ended without a goodbye.
pub(super) async fn forget_lost(
    session: &mut Session,
    fence: &Fence,
    epoch: i64,
) -> Result<(), ProviderError> {
    for (token, id) in registered(session, fence, Compare::This, epoch).await? {
        if id.is_none() {
            forget(session, &token).await?;
        }
    }
    Ok(())
}

/// Deletes a session's registration.
pub(super) async fn forget(session: &mut Session, token: &str) -> Result<(), ProviderError> {
    let delete =
        || sqlx::query("DELETE FROM db_operator.sessions WHERE token = ?").bind(token.to_owned());
    session.change("forgetting a session", delete).await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Compare {
    Older,
    This,
}

/// The registered sessions of this cluster: their tokens, and the connection ids of those that live. A lock that
/// another session holds now belongs to that session.
async fn registered(
    session: &mut Session,
    fence: &Fence,
    compare: Compare,
    epoch: i64,
) -> Result<Vec<(String, Option<i64>)>, ProviderError> {
    let sql = match compare {
        Compare::Older => {
            "SELECT token, CAST(NULLIF(IS_USED_LOCK(CONCAT('db_operator/', token)) = connection_id, 0) * connection_id \
             AS SIGNED) AS id FROM db_operator.sessions WHERE cluster_id = ? AND epoch < ?"
        }
        Compare::This => {
            "SELECT token, CAST(NULLIF(IS_USED_LOCK(CONCAT('db_operator/', token)) = connection_id, 0) * connection_id \
             AS SIGNED) AS id FROM db_operator.sessions WHERE cluster_id = ? AND epoch = ?"
        }
    };
    let query = sqlx::query(sql).bind(fence.cluster_id()).bind(epoch);
    session
        .rows("looking for the sessions of this cluster", query)
        .await?
        .into_iter()
        .map(|row| Ok((row.text("token")?, row.optional_number("id")?)))
        .collect()
}

async fn end_older(
    session: &mut Session,
    fence: &Fence,
    epoch: i64,
    end_within: Duration,
) -> Result<(), ProviderError> {
    let deadline = Instant::now() + end_within;
    let by_procedure = administrator::has_kill_procedure(session).await?;
    loop {
        let mut living = 0;
        for (token, id) in registered(session, fence, Compare::Older, epoch).await? {
            match id {
                Some(id) => {
                    living += 1;
                    end_session(session, id, by_procedure).await?;
                }
                None => forget(session, &token).await?,
            }
        }
        if living == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(ProviderError::Timeout {
                doing: format!("ending {living} sessions of a former leader"),
                limit: end_within,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The epoch that was written first by someone else: this process's own if it was another provider of the process.
/// Fails if it was a successor.
async fn entered_meanwhile(session: &mut Session, fence: &Fence) -> Result<i64, ProviderError> {
    match schema::standing(session, fence.cluster_id()).await?.epoch {
        Some(epoch) if epoch.process == fence.process() => Ok(epoch.number),
        standing => Err(ProviderError::Superseded {
            mine: None,
            newer: standing.map_or(0, |epoch| epoch.number),
        }),
    }
}
