//! A Secret as the API server stores it: nothing is decoded unless it is needed.
//!
//! Whoever may write Secrets can put a megabyte into one, or entries into its managedFields that Kubernetes' own types
//! refuse. So it is parsed away from the runtime's threads, values stay as they came, and what is of no use here is
//! skipped.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use kube::api::{Api, GetParams, Patch, PatchParams};
use kube::core::Request;
use kube::core::request::Error as RequestError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::blocking::compute;
use crate::client::ApiError;

/// A Secret as it is stored.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RawSecret {
    /// Its metadata.
    pub metadata: Metadata,
    /// Its type, which never changes.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// Whether nothing in it can be changed any more.
    pub immutable: Option<bool>,
    data: Option<BTreeMap<String, String>>,
}

/// What its metadata say, as far as anybody asks here.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    /// Its UID.
    pub uid: Option<String>,
    /// Its version.
    pub resource_version: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its owners.
    pub owner_references: Vec<OwnerReference>,
    managed_fields: Vec<Managed>,
}

/// Who set which fields.
#[derive(Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Managed {
    manager: Option<String>,
    fields_v1: Fields,
}

#[allow(
    clippy::zero_sized_map_values,
    reason = "an object of which only the keys are read"
)]
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:data")]
    data: BTreeMap<String, IgnoredAny>,
    #[serde(rename = "f:metadata")]
    metadata: MetadataFields,
}

#[allow(
    clippy::zero_sized_map_values,
    reason = "an object of which only the keys are read"
)]
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct MetadataFields {
    #[serde(rename = "f:labels")]
    labels: BTreeMap<String, IgnoredAny>,
    #[serde(rename = "f:annotations")]
    annotations: BTreeMap<String, IgnoredAny>,
}

/// Where a Secret has texts by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its data.
    Data,
    /// Its labels.
    Labels,
    /// Its annotations.
    Annotations,
}

impl RawSecret {
    /// How many bytes a value has, without looking at them.
    #[must_use]
    pub(crate) fn length(&self, key: &str) -> Option<usize> {
        let text = self.encoded(key)?;
        let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
        Some((text.len() / 4 * 3).saturating_sub(padding))
    }

    /// A value. The API server stores nothing that is not base64.
    #[must_use]
    pub(crate) fn value(&self, key: &str) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(self.encoded(key)?).ok()
    }

    fn encoded(&self, key: &str) -> Option<&String> {
        self.data.as_ref()?.get(key)
    }

    /// Whether it has all that is wanted, and nothing that `manager` wrote and is not wanted any more. What else is in it
    /// is somebody else's, and would not go away by writing.
    #[must_use]
    pub(crate) fn holds(&self, wanted: &Secret, manager: &str) -> bool {
        let empty = BTreeMap::new();
        let data = wanted
            .data
            .as_ref()
            .unwrap_or(&BTreeMap::new())
            .iter()
            .all(|(key, value)| {
                self.encoded(key)
                    .is_some_and(|stored| *stored == BASE64_STANDARD.encode(&value.0))
            });
        let texts = |stored: &BTreeMap<String, String>,
                     wanted: Option<&BTreeMap<String, String>>| {
            let mut wanted = wanted.unwrap_or(&empty).iter();
            wanted.all(|(key, value)| stored.get(key) == Some(value))
        };
        let left = [Part::Data, Part::Labels, Part::Annotations]
            .iter()
            .any(|part| {
                self.written_by(manager, *part)
                    .any(|key| !is_wanted(wanted, *part, key))
            });
        data && !left
            && texts(&self.metadata.labels, wanted.metadata.labels.as_ref())
            && texts(
                &self.metadata.annotations,
                wanted.metadata.annotations.as_ref(),
            )
            && wanted
                .owner_references()
                .iter()
                .all(|owner| self.metadata.owner_references.contains(owner))
    }

    /// The keys that `manager` wrote last.
    fn written_by<'a>(&'a self, manager: &'a str, part: Part) -> impl Iterator<Item = &'a str> {
        self.metadata
            .managed_fields
            .iter()
            .filter(move |entry| entry.manager.as_deref() == Some(manager))
            .flat_map(move |entry| match part {
                Part::Data => entry.fields_v1.data.keys(),
                Part::Labels => entry.fields_v1.metadata.labels.keys(),
                Part::Annotations => entry.fields_v1.metadata.annotations.keys(),
            })
            .filter_map(|field| field.strip_prefix("f:"))
    }
}

fn is_wanted(wanted: &Secret, part: Part, key: &str) -> bool {
    match part {
        Part::Data => wanted
            .data
            .as_ref()
            .is_some_and(|data| data.contains_key(key)),
        Part::Labels => wanted.labels().contains_key(key),
        Part::Annotations => wanted.annotations().contains_key(key),
    }
}

/// Reads a Secret; `None` if it is absent.
pub(crate) async fn read(
    api: &Api<Secret>,
    name: &str,
    doing: &'static str,
) -> Result<Option<RawSecret>, ApiError> {
    let request = Request::new(api.resource_url()).get(name, &GetParams::default());
    match send(api, request, doing).await {
        Ok(secret) => Ok(Some(secret)),
        Err(error) if error.code() == Some(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Applies a Secret, and says which version it has now.
pub(crate) async fn apply(
    api: &Api<Secret>,
    wanted: &Secret,
    params: &PatchParams,
    doing: &'static str,
) -> Result<Metadata, ApiError> {
    #[derive(Deserialize)]
    struct Written {
        metadata: Metadata,
    }
    let request = Request::new(api.resource_url()).patch_metadata(
        &wanted.name_any(),
        params,
        &Patch::Apply(wanted),
    );
    let written: Written = send(api, request, doing).await?;
    Ok(written.metadata)
}

async fn send<T: DeserializeOwned + Send + 'static>(
    api: &Api<Secret>,
    request: Result<http::Request<Vec<u8>>, RequestError>,
    doing: &'static str,
) -> Result<T, ApiError> {
    let request = request.map_err(|error| ApiError::of(doing)(kube::Error::BuildRequest(error)))?;
    let answer = api.clone().into_client().request_text(request).await;
    let text = answer.map_err(ApiError::of(doing))?;
    compute(move || serde_json::from_str(&text))
        .await
        .map_err(|source| ApiError::Encode { doing, source })
}

#[cfg(test)]
#[path = "raw_tests.rs"]
mod tests;
