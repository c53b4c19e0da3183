//! `demo`: everything up, what works, and what to try next.

mod backups;
mod databases;
mod restores;
mod rows;
mod transcript;

use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::operator::{self, DEPLOYMENT};
use crate::servers::{self, BUCKET, NAMESPACE, OPERATOR_NAMESPACE};
use crate::{Error, Result, command};

/// The Lease that elects the operator's leader.
const LEASE: &str = "db-operator";
/// How long it may take until one of the new replicas leads.
const LEADER_WITHIN: Duration = Duration::from_secs(30);

/// Loads the operator into a cluster whose servers are up, and describes what works then.
pub fn demo(cluster: &Cluster, cache: &Cache) -> Result<String> {
    operator::load(cluster, cache)?;
    servers::apply_instances(cluster)?;
    let leader = leader(cluster)?;
    let mut rows = vec![
        ("node", node(cluster)?),
        ("operator", operator_line(cluster, &leader)?),
    ];
    for name in servers::DATABASES {
        rows.push((
            name,
            format!("{}   {}", version(cluster, name)?, address(cluster, name)?),
        ));
    }
    rows.push((
        servers::S3,
        format!("bucket {BUCKET}   {}", address(cluster, servers::S3)?),
    ));
    rows.push(("kinds", kinds(cluster)?));
    let team = team(cluster)?;
    Ok(render(&rows, &team, &try_next(cluster)))
}

/// What a team sees, from its first Database to its last backup.
fn team(cluster: &Cluster) -> Result<String> {
    transcript::run(cluster, restores::CLEARED)?;
    transcript::run(cluster, backups::CLEARED)?;
    let mut text = "\nWhat a team sees:\n".to_owned();
    text += &transcript::transcript(cluster, &databases::MADE)?;
    rows::fill(cluster)?;
    text += &transcript::transcript(cluster, &backups::MADE)?;
    text += &transcript::transcript(cluster, &restores::MADE)?;
    text += &transcript::transcript(cluster, &restores::UNDONE)?;
    text += &transcript::transcript(cluster, &databases::DELETED)?;
    Ok(text)
}

/// The text of the demo: a table of what is there, and lines to paste.
fn render(rows: &[(&str, String)], team: &str, lines: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = "\ndb-operator runs in a Kubernetes of its own on this machine.\n\n".to_owned();
    for (name, value) in rows {
        let _ = writeln!(text, "  {name:width$}   {value}");
    }
    text.push_str(team);
    text.push_str("\nWhat to try next:\n");
    for (why, line) in lines {
        let _ = write!(text, "\n  # {why}\n  {line}\n");
    }
    text
}

fn try_next(cluster: &Cluster) -> Vec<(&'static str, String)> {
    let programs = cluster.tools_dir();
    vec![
        (
            "kubectl of the right version, and this cluster",
            format!(
                "export PATH={}:$PATH KUBECONFIG=$(cargo xtask kubeconfig)",
                programs.display()
            ),
        ),
        (
            "Who runs, and who leads",
            format!("kubectl get pods -A; kubectl get lease {LEASE} -n {OPERATOR_NAMESPACE}"),
        ),
        (
            "The servers as db-operator sees them",
            "kubectl get databaseinstances".to_owned(),
        ),
        (
            "What a Database may say",
            "kubectl explain database.spec".to_owned(),
        ),
        (
            "The nightly backup of the samples, now",
            "kubectl create job tonight --from=cronjob/nightly-backup -n team-a; kubectl get backups -n team-a --watch".to_owned(),
        ),
        (
            "What the operator does",
            format!(
                "kubectl logs -n {OPERATOR_NAMESPACE} deployment/{DEPLOYMENT} --all-pods --tail=20"
            ),
        ),
        (
            "Every statement a server was given (mysql, mariadb: the same path)",
            format!(
                "kubectl exec -n {NAMESPACE} deployment/postgres -- tail -n 20 /var/log/database/statements.log"
            ),
        ),
        ("Away with all of it", "cargo xtask down".to_owned()),
    ]
}

/// Waits until a replica that is there holds the lease.
fn leader(cluster: &Cluster) -> Result<String> {
    let mut found = String::new();
    command::wait_until("Electing a leader", LEADER_WITHIN, None, || {
        let holder = get(
            cluster,
            &[
                "lease",
                LEASE,
                "-n",
                OPERATOR_NAMESPACE,
                "--ignore-not-found",
            ],
            "{.spec.holderIdentity}",
        )?;
        let selector = format!("app.kubernetes.io/name={DEPLOYMENT}");
        let pods = get(
            cluster,
            &["pods", "-n", OPERATOR_NAMESPACE, "-l", &selector],
            "{.items[*].metadata.name}",
        )?;
        // A replica that was replaced may still hold it.
        let leads = pods.split_whitespace().any(|pod| pod == holder);
        found = holder;
        Ok(leads)
    })?;
    Ok(found)
}

fn node(cluster: &Cluster) -> Result<String> {
    let name = cluster.node();
    let ready =
        r#"{.status.conditions[?(@.type=="Ready")].status} {.status.nodeInfo.kubeletVersion}"#;
    let answer = get(cluster, &["node", &name], ready)?;
    match answer.split_once(' ') {
        Some(("True", version)) => Ok(format!("{name} is Ready, Kubernetes {version}")),
        Some(_) | None => Err(Error::Precondition(format!(
            "The node {name} is not Ready ({answer}): `cargo xtask status` shows which part is missing."
        ))),
    }
}

fn operator_line(cluster: &Cluster, leader: &str) -> Result<String> {
    let target = format!("deployment/{DEPLOYMENT}");
    let replicas = get(
        cluster,
        &[&target, "-n", OPERATOR_NAMESPACE],
        "{.status.readyReplicas} of {.spec.replicas}",
    )?;
    Ok(format!("{replicas} replicas ready, {leader} leads"))
}

/// What a server calls itself, asked through its own client.
fn version(cluster: &Cluster, name: &str) -> Result<String> {
    let product = match name {
        "postgres" => "PostgreSQL",
        "mariadb" => "MariaDB",
        _ => "MySQL",
    };
    let sql = if name == "postgres" {
        "show server_version"
    } else {
        "select version()"
    };
    let version = servers::superuser(cluster, name, sql)?;
    // Debian adds its own revision after the first space or dash.
    let number = version.split([' ', '-']).next().unwrap_or_default();
    Ok(format!("{product} {number}"))
}

fn address(cluster: &Cluster, name: &str) -> Result<String> {
    let address = get(
        cluster,
        &["service", name, "-n", NAMESPACE],
        "{.metadata.name}.{.metadata.namespace}.svc:{.spec.ports[0].port}",
    )?;
    Ok(address)
}

/// The operator's kinds that the API server serves.
fn kinds(cluster: &Cluster) -> Result<String> {
    let mut kubectl = cluster.kubectl();
    kubectl.args(["get", "--raw", "/apis/db-operator.dev/v1alpha1"]);
    let list: Value = serde_json::from_str(&command::output(&mut kubectl)?).map_err(|source| {
        Error::Precondition(format!(
            "the API server described the operator's kinds in no JSON: {source}"
        ))
    })?;
    let names = list["resources"].as_array().into_iter().flatten();
    let names: Vec<&str> = names
        .filter_map(|resource| resource["name"].as_str())
        .filter(|name| !name.contains('/'))
        .collect();
    Ok(format!("{} (db-operator.dev/v1alpha1)", names.join(", ")))
}

fn get(cluster: &Cluster, what: &[&str], path: &str) -> Result<String> {
    let mut kubectl = cluster.kubectl();
    kubectl
        .arg("get")
        .args(what)
        .arg(format!("--output=jsonpath={path}"));
    command::output(&mut kubectl)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_the_lines_can_be_pasted() {
        let text = render(
            &[("a", "first".to_owned()), ("long", "second".to_owned())],
            "\nWhat a team sees:\n",
            &[("why", "kubectl get pods".to_owned())],
        );
        assert!(
            text.contains("\n  a      first\n  long   second\n"),
            "{text}"
        );
        assert!(text.ends_with("\n  # why\n  kubectl get pods\n"), "{text}");
    }
}
