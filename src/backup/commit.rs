//! From what the Job reports to an object that counts: noted first, then committed, so that a crash in between is found
//! and finished, also when the Job and its report are gone by then.

use jiff::Timestamp;

use super::blocked::Blocked;
use super::commit_failure::{Attempt, CommitFailure, RetryDeadline, classify};
use super::follow::Followed;
use super::pass::Pass;
use crate::agent::protocol::result::Done;
use crate::agent::protocol::task::Flavour;
use crate::api::backup::Progress;
use crate::api::{BackupReason, BackupStatus};
use crate::controller::Error;
use crate::job::outcome::Failure;
use crate::store::{self, BackupId, Committed, Manifest, Restore, SourceServer, StoreError};

/// What is in the store.
#[derive(Clone, Copy, Debug)]
pub struct Finished(pub Committed);

/// Commits what a Job reports.
pub async fn finish(pass: &mut Pass<'_>, done: Done) -> Result<Followed, Blocked> {
    // Said once: afterwards the conditions say what it waits for.
    if noted(&pass.status()).as_ref() != Some(&done) {
        note(pass, &done).await?;
    }
    match commit(pass, &done).await {
        Ok(committed) => Ok(Followed::Committed(Finished(committed))),
        Err(CommitFailure::Final(failure)) => Ok(Followed::Failed(*failure)),
        Err(CommitFailure::Retry(blocked)) => Err(blocked),
    }
}

/// A backup whose report was noted is committed, whatever became of its Job and its pod since.
pub async fn unless_committed(pass: &Pass<'_>, failure: Failure) -> Result<Followed, Blocked> {
    let found = match noted(&pass.status()) {
        Some(done) => there(pass, &done).await?,
        None => None,
    };
    Ok(found.map_or(Followed::Failed(failure), Followed::Committed))
}

/// What a commit that was begun, and interrupted, left in the store. Nothing more is completed here.
pub async fn found(pass: &Pass<'_>) -> Result<Option<Finished>, Blocked> {
    let Some(noted) = noted(&pass.status()) else {
        return Ok(None);
    };
    // Parts of an upload that is still open are not these.
    let parts_digest = String::new();
    there(
        pass,
        &Done {
            parts_digest,
            ..noted
        },
    )
    .await
}

/// The object; `None` only where the store says so, or where it was asked for long enough.
async fn there(pass: &Pass<'_>, done: &Done) -> Result<Option<Finished>, Blocked> {
    match commit(pass, done).await {
        Ok(committed) => Ok(Some(Finished(committed))),
        Err(CommitFailure::Final(failure)) => {
            tracing::warn!(
                reason = failure.message,
                "what was reported is not in the store"
            );
            Ok(None)
        }
        Err(CommitFailure::Retry(blocked)) => Err(blocked),
    }
}

/// What was noted of a Job's report.
fn noted(status: &BackupStatus) -> Option<Done> {
    let bytes = |value: Option<i64>| u64::try_from(value?).ok();
    let upload = status.upload.as_ref()?;
    Some(Done {
        parts: u32::try_from(upload.parts?).ok()?,
        bytes: bytes(status.stored_bytes)?,
        sha256: status.sha256.clone()?,
        parts_digest: upload.parts_digest.clone().unwrap_or_default(),
        dumped_bytes: bytes(status.dumped_bytes)?,
        tool_version: status.tool_version.clone()?,
    })
}

/// Notes the report, once.
async fn note(pass: &mut Pass<'_>, done: &Done) -> Result<(), Error> {
    let mut next = pass.status();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    next.dumped_bytes = Some(bytes(done.dumped_bytes));
    next.stored_bytes = Some(bytes(done.bytes));
    next.sha256 = Some(done.sha256.clone());
    next.tool_version = Some(done.tool_version.clone());
    if let Some(upload) = &mut next.upload {
        upload.parts = i32::try_from(done.parts).ok();
        upload.parts_digest = Some(done.parts_digest.clone());
    }
    let known = next.progress.take().unwrap_or_default();
    let moved = known.bytes_dumped != bytes(done.dumped_bytes);
    next.progress = Some(Progress {
        bytes_dumped: bytes(done.dumped_bytes),
        bytes_uploaded: bytes(done.bytes),
        last_advance: if moved {
            Some(Timestamp::now())
        } else {
            known.last_advance
        },
        ..known
    });
    let message = "the Job is done: what the store received is compared with it, and put together";
    pass.report(next, BackupReason::Committing, message).await
}

/// Commits, with keys that are read again where the store refuses those at hand.
async fn commit(pass: &Pass<'_>, done: &Done) -> Result<Committed, CommitFailure> {
    let mut outcome = attempt(pass, done).await;
    if outcome.as_ref().is_err_and(doubts_keys) {
        pass.suspect_keys();
        outcome = attempt(pass, done).await;
    }
    outcome.map_err(|attempt| {
        let deadline = RetryDeadline {
            started_at: pass.started_at(),
            deadline: pass.deadline(),
            uploaded_at: pass.status().progress.and_then(|p| p.last_advance),
            deleted_at: pass
                .backup
                .metadata
                .deletion_timestamp
                .as_ref()
                .map(|t| t.0),
        };
        classify(attempt, &deadline, Timestamp::now())
    })
}

fn doubts_keys(attempt: &Attempt) -> bool {
    match attempt {
        Attempt::Blocked(_) => false,
        Attempt::Commit(error) => matches!(
            error.store(),
            Some(StoreError::Keys(_) | StoreError::Refused { .. })
        ),
    }
}

async fn attempt(pass: &Pass<'_>, done: &Done) -> Result<Committed, Attempt> {
    let upload = pass.upload()?;
    let Some(upload_id) = upload.upload_id else {
        let message = "status.upload.uploadId is gone: the status is the operator's alone";
        return Err(Blocked::new(BackupReason::UploadMismatch, message).into());
    };
    pass.check_leadership().map_err(Blocked::from)?;
    let destination = pass.destination().await?;
    let manifest = manifest(pass, done, destination.s3.endpoint.as_deref(), &upload.key);
    store::commit(&destination.store, &upload.key, &upload_id, done, &manifest)
        .await
        .map_err(Attempt::Commit)
}

/// What is written beside the object.
fn manifest(pass: &Pass<'_>, done: &Done, endpoint: Option<&str>, key: &str) -> Manifest {
    let status = pass.status();
    let object = status.destination.clone().unwrap_or_default();
    let (kind, version) = status
        .source
        .as_ref()
        .and_then(|source| source.server_version.split_once(' '))
        .unwrap_or_default();
    let flavour = match kind {
        "MySQL" => Flavour::Mysql,
        "MariaDB" => Flavour::Mariadb,
        _ if key.ends_with(store::extension(Flavour::Mysql)) => Flavour::Mysql,
        _ => Flavour::Postgresql,
    };
    let (instance, database) = status
        .source
        .as_ref()
        .map(|source| (source.instance.clone(), source.database.clone()))
        .unwrap_or_default();
    Manifest {
        version: Manifest::VERSION,
        restore: Restore::new(flavour, &object, endpoint, &database),
        object,
        bytes: done.bytes,
        sha256: done.sha256.clone(),
        parts: done.parts,
        dumped_bytes: done.dumped_bytes,
        source: SourceServer {
            instance,
            database,
            server_version: version.to_owned(),
            flavour,
        },
        tool_version: done.tool_version.clone(),
        backup: BackupId {
            namespace: pass.namespace(),
            name: pass.backup.metadata.name.clone().unwrap_or_default(),
            uid: pass.uid(),
        },
        database_object: pass.backup.spec.database_ref.name.clone(),
        cluster_id: pass.context.cluster_id.clone(),
        started_at: pass.started_at(),
        finished_at: status
            .progress
            .and_then(|progress| progress.last_advance)
            .unwrap_or_else(|| pass.started_at()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::backup::Upload;

    #[test]
    fn only_a_report_that_was_noted_whole_is_taken_up() {
        let mut status = BackupStatus {
            stored_bytes: Some(5),
            dumped_bytes: Some(9),
            sha256: Some("s".to_owned()),
            tool_version: Some("t".to_owned()),
            ..BackupStatus::default()
        };
        assert_eq!(noted(&status), None);
        status.upload = Some(Upload {
            bucket: "b".to_owned(),
            key: "k".to_owned(),
            upload_id: Some("u".to_owned()),
            job_name: None,
            job_uid: None,
            parts: Some(2),
            parts_digest: Some("d".to_owned()),
        });
        let done = noted(&status).unwrap();
        assert_eq!((done.parts, done.bytes, done.dumped_bytes), (2, 5, 9));
        assert_eq!(done.parts_digest, "d");
    }
}
