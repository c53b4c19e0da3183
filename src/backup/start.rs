//! Act `Start`: begin the upload, sign the first parts, create the Job and its errand. Each step looks first, so that a
//! crash anywhere continues here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};

use super::job;
use super::pass::{Obstacle, Pass};
use super::prepare::{self, Prepared};
use super::subject::{self, Sight, Subject};
use super::window;
use crate::api::{BACKUP_LABEL, BackupReason};
use crate::dump::errand::{Errand, paths};
use crate::dump::parts::Schedule;
use crate::dump::window::Window;
use crate::error::Error;
use crate::provider::Assessment;

/// Writes the errand's Secret.
const MANAGER: &str = "db-operator-backup";
/// How much of what may not be read a message names.
const NAMED: usize = 10;
/// What is assumed of the size of a compressed dump: half of what was dumped. Rows compress better, images do not.
const COMPRESSION: u64 = 2;

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
    let s3 = &prepared.destination.s3;
    let max_parts = u32::try_from(s3.max_parts).unwrap_or(1);
    let stored = assessment.bytes / COMPRESSION;
    let schedule = Schedule::plan(stored, max_parts, s3.equal_parts)
        .map_err(|error| Obstacle::new(BackupReason::TooLarge, error.to_string()))?;

    let upload_id = begin(pass, &prepared).await?;
    let job = existing_job(pass).await?;
    if let Some(job) = &job
        && has_errand(pass, job).await?
    {
        return Ok(());
    }
    // All is at hand before the Job is: a pod that does not find its Secret looks again ever more rarely.
    let (data, window) = errand(pass, &prepared, &assessment, &schedule, &upload_id).await?;
    let job = match job {
        Some(job) => job,
        None => create_job(pass, &prepared, &schedule).await?,
    };
    write_secret(pass, &job, data).await?;
    let windows = &pass.context.backup.windows;
    windows.put(&pass.uid(), window, schedule.max_parts);
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

async fn create_job(
    pass: &Pass<'_>,
    prepared: &Prepared,
    schedule: &Schedule,
) -> Result<Job, Obstacle> {
    let job = prepared.job(pass, Prepared::memory(schedule))?;
    let jobs: Api<Job> = pass.api();
    jobs.create(&PostParams::default(), &job)
        .await
        .map_err(refusal("create the Job"))
}

/// Whether the Job has its Secret: its pod may have read it, so it is not written again.
async fn has_errand(pass: &Pass<'_>, job: &Job) -> Result<bool, Error> {
    let secrets: Api<Secret> = pass.api();
    let there = secrets
        .get_opt(&pass.job_name())
        .await
        .map_err(Error::api("read the Job's Secret"))?;
    Ok(there.is_some_and(|secret| {
        let mut owners = secret.owner_references().iter();
        owners.any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
    }))
}

/// What the pod mounts, with the first window of signed parts.
async fn errand(
    pass: &Pass<'_>,
    prepared: &Prepared,
    assessment: &Assessment,
    schedule: &Schedule,
    upload_id: &str,
) -> Result<(BTreeMap<String, ByteString>, Window), Obstacle> {
    let expected = (assessment.bytes > 0)
        .then(|| schedule.parts(assessment.bytes / COMPRESSION))
        .flatten();
    let range = window::first(expected, schedule.max_parts);
    let window = Window {
        batches: vec![sign(pass, upload_id, range).await?],
    };
    let errand = prepared.errand(pass, assessment.bytes, schedule.clone());
    let mut data = BTreeMap::from([
        (paths::ERRAND_KEY.to_owned(), encode(&errand)?),
        (paths::WINDOW_KEY.to_owned(), encode(&window)?),
    ]);
    if let Some(ca) = &prepared.destination.ca {
        data.insert(paths::STORE_CA_KEY.to_owned(), ByteString(ca.clone()));
    }
    Ok((data, window))
}

/// Signs requests for parts of the backup's upload. Nothing is sent.
pub async fn sign(
    pass: &Pass<'_>,
    upload_id: &str,
    range: window::Range,
) -> Result<crate::dump::window::Batch, Obstacle> {
    pass.check_leadership()?;
    let valid_for = window::valid_for(pass.started_at(), pass.deadline(), Timestamp::now());
    let destination = pass.destination().await?;
    let key = pass.upload()?.key;
    Ok(destination
        .store
        .sign(&key, upload_id, range.first, range.count, valid_for)
        .await?)
}

/// What the Job's Secret holds: its window, and the most parts that its store takes. None where it is gone.
pub async fn read_window(pass: &Pass<'_>) -> Result<Option<(Window, u32)>, Error> {
    let secrets: Api<Secret> = pass.api();
    let secret = secrets
        .get_opt(&pass.job_name())
        .await
        .map_err(Error::api("read the Job's Secret"))?;
    let Some(data) = secret.and_then(|secret| secret.data) else {
        return Ok(None);
    };
    let window = data
        .get(paths::WINDOW_KEY)
        .and_then(|text| serde_json::from_slice::<Window>(&text.0).ok());
    let errand = data
        .get(paths::ERRAND_KEY)
        .and_then(|text| serde_json::from_slice::<Errand>(&text.0).ok());
    Ok(window.zip(errand.map(|errand| errand.schedule.max_parts)))
}

/// Replaces the window in the Job's Secret.
pub async fn write_window(pass: &Pass<'_>, job: &Job, window: &Window) -> Result<(), Obstacle> {
    let patch = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"ownerReferences": [owner(job)]},
        "data": {paths::WINDOW_KEY: encode(window)?},
    });
    let secrets: Api<Secret> = pass.api();
    // A merge creates nothing: a Secret that went with its Job does not come back.
    secrets
        .patch(
            &pass.job_name(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .map_err(refusal("write the Job's Secret"))?;
    Ok(())
}

async fn write_secret(
    pass: &Pass<'_>,
    job: &Job,
    data: BTreeMap<String, ByteString>,
) -> Result<(), Obstacle> {
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(pass.job_name()),
            namespace: Some(pass.namespace()),
            labels: Some(BTreeMap::from([
                (BACKUP_LABEL.to_owned(), pass.backup.name_any()),
                (
                    "app.kubernetes.io/managed-by".to_owned(),
                    "db-operator".to_owned(),
                ),
            ])),
            owner_references: Some(vec![owner(job)]),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..Secret::default()
    };
    let secrets: Api<Secret> = pass.api();
    let parameters = PatchParams::apply(MANAGER).force();
    secrets
        .patch(&pass.job_name(), &parameters, &Patch::Apply(&secret))
        .await
        .map_err(refusal("write the Job's Secret"))?;
    Ok(())
}

/// The Secret goes with the Job.
fn owner(job: &Job) -> OwnerReference {
    OwnerReference {
        api_version: Job::api_version(&()).into_owned(),
        kind: Job::kind(&()).into_owned(),
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        controller: None,
        block_owner_deletion: None,
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<ByteString, Error> {
    serde_json::to_vec(value)
        .map(ByteString)
        .map_err(|source| Error::Encode {
            doing: "write the Job's Secret",
            source,
        })
}

/// What the API server does not let in is refused for good: by a quota, an admission, or because the namespace goes. What
/// the operator itself may not do is mended by its administrators.
fn refusal(doing: &'static str) -> impl FnOnce(kube::Error) -> Obstacle {
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
