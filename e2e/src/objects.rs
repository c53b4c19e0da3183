//! Kubernetes objects, applied to the cluster, and whether that changed anything.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::{Error, Result, command};

/// Who manages what is applied here.
const MANAGER: &str = "--field-manager=db-operator-e2e";

/// How long a new definition may take until it is served.
const ESTABLISHED_WITHIN: Duration = Duration::from_mins(1);

/// Waits until all CustomResourceDefinitions are served. `kubectl` makes a command for the cluster in question.
pub fn wait_until_established(kubectl: impl Fn() -> Command) -> Result<()> {
    let what = "The definitions are served";
    command::wait_until(what, ESTABLISHED_WITHIN, None, || {
        let mut wait = kubectl();
        wait.args(["wait", "--for=condition=Established", "--timeout=10s"])
            .args(["customresourcedefinition", "--all"]);
        // Of one that is so new that it has no conditions yet, kubectl says that it cannot read them.
        if command::output(&mut wait).is_err() {
            return Ok(false);
        }
        let mut names = kubectl();
        names
            .args(["get", "customresourcedefinition", "--output"])
            .arg("jsonpath={range .items[*]}{.spec.names.plural}.{.spec.group}{\"\\n\"}{end}");
        let names = command::output(&mut names)?;
        // An established one is refused (429) until its storage is ready.
        let is_served = |name: &str| {
            let mut list = kubectl();
            list.args(["get", name, "--all-namespaces", "--output=name"]);
            command::output(&mut list).is_ok()
        };
        Ok(names.lines().all(is_served))
    })
}

/// The objects in a YAML text of one or more documents, which came from `path`.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Value>> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| {
            Value::deserialize(document).map_err(|source| {
                Error::Precondition(format!("{} is no YAML: {source}", path.display()))
            })
        })
        .collect()
}

/// The objects in the YAML files of a folder, by the files' names.
pub fn read_folder(folder: &Path) -> Result<Vec<Value>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut objects = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).map_err(Error::io("read", &file))?;
        objects.extend(parse(&text, &file)?);
    }
    Ok(objects)
}

/// Applies objects on the server's side; true if any was made or changed.
///
/// Their content goes to kubectl by its stdin: Secrets are among them.
pub fn apply(cluster: &Cluster, objects: &[Value]) -> Result<bool> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    let mut get = cluster.kubectl();
    get.args(["get", "--ignore-not-found", "--output=json", "--filename=-"]);
    let before = versions(&command::output_with_input(&mut get, &list)?)?;
    let mut apply = cluster.kubectl();
    apply
        .args(["apply", "--server-side", "--force-conflicts", MANAGER])
        .args(["--output=json", "--filename=-"]);
    let after = versions(&command::output_with_input(&mut apply, &list)?)?;
    Ok(before != after)
}

/// What changes when an object is written to, by kind, namespace and name, in kubectl's JSON.
///
/// An object with a generation has a status too, which others write: only the generation shows a change of what was asked for.
fn versions(json: &str) -> Result<BTreeMap<String, Value>> {
    if json.is_empty() {
        return Ok(BTreeMap::new());
    }
    let parsed: Value = serde_json::from_str(json)
        .map_err(|source| Error::Precondition(format!("kubectl wrote no JSON: {source}")))?;
    let items = match parsed.get("items").and_then(Value::as_array) {
        Some(items) => items.clone(),
        None => vec![parsed],
    };
    Ok(items.iter().map(version).collect())
}

fn version(object: &Value) -> (String, Value) {
    let metadata = &object["metadata"];
    let name = format!(
        "{} {} {}",
        object["kind"], metadata["namespace"], metadata["name"]
    );
    let version = match &metadata["generation"] {
        Value::Null => &metadata["resourceVersion"],
        generation => generation,
    };
    (
        name,
        json!([
            version,
            metadata["labels"],
            metadata["annotations"],
            metadata["uid"]
        ]),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn a_status_is_no_change_and_a_spec_or_a_new_object_is() {
        let object = |generation: u64, version: &str, uid: &str| {
            let object = json!({"kind": "Deployment", "metadata": {
                "name": "x", "namespace": "y", "generation": generation, "resourceVersion": version, "uid": uid}});
            versions(&json!({"items": [object]}).to_string()).unwrap()
        };
        assert_eq!(object(1, "10", "a"), object(1, "11", "a"));
        assert_ne!(object(1, "10", "a"), object(2, "11", "a"));
        assert_ne!(object(1, "10", "a"), object(1, "10", "b"));
        let secret = |version: &str| {
            versions(
                &json!({"kind": "Secret", "metadata": {"name": "x", "resourceVersion": version}})
                    .to_string(),
            )
            .unwrap()
        };
        assert_ne!(secret("1"), secret("2"));
        assert!(versions("").unwrap().is_empty());
    }

    #[test]
    fn the_manifests_are_yaml_objects_with_a_kind() {
        let folder = crate::clone_root().join("e2e/manifests");
        for objects in [read_folder(&folder.join("databases")), read_folder(&folder)] {
            let objects = objects.unwrap();
            assert!(objects.len() >= 3);
            for object in objects {
                assert!(
                    object["kind"].is_string() && object["metadata"]["name"].is_string(),
                    "{object}"
                );
            }
        }
    }
}
