//! What can be added to an installation, and what the documentation says about changing one.
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

use e2e::cluster::Cluster;
use e2e::{clone_root, command};
use support::kustomize::Copy;

const COMPONENTS: [&str; 6] = [
    "dashboard",
    "monitoring",
    "network-policies",
    "per-namespace",
    "tenant-roles",
    "without-pod-logs",
];

fn with(name: &str, components: &[&str]) -> Copy {
    let list: Vec<_> = components
        .iter()
        .map(|name| format!("../kustomize/components/{name}"))
        .collect();
    Copy::with(
        name,
        &format!(
            "resources: [../kustomize/overlays/production]\ncomponents: [{}]\n",
            list.join(", ")
        ),
    )
}

#[test]
fn every_component_is_named_here() {
    let folder = clone_root().join("kustomize/components");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, COMPONENTS);
}

/// Each alone and all of them together; what the API server knows is judged by it, strictly. The two kinds of the Prometheus
/// operator are not served here.
#[test]
fn every_component_fits_and_is_valid() {
    let mut sets: Vec<Vec<&str>> = COMPONENTS.iter().map(|name| vec![*name]).collect();
    sets.push(COMPONENTS.to_vec());
    for (number, set) in sets.iter().enumerate() {
        let copy = with(&format!("component-{number}"), set);
        let rendered = copy.kubectl(&["kustomize"]);
        assert_eq!(copy.kubectl(&["kustomize"]), rendered, "{set:?}");
        let served: Vec<_> = rendered
            .split("\n---\n")
            .filter(|object| !object.contains("apiVersion: monitoring.coreos.com/"))
            .collect();
        let monitored = rendered.split("\n---\n").count() - served.len();
        assert_eq!(
            monitored,
            2 * usize::from(set.contains(&"monitoring")),
            "{set:?}"
        );
        let mut apply = Cluster::main().kubectl();
        apply.args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
        ]);
        apply.args(["--validate=strict", "--warnings-as-errors", "-f", "-"]);
        command::output_with_input(&mut apply, &served.join("\n---\n")).unwrap();
    }
}

/// With a definition goes every object of its kind.
#[test]
fn no_prune_takes_a_definition() {
    let mut kubectl = Cluster::main().kubectl();
    let folder = clone_root().join("kustomize/overlays/production");
    let rendered = command::output(kubectl.arg("kustomize").arg(folder)).unwrap();
    let definitions: Vec<_> = rendered
        .split("\n---\n")
        .filter(|object| object.contains("\nkind: CustomResourceDefinition\n"))
        .collect();
    assert_eq!(definitions.len(), 4);
    for definition in definitions {
        assert!(definition.contains("argocd.argoproj.io/sync-options: Prune=false"));
        assert!(definition.contains("kustomize.toolkit.fluxcd.io/prune: disabled"));
    }
}

/// The scripts reach Argo CD's own ConfigMap.
#[test]
fn argo_cds_health_is_merged_into_its_config_map() {
    let copy = Copy::with(
        "argocd",
        "resources: [argocd-cm.yaml]\ncomponents: [../kustomize/health/argocd]\n",
    );
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata: {url: https://argo.example}\n";
    fs::write(copy.folder().join("argocd-cm.yaml"), map).unwrap();
    let rendered = copy.kubectl(&["kustomize"]);
    assert!(rendered.contains("url: https://argo.example"), "{rendered}");
    for kind in ["DatabaseInstance", "Database", "Backup", "Restore"] {
        let key = format!("resource.customizations.health.db-operator.dev_{kind}: |");
        assert!(rendered.contains(&key), "{rendered}");
    }
}

/// Each block of the page does what the page says, below the beginning that it shows.
#[test]
fn the_documented_changes_change_what_they_say() {
    let page = fs::read_to_string(clone_root().join("doc/how-to/configure.md")).unwrap();
    let blocks: Vec<_> = page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let (beginning, changes) = blocks.split_first().unwrap();
    let expected: [&[&str]; 5] = [
        &["image: registry.internal/platform/db-operator:0.1.0"],
        &[
            "value: prod-eu-1",
            "name: DB_OPERATOR_RESYNC\n          value: 10m",
            "value: info,db_operator=debug",
            "name: DB_OPERATOR_LOG_FORMAT\n          value: json",
            "name: POD_NAME\n",
        ],
        &["memory: 512Mi", "cpu: 200m"],
        &[
            "kind: PrometheusRule",
            "grafana_dashboard: \"1\"",
            "kind: NetworkPolicy",
            "name: db-operator-edit",
        ],
        &[
            "runbook_url: https://git.internal/platform/db-operator/blob/main/doc/how-to/alerts.md#dboperatornoleader\n",
            "runbook_url: https://git.internal/platform/db-operator/blob/main/doc/how-to/alerts.md#dboperatorbackupold\n",
        ],
    ];
    assert_eq!(changes.len(), expected.len());
    for (number, (change, words)) in changes.iter().zip(expected).enumerate() {
        let rendered = Copy::with(
            &format!("configured-{number}"),
            &format!("{beginning}{change}"),
        )
        .kubectl(&["kustomize"]);
        for word in words {
            assert!(
                rendered.contains(word),
                "no {word:?} after\n{change}\n{rendered}"
            );
        }
    }
}
