//! The Job's Secret: its errand, and the window of signed parts that moves along.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};

use super::pass::{Obstacle, Pass};
use super::plan::Plan;
use super::prepare::Prepared;
use super::start::refusal;
use super::window;
use crate::api::BACKUP_LABEL;
use crate::dump::errand::{Errand, paths};
use crate::dump::window::{Batch, Window};
use crate::error::Error;

/// Writes the errand's Secret.
const MANAGER: &str = "db-operator-backup";

/// Whether the Job has its Secret: its pod may have read it, so it is not written again.
pub async fn is_there(pass: &Pass<'_>, job: &Job) -> Result<bool, Error> {
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

/// What the pod mounts for a dump as it is planned, with the first window of signed parts.
pub async fn fill(
    pass: &Pass<'_>,
    prepared: &Prepared,
    plan: &Plan,
    upload_id: &str,
) -> Result<(BTreeMap<String, ByteString>, Window), Obstacle> {
    let range = window::first(plan.parts(), plan.schedule.max_parts);
    let window = Window {
        batches: vec![sign(pass, upload_id, range).await?],
    };
    let errand = prepared.errand(pass, plan);
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
) -> Result<Batch, Obstacle> {
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

/// Makes the Secret, which goes with the Job.
pub async fn write(
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
