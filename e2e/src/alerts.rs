//! `cargo xtask alerts`: whether the alerts are what Prometheus understands, and when they fire.

use std::fs;

use serde_json::Value;

use crate::cache::Cache;
use crate::check::{in_clone, step};
use crate::{Error, Result, clone_root, tools};

/// The object that the Prometheus operator reads.
const RULE: &str = "kustomize/components/monitoring/prometheus-rule.yaml";
/// When each alert fires; it names the file of rules as `rules.yaml` beside it.
const TESTS: &str = "e2e/manifests/alerts/tests.yaml";

/// Checks the rules, and runs their tests.
pub fn check(cache: &Cache) -> Result<()> {
    let folder = tools::ensure(cache, &[tools::PROMTOOL])?.remove(0);
    let promtool = folder.join("promtool");
    let work = clone_root().join("target/alerts");
    fs::create_dir_all(&work).map_err(Error::io("make", &work))?;

    let rule = clone_root().join(RULE);
    let text = fs::read_to_string(&rule).map_err(Error::io("read", &rule))?;
    let object: Value = serde_yaml_ng::from_str(&text).map_err(Error::trial("read the rules"))?;
    // What is a spec to Kubernetes is a file to Prometheus.
    let spec = serde_yaml_ng::to_string(&object["spec"]).map_err(Error::trial("write rules"))?;
    let rules = work.join("rules.yaml");
    fs::write(&rules, spec).map_err(Error::io("write", &rules))?;
    let tests = work.join("tests.yaml");
    let given = clone_root().join(TESTS);
    fs::copy(&given, &tests).map_err(Error::io("copy", &given))?;

    step(
        "the alerts are well formed",
        in_clone(&promtool).args(["check", "rules"]).arg(&rules),
    )?;
    step(
        "the alerts fire when they should",
        in_clone(&promtool).args(["test", "rules"]).arg(&tests),
    )
}
