//! The act `RequestFinalBackup`: the backup before a deletion, in the operator's namespace.
//!
//! The attempt is noted in the status before anything is made for it. Then come its Secret, the user's password and the
//! Backup: each is looked at first, so that a pass can go on where another one stopped. [`tidy`] removes what is no longer
//! wanted.

pub(super) mod credentials;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Resource, ResourceExt};

use super::backups;
use super::blocked::Blocked;
use super::observe::Observation;
use super::pass::Pass;
use super::state::BackupSeen;
use crate::api::backup::Failure;
use crate::api::database::FinalBackup;
use crate::api::references::DatabaseRef;
use crate::api::{
    BACKUP_LABEL, Backup, BackupSpec, BackupState, DATABASE_LABEL, DATABASE_NAMESPACE_LABEL,
    Database, DatabaseReason, Report,
};
use crate::backoff;
use crate::controller::Error;

/// The wait after a first failed attempt.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// The first attempt.
pub(super) fn first(database: &Database) -> FinalBackup {
    attempt(database, 1, None)
}

/// The attempt that follows one that failed.
pub(super) fn after(
    failed: &FinalBackup,
    database: &Database,
    now: Timestamp,
    spread: f64,
) -> FinalBackup {
    let failures = u32::try_from(failed.attempt).unwrap_or(1);
    let wait = backoff::delay_within(FIRST_WAIT..=LONGEST_WAIT, failures, spread);
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    let at = now.checked_add(SignedDuration::from_secs(seconds)).ok();
    let whole = at.and_then(|at| Timestamp::from_second(at.as_second()).ok());
    attempt(database, failed.attempt.saturating_add(1), whole)
}

fn attempt(database: &Database, attempt: i32, retry_at: Option<Timestamp>) -> FinalBackup {
    FinalBackup {
        name: database.final_backup_name(attempt),
        attempt,
        completed: false,
        retry_at,
    }
}

/// How long an attempt still has to wait. A clock that was set does not make that longer than the longest wait.
fn wait(asked_for: &FinalBackup, now: Timestamp) -> Option<Duration> {
    let left = asked_for.retry_at?.duration_since(now);
    let left = Duration::try_from(left)
        .ok()
        .filter(|left| !left.is_zero())?;
    Some(left.min(LONGEST_WAIT))
}

/// How far a request came.
pub(super) enum Requested {
    /// The Backup exists, and waits to begin.
    Waits,
    /// The last one failed; the next is made after this time.
    Later(Duration),
}

/// Makes what the final backup needs, and the Backup. Server required.
pub(super) async fn request(pass: &mut Pass<'_>, seen: &Observation) -> Result<Requested, Blocked> {
    let asked_for = ask_for(pass).await?;
    if let Some(left) = wait(&asked_for, Timestamp::now()) {
        return Ok(Requested::Later(left));
    }
    let (instance, server) = pass.server()?;
    if instance.spec.backup.is_none() {
        let name = instance.name_any();
        let message = format!(
            "deletionPolicy is BackupBeforeDelete, and the instance {name} has no spec.backup to send the final backup to: \
             add one. {}",
            without_it(&pass.object)
        );
        return Err(Blocked::new(DatabaseReason::NoBackupDestination, message));
    }
    let former = pass.object.final_backup_name(asked_for.attempt - 1);
    remove_secret(pass, &former).await?;
    credentials::provision(pass, &instance, &server, &asked_for.name).await?;
    if seen.facts.final_backup == BackupSeen::None {
        create(pass, &asked_for.name).await?;
    }
    Ok(Requested::Waits)
}

/// The attempt that the status names; the first one is noted there if it names none.
async fn ask_for(pass: &mut Pass<'_>) -> Result<FinalBackup, Error> {
    let mut next = pass.next_status();
    if let Some(asked_for) = next.final_backup {
        return Ok(asked_for);
    }
    let asked_for = first(&pass.object);
    next.final_backup = Some(asked_for.clone());
    pass.persist(next).await?;
    Ok(asked_for)
}

async fn create(pass: &Pass<'_>, name: &str) -> Result<(), Blocked> {
    const DOING: &str = "create the final Backup";
    let mut backup = Backup::new(
        name,
        BackupSpec::new(DatabaseRef {
            name: pass.object.name_any(),
            namespace: pass.object.namespace(),
        }),
    );
    backup.metadata.labels = Some(labels(&pass.object, name));
    let made = backups(pass).create(&PostParams::default(), &backup).await;
    let error = match made.map_err(Error::api(DOING)) {
        Ok(_) => return Ok(()),
        Err(error) if error.code() == Some(409) => error,
        Err(error) => return Err(error.into()),
    };
    // It was made by a pass that ended before it noticed, or it is not this operator's.
    let home = &pass.context.namespace;
    match pass.view().find_backup(home, name, None).await? {
        Some(found) if !backups::is_of(&found, &pass.object, home) => {
            let message = format!(
                "a Backup {name} that is not of this Database is in namespace {home}: delete it, so that the final \
                 backup can be made"
            );
            Err(Blocked::new(DatabaseReason::InTheWay, message))
        }
        Some(found) if found.metadata.deletion_timestamp.is_none() => Ok(()),
        Some(_) | None => Err(error.into()),
    }
}

/// Labels of what is made for a final backup.
pub(super) fn labels(database: &Database, backup: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/managed-by", "db-operator".to_owned()),
        (DATABASE_LABEL, database.name_any()),
        (
            DATABASE_NAMESPACE_LABEL,
            database.namespace().unwrap_or_default(),
        ),
        (BACKUP_LABEL, backup.to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Removes what is no longer wanted: the Secrets of the last two attempts, and a Backup that has not ended, which cancels
/// it.
pub(super) async fn tidy(pass: &Pass<'_>) -> Result<(), Error> {
    let Some(last) = pass.status().and_then(|status| status.final_backup.clone()) else {
        return Ok(());
    };
    if !last.completed {
        cancel(pass, &last.name).await?;
    }
    for attempt in [last.attempt, last.attempt - 1] {
        remove_secret(pass, &pass.object.final_backup_name(attempt)).await?;
    }
    Ok(())
}

async fn cancel(pass: &Pass<'_>, name: &str) -> Result<(), Error> {
    let home = &pass.context.namespace;
    let api = backups(pass);
    let found = api
        .get_opt(name)
        .await
        .map_err(Error::api("read the final Backup"))?;
    let Some(backup) = found.filter(|found| backups::is_of(found, &pass.object, home)) else {
        return Ok(());
    };
    let ended = backup.state().is_some_and(BackupState::is_terminal);
    if ended || backup.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    delete(&api, &backup, "cancel the final Backup").await
}

async fn remove_secret(pass: &Pass<'_>, backup: &str) -> Result<(), Error> {
    let api: Api<Secret> = Api::namespaced(pass.context.client.clone(), &pass.context.namespace);
    let found = api
        .get_opt(backup)
        .await
        .map_err(Error::api("read the final backup's Secret"))?;
    match found.filter(|found| credentials::is_of(found.labels(), &pass.object, backup)) {
        Some(secret) => delete(&api, &secret, "delete the final backup's Secret").await,
        None => Ok(()),
    }
}

/// Deletes exactly this object. An object that is already gone counts as deleted.
async fn delete<K>(api: &Api<K>, object: &K, doing: &'static str) -> Result<(), Error>
where
    K: Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let deleted = api.delete(&object.name_any(), &params).await;
    match deleted.map_err(Error::api(doing)) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.code(), Some(404 | 409)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn backups(pass: &Pass<'_>) -> Api<Backup> {
    Api::namespaced(pass.context.client.clone(), &pass.context.namespace)
}

/// What the conditions say while a final backup is waited for; `failed` is the attempt before this one.
pub(super) fn report(
    database: &Database,
    asked_for: &FinalBackup,
    home: &str,
    failed: Option<&Backup>,
) -> Report {
    Report::new(
        DatabaseReason::WaitingForFinalBackup,
        sentence(database, asked_for, home, failed),
    )
}

/// Says what became of the previous attempt, when this one is made, and what to do.
fn sentence(
    database: &Database,
    asked_for: &FinalBackup,
    home: &str,
    failed: Option<&Backup>,
) -> String {
    let name = &asked_for.name;
    let Some(retry_at) = asked_for.retry_at else {
        return format!(
            "the database is dropped when its final backup is complete: kubectl -n {home} get backup {name}"
        );
    };
    let former = database.final_backup_name(asked_for.attempt - 1);
    let failure = failed
        .and_then(|backup| backup.status.as_ref()?.failure.as_ref())
        .map_or_else(
            || "it was removed before it was complete".to_owned(),
            |Failure {
                 reason, message, ..
             }| format!("{reason}: {message}"),
        );
    format!(
        "the final backup {former} in namespace {home} failed ({failure}); the next, {name}, is made at {retry_at}. {}",
        without_it(database)
    )
}

/// How a deletion goes on without a final backup.
fn without_it(database: &Database) -> String {
    format!(
        "To delete the database without a backup, change spec.deletionPolicy to Delete; to keep it, to Retain, or set the \
         annotation {}={} to let the object go at once",
        crate::api::RELEASE,
        database.sql_name()
    )
}

#[cfg(test)]
mod tests;
