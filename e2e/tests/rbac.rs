//! What the operator is granted, beside what it asked for since it was installed, by the API server's own audit log.
//! The other tests have to have run before: together they make it use all that it has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::collections::BTreeSet;
use std::fs;

use e2e::clone_root;
use e2e::cluster::Cluster;
use e2e::testing::audit::{Request, requests};
use serde::Deserialize;
use serde_yaml_ng::Value;

/// A server-side apply is a `patch` to the audit log; where the object is new, the authorizer asks for `create` as well.
const APPLIED: [&str; 1] = ["secrets"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    api_groups: Vec<String>,
    resources: Vec<String>,
    verbs: Vec<String>,
}

/// Each verb of each rule; those of a Role are for the operator's own namespace.
fn granted() -> BTreeSet<Request> {
    let text = fs::read_to_string(clone_root().join("kustomize/base/rbac.yaml")).unwrap();
    let mut all = BTreeSet::new();
    for document in serde_yaml_ng::Deserializer::from_str(&text) {
        let object = Value::deserialize(document).unwrap();
        if object["rules"].is_null() {
            continue;
        }
        let at_home = object["kind"] == "Role";
        let rules: Vec<Rule> = serde_yaml_ng::from_value(object["rules"].clone()).unwrap();
        for rule in rules {
            for group in &rule.api_groups {
                for resource in &rule.resources {
                    all.extend(rule.verbs.iter().map(|verb| Request {
                        verb: verb.clone(),
                        group: group.clone(),
                        resource: resource.clone(),
                        at_home,
                        denied: false,
                    }));
                }
            }
        }
    }
    all
}

#[test]
fn each_right_is_used_and_none_is_missing() {
    let made = requests(&Cluster::main());
    let granted = granted();
    assert!(granted.len() > 30, "{granted:?}");

    let denied: Vec<_> = made.iter().filter(|request| request.denied).collect();
    assert!(denied.is_empty(), "the operator lacks a right: {denied:#?}");

    let used = |right: &Request| {
        let applied = Request {
            verb: "patch".to_owned(),
            ..right.clone()
        };
        made.contains(right)
            || right.verb == "create"
                && APPLIED.contains(&&*right.resource)
                && made.contains(&applied)
    };
    let unused: Vec<_> = granted.iter().filter(|right| !used(right)).collect();
    assert!(
        unused.is_empty(),
        "nothing used this since the operator was installed; if all other tests ran, take it away: {unused:#?}"
    );
}
