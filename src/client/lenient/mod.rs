//! Objects that others write, read one by one: one that cannot be read is one object, not the end of a list.
//!
//! The API server stores what Go accepts, and that is more than our types do: a time at the end of the year 9999, or a word
//! that another version of the operator wrote. A list is decoded as a whole, so one such object would hide all others.
//! [`Readable`] takes each object as text first, decodes the few fields of its metadata that are asked for here, and then the
//! object. What does not decode keeps what names it ([`Unreadable`]).
//!
//! To keep a part of an object instead of all of it, decode into a type of its own: see [`projection`](crate::projection).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::de::value::MapDeserializer;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

mod metadata;
#[cfg(test)]
mod tests;

use crate::api::GROUP;

/// The most bytes of what is said about an object that cannot be read: a part of it may come from whoever wrote it.
const WHY_LIMIT: usize = 400;

/// What a status says to people and is said again at the next pass: losing it loses nothing. `observedGeneration` goes with
/// the conditions, so that the next pass brings everything about again instead of trusting what they said.
const SAID_AGAIN: [&str; 3] = ["conditions", "progress", "observedGeneration"];

/// An object of a kind, or the identity of one that cannot be read. Decoding it never fails for a JSON object.
///
/// Of the metadata, only what this program asks for is kept ([`metadata`]): no managed fields, no labels and annotations but
/// those of `db-operator.dev`. It is for looking at, not for writing back.
#[derive(Clone, Debug)]
pub struct Readable<K>(pub Result<K, Box<Unreadable>>);

/// What names an object that cannot be read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("its {part} cannot be read: {why}")]
pub struct Unreadable {
    /// Name, namespace, UID and version, and what else of the metadata can be read. There is always a name.
    pub metadata: ObjectMeta,
    /// What of it cannot be read.
    pub part: Part,
    /// Why, on one line.
    pub why: String,
    /// What it refers to, as far as that can be read: it may still be in use.
    pub refers_to: References,
}

/// A part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `metadata`
    Metadata,
    /// `status`
    Status,
    /// Anything else, mostly `spec`.
    Content,
}

impl fmt::Display for Part {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Metadata => "metadata",
            Self::Status => "status",
            Self::Content => "content",
        })
    }
}

/// The names in the references of a spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// `spec.instanceRef.name`
    pub instance: Option<String>,
    /// `spec.databaseRef.name`
    pub database: Option<String>,
}

impl<K> Readable<K> {
    /// The object, if it can be read.
    pub fn ok(&self) -> Option<&K> {
        self.0.as_ref().ok()
    }
}

impl<'de, K> Deserialize<'de> for Readable<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(read(&text)))
    }
}

/// What a request sends. One that cannot be read is never sent.
impl<K: Serialize> Serialize for Readable<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Ok(object) => object.serialize(serializer),
            Err(unreadable) => Err(S::Error::custom(unreadable)),
        }
    }
}

impl<K: Resource> Resource for Readable<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn metadata_api() -> bool {
        K::metadata_api()
    }

    fn meta(&self) -> &ObjectMeta {
        match &self.0 {
            Ok(object) => object.meta(),
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
            Ok(object) => object.meta_mut(),
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

/// A JSON object, field by field, as text.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

fn fields(text: &RawValue) -> serde_json::Result<Fields<'_>> {
    serde_json::from_str(text.get())
}

/// Decodes an object. The fields of its text are passed on as they are: nothing large is held twice.
fn read<K>(text: &RawValue) -> Result<K, Box<Unreadable>>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let mut fields = fields(text).unwrap_or_default();
    let (metadata, invalid) = metadata::read(fields.get("metadata").copied());
    let unreadable = |part, why: &dyn fmt::Display, fields: &Fields<'_>| {
        Box::new(Unreadable {
            metadata: named(&metadata),
            part,
            why: brief(&why.to_string()),
            refers_to: References::of(fields),
        })
    };
    if let Some(why) = invalid {
        return Err(unreadable(Part::Metadata, &why, &fields));
    }
    let encoded = serde_json::value::to_raw_value(&metadata)
        .map_err(|error| unreadable(Part::Metadata, &error, &fields))?;
    fields.insert("metadata".to_owned(), &encoded);
    let failure = match decode(&fields) {
        Ok(object) => return Ok(object),
        Err(failure) => failure,
    };
    if let Some(object) = without_what_is_said_again(&fields) {
        return Ok(object);
    }
    // For the message alone: which of the two somebody has to look at.
    let mut rest = fields.clone();
    let part = match rest.remove("status").map(|_| decode::<K>(&rest)) {
        Some(Ok(_)) => Part::Status,
        Some(Err(_)) | None => Part::Content,
    };
    Err(unreadable(part, &failure, &fields))
}

fn decode<K: DeserializeOwned>(fields: &Fields<'_>) -> serde_json::Result<K> {
    let fields = fields.iter().map(|(name, text)| (name.as_str(), *text));
    K::deserialize(MapDeserializer::new(fields))
}

/// An object of our own kinds whose status can be read but for what is said again anyway. The rest of a status is what the
/// operator decides from: an object whose state cannot be read must not begin a second life, so it is left alone.
fn without_what_is_said_again<K>(fields: &Fields<'_>) -> Option<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    if K::group(&()) != GROUP {
        return None;
    }
    let mut status = self::fields(fields.get("status")?).ok()?;
    for field in SAID_AGAIN {
        status.remove(field);
    }
    let encoded = serde_json::value::to_raw_value(&status).ok()?;
    let mut fields = fields.clone();
    fields.insert("status".to_owned(), &encoded);
    decode(&fields).ok()
}

/// Stores find objects by name, including objects whose name cannot be read.
fn named(metadata: &ObjectMeta) -> ObjectMeta {
    let mut metadata = metadata.clone();
    metadata
        .name
        .get_or_insert_with(|| "(unreadable)".to_owned());
    metadata
}

impl References {
    fn of(fields: &Fields<'_>) -> Self {
        #[derive(Deserialize)]
        struct Named {
            name: String,
        }
        let spec = fields.get("spec").and_then(|text| self::fields(text).ok());
        let name = |field: &str| {
            let reference = spec.as_ref()?.get(field)?;
            let named: Named = serde_json::from_str(reference.get()).ok()?;
            Some(named.name)
        };
        Self {
            instance: name("instanceRef"),
            database: name("databaseRef"),
        }
    }
}

/// One line that is not too long, whatever an object holds.
fn brief(why: &str) -> String {
    let mut line: String = why
        .chars()
        .take(WHY_LIMIT)
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .collect();
    if line.len() > WHY_LIMIT {
        line.truncate(line.floor_char_boundary(WHY_LIMIT - '…'.len_utf8()));
    }
    if line.len() < why.len() {
        line.push('…');
    }
    line
}

/// Makes a struct of chosen fields a kind of its own for watches and requests: `projection!(JobView, Job)`. The struct has a
/// field `metadata: ObjectMeta` and derives `Clone`, `Debug` and `Deserialize`; what it does not name is not kept. Behind
/// [`Readable`](crate::client::lenient::Readable), `metadata` holds what that keeps.
#[macro_export]
macro_rules! projection {
    ($view:ty, $kind:ty) => {
        impl ::kube::Resource for $view {
            type DynamicType = ();
            type Scope = <$kind as ::kube::Resource>::Scope;

            fn kind((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as ::kube::Resource>::kind(&())
            }

            fn group((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as ::kube::Resource>::group(&())
            }

            fn version((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as ::kube::Resource>::version(&())
            }

            fn plural((): &()) -> ::std::borrow::Cow<'_, str> {
                <$kind as ::kube::Resource>::plural(&())
            }

            fn meta(&self) -> &::kube::core::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ::kube::core::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
