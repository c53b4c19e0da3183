//! Act `Start`: begin the upload, sign the first parts, create the Job and its errand. Each step looks first, so that a
//! crash anywhere continues here.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;

use super::pass::{Obstacle, Pass};
use super::plan::Plan;
use super::prepare::{self, Prepared};
use super::subject::{self, Sight, Subject};
use super::{job, secret};
use crate::api::BackupReason;
use crate::error::Error;
use crate::provider::Assessment;

/// How much of what may not be read a message names.
const NAMED: usize = 10;

/// Brings the Job about. When it is done the Job is there, with all that its pod needs.
pub async fn start(pass: &mut Pass<'_>) -> Result<(), Obstacle> {
    let now = Timestamp::now();
    if now.duration_since(pass.started_at()) > pass.deadline() {
        let message = format!(
            "the Job could not be created within spec.deadlineSeconds ({} s)",
            pass.deadline().as_secs()
        );
        return Err(Obstacle::new(BackupReason::DeadlineExceeded, message));
    }
    let found = subject::find(pass.context, &pass.backup, Sight::Cached).await?;
    let Subject::Known(database, finality) = found else {
        let message = "the Database is gone";
        return Err(Obstacle::new(BackupReason::DatabaseDeleted, message));
    };
    let prepared = prepare::prepare(pass, *database, finality).await?;

    let assessment = {
        let _alone = prepared.server.alone(&prepared.names).await;
        prepared
            .server
            .ask("assess", |provider| provider.assess(&prepared.names))
            .await?
    };
    check_readable(&assessment)?;
    let plan = Plan::of(assessment.bytes, &prepared.destination.s3)?;

    let upload_id = begin(pass, &prepared).await?;
    let job = existing_job(pass).await?;
    if let Some(job) = &job
        && secret::is_there(pass, job).await?
    {
        return Ok(());
    }
    // All is at hand before the Job is: a pod that does not find its Secret looks again ever more rarely.
    let (data, window) = secret::fill(pass, &prepared, &plan, &upload_id).await?;
    let job = match job {
        Some(job) => job,
        None => create_job(pass, &prepared, &plan).await?,
    };
    secret::write(pass, &job, data).await?;
    let windows = &pass.context.backup.windows;
    windows.put(&pass.uid(), window, plan.schedule.max_parts);
    Ok(())
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

/// The Job, where a crash came between it and its Secret.
async fn existing_job(pass: &Pass<'_>) -> Result<Option<Job>, Obstacle> {
    let jobs: Api<Job> = pass.api();
    let name = pass.job_name();
    let found = jobs.get_opt(&name).await;
    match found.map_err(Error::api("read the Job"))? {
        Some(other) if !job::is_of(&other, &pass.backup) => {
            let message = format!(
                "there is a Job {name} already that db-operator did not make: delete it, then make another Backup"
            );
            Err(Obstacle::new(BackupReason::JobRefused, message))
        }
        found => Ok(found),
    }
}

async fn create_job(pass: &Pass<'_>, prepared: &Prepared, plan: &Plan) -> Result<Job, Obstacle> {
    let job = prepared.job(pass, Prepared::memory(plan))?;
    let jobs: Api<Job> = pass.api();
    jobs.create(&PostParams::default(), &job)
        .await
        .map_err(refusal("create the Job"))
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
