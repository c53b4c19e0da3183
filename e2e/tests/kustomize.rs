//! The overlays, components and samples, as the API server sees them, and the nightly backup at work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod support {
    pub(crate) mod kustomize;
}

use std::fs;
use std::process::Command;
use std::time::Duration;

use db_operator::api::{Backup, BackupState};
use e2e::cluster::Cluster;
use e2e::testing::{Fixture, Server, eventually, with_fixture};
use e2e::{clone_root, command};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use support::kustomize::Copy;

const OVERLAYS: [&str; 2] = ["development", "production"];
/// Says itself how to make the bindings that it leaves to others.
const PER_NAMESPACE: &str = "kustomize/components/per-namespace/kustomization.yaml";

fn kubectl(arguments: &[&str], overlay: &str) -> String {
    let mut kubectl: Command = Cluster::main().kubectl();
    let overlay = clone_root().join("kustomize/overlays").join(overlay);
    command::output(kubectl.args(arguments).arg(overlay)).unwrap()
}

/// Also what is refused only by the admission of Pod Security, as a warning.
#[test]
fn both_overlays_are_accepted() {
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--warnings-as-errors",
        "-k",
    ];
    for overlay in OVERLAYS {
        let answer = kubectl(&arguments, overlay);
        for object in [
            "namespace/db-operator-system",
            "customresourcedefinition.apiextensions.k8s.io/databases.db-operator.dev",
            "deployment.apps/db-operator",
            "poddisruptionbudget.policy/db-operator",
            "service/db-operator-metrics",
        ] {
            assert!(answer.contains(object), "{overlay}: no {object}\n{answer}");
        }
    }
}

/// The operator that is loaded is this overlay, and works: it changed nothing of what was applied.
#[test]
fn there_is_no_difference_to_the_operator_that_runs() {
    for diff in [&["diff", "-k"][..], &["diff", "--server-side", "-k"]] {
        // It ends with an error where there is a difference.
        assert_eq!(kubectl(diff, "development"), "", "{diff:?}");
    }
}

#[test]
fn definitions_come_before_the_operator() {
    for overlay in OVERLAYS {
        let text = kubectl(&["kustomize"], overlay);
        let place = |kind: &str| text.find(&format!("\nkind: {kind}\n"));
        assert!(place("CustomResourceDefinition") < place("Deployment"));
        assert!(place("Namespace") < place("ServiceAccount"));
    }
}

#[test]
fn the_overlays_differ_in_what_matters() {
    let [development, production] = OVERLAYS.map(|overlay| kubectl(&["kustomize"], overlay));
    assert!(development.contains("image: db-operator:dev"));
    assert!(development.contains("value: info,db_operator=debug"));
    assert!(!production.contains(":dev") && !production.contains(":latest"));
    assert!(production.contains("value: json"));
    assert!(production.contains("priorityClassName: db-operator"));
    assert!(production.contains("topologySpreadConstraints"));
}

/// A rule that is written down twice would be forgotten once.
#[test]
fn no_role_lists_or_watches_secrets() {
    for overlay in OVERLAYS {
        let text = kubectl(&["kustomize"], overlay);
        assert!(!text.contains("'*'"), "{overlay} has a wildcard");
        for rule in text.split("- apiGroups:").skip(1) {
            let verbs = rule.split("verbs:").nth(1).unwrap_or_default();
            if rule.contains("- secrets\n") {
                assert!(
                    !verbs.contains("- list\n") && !verbs.contains("- watch\n"),
                    "{rule}"
                );
            }
        }
    }
}

/// Who grants no reading of logs gets an operator without it, and nothing else is another.
#[test]
fn a_component_takes_the_right_to_read_logs_away() {
    let overlay = "resources: [../kustomize/overlays/development]\n";
    let component = format!("{overlay}components: [../kustomize/components/without-pod-logs]\n");
    let [with, without] = [("with", overlay), ("without", &component)]
        .map(|(name, text)| Copy::with(name, text).kubectl(&["kustomize"]));
    assert!(with.contains("- pods/log\n"));
    assert!(!without.contains("pods/log") && !without.contains("pod-logs"));
    let documents = |text: &str| text.split("\n---\n").count();
    assert_eq!(documents(&with), documents(&without) + 2);
}

/// Who writes a binding in each namespace of a team gets an operator that may not write Secrets in any other.
#[test]
fn a_component_leaves_the_rights_in_namespaces_to_bindings() {
    let text = "resources: [../kustomize/overlays/development]\ncomponents: [../kustomize/components/per-namespace]\n";
    let rendered = Copy::with("bindings", text).kubectl(&["kustomize"]);
    let objects: Vec<_> = rendered.split("\n---\n").collect();
    let of = |kind: &str, name: &str| {
        let (kind, name) = (format!("kind: {kind}\n"), format!("  name: {name}\n"));
        let found = objects.iter().find(|object| {
            object.split_inclusive('\n').any(|line| line == kind) && object.contains(&name)
        });
        found.copied()
    };
    let roles = ["db-operator-tenant", "db-operator-pod-logs"];
    for name in roles {
        assert!(of("ClusterRoleBinding", name).is_none(), "{name}");
        // What a RoleBinding names.
        assert!(of("ClusterRole", name).is_some(), "{name}");
        for place in ["doc/security.md", PER_NAMESPACE] {
            let text = fs::read_to_string(clone_root().join(place)).unwrap();
            let made = format!("kubectl create rolebinding {name} --namespace");
            let text = text.replace("# ", "").replace("\\\n", "");
            assert!(
                text.contains(&made) && text.contains(&format!("--clusterrole={name} ")),
                "{place}: {name}"
            );
        }
    }
    // What is left everywhere is to look; the operator's own namespace has a Role of its own.
    for binding in objects
        .iter()
        .filter(|object| object.contains("kind: ClusterRoleBinding\n"))
    {
        assert!(
            binding.contains("\n  name: db-operator\nroleRef:"),
            "{binding}"
        );
    }
    // And what the operator may do in its own namespace.
    for object in [
        of("ClusterRole", "db-operator-tenant"),
        of("Role", "db-operator"),
    ] {
        let rules = object.unwrap();
        assert!(
            rules.contains("- secrets\n") && rules.contains("- create\n"),
            "{rules}"
        );
    }
    let everywhere = of("ClusterRole", "db-operator").unwrap();
    for word in ["- secrets\n", "- pods/log\n", "- create\n  - delete\n"] {
        assert!(!everywhere.contains(word), "{everywhere}");
    }
}

fn samples_in(name: &str, namespace: &str, sample: &str) -> Copy {
    let text = format!("namespace: {namespace}\nresources: [../kustomize/{sample}]\n");
    Copy::with(name, &text)
}

fn in_namespace(fixture: &Fixture, arguments: &[&str]) -> String {
    let mut kubectl = Cluster::main().kubectl();
    kubectl.args(["--namespace", &fixture.namespace]);
    command::output(kubectl.args(arguments)).unwrap()
}

#[tokio::test]
async fn the_samples_are_accepted() {
    with_fixture(Server::Postgres, async |fixture| {
        restricted(fixture);
        let copy = samples_in("samples", &fixture.namespace, "samples/overlays/production");
        let answer = copy.kubectl(&[
            "apply",
            "--server-side",
            "--dry-run=server",
            "--warnings-as-errors",
            "-k",
        ]);
        for object in [
            "database.db-operator.dev/orders",
            "database.db-operator.dev/invoices",
            "database.db-operator.dev/wiki",
            "cronjob.batch/nightly-backup",
            "role.rbac.authorization.k8s.io/nightly-backup",
        ] {
            assert!(answer.contains(object), "no {object}\n{answer}");
        }
    })
    .await;
}

/// Pod Security refuses whatever asks for more than it needs.
fn restricted(fixture: &Fixture) {
    let mut label = Cluster::main().kubectl();
    label.args(["label", "namespace", &fixture.namespace]);
    label.arg("pod-security.kubernetes.io/enforce=restricted");
    command::output(&mut label).unwrap();
}

#[tokio::test]
async fn the_nightly_sample_makes_a_backup_and_may_do_nothing_else() {
    with_fixture(Server::Postgres, async |fixture| {
        restricted(fixture);
        let database = fixture.make_usable("orders", json!({})).await;
        let copy = samples_in("nightly", &fixture.namespace, "samples/nightly");
        let asked = copy.root().join("kustomize/samples/nightly/backup.yaml");
        let text = fs::read_to_string(&asked).unwrap();
        assert!(text.contains("    name: orders\n"), "{text}");
        fs::write(
            &asked,
            text.replace("name: orders", &format!("name: {database}")),
        )
        .unwrap();
        copy.kubectl(&["apply", "-k"]);

        in_namespace(
            fixture,
            &["create", "job", "tonight", "--from=cronjob/nightly-backup"],
        );
        let backups: Api<Backup> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let limit = Duration::from_mins(2);
        let made = eventually("a nightly backup ended", limit, async || {
            let list = backups.list(&ListParams::default()).await.unwrap().items;
            let ended = |backup: &&Backup| backup.state().is_some_and(BackupState::is_terminal);
            list.iter().find(ended).cloned().ok_or(format!("{list:?}"))
        })
        .await;
        assert_eq!(made.state(), Some(BackupState::Completed), "{made:?}");
        let name = made.metadata.name.unwrap();
        assert!(name.starts_with("orders-nightly-"), "{name}");

        let who = format!(
            "--as=system:serviceaccount:{}:nightly-backup",
            fixture.namespace
        );
        let rights = in_namespace(fixture, &["auth", "can-i", "--list", "--no-headers", &who]);
        // What everybody has: to be told who they are, and the API server's own pages.
        let everybodys = |line: &&str| line.starts_with(' ') || line.starts_with("selfsubject");
        let own: Vec<_> = rights.lines().filter(|line| !everybodys(line)).collect();
        assert_eq!(own.len(), 1, "{rights}");
        let words: Vec<_> = own[0].split_whitespace().collect();
        assert_eq!(words, ["backups.db-operator.dev", "[]", "[]", "[create]"]);
    })
    .await;
}

/// The image of the sample is the one that was tried.
#[test]
fn the_nightly_sample_has_a_kubectl_like_the_clusters() {
    let read = |path| fs::read_to_string(clone_root().join(path)).unwrap();
    let sample = read("kustomize/samples/nightly/cron-job.yaml");
    let (_, rest) = sample.split_once("registry.k8s.io/kubectl:").unwrap();
    let version = rest.lines().next().unwrap();
    let built = read("e2e/tools/kubernetes/go.mod");
    assert!(
        built.contains(&format!("k8s.io/kubernetes {version}")),
        "{version}"
    );
}
