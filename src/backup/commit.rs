//! Act `Commit`: from what the Job reports to an object that counts. Noted first, then committed, so that a crash in between
//! is found and finished, also when the Job and its report are gone by then.

use jiff::Timestamp;

use super::Pass;
use super::blocked::Blocked;
use super::commit_failure::{Attempt, CommitFailure, RetryDeadline, classify};
use super::contents::{self, Kept};
use super::observe::{Found, Observation};
use super::server_version::ServerVersion;
use crate::agent::protocol::contents::Totals;
use crate::agent::protocol::result::Done;
use crate::api::backup::Progress;
use crate::api::{BackupReason, BackupStatus, Report};
use crate::controller::{Acted, Error};
use crate::store::{
    self, BackupId, CommitError, CommitState, Committed, Manifest, Restore, SourceServer,
    StoreError,
};

/// Commits what was reported; finds out whether it is in the store then.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Observation) -> Acted<BackupReason> {
    let found = std::mem::replace(&mut seen.found, Found::NotRunning);
    let Found::Reported(done, failed) = found else {
        seen.found = found;
        return Acted::Done;
    };
    match note_and_commit(pass, &done).await {
        Ok(committed) => seen.found = Found::Committed(committed),
        Err(CommitFailure::Retry(blocked)) => return Acted::Blocked(blocked),
        Err(CommitFailure::Final(failure)) if failed.is_none() && !seen.is_ending() => {
            seen.found = Found::Failed(*failure);
        }
        // It ends for another reason, and that is what a person wants to know.
        Err(CommitFailure::Final(failure)) => {
            log_absent(&failure.message);
            seen.found = failed.map_or(Found::NotRunning, Found::Failed);
        }
    }
    Acted::Done
}

async fn note_and_commit(pass: &mut Pass<'_>, done: &Done) -> Result<Committed, CommitFailure> {
    // Said once: afterwards the conditions say what it waits for.
    let reported = Done {
        warnings: Vec::new(),
        totals: totals(done),
        ..done.clone()
    };
    let known = pass.status().and_then(noted);
    if !known.is_some_and(|known| is_noted(known, &reported)) {
        let written = note(pass, done).await;
        written.map_err(|error| CommitFailure::Retry(error.into()))?;
    }
    let mut outcome = attempt(pass, done).await;
    if outcome.as_ref().is_err_and(doubts_keys) {
        pass.suspect_keys();
        outcome = attempt(pass, done).await;
    }
    outcome.map_err(|attempt| failure(pass, attempt))
}

/// What the Job counted, as it is noted.
fn totals(done: &Done) -> Option<Totals> {
    let noted = contents::noted_totals(done.totals.as_ref()?)?;
    Some(contents::totals(&noted))
}

/// Whether this is the report, but for totals, which the definition of an earlier release does not keep.
fn is_noted(known: Done, reported: &Done) -> bool {
    let totals = known.totals.or_else(|| reported.totals.clone());
    Done { totals, ..known } == *reported
}

/// How far a commit that was begun, and interrupted, has come. Nothing is changed here: the object is only looked for, and
/// one that lacks its manifest is committed again.
pub(super) async fn find(pass: &Pass<'_>) -> Result<Found, Blocked> {
    let Some(done) = pass.status().and_then(noted) else {
        return Ok(Found::NotRunning);
    };
    let mut state = look(pass, &done).await;
    if state.as_ref().is_err_and(doubts_keys) {
        pass.suspect_keys();
        state = look(pass, &done).await;
    }
    match state.map_err(|attempt| failure(pass, attempt)) {
        Ok(CommitState::Committed(manifest)) => Ok(Found::Committed(Committed {
            parts: manifest.parts,
            bytes: manifest.bytes,
        })),
        Ok(CommitState::WithoutManifest(_)) => Ok(Found::Reported(done, None)),
        Ok(CommitState::Nothing) => {
            log_absent("there is no object of this backup");
            Ok(Found::NotRunning)
        }
        Err(CommitFailure::Final(failure)) => {
            log_absent(&failure.message);
            Ok(Found::NotRunning)
        }
        Err(CommitFailure::Retry(blocked)) => Err(blocked),
    }
}

fn log_absent(reason: &str) {
    tracing::warn!(reason, "what was reported is not in the store");
}

async fn look(pass: &Pass<'_>, done: &Done) -> Result<CommitState, Attempt> {
    let key = pass.upload()?.key;
    pass.check_leadership().map_err(Blocked::from)?;
    let store = pass.destination().await?.store;
    store::find_committed(&store, &key, &pass.uid(), done)
        .await
        .map_err(|error| Attempt::Commit(CommitError::Unknown(error)))
}

/// What was noted of a Job's report, but for its warnings, which are among those of the status.
pub(super) fn noted(status: &BackupStatus) -> Option<Done> {
    let bytes = |value: Option<i64>| u64::try_from(value?).ok();
    let upload = status.upload.as_ref()?;
    Some(Done {
        parts: u32::try_from(upload.parts?).ok()?,
        bytes: bytes(status.stored_bytes)?,
        sha256: status.sha256.clone()?,
        parts_digest: upload.parts_digest.clone().unwrap_or_default(),
        dumped_bytes: bytes(status.dumped_bytes)?,
        tool_version: status.tool_version.clone()?,
        totals: status.totals.as_ref().map(contents::totals),
        warnings: Vec::new(),
    })
}

/// Notes the report, once.
async fn note(pass: &mut Pass<'_>, done: &Done) -> Result<(), Error> {
    let mut next = pass.next_status();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    next.dumped_bytes = Some(bytes(done.dumped_bytes));
    next.stored_bytes = Some(bytes(done.bytes));
    next.sha256 = Some(done.sha256.clone());
    next.tool_version = Some(done.tool_version.clone());
    next.totals = done.totals.as_ref().and_then(contents::noted_totals);
    let warnings = contents::with_uncounted(done.warnings.clone(), next.totals.is_some());
    next.warnings = contents::merged(&next.warnings, &warnings);
    if let Some(upload) = &mut next.upload {
        upload.parts = i32::try_from(done.parts).ok();
        upload.parts_digest = Some(done.parts_digest.clone());
    }
    let known = next.progress.take().unwrap_or_default();
    let moved = known.bytes_dumped != bytes(done.dumped_bytes);
    next.progress = Some(
        Progress {
            bytes_dumped: bytes(done.dumped_bytes),
            bytes_uploaded: bytes(done.bytes),
            last_advance: if moved {
                Some(Timestamp::now())
            } else {
                known.last_advance
            },
            ..known
        }
        .for_people(),
    );
    let message = "the Job is done: what the store received is compared with it, and put together";
    let report = Report::new(BackupReason::Committing, message);
    pass.report(next, &report).await
}

/// What an attempt that did not come about means.
fn failure(pass: &Pass<'_>, attempt: Attempt) -> CommitFailure {
    let deleted = pass.object.metadata.deletion_timestamp.as_ref();
    let deadline = RetryDeadline {
        started_at: pass.started_at(),
        deadline: pass.deadline(),
        uploaded_at: pass.last_advance(),
        deleted_at: deleted.map(|time| time.0),
    };
    classify(attempt, &deadline, Timestamp::now())
}

/// Whether other keys may do better.
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
    let status = pass.next_status();
    let (series, user, contents) = match Kept::read(&status) {
        Some(kept) => (Some(kept.series), Some(kept.user), Some(kept.contents)),
        None => (None, None, None),
    };
    let object = status.destination.unwrap_or_default();
    let (instance, database, version) = status
        .source
        .map(|source| (source.instance, source.database, source.server_version))
        .unwrap_or_default();
    let ServerVersion { flavour, version } = ServerVersion::read(&version, key);
    let totals = totals(done);
    Manifest {
        version: Manifest::VERSION,
        restore: Restore::new(flavour, &object, endpoint, &database, contents.as_ref()),
        object,
        bytes: done.bytes,
        sha256: done.sha256.clone(),
        parts: done.parts,
        dumped_bytes: done.dumped_bytes,
        source: SourceServer {
            instance,
            database,
            server_version: version,
            flavour,
            series,
            user,
        },
        contents,
        warnings: contents::with_uncounted(status.warnings, totals.is_some()),
        totals,
        tool_version: done.tool_version.clone(),
        backup: BackupId {
            namespace: pass.namespace(),
            name: pass.object.metadata.name.clone().unwrap_or_default(),
            uid: pass.uid(),
        },
        database_object: pass.object.spec.database_ref.name.clone(),
        cluster_id: pass.context.cluster_id.clone(),
        started_at: pass.started_at(),
        finished_at: pass.last_advance().unwrap_or_else(|| pass.started_at()),
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
            inventory: None,
        });
        let done = noted(&status).unwrap();
        assert_eq!((done.parts, done.bytes, done.dumped_bytes), (2, 5, 9));
        assert_eq!(done.parts_digest, "d");
        assert_eq!(done.totals, None);
        let totals = Totals {
            tables: 3,
            rows: u64::MAX,
            large_objects: 1,
            digest: "0d".repeat(32),
            has_tables: true,
        };
        let reported = |totals: &Totals| Done {
            totals: Some(totals.clone()),
            ..done.clone()
        };
        // The definition of an earlier release keeps no totals: not noted again and again for that.
        assert!(is_noted(done.clone(), &reported(&totals)));
        status.totals = contents::noted_totals(&totals);
        let read = noted(&status).unwrap().totals.unwrap();
        let rows = i64::MAX.unsigned_abs();
        assert_eq!(read, Totals { rows, ..totals });
        // What was noted is not noted again.
        assert_eq!(contents::noted_totals(&read), status.totals);
        assert!(is_noted(noted(&status).unwrap(), &reported(&read)));
        let other = Totals { rows: 1, ..read };
        assert!(!is_noted(noted(&status).unwrap(), &reported(&other)));
    }
}
