//! YAML → Job. What Kubernetes would drop or take otherwise than it was meant (a field that there is not, one that is
//! there twice) is an error, with its line.

use std::fmt;

use k8s_openapi::api::batch::v1::Job;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{JobError, Refusal};

/// The longest line that an error shows, in characters.
const LONGEST_LINE: usize = 120;

/// Reads a rendered template.
pub(super) fn job(yaml: &str) -> Result<Job, JobError> {
    let malformed = |error| not_a_job(yaml, &error);
    // The types below take the last of two equal keys; this reading refuses them.
    let read: serde_yaml_ng::Value = serde_yaml_ng::from_str(yaml).map_err(malformed)?;
    let kind = |name: &str| read.get(name).and_then(serde_yaml_ng::Value::as_str);
    if (kind("apiVersion"), kind("kind")) != (Some("batch/v1"), Some("Job")) {
        return Err(at(yaml, "kind", |line, text| JobError::NotAJob {
            line,
            text,
            reason: "apiVersion: batch/v1 and kind: Job are expected".to_owned(),
        }));
    }
    let job: Job = serde_yaml_ng::from_str(yaml).map_err(malformed)?;
    let written: Value = serde_yaml_ng::from_str(yaml).map_err(malformed)?;
    let understood = serde_json::to_value(&job).unwrap_or_default();
    match unknown(&written, &understood, "") {
        None => Ok(job),
        Some(path) => Err(at(yaml, &path, |line, text| JobError::NotAJob {
            line,
            text,
            reason: format!("there is no field {path}: correct its name, or remove it"),
        })),
    }
}

/// Adds the line to what is refused.
pub(super) fn locate(yaml: &str, refusal: Refusal) -> JobError {
    let Refusal { path, reason } = refusal;
    at(yaml, &path.clone(), |line, text| JobError::NotAccepted {
        line,
        text,
        path,
        reason,
    })
}

fn not_a_job(yaml: &str, error: &serde_yaml_ng::Error) -> JobError {
    let line = error.location().map_or(1, |location| location.line());
    let message = error.to_string();
    let reason = message
        .split_once(" at line ")
        .map_or(message.as_str(), |(reason, _)| reason);
    JobError::NotAJob {
        line,
        text: excerpt(yaml, line),
        reason: reason.to_owned(),
    }
}

/// The line that a field is in, or the one of its nearest parent that was written.
fn at(yaml: &str, path: &str, error: impl FnOnce(usize, String) -> JobError) -> JobError {
    let mut target = path;
    let line = loop {
        let seek = Seek {
            path: String::new(),
            target,
        };
        if let Err(found) = seek.deserialize(serde_yaml_ng::Deserializer::from_str(yaml)) {
            break found.location().map_or(1, |location| location.line());
        }
        match target.rfind(['.', '[']) {
            Some(end) => target = &target[..end],
            None => break 1,
        }
    };
    error(line, excerpt(yaml, line))
}

fn excerpt(yaml: &str, line: usize) -> String {
    let line = yaml.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    line.trim().chars().take(LONGEST_LINE).collect()
}

/// The first field that was written and not understood.
fn unknown(written: &Value, understood: &Value, path: &str) -> Option<String> {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            written.iter().find_map(|(key, value)| {
                let path = child(path, key);
                match understood.get(key) {
                    Some(same) => unknown(value, same, &path),
                    // As good as not written: `nodeSelector:` with nothing below.
                    None => (!value.is_null()).then_some(path),
                }
            })
        }
        (Value::Array(written), Value::Array(understood)) => written
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (value, same))| unknown(value, same, &item(path, index))),
        _ => None,
    }
}

/// The path of a field.
fn child(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The path of an element.
fn item(path: &str, index: usize) -> String {
    format!("{path}[{index}]")
}

/// Reads YAML until it is at `target` and fails there: the parser adds the line to the error.
struct Seek<'a> {
    path: String,
    target: &'a str,
}

impl Seek<'_> {
    fn down(&self, path: String) -> Self {
        Self {
            path,
            target: self.target,
        }
    }

    fn stop_here<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.path == self.target {
            return Err(E::custom("here"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.stop_here()?;
        while let Some(path) = map.next_key_seed(Key(&self))? {
            map.next_value_seed(self.down(path))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.stop_here()?;
        let mut index = 0;
        while seq
            .next_element_seed(self.down(item(&self.path, index)))?
            .is_some()
        {
            index += 1;
        }
        Ok(())
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.stop_here()
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.stop_here()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.stop_here()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.stop_here()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.stop_here()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.stop_here()
    }
}

/// A key, which is where a field begins.
struct Key<'a, 'b>(&'a Seek<'b>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        let path = child(&self.0.path, key);
        if path == self.0.target {
            return Err(E::custom("here"));
        }
        Ok(path)
    }
}
