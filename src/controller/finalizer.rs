//! The mark that keeps a deleted object until its work is done.
//!
//! Added and removed explicitly: a deletion goes on over many reconciles, and only the last one may
//! let the object go.

use kube::api::{Patch, PatchParams};
use kube::core::{ObjectMeta, Request};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::api::FINALIZER;
use crate::client::ApiError;
use crate::client::lenient::Readable;

/// Puts the finalizer on, if it is not there. Returns the object as it is now.
pub async fn add<K>(api: &Api<K>, object: &K) -> Result<K, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    const DOING: &str = "add the finalizer";
    let Some(patch) = add_patch(object.meta()) else {
        return Ok(object.clone());
    };
    let answer = send(api, &object.name_any(), patch, DOING).await;
    let answer = answer.map_err(|error| match error.code() {
        // As below: it is looked at again with a newer copy.
        Some(422) => ApiError::Changed { doing: DOING },
        _ => error,
    })?;
    Ok(added(object, answer))
}

/// The object as it is now; as it was read and with the finalizer, where the answer cannot be read.
fn added<K: Resource<DynamicType = ()> + Clone>(object: &K, answer: Readable<K>) -> K {
    match answer.0 {
        Ok(now) => now,
        Err(unreadable) => {
            let mut now = object.clone();
            now.finalizers_mut().push(FINALIZER.to_owned());
            let version = unreadable.metadata.resource_version.clone();
            now.meta_mut().resource_version = version.or_else(|| object.resource_version());
            now
        }
    }
}

/// Whether an object lacks the finalizer that has something to look after: somebody replaced it as a whole.
#[must_use]
pub fn is_lost(meta: &ObjectMeta, begun: bool) -> bool {
    begun && meta.deletion_timestamp.is_none() && add_patch(meta).is_some()
}

/// Takes the finalizer off. Returns the object as it is now; `None` if it had none, or is gone already, which is success.
/// Where its list of finalizers changed since it was read, that is an [`ApiError::Changed`]: a retry has a newer copy then.
pub async fn remove<K>(api: &Api<K>, object: &K) -> Result<Option<Readable<K>>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    const DOING: &str = "remove the finalizer";
    let Some(patch) = remove_patch(object.meta()) else {
        return Ok(None);
    };
    removed(send(api, &object.name_any(), patch, DOING).await, DOING)
}

/// What an answer to a removal means.
fn removed<T>(answer: Result<T, ApiError>, doing: &'static str) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(now) => Ok(Some(now)),
        Err(error) if error.code() == Some(404) => Ok(None),
        // A test in the patch failed: the list moved, or this is another object of that name.
        Err(error) if error.code() == Some(422) => Err(ApiError::Changed { doing }),
        Err(error) => Err(error),
    }
}

/// An answer that cannot be read is no failure: the patch was applied.
async fn send<K>(
    api: &Api<K>,
    name: &str,
    patch: Value,
    doing: &'static str,
) -> Result<Readable<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let patch =
        serde_json::from_value(patch).map_err(|source| ApiError::Encode { doing, source })?;
    let patch = Patch::Json::<()>(patch);
    let request = Request::new(api.resource_url()).patch(name, &PatchParams::default(), &patch);
    let request = request
        .map_err(kube::Error::BuildRequest)
        .map_err(ApiError::of(doing))?;
    let answer = api.clone().into_client().request(request).await;
    answer.map_err(ApiError::of(doing))
}

/// The JSON patch that adds the finalizer to exactly this object; `None` if it is there already.
fn add_patch(meta: &ObjectMeta) -> Option<Value> {
    let list = meta.finalizers.clone().unwrap_or_default();
    if list.iter().any(|finalizer| finalizer == FINALIZER) {
        return None;
    }
    let same = json!({"op": "test", "path": "/metadata/uid", "value": meta.uid});
    let patch = if list.is_empty() {
        json!([
            same,
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]},
        ])
    } else {
        json!([same, {"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER}])
    };
    Some(patch)
}

/// The JSON patch that removes the finalizer from exactly this object; `None` if it is absent.
fn remove_patch(meta: &ObjectMeta) -> Option<Value> {
    let place = meta
        .finalizers
        .as_ref()?
        .iter()
        .position(|finalizer| finalizer == FINALIZER)?;
    let path = format!("/metadata/finalizers/{place}");
    Some(json!([
        {"op": "test", "path": "/metadata/uid", "value": meta.uid},
        {"op": "test", "path": path, "value": FINALIZER},
        {"op": "remove", "path": path},
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(finalizers: &[&str]) -> ObjectMeta {
        ObjectMeta {
            uid: Some("u".to_owned()),
            finalizers: (!finalizers.is_empty())
                .then(|| finalizers.iter().map(ToString::to_string).collect()),
            ..ObjectMeta::default()
        }
    }

    #[test]
    fn a_finalizer_was_added_though_the_answer_cannot_be_read() {
        let seen: crate::api::Backup = serde_json::from_value(json!({
            "metadata": {"name": "b", "resourceVersion": "5", "finalizers": ["a/b"]},
            "spec": {"databaseRef": {"name": "d"}},
        }))
        .unwrap();
        let answer = serde_json::from_value(json!({
            "metadata": {"name": "b", "resourceVersion": "6"}, "spec": {},
        }));
        let now = added(&seen, answer.unwrap());
        assert_eq!(now.finalizers(), ["a/b", FINALIZER]);
        assert_eq!(now.resource_version().as_deref(), Some("6"));
    }

    #[test]
    fn adds_once() {
        assert_eq!(add_patch(&meta(&[FINALIZER])), None);
        let first = add_patch(&meta(&[])).unwrap();
        assert_eq!(first[1]["value"], Value::Null);
        assert_eq!(first[2]["value"], json!([FINALIZER]));
        let next = add_patch(&meta(&["other"])).unwrap();
        assert_eq!(next[1]["path"], "/metadata/finalizers/-");
    }

    /// `kubectl replace` sends the manifest alone.
    #[test]
    fn a_finalizer_is_lost_once_there_is_something_to_look_after() {
        assert!(is_lost(&meta(&[]), true) && is_lost(&meta(&["other"]), true));
        assert!(!is_lost(&meta(&[]), false) && !is_lost(&meta(&[FINALIZER]), true));
        let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::now());
        let going = ObjectMeta {
            deletion_timestamp: Some(now),
            ..meta(&["other"])
        };
        assert!(!is_lost(&going, true), "none can be put on any more");
    }

    #[test]
    fn a_removal_that_met_another_list_is_tried_again_with_a_newer_copy() {
        let answer = |code| {
            let status = kube::core::Status {
                code,
                ..kube::core::Status::default()
            };
            Err::<(), _>(ApiError::of("try")(kube::Error::Api(Box::new(status))))
        };
        removed(answer(404), "try").unwrap();
        let moved = removed(answer(422), "try").unwrap_err();
        assert!(matches!(moved, ApiError::Changed { .. }) && moved.is_retryable());
        assert!(matches!(
            removed(answer(403), "try"),
            Err(ApiError::Failed { .. })
        ));
    }

    #[test]
    fn removes_only_its_own() {
        assert_eq!(remove_patch(&meta(&[])), None);
        assert_eq!(remove_patch(&meta(&["other"])), None);
        let patch = remove_patch(&meta(&["other", FINALIZER])).unwrap();
        assert_eq!(patch[0]["value"], "u");
        assert_eq!(patch[1]["path"], "/metadata/finalizers/1");
        assert_eq!(patch[2]["path"], "/metadata/finalizers/1");
    }
}
