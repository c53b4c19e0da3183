//! What a team does with Databases, as commands that were run and what they answered.

use std::process::Command;

use crate::cluster::Cluster;
use crate::{Result, clone_root, command};

/// A pod that logs in as an application would: from nothing but the Secret.
const LOGIN: &str = r#"kubectl apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: login, namespace: team-a}
spec:
  restartPolicy: Never
  containers:
    - name: psql
      image: docker.io/library/postgres:17
      imagePullPolicy: IfNotPresent
      command: [sh, -c, 'psql "$(cat /orders/uri)" --command="select current_user, current_database(), ssl from pg_stat_ssl where pid = pg_backend_pid()"']
      env: [{name: PGSSLROOTCERT, value: /orders/ca.crt}]
      volumeMounts: [{name: orders, mountPath: /orders}]
  volumes: [{name: orders, secret: {secretName: orders}}]
YAML"#;

/// A second object that names the database of the first.
const RIVAL: &str = r"kubectl apply -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Database
metadata: {name: rival, namespace: team-a}
spec: {instanceRef: {name: postgres}, name: orders, deletionPolicy: Delete}
YAML";

/// The steps: why, what is run, and what is run after it without being shown.
const STEPS: [(&str, &str); 9] = [
    (
        "A team commits Databases; here one on each server",
        "kubectl create namespace team-a --dry-run=client -o yaml | kubectl apply -f - && kubectl apply -k kustomize/samples -n team-a",
    ),
    (
        "Ready means that a login with the Secret's own values worked",
        "kubectl wait --for=condition=Ready database --all -n team-a --timeout=60s && kubectl get databases -n team-a",
    ),
    (
        "All that an application needs is in a Secret of the same name",
        "kubectl describe secret orders -n team-a | sed -n '/^Type/,$p'",
    ),
    ("A pod logs in with it", LOGIN),
    (
        "",
        "kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/login -n team-a --timeout=60s && kubectl logs login -n team-a",
    ),
    ("A rival names the same SQL database", RIVAL),
    (
        "",
        "kubectl wait --for=condition=Stalled database/rival -n team-a --timeout=30s && \
         kubectl get database rival -n team-a -o jsonpath='{.status.conditions[?(@.type==\"Stalled\")].message}{\"\\n\"}'",
    ),
    (
        "Deleting the rival touches nothing; invoices has the policy Delete, and is dropped",
        "kubectl delete database rival invoices -n team-a",
    ),
    (
        "What happened, for someone with only kubectl",
        "kubectl get events -n team-a --field-selector involvedObject.kind=Database -o custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message",
    ),
];

/// Runs the steps and returns them with their answers, as a person would see them in a terminal.
pub fn transcript(cluster: &Cluster) -> Result<String> {
    let mut text = String::from("\nWhat a team sees:\n");
    // What an earlier demo left would be in the way of a pod, which cannot be changed.
    run(
        cluster,
        "kubectl delete pod login -n team-a --ignore-not-found",
    )?;
    for (why, line) in STEPS {
        let answer = run(cluster, line)?;
        if !why.is_empty() {
            text.extend(["\n  # ", why, "\n"]);
        }
        for line in line.lines().chain(answer.lines()).enumerate().map(prompted) {
            text += &line;
        }
    }
    Ok(text)
}

fn prompted((number, line): (usize, &str)) -> String {
    let prompt = if number == 0 { "$ " } else { "" };
    format!("  {prompt}{line}\n")
}

fn run(cluster: &Cluster, line: &str) -> Result<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", line])
        .current_dir(clone_root())
        .env("PATH", format!("{}:{path}", cluster.tools_dir().display()))
        .env("KUBECONFIG", cluster.kubeconfig());
    command::output(&mut shell)
}
