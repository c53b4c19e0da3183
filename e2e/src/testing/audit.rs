//! What the operator asked of the API server, and what it logged.

use std::collections::BTreeSet;

use crate::audit::{Audit, Entry};
use crate::cluster::Cluster;
use crate::command;
use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;

/// Names the file that an operator outside the cluster, started by hand, writes its log to.
const LOG_FILE: &str = "DB_OPERATOR_E2E_LOG";

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

impl Request {
    fn of(entry: &Entry) -> Option<Self> {
        let object = entry.object()?;
        Some(Self {
            verb: entry.verb.clone(),
            group: object.api_group.clone(),
            resource: object.resource(),
            at_home: object.namespace == OPERATOR_NAMESPACE,
            denied: entry.is_denied(),
        })
    }
}

/// All kinds of requests that the operator in the cluster made since it was installed: another installation before it may
/// have had other rights, and lost them while it still ran.
#[must_use]
pub fn requests(cluster: &Cluster) -> BTreeSet<Request> {
    let since = installed_at(cluster);
    let entries = Audit::of_operator(cluster).advance().unwrap();
    entries
        .iter()
        // The log's times have fractions of a second.
        .filter(|entry| entry.request_received_timestamp.as_str() >= since.as_str())
        .filter_map(Request::of)
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
    let mut audit = Audit::of_operator(cluster).mentioning(namespace);
    let entries = audit.advance().unwrap();
    let writes = entries
        .iter()
        .filter(|entry| entry.is_complete() && entry.is_write() && entry.succeeded());
    writes
        .filter_map(|entry| Some((&entry.verb, entry.object()?)))
        .filter(|(_, object)| object.namespace == namespace && object.kind() != "events")
        .map(|(verb, object)| format!("{verb} {} {}", object.resource(), object.name))
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
