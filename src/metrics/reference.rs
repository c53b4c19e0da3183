//! `doc/reference/metrics.md`, generated from a scrape; and whether alerts and dashboard use only those metrics.
//!
//! `UPDATE=1 cargo test --lib metrics` writes the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::labels::ApiLabels;
use super::{Metrics, RestoreFigures, objects};
use crate::api::{BackupReason, RestoreReason};
use crate::testing::held_equal;

const BEGINNING: &str = "# Metrics

Port 8080 of each replica serves them at `/metrics`; `kustomize/components/monitoring` has a ServiceMonitor and [alerts](../how-to/alerts.md),
`kustomize/components/dashboard` a Grafana dashboard. Only the leader has series about objects, and they are removed with their objects;
a `histogram` has `_bucket`, `_sum` and `_count`. Generated from what is served.

| metric | type | labels | meaning |
|---|---|---|---|
";

/// A scrape in which everything has a sample.
fn scrape() -> String {
    let metrics = Metrics::new();
    let took = Duration::from_millis(3);
    metrics.reconciled("Database", took, Some("ApiServerRefused"));
    metrics.polled("Database", took);
    metrics.backed_up(BackupReason::Completed, 3, 70);
    let figures = RestoreFigures {
        load: Some(7),
        downtime_millis: Some(500),
        ..RestoreFigures::default()
    };
    metrics.restored(RestoreReason::Completed, figures);
    metrics.asked("main", "survey", took, Some("Timeout"));
    metrics
        .api_seconds
        .get_or_create(&ApiLabels {
            verb: "get",
            resource: "databases".to_owned(),
            code: "200".to_owned(),
        })
        .observe(0.003);
    metrics.render().unwrap() + &objects::tests::everything()
}

/// A metric, as the text describes it.
#[derive(Debug, Default)]
struct Described {
    kind: String,
    help: String,
    samples: BTreeSet<String>,
    labels: BTreeSet<String>,
}

fn described(text: &str) -> BTreeMap<String, Described> {
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => {
                current = (*name).to_owned();
                (*help).clone_into(&mut all.entry(current.clone()).or_default().help);
            }
            ["#", "TYPE", name, kind] => {
                current = (*name).to_owned();
                (*kind).clone_into(&mut all.entry(current.clone()).or_default().kind);
            }
            ["#", ..] | [] => {}
            [sample, ..] => {
                let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
                let metric = all.get_mut(&current).unwrap();
                metric.samples.insert(name.to_owned());
                let names = labels.split(',').filter_map(|label| label.split_once('='));
                metric
                    .labels
                    .extend(names.map(|(label, _)| label.to_owned()));
            }
        }
    }
    all
}

fn page(metrics: &BTreeMap<String, Described>) -> String {
    let mut page = BEGINNING.to_owned();
    for (name, metric) in metrics
        .iter()
        .filter(|(_, metric)| !metric.samples.is_empty())
    {
        let shown = match metric.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        let labels = metric.labels.iter().filter(|label| *label != "le");
        let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
        let (kind, labels) = (&metric.kind, labels.join(", "));
        let _ = writeln!(page, "| `{shown}` | {kind} | {labels} | {} |", metric.help);
    }
    page
}

#[test]
fn the_committed_page_has_all_metrics() {
    let metrics = described(&scrape());
    for (name, metric) in &metrics {
        assert!(
            !metric.samples.is_empty(),
            "{name} has no sample in this test"
        );
    }
    held_equal("doc/reference/metrics.md", &page(&metrics));
}

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// What looks like the name of a metric in an expression.
fn names(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| word.starts_with("db_operator_") || word.starts_with("process_"))
        .collect()
}

fn asks_for_what_is_served(place: &str, expressions: &[String]) {
    let metrics = described(&scrape());
    let served: BTreeSet<&str> = metrics
        .values()
        .flat_map(|metric| metric.samples.iter().map(String::as_str))
        .collect();
    for expression in expressions {
        let asked = names(expression);
        assert!(!asked.is_empty(), "{place}: no metric in {expression}");
        let unknown: Vec<_> = asked.difference(&served).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?} in {expression}");
    }
}

/// The placeholder host in the alerts' links.
const HERE: &str = "https://db-operator.example/";

#[test]
fn each_alert_asks_for_what_is_served_and_leads_to_its_section() {
    let path = "kustomize/components/monitoring/prometheus-rule.yaml";
    let rule: Value = serde_yaml_ng::from_str(&read(path)).unwrap();
    let rules = rule["spec"]["groups"][0]["rules"].as_array().unwrap();
    let page = read("doc/how-to/alerts.md");
    let mut expressions = Vec::new();
    for rule in rules {
        let name = rule["alert"].as_str().unwrap();
        expressions.push(rule["expr"].as_str().unwrap().to_owned());
        let link = format!("{HERE}doc/how-to/alerts.md#{}", name.to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link, "{name}");
        assert!(page.contains(&format!("\n## {name}\n")), "{name}");
    }
    assert_eq!(page.matches("\n## ").count(), rules.len());
    asks_for_what_is_served(path, &expressions);
}

#[test]
fn the_dashboard_asks_for_what_is_served() {
    let path = "kustomize/components/dashboard/db-operator.json";
    let dashboard: Value = serde_json::from_str(&read(path)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let expressions: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    asks_for_what_is_served(path, &expressions);
    // Ends, phases and downtime of what is backed up and restored are there to be seen.
    for metric in [
        "db_operator_backups_total",
        "db_operator_backup_seconds_bucket",
        "db_operator_restores_total",
        "db_operator_restore_seconds_bucket",
        "db_operator_restore_downtime_seconds_bucket",
    ] {
        let shown = expressions.iter().any(|it| names(it).contains(metric));
        assert!(shown, "{metric}");
    }
    // Grafana draws panels with one id once, and finds the source of each by the variable.
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len());
    for panel in panels {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }
}
