//! The signed parts of a backup's upload: they are signed by the operator, handed to the Job, and kept ahead of it.

use jiff::Timestamp;

use super::Pass;
use super::blocked::{Blocked, not_written};
use crate::agent::protocol::signed_parts::{Batch, SignedParts};
use crate::job::objects::Job;
use crate::job::secret;
use crate::job::signed_parts::{self, Lack, Range};

/// Signs requests for parts of the backup's upload. Nothing is sent.
pub(super) async fn sign(pass: &Pass<'_>, upload_id: &str, range: Range) -> Result<Batch, Blocked> {
    pass.check_leadership()?;
    let valid_for = signed_parts::valid_for(pass.started_at(), pass.deadline(), Timestamp::now());
    let destination = pass.destination().await?;
    let key = pass.upload()?.key;
    Ok(destination
        .store
        .sign(&key, upload_id, range.first, range.count, valid_for)
        .await?)
}

/// Signs what comes next, or anew what ends soon.
pub(super) async fn keep_ahead(pass: &Pass<'_>, job: &Job) -> Result<(), Blocked> {
    let context = pass.context;
    let uid = pass.uid();
    if context.windows.get(&uid).is_none() {
        read_window(pass, job, &uid).await?;
    }
    let uploaded = context
        .remembered
        .progress(&uid)
        .map_or(0, |(progress, _)| progress.parts);
    let Some(lack) = context.windows.lack(&uid, uploaded, Timestamp::now()) else {
        return Ok(());
    };
    let Some(upload_id) = pass.upload()?.upload_id else {
        return Ok(());
    };
    let (Lack::More(range) | Lack::Fresher(range)) = lack;
    let batch = sign(pass, &upload_id, range)
        .await
        .inspect_err(|_| pass.suspect_keys())?;
    let Some((known, max_parts)) = context.windows.get(&uid) else {
        return Ok(());
    };
    if let Some(window) = signed_parts::with(&known, lack, batch, uploaded) {
        tracing::debug!(
            first = range.first,
            count = range.count,
            "signing further parts"
        );
        secret::write_window(&pass.beside(), job, &window)
            .await
            .map_err(not_written)?;
        context.windows.put(&uid, window, max_parts);
    }
    Ok(())
}

/// After a restart: what the Job has. Nothing to keep where its Secret is gone.
async fn read_window(pass: &Pass<'_>, job: &Job, uid: &str) -> Result<(), Blocked> {
    let handed = secret::read_window(&pass.beside(), job).await?;
    let (window, max_parts): (SignedParts, u32) = handed.unwrap_or_default();
    pass.context.windows.put(uid, window, max_parts);
    Ok(())
}
