//! The overlays, as the API server sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::process::Command;

use e2e::cluster::Cluster;
use e2e::{clone_root, command};

const OVERLAYS: [&str; 2] = ["development", "production"];

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
