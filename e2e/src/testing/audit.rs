//! What the operator asked of the API server, and what it logged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::command;
use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;

/// Names the file that an operator outside the cluster, started by hand, writes its log to.
const LOG_FILE: &str = "DB_OPERATOR_E2E_LOG";

/// What the audit log has of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    request_received_timestamp: String,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: Option<u16>,
}

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// As in a rule: `get`, `list`, …
    pub verb: String,
    /// The API group; empty for the core's.
    pub group: String,
    /// As in a rule, with its subresource: `databases/status`.
    pub resource: String,
    /// Whether it was in the operator's own namespace.
    pub at_home: bool,
    /// Whether the authorizer said no.
    pub denied: bool,
}

/// All kinds of requests that the operator in the cluster made since it was installed: another installation before it may
/// have had other rights, and lost them while it still ran.
#[must_use]
pub fn requests(cluster: &Cluster) -> BTreeSet<Request> {
    let since = installed_at(cluster);
    let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{DEPLOYMENT}");
    let file = std::fs::File::open(cluster.audit_log()).unwrap();
    std::io::BufReader::new(file)
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.contains(&operator))
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Entry>(&line).ok())
        .filter(|entry| entry.user.username == operator)
        // Both are RFC 3339 in UTC, so their order is that of their letters; the log's has fractions of a second.
        .filter(|entry| entry.request_received_timestamp.as_str() >= since.as_str())
        .filter_map(|entry| {
            let denied = entry
                .annotations
                .get("authorization.k8s.io/decision")
                .is_some_and(|decision| decision == "forbid");
            let object = entry.object_ref?;
            let slash = if object.subresource.is_empty() {
                ""
            } else {
                "/"
            };
            Some(Request {
                verb: entry.verb,
                group: object.api_group,
                resource: format!("{}{slash}{}", object.resource, object.subresource),
                at_home: object.namespace == OPERATOR_NAMESPACE,
                denied,
            })
        })
        .collect()
}

/// When the operator's Deployment was made, without the letter that ends a time of UTC.
fn installed_at(cluster: &Cluster) -> String {
    let mut get = cluster.kubectl();
    get.args([
        "get",
        "deployment",
        DEPLOYMENT,
        "--namespace",
        OPERATOR_NAMESPACE,
    ])
    .args(["--output", "jsonpath={.metadata.creationTimestamp}"]);
    let time = command::output(&mut get).unwrap();
    time.trim_end_matches('Z').to_owned()
}

/// The operator's writes in a namespace so far that the API server did, in order: `patch databases/status orders`.
/// Events are not counted.
#[must_use]
pub fn writes(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let operator = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{DEPLOYMENT}");
    let file = std::fs::File::open(cluster.audit_log()).unwrap();
    std::io::BufReader::new(file)
        .lines()
        .map(Result::unwrap)
        .filter(|line| line.contains(namespace))
        // The last line may be half written.
        .filter_map(|line| serde_json::from_str::<Entry>(&line).ok())
        .filter(|entry| entry.stage == "ResponseComplete" && entry.user.username == operator)
        .filter(|entry| {
            matches!(
                entry.verb.as_str(),
                "create" | "patch" | "update" | "delete"
            )
        })
        .filter(|entry| {
            let code = entry
                .response_status
                .as_ref()
                .and_then(|status| status.code);
            code.is_some_and(|code| code < 400)
        })
        .filter_map(|entry| Some((entry.verb, entry.object_ref?)))
        .filter(|(_, object)| object.namespace == namespace && object.resource != "events")
        .map(|(verb, object)| {
            let slash = if object.subresource.is_empty() {
                ""
            } else {
                "/"
            };
            format!(
                "{verb} {}{slash}{} {}",
                object.resource, object.subresource, object.name
            )
        })
        .collect()
}

/// Everything that the operator's processes logged.
#[must_use]
pub fn operator_log(cluster: &Cluster) -> String {
    if let Some(file) = std::env::var_os(LOG_FILE) {
        return std::fs::read_to_string(file).unwrap();
    }
    let mut logs = cluster.kubectl();
    logs.args(["logs", "--namespace", OPERATOR_NAMESPACE, "--all-pods"])
        .args([&format!("deployment/{DEPLOYMENT}"), "--tail=-1"]);
    command::output(&mut logs).unwrap()
}
