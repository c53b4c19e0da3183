//! The Job's Secret: its task, and what was signed for it: a window of parts that moves along, or an object to read.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};

use super::objects::Job;
use super::{Owner, signed_parts};
use crate::agent::protocol::restore::{self, RestoreTask, SignedObject};
use crate::agent::protocol::signed_parts::SignedParts;
use crate::agent::protocol::task::{Task, paths};
use crate::client::ApiError;

/// Writes the Job's Secret.
const MANAGER: &str = "db-operator-backup";
const DOING: &str = "write the Job's Secret";

/// What a backup's Secret holds: what the pod is asked to do, the signed parts that it begins with, and the store's
/// certificate authority where it has one of its own.
pub fn data(
    task: &Task,
    window: &SignedParts,
    store_ca: Option<&[u8]>,
) -> Result<BTreeMap<String, ByteString>, ApiError> {
    let mut data = BTreeMap::from([
        (paths::TASK_KEY.to_owned(), encode(task)?),
        (paths::SIGNED_PARTS_KEY.to_owned(), encode(window)?),
    ]);
    add_authority(&mut data, store_ca);
    Ok(data)
}

/// What a restore's Secret holds: what the pod is asked to do, the signed request that reads the object, and the store's
/// certificate authority where it has one of its own.
pub fn restore_data(
    task: &RestoreTask,
    object: &SignedObject,
    store_ca: Option<&[u8]>,
) -> Result<BTreeMap<String, ByteString>, ApiError> {
    let mut data = BTreeMap::from([
        (restore::TASK_KEY.to_owned(), encode(task)?),
        (restore::SIGNED_OBJECT_KEY.to_owned(), encode(object)?),
    ]);
    add_authority(&mut data, store_ca);
    Ok(data)
}

fn add_authority(data: &mut BTreeMap<String, ByteString>, store_ca: Option<&[u8]>) {
    if let Some(ca) = store_ca {
        data.insert(paths::STORE_CA_KEY.to_owned(), ByteString(ca.to_vec()));
    }
}

/// What the Job's Secret holds: its window, and the most parts that its store takes. `None` where it is gone, or where it
/// is not what the operator wrote: a team may write Secrets.
pub async fn read_window(
    secrets: &Api<Secret>,
    job: &Job,
) -> Result<Option<(SignedParts, u32)>, ApiError> {
    let secret = secrets
        .get_opt(&job.name_any())
        .await
        .map_err(ApiError::of("read the Job's Secret"))?;
    Ok(secret.and_then(|secret| handed_out(&secret, job)))
}

fn handed_out(secret: &Secret, job: &Job) -> Option<(SignedParts, u32)> {
    let mut owners = secret.owner_references().iter();
    if !owners.any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref()) {
        return None;
    }
    let data = secret.data.as_ref()?;
    let window =
        serde_json::from_slice::<SignedParts>(&data.get(paths::SIGNED_PARTS_KEY)?.0).ok()?;
    let task = serde_json::from_slice::<Task>(&data.get(paths::TASK_KEY)?.0).ok()?;
    let max_parts = task.part_sizes.max_parts;
    signed_parts::is_sound(&window, max_parts).then_some((window, max_parts))
}

/// Replaces the window in the Job's Secret.
pub async fn write_window(
    secrets: &Api<Secret>,
    job: &Job,
    window: &SignedParts,
) -> Result<(), ApiError> {
    replace(secrets, job, paths::SIGNED_PARTS_KEY, encode(window)?).await
}

/// Replaces the request that reads the object in the Job's Secret.
pub async fn write_object(
    secrets: &Api<Secret>,
    job: &Job,
    object: &SignedObject,
) -> Result<(), ApiError> {
    replace(secrets, job, restore::SIGNED_OBJECT_KEY, encode(object)?).await
}

async fn replace(
    secrets: &Api<Secret>,
    job: &Job,
    key: &str,
    value: ByteString,
) -> Result<(), ApiError> {
    let patch = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"ownerReferences": [owner(&job.name_any(), &job.uid().unwrap_or_default())]},
        "data": {key: value},
    });
    // A merge creates nothing: a Secret that went with its Job does not come back.
    secrets
        .patch(
            &job.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .map_err(ApiError::of(DOING))?;
    Ok(())
}

/// Makes the Secret, which goes with the Job. What somebody put into one of that name beforehand is taken away.
pub async fn write(
    secrets: &Api<Secret>,
    asker: &Owner,
    job_uid: &str,
    data: BTreeMap<String, ByteString>,
) -> Result<(), ApiError> {
    let name = asker.job_name();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: asker.namespace.clone(),
            labels: Some(BTreeMap::from([
                (asker.kind.label().to_owned(), asker.name.clone()),
                (
                    "app.kubernetes.io/managed-by".to_owned(),
                    "db-operator".to_owned(),
                ),
            ])),
            owner_references: Some(vec![owner(&name, job_uid)]),
            ..ObjectMeta::default()
        },
        data: Some(data.clone()),
        ..Secret::default()
    };
    let parameters = PatchParams::apply(MANAGER).force();
    let applied = secrets
        .patch(&name, &parameters, &Patch::Apply(&secret))
        .await
        .map_err(ApiError::of(DOING))?;
    let Some(removal) = foreign(&applied, &data) else {
        return Ok(());
    };
    tracing::warn!(
        name,
        "the Job's Secret held what the operator did not write: that is taken away"
    );
    let parameters = PatchParams::default();
    secrets
        .patch(&name, &parameters, &Patch::Merge(removal))
        .await
        .map_err(ApiError::of(DOING))?;
    Ok(())
}

/// The patch that takes the keys away that are not ours; `None` where all are.
fn foreign(secret: &Secret, ours: &BTreeMap<String, ByteString>) -> Option<serde_json::Value> {
    let keys = secret.data.iter().flat_map(BTreeMap::keys);
    let foreign: serde_json::Map<_, _> = keys
        .filter(|key| !ours.contains_key(*key))
        .map(|key| (key.clone(), serde_json::Value::Null))
        .collect();
    (!foreign.is_empty()).then(|| serde_json::json!({"data": foreign}))
}

fn owner(name: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: Job::api_version(&()).into_owned(),
        kind: Job::kind(&()).into_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        controller: None,
        block_owner_deletion: None,
    }
}

fn encode<T: serde::Serialize>(value: &T) -> Result<ByteString, ApiError> {
    serde_json::to_vec(value)
        .map(ByteString)
        .map_err(|source| ApiError::Encode {
            doing: DOING,
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn data(keys: &[&str]) -> BTreeMap<String, ByteString> {
        let pair = |key: &&str| ((*key).to_owned(), ByteString(b"x".to_vec()));
        keys.iter().map(pair).collect()
    }

    #[test]
    fn what_somebody_put_there_beforehand_is_taken_away() {
        let ours = data(&["errand.json", "window.json"]);
        let applied = |keys: &[&str]| Secret {
            data: Some(data(keys)),
            ..Secret::default()
        };
        assert_eq!(
            foreign(&applied(&["errand.json", "window.json"]), &ours),
            None
        );
        assert_eq!(
            foreign(
                &applied(&["errand.json", "store-ca.crt", "window.json"]),
                &ours
            ),
            Some(json!({"data": {"store-ca.crt": null}}))
        );
    }

    #[test]
    fn a_secret_that_is_not_the_jobs_is_not_read() {
        let job: Job =
            serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u"}})).unwrap();
        let secret = |uid: &str, window: &str| Secret {
            metadata: ObjectMeta {
                owner_references: Some(vec![owner("j", uid)]),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(
                paths::SIGNED_PARTS_KEY.to_owned(),
                ByteString(window.as_bytes().to_vec()),
            )])),
            ..Secret::default()
        };
        let window = r#"{"batches": []}"#;
        assert_eq!(handed_out(&secret("v", window), &job), None);
        assert_eq!(handed_out(&secret("u", "no window"), &job), None);
        // The task is missing.
        assert_eq!(handed_out(&secret("u", window), &job), None);
    }
}
