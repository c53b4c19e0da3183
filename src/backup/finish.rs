//! From what the Job reports to an object that counts: noted first, then committed, so that a crash in between is found
//! and finished, also when the Job and its report are gone by then.

use jiff::{SignedDuration, Timestamp};

use super::follow::Followed;
use super::judge::Ruin;
use super::pass::{Obstacle, Pass};
use crate::api::backup::Progress;
use crate::api::{BackupReason, BackupStatus};
use crate::dump::errand::Flavour;
use crate::dump::report::Done;
use crate::error::Error;
use crate::store::{
    self, BackupId, CommitError, Committed, Manifest, Restore, SourceServer, StoreError,
};

/// A store that does not answer is asked until the deadline, and at least for so long after the dump.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// What is in the store.
#[derive(Clone, Copy, Debug)]
pub struct Finished(pub Committed);

/// Commits what a Job reports.
pub async fn finish(pass: &mut Pass<'_>, done: Done) -> Result<Followed, Obstacle> {
    note(pass, &done).await?;
    match commit(pass, &done).await {
        Ok(committed) => Ok(Followed::Committed(Finished(committed))),
        Err(Attempt::Obstacle(obstacle)) if obstacle.is_final() => Ok(Followed::Failed(Ruin::new(
            obstacle.reason,
            obstacle.message,
        ))),
        Err(Attempt::Obstacle(obstacle)) => Err(obstacle),
        Err(Attempt::Commit(error)) => judged(pass, error),
    }
}

/// A backup that was being committed when it was lost sight of may be in the store: then it is one.
pub async fn unless_committed(pass: &Pass<'_>, ruin: Ruin) -> Followed {
    match found(pass).await {
        Some(finished) => Followed::Committed(finished),
        None => Followed::Failed(ruin),
    }
}

/// What a commit that was begun, and interrupted, left in the store.
pub async fn found(pass: &Pass<'_>) -> Option<Finished> {
    let noted = noted(&pass.status())?;
    // Parts of an upload that is still open are not these: the digest over them is not noted.
    commit(pass, &noted).await.ok().map(Finished)
}

/// What was noted of a Job's report.
fn noted(status: &BackupStatus) -> Option<Done> {
    let bytes = |value: Option<i64>| u64::try_from(value?).ok();
    Some(Done {
        parts: u32::try_from(status.upload.as_ref()?.parts?).ok()?,
        bytes: bytes(status.stored_bytes)?,
        sha256: status.sha256.clone()?,
        parts_digest: String::new(),
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

enum Attempt {
    Obstacle(Obstacle),
    Commit(CommitError),
}

impl From<Obstacle> for Attempt {
    fn from(obstacle: Obstacle) -> Self {
        Self::Obstacle(obstacle)
    }
}

/// Commits, with keys that are read again where the store refuses those at hand.
async fn commit(pass: &Pass<'_>, done: &Done) -> Result<Committed, Attempt> {
    let first = attempt(pass, done).await;
    let refused = matches!(
        first,
        Err(Attempt::Commit(CommitError::Store(
            StoreError::Keys(_) | StoreError::Refused { .. }
        )))
    );
    if !refused {
        return first;
    }
    pass.suspect_keys();
    attempt(pass, done).await
}

async fn attempt(pass: &Pass<'_>, done: &Done) -> Result<Committed, Attempt> {
    let upload = pass.upload()?;
    let Some(upload_id) = upload.upload_id else {
        let message = "status.upload.uploadId is gone: the status is the operator's alone";
        return Err(Obstacle::new(BackupReason::UploadMismatch, message).into());
    };
    pass.check_leadership().map_err(Obstacle::from)?;
    let destination = pass.destination().await?;
    let manifest = manifest(pass, done, destination.s3.endpoint.as_deref(), &upload.key);
    store::commit(&destination.store, &upload.key, &upload_id, done, &manifest)
        .await
        .map_err(Attempt::Commit)
}

/// What a commit that failed means.
fn judged(pass: &Pass<'_>, error: CommitError) -> Result<Followed, Obstacle> {
    let failed = |reason, message| Ok(Followed::Failed(Ruin::new(reason, message)));
    match error {
        CommitError::Mismatch { .. } => failed(BackupReason::UploadMismatch, error.to_string()),
        CommitError::Store(error) if !error.is_retryable() => {
            failed(BackupReason::StoreRefused, error.to_string())
        }
        CommitError::Store(error) => {
            let uploaded = pass.status().progress.and_then(|p| p.last_advance);
            let until = uploaded
                .unwrap_or(pass.started_at())
                .saturating_add(PATIENCE)
                .unwrap_or(Timestamp::MAX)
                .max(
                    pass.started_at()
                        .saturating_add(pass.deadline())
                        .unwrap_or(Timestamp::MAX),
                );
            if Timestamp::now() > until {
                failed(BackupReason::StoreRefused, error.to_string())
            } else {
                Err(error.into())
            }
        }
    }
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
            parts: Some(2),
        });
        let done = noted(&status).unwrap();
        assert_eq!((done.parts, done.bytes, done.dumped_bytes), (2, 5, 9));
    }
}
