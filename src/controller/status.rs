//! Writing a status: by server-side apply, one field manager per writer, and only when it changed.

use kube::api::{Patch, PatchParams};
use kube::core::Request;
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::client::ApiError;
use crate::client::lenient::Readable;

/// When a status may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing in the object changed since it was read: what was decided on an old copy is refused
    /// ([`ApiError::Changed`]). For everything that a decision is made from later, a state above all.
    Unchanged,
    /// Whatever happened meanwhile. For what only people read: where the object was deleted and made
    /// again, its successor gets it. (The API server does not compare UIDs when a status is applied.)
    Always,
}

/// Writes `next` as the status of the object that was read as `seen`.
///
/// `manager` names the one place in the program that writes these fields: what it leaves out of
/// `next` is removed. Returns the object as it is now, or nothing where `next` is what it has.
///
/// An answer that cannot be read is no failure: the status was written, and doing it again would not change the answer.
pub async fn write<K>(
    api: &Api<K>,
    manager: &str,
    seen: &K,
    next: &K::Status,
    when: When,
) -> Result<Option<K>, ApiError>
where
    K: Resource<DynamicType = ()> + HasStatus + DeserializeOwned + Clone + std::fmt::Debug,
    K::Status: Serialize + Clone,
{
    const DOING: &str = "write the status";
    let encode = |status: &K::Status| {
        serde_json::to_value(status).map_err(|source| ApiError::Encode {
            doing: DOING,
            source,
        })
    };
    let encoded = encode(next)?;
    let current = seen.status().map(encode).transpose()?;
    if current.as_ref() == Some(&encoded) {
        return Ok(None);
    }
    let request = Request::new(api.resource_url()).patch_subresource(
        "status",
        &seen.name_any(),
        &PatchParams::apply(manager).force(),
        &Patch::Apply(patch(seen, &encoded, when)),
    );
    let request = request
        .map_err(kube::Error::BuildRequest)
        .map_err(ApiError::of(DOING))?;
    let answer: Readable<K> = api
        .clone()
        .into_client()
        .request(request)
        .await
        .map_err(ApiError::of(DOING))?;
    Ok(Some(written(seen, next, answer)))
}

/// The object as it is now; as it was read with what was written, where the answer cannot be read.
fn written<K>(seen: &K, next: &K::Status, answer: Readable<K>) -> K
where
    K: Resource<DynamicType = ()> + HasStatus + Clone,
    K::Status: Clone,
{
    match answer.0 {
        Ok(now) => now,
        Err(unreadable) => {
            let mut now = seen.clone();
            *now.status_mut() = Some(next.clone());
            let version = unreadable.metadata.resource_version.clone();
            now.meta_mut().resource_version = version.or_else(|| seen.resource_version());
            now
        }
    }
}

fn patch<K: Resource<DynamicType = ()>>(seen: &K, status: &Value, when: When) -> Value {
    let mut metadata = json!({"name": seen.name_any()});
    match when {
        When::Always => {}
        When::Unchanged => metadata["resourceVersion"] = json!(seen.resource_version()),
    }
    json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": metadata,
        "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Database, DatabaseState, DatabaseStatus};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::ObjectMeta;

    #[test]
    fn what_was_written_counts_though_the_answer_cannot_be_read() {
        let object = |state: &str, version: &str| {
            json!({
                "metadata": {"name": "d", "resourceVersion": version},
                "spec": {"instanceRef": {"name": "i"}}, "status": {"state": state},
            })
        };
        let seen: Database = serde_json::from_value(object("CREATING", "5")).unwrap();
        let next = DatabaseStatus {
            state: Some(DatabaseState::Created),
            ..DatabaseStatus::default()
        };
        let answer = |state| serde_json::from_value(object(state, "6")).unwrap();
        for state in ["CREATED", "HIBERNATING"] {
            let now = written(&seen, &next, answer(state));
            assert_eq!(now.state(), Some(DatabaseState::Created), "{state}");
            assert_eq!(now.resource_version().as_deref(), Some("6"), "{state}");
        }
    }

    #[test]
    fn the_version_is_part_of_the_patch() {
        let seen = Namespace {
            metadata: ObjectMeta {
                name: Some("n".to_owned()),
                resource_version: Some("5".to_owned()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let status = json!({"phase": "Active"});
        assert_eq!(
            patch(&seen, &status, When::Always),
            json!({"apiVersion": "v1", "kind": "Namespace",
                   "metadata": {"name": "n"}, "status": {"phase": "Active"}})
        );
        assert_eq!(
            patch(&seen, &status, When::Unchanged)["metadata"]["resourceVersion"],
            "5"
        );
    }
}
