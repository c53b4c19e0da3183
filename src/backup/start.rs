//! Act `Start`: begin the upload, sign the first parts, create the Job and its Secret. Each step looks first, so that a
//! crash anywhere continues here.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::blocked::{Blocked, not_written};
use super::database_ref::{self, Freshness, Resolved};
use super::observe::{Found, Observation};
use super::plan::Plan;
use super::prerequisites::{self, Prerequisites};
use super::remembered::Made;
use super::{Pass, create, sign, slot};
use crate::agent::protocol::signed_parts::SignedParts;
use crate::api::BackupReason;
use crate::controller::Acted;
use crate::job::outcome::Failure;
use crate::job::{Owner, secret, signed_parts};
use crate::provider::{Assessment, Inventory};
use crate::server::ServerError;

/// How much of what may not be read a message names.
const MAX_NAMED: usize = 10;
/// How long a look waits for another pass over the same database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Brings the Job about. What only a person can mend ends the backup here: nothing runs yet.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Observation) -> Acted<BackupReason> {
    match start(pass, seen.assessment.take()).await {
        Ok(job_uid) => {
            seen.found = Found::Running(job_uid);
            Acted::Done
        }
        Err(blocked) if blocked.is_final() => {
            seen.found = Found::Failed(Failure::new(blocked.reason, blocked.message));
            Acted::Done
        }
        Err(blocked) => {
            // What cannot start keeps nobody else from starting.
            pass.context.slots.hand_back(&pass.uid());
            Acted::Blocked(blocked)
        }
    }
}

/// Brings the Job about. When it is done the Job is there, with all that its pod needs; returns its UID. `assessment` is
/// what a look of just now found.
async fn start(pass: &mut Pass<'_>, assessment: Option<Assessment>) -> Result<String, Blocked> {
    let limits = pass.limits();
    if Timestamp::now().duration_since(pass.started_at()) > limits.deadline.time {
        let message = format!("the Job could not be created within {}", limits.deadline);
        return Err(Blocked::new(BackupReason::DeadlineExceeded, message));
    }
    let found = database_ref::resolve(pass.context, &pass.object, Freshness::Cached).await?;
    let Resolved::Known(database, kind) = found else {
        let message = "the Database is gone";
        return Err(Blocked::new(BackupReason::DatabaseDeleted, message));
    };
    let prerequisites = prerequisites::gather(pass, *database, kind).await?;
    let assessment = match assessment {
        Some(assessment) => assessment,
        None => assess(&prerequisites).await?,
    };
    check_readable(&assessment)?;
    // One that could not start before handed its slot back.
    slot::take_again(pass, &prerequisites.database)?;
    let mut plan = Plan::of(assessment.bytes, &prerequisites.destination.s3)?;
    plan.has_broken_views = assessment.has_broken_views;
    plan.endless_events = assessment.endless_events;

    let (remembered, uid) = (&pass.context.remembered, pass.uid());
    let job = match remembered.job(&uid) {
        Some(made) if made.has_secret => return Ok(made.uid),
        Some(made) => OurJob::Made(made.uid),
        None => {
            // A template that is broken is known before anything is begun.
            let job = prerequisites.job(pass, prerequisites.memory(&plan));
            OurJob::ToBeMade(Box::new(job.await?))
        }
    };
    if matches!(job, OurJob::ToBeMade(_)) && create::clear_the_way(pass).await? {
        abandon(pass).await?;
    }
    let upload_id = begin(pass, &prerequisites).await?;
    // All is at hand before the Job is: a pod that does not find its Secret backs off.
    let range = signed_parts::first(plan.parts(), plan.schedule.max_parts);
    let window = SignedParts {
        batches: vec![sign::sign(pass, &upload_id, range).await?],
    };
    let task = prerequisites.task(pass, &plan);
    let store_ca = prerequisites.destination.ca.as_deref();
    let data = secret::data(&task, &window, store_ca)?;
    let job_uid = match job {
        OurJob::Made(uid) => uid,
        OurJob::ToBeMade(job) => create::create(pass, &job).await?,
    };
    let made = |has_secret| Made {
        uid: job_uid.clone(),
        has_secret,
    };
    remembered.made(&uid, made(false));
    secret::write(
        &pass.beside(),
        &Owner::of_backup(&pass.object),
        &job_uid,
        data,
    )
    .await
    .map_err(not_written)?;
    remembered.made(&uid, made(true));
    let windows = &pass.context.windows;
    windows.put(&uid, window, plan.schedule.max_parts);
    Ok(job_uid)
}

/// The Job of a backup that starts.
enum OurJob {
    /// This process made the one with this UID.
    Made(String),
    /// It is not there yet.
    ToBeMade(Box<Job>),
}

/// How large the dump will be, what would make it fail, and what it will not contain.
pub(super) async fn look_inside(
    prerequisites: &Prerequisites,
) -> Result<(Assessment, Inventory), Blocked> {
    let _alone = alone(prerequisites).await?;
    let (server, names) = (&prerequisites.server, &prerequisites.names);
    let assessed = server.ask("assess", |provider| provider.assess(names));
    let assessment = assessed.await?;
    let taken = server.ask("take_inventory", |provider| provider.take_inventory(names));
    Ok((assessment, or_unknown(taken.await)?))
}

/// How large the dump will be, and what would make it fail.
async fn assess(prerequisites: &Prerequisites) -> Result<Assessment, Blocked> {
    let _alone = alone(prerequisites).await?;
    let server = &prerequisites.server;
    let assessed = server.ask("assess", |provider| provider.assess(&prerequisites.names));
    Ok(assessed.await?)
}

async fn alone(prerequisites: &Prerequisites) -> Result<OwnedMutexGuard<()>, Blocked> {
    let alone = prerequisites.server.alone(&prerequisites.names);
    timeout(LOCK_TIMEOUT, alone).await.map_err(|_| {
        let message = "the Database is worked on at this moment";
        Blocked::new(BackupReason::WaitingForDatabase, message)
    })
}

/// A database that cannot be looked at, be it for its size, is backed up nevertheless, and says so.
fn or_unknown(taken: Result<Inventory, ServerError>) -> Result<Inventory, Blocked> {
    let error = match taken {
        Ok(inventory) => return Ok(inventory),
        Err(error) => error,
    };
    match error.provider() {
        Some(cause) if !cause.is_server_down() && !cause.ends_process() => {
            tracing::warn!(%error, "cannot look at what comes with the database");
            Ok(Inventory::unknown(&cause.to_string()))
        }
        // Whatever is asked next fails as well.
        Some(_) | None => Err(error.into()),
    }
}

/// A dump that would lack something is not begun.
fn check_readable(assessment: &Assessment) -> Result<(), Blocked> {
    if assessment.unreadable.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = assessment
        .unreadable
        .iter()
        .take(MAX_NAMED)
        .map(|lack| format!("{}: {}", lack.needed_for, lack.grant))
        .collect();
    let more = assessment.unreadable.len().saturating_sub(MAX_NAMED);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    let message = format!(
        "the database's user may not read everything, so the dump would fail or lack it. Grant this, then make another \
         Backup: {}{rest}",
        named.join("; ")
    );
    Err(Blocked::new(BackupReason::MissingPrivileges, message))
}

/// Gives an upload up that the pod of another Job may have signed requests for.
async fn abandon(pass: &mut Pass<'_>) -> Result<(), Blocked> {
    let mut upload = pass.upload()?;
    let Some(upload_id) = upload.upload_id.take() else {
        return Ok(());
    };
    pass.check_leadership()?;
    let store = pass.destination().await?.store;
    store.abort(&upload.key, &upload_id).await?;
    let mut next = pass.next_status();
    next.upload = Some(upload);
    Ok(pass.persist(next).await?)
}

/// The upload, begun and persisted.
async fn begin(pass: &mut Pass<'_>, prerequisites: &Prerequisites) -> Result<String, Blocked> {
    let mut upload = pass.upload()?;
    if let Some(upload_id) = upload.upload_id {
        return Ok(upload_id);
    }
    pass.check_leadership()?;
    let store = pass.destination().await?.store;
    if pass.attempts() > 1 {
        // What the former Job uploaded is of no use. What is left now is aborted at the end.
        if let Err(error) = store.abort_all(&upload.key).await {
            tracing::debug!(%error, "cannot abort the upload of the former attempt yet");
        }
    }
    let begun = store
        .begin(
            &upload.key,
            &prerequisites.metadata(pass),
            "application/zstd",
        )
        .await;
    let upload_id = begun.inspect_err(|error| {
        if !error.is_retryable() {
            pass.suspect_keys();
        }
    })?;
    upload.upload_id = Some(upload_id.clone());
    let mut next = pass.next_status();
    next.upload = Some(upload);
    pass.persist(next).await?;
    Ok(upload_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::MissingPrivilege;

    #[test]
    fn what_may_not_be_read_is_named_with_its_grant() {
        let lack = |n: usize| MissingPrivilege {
            needed_for: format!("table t{n}"),
            grant: format!("GRANT SELECT ON t{n}"),
        };
        let mut assessment = Assessment {
            bytes: 0,
            unreadable: Vec::new(),
            has_broken_views: false,
            endless_events: Vec::new(),
        };
        assert!(check_readable(&assessment).is_ok());
        assessment.unreadable = (0..12).map(lack).collect();
        let message = check_readable(&assessment).unwrap_err().message;
        assert!(
            message.contains("table t9: GRANT SELECT ON t9; and 2 more"),
            "{message}"
        );
    }
}
