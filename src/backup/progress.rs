//! How far the dump of a backup is: from the log that its pod writes or, where that does not tell, from what the store
//! received.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Pass;
use crate::agent::protocol::progress::Progress;
use crate::job::Kind;
use crate::job::objects::Pod;
use crate::job::progress::{Log, read_log};

/// The store is asked for parts no more often, where the log does not tell.
const STORE_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// Notes how far the dump in this pod is. What cannot be seen now is seen at the next look: nothing fails here.
pub(super) async fn look(pass: &Pass<'_>, pod: &Pod) {
    let remembered = &pass.context.remembered;
    let uid = pass.uid();
    let seen = match from_log(pass, pod).await {
        Some(progress) => {
            remembered.log_was_read(&uid, Timestamp::now());
            Some(progress)
        }
        None => from_store(pass).await,
    };
    if let Some(progress) = seen {
        remembered.advance(&uid, progress, Timestamp::now());
    }
}

/// The last line about progress in the pod's log.
async fn from_log(pass: &Pass<'_>, pod: &Pod) -> Option<Progress> {
    let (remembered, namespace) = (&pass.context.remembered, pass.namespace());
    if !remembered.may_read_logs(&namespace, Instant::now()) {
        return None;
    }
    match read_log(&pass.beside(), pod, Kind::Backup).await {
        Log::Read(progress) => progress,
        Log::Unreadable => None,
        Log::Forbidden => {
            if remembered.logs_are_forbidden(&namespace, Instant::now()) {
                tracing::info!(
                    namespace,
                    "pods/log is not granted: progress is what the object stores received"
                );
            }
            None
        }
    }
}

/// What the store received.
async fn from_store(pass: &Pass<'_>) -> Option<Progress> {
    let remembered = &pass.context.remembered;
    if !remembered.may_ask_for_parts(&pass.uid(), Instant::now(), STORE_POLL_INTERVAL) {
        return None;
    }
    let upload = pass.upload().ok()?;
    let upload_id = upload.upload_id?;
    let destination = pass.destination().await.ok()?;
    let parts = destination.store.parts(&upload.key, &upload_id).await;
    let parts = parts
        .inspect_err(|error| tracing::debug!(%error, "cannot list the parts of an upload"))
        .ok()?;
    Some(Progress {
        uploaded: parts.iter().map(|part| part.size).sum(),
        parts: u32::try_from(parts.len()).unwrap_or(u32::MAX),
        ..Progress::default()
    })
}
