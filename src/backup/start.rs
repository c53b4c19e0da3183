//! Act `Start`: begin the upload, sign the first parts, create the Job and its errand. Each step looks first, so that a
//! crash anywhere continues here.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use super::memory::Made;
use super::pass::{Obstacle, Pass};
use super::plan::Plan;
use super::prepare::{self, Prepared};
use super::subject::{self, Sight, Subject};
use super::{create, secret, wait};
use crate::api::BackupReason;
use crate::error::Error;
use crate::provider::Assessment;

/// How much of what may not be read a message names.
const NAMED: usize = 10;
/// How long a look waits for another pass over the same database.
const ALONE_WITHIN: Duration = Duration::from_secs(1);

/// Brings the Job about. When it is done the Job is there, with all that its pod needs; returns its UID. `assessment` is
/// what a look of just now found.
pub async fn start(
    pass: &mut Pass<'_>,
    assessment: Option<Assessment>,
) -> Result<String, Obstacle> {
    let limits = pass.limits();
    if Timestamp::now().duration_since(pass.started_at()) > limits.deadline.time {
        let message = format!("the Job could not be created within {}", limits.deadline);
        return Err(Obstacle::new(BackupReason::DeadlineExceeded, message));
    }
    let found = subject::find(pass.context, &pass.backup, Sight::Cached).await?;
    let Subject::Known(database, finality) = found else {
        let message = "the Database is gone";
        return Err(Obstacle::new(BackupReason::DatabaseDeleted, message));
    };
    let prepared = prepare::prepare(pass, *database, finality).await?;
    let assessment = match assessment {
        Some(assessment) => assessment,
        None => assess(&prepared).await?,
    };
    check_readable(&assessment)?;
    // One that could not start before handed its place back.
    wait::take_again(pass, &prepared.database)?;
    let plan = Plan::of(assessment.bytes, &prepared.destination.s3)?;

    let (memory, uid) = (&pass.context.backup.memory, pass.uid());
    let made = memory.job(&uid);
    if let Some(made) = made.as_ref().filter(|made| made.has_secret) {
        return Ok(made.uid.clone());
    }
    if made.is_none() && create::clear_the_way(pass).await? {
        abandon(pass).await?;
    }
    let upload_id = begin(pass, &prepared).await?;
    // All is at hand before the Job is: a pod that does not find its Secret looks again ever more rarely.
    let (data, window) = secret::fill(pass, &prepared, &plan, &upload_id).await?;
    let job_uid = match made {
        Some(made) => made.uid,
        None => create::job(pass, &prepared, &plan).await?,
    };
    let made = |has_secret| Made {
        uid: job_uid.clone(),
        has_secret,
    };
    memory.made(&uid, made(false));
    secret::write(pass, &job_uid, data).await?;
    memory.made(&uid, made(true));
    let windows = &pass.context.backup.windows;
    windows.put(&uid, window, plan.schedule.max_parts);
    Ok(job_uid)
}

/// How large the dump will be, and what it would lack.
pub async fn assess(prepared: &Prepared) -> Result<Assessment, Obstacle> {
    let alone = timeout(ALONE_WITHIN, prepared.server.alone(&prepared.names));
    let Ok(_alone) = alone.await else {
        let message = "the Database is worked on at this moment";
        return Err(Obstacle::new(BackupReason::WaitingForDatabase, message));
    };
    let server = &prepared.server;
    let assessed = server.ask("assess", |provider| provider.assess(&prepared.names));
    Ok(assessed.await?)
}

/// A dump that would lack something is not begun.
fn check_readable(assessment: &Assessment) -> Result<(), Obstacle> {
    if assessment.unreadable.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = assessment
        .unreadable
        .iter()
        .take(NAMED)
        .map(|lack| format!("{}: {}", lack.needed_for, lack.grant))
        .collect();
    let more = assessment.unreadable.len().saturating_sub(NAMED);
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
    Err(Obstacle::new(BackupReason::MissingPrivileges, message))
}

/// Gives an upload up that the pod of another Job may have signed requests for.
async fn abandon(pass: &mut Pass<'_>) -> Result<(), Obstacle> {
    let mut upload = pass.upload()?;
    let Some(upload_id) = upload.upload_id.take() else {
        return Ok(());
    };
    pass.check_leadership()?;
    let store = pass.destination().await?.store;
    store.abort(&upload.key, &upload_id).await?;
    let mut next = pass.status();
    next.upload = Some(upload);
    Ok(pass.persist(next).await?)
}

/// The upload, begun and persisted.
async fn begin(pass: &mut Pass<'_>, prepared: &Prepared) -> Result<String, Obstacle> {
    let mut upload = pass.upload()?;
    if let Some(upload_id) = upload.upload_id {
        return Ok(upload_id);
    }
    pass.check_leadership()?;
    let begun = pass
        .destination()
        .await?
        .store
        .begin(&upload.key, &prepared.metadata(pass), "application/zstd")
        .await;
    let upload_id = begun.inspect_err(|error| {
        if !error.is_retryable() {
            pass.suspect_keys();
        }
    })?;
    upload.upload_id = Some(upload_id.clone());
    let mut next = pass.status();
    next.upload = Some(upload);
    pass.persist(next).await?;
    Ok(upload_id)
}

/// What the API server does not let in is refused for good: by a quota, an admission, or because the namespace goes. What
/// the operator itself may not do is mended by its administrators.
pub fn refusal(doing: &'static str) -> impl FnOnce(kube::Error) -> Obstacle {
    move |source| match source {
        kube::Error::Api(status)
            if matches!(status.code, 400 | 403 | 422) && !is_rbac(&status.message) =>
        {
            let message = format!("cannot {doing}: {}", status.message);
            Obstacle::new(BackupReason::JobRefused, message)
        }
        other => Error::api(doing)(other).into(),
    }
}

/// The words of the API server's own authorizer.
fn is_rbac(message: &str) -> bool {
    message.contains(" cannot ") && message.contains("User \"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::MissingPrivilege;
    use kube::core::Status;

    fn refused(code: u16, message: &str) -> Obstacle {
        let status = Status {
            code,
            message: message.to_owned(),
            ..Status::default()
        };
        refusal("create the Job")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_quota_refuses_for_good_and_missing_rights_of_the_operator_do_not() {
        let quota =
            "jobs.batch \"b\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1";
        assert_eq!(refused(403, quota).reason, BackupReason::JobRefused);
        assert_eq!(
            refused(403, quota).message,
            format!("cannot create the Job: {quota}")
        );
        let rbac = "jobs.batch is forbidden: User \"system:serviceaccount:x\" cannot create resource \"jobs\"";
        assert!(refused(403, rbac).retry.is_some());
        assert!(refused(500, "failed calling webhook").retry.is_some());
        assert_eq!(refused(422, "invalid").reason, BackupReason::JobRefused);
    }

    #[test]
    fn what_may_not_be_read_is_named_with_its_grant() {
        let lack = |n: usize| MissingPrivilege {
            needed_for: format!("table t{n}"),
            grant: format!("GRANT SELECT ON t{n}"),
        };
        let mut assessment = Assessment {
            bytes: 0,
            unreadable: Vec::new(),
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
