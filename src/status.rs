//! Writing a status: by server-side apply, one field manager per writer, and only when it changed.

use kube::api::{Patch, PatchParams};
use kube::core::object::HasStatus;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::Error;

/// When a status may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing in the object changed since it was read: what was decided on an old copy is refused
    /// ([`Error::Changed`]). For everything that a decision is made from later, a state above all.
    Unchanged,
    /// Whatever happened meanwhile. For what only people read: where the object was deleted and made
    /// again, its successor gets it. (The API server does not compare UIDs when a status is applied.)
    Always,
}

/// Writes `next` as the status of the object that was read as `seen`.
///
/// `manager` names the one place in the program that writes these fields: what it leaves out of
/// `next` is removed. Returns the object as it is now, or nothing where `next` is what it has.
pub async fn write<K>(
    api: &Api<K>,
    manager: &str,
    seen: &K,
    next: &K::Status,
    when: When,
) -> Result<Option<K>, Error>
where
    K: Resource<DynamicType = ()> + HasStatus + DeserializeOwned + Clone + std::fmt::Debug,
    K::Status: Serialize,
{
    const DOING: &str = "write the status";
    let encode = |status: &K::Status| {
        serde_json::to_value(status).map_err(|source| Error::Encode {
            doing: DOING,
            source,
        })
    };
    let next = encode(next)?;
    let current = seen.status().map(encode).transpose()?;
    if current.as_ref() == Some(&next) {
        return Ok(None);
    }
    api.patch_status(
        &seen.name_any(),
        &PatchParams::apply(manager).force(),
        &Patch::Apply(patch(seen, &next, when)),
    )
    .await
    .map(Some)
    .map_err(Error::api(DOING))
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
    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::ObjectMeta;

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
