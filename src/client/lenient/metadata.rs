//! The metadata of an object that is kept: its name, its version, and whatever in it is ours.
//!
//! Labels, annotations, finalizers and owners of others may be megabytes, and nobody here asks for them: they are passed over
//! as text. Each field is decoded by itself, so that one that cannot be read does not take the name along.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Fields;
use crate::api::{FINALIZER, GROUP};

/// The metadata as far as it can be read, and why it cannot be trusted where that is so.
pub(super) fn read(text: Option<&RawValue>) -> (ObjectMeta, Option<String>) {
    let Some(text) = text else {
        return (ObjectMeta::default(), None);
    };
    let fields = match super::fields(text) {
        Ok(fields) => fields,
        Err(error) => return (ObjectMeta::default(), Some(error.to_string())),
    };
    let mut reader = Reader {
        fields,
        invalid: None,
    };
    let metadata = ObjectMeta {
        name: reader.field("name"),
        namespace: reader.field("namespace"),
        uid: reader.field("uid"),
        resource_version: reader.field("resourceVersion"),
        generation: reader.field("generation"),
        creation_timestamp: reader.field("creationTimestamp"),
        deletion_timestamp: reader.field("deletionTimestamp"),
        labels: reader.picked("labels", ours),
        annotations: reader.picked("annotations", ours),
        finalizers: reader.picked("finalizers", |all: Vec<_>| Ok(finalizers(&all))),
        owner_references: reader.picked("ownerReferences", controller),
        ..ObjectMeta::default()
    };
    (metadata, reader.invalid)
}

struct Reader<'a> {
    fields: Fields<'a>,
    invalid: Option<String>,
}

impl<'a> Reader<'a> {
    /// A field; `None` if it is absent, `null`, or cannot be read, which is recorded.
    fn field<T: Deserialize<'a>>(&mut self, name: &str) -> Option<T> {
        self.picked(name, |found: T| Ok(found))
    }

    /// What is kept of a field.
    fn picked<T: Deserialize<'a>, V>(
        &mut self,
        name: &str,
        pick: impl FnOnce(T) -> serde_json::Result<V>,
    ) -> Option<V> {
        let text = *self.fields.get(name)?;
        let found = serde_json::from_str::<Option<T>>(text.get());
        match found.and_then(|found| found.map(pick).transpose()) {
            Ok(kept) => kept,
            Err(error) => {
                self.invalid
                    .get_or_insert_with(|| format!("{name}: {error}"));
                None
            }
        }
    }
}

/// Of labels or annotations, those of this program.
fn ours(all: Fields<'_>) -> serde_json::Result<BTreeMap<String, String>> {
    let is_ours = |key: &String| {
        key.strip_prefix(GROUP)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    all.into_iter()
        .filter(|(key, _)| is_ours(key))
        .map(|(key, text)| Ok((key, serde_json::from_str(text.get())?)))
        .collect()
}

/// Our finalizer at its place in the list, which its removal has to name. Those of others are empty, and none is behind it.
/// Where ours is not, all that counts is whether there are others.
fn finalizers(all: &[&RawValue]) -> Vec<String> {
    let ours = format!("\"{FINALIZER}\"");
    let place = all.iter().position(|text| text.get() == ours);
    let mut list = vec![String::new(); place.unwrap_or(all.len().min(1))];
    list.extend(place.map(|_| FINALIZER.to_owned()));
    list
}

/// The owner that controls the object: the API server lets there be one.
fn controller(all: Vec<&RawValue>) -> serde_json::Result<Vec<OwnerReference>> {
    let mut kept = Vec::new();
    for text in all {
        let owner: OwnerReference = serde_json::from_str(text.get())?;
        if owner.controller == Some(true) {
            kept.push(owner);
        }
    }
    Ok(kept)
}
