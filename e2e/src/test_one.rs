//! `cargo xtask test-one`: builds the one test binary that holds a test, and runs the test in the cluster that
//! `KUBECONFIG` names.
//!
//! It is run by `cargo test`, which is there already: a single test needs nobody to say what runs beside it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::check::{cargo, step};
use crate::cluster::Cluster;
use crate::{Error, Result, clone_root, command, operator};

/// Where `cargo xtask test` and this command tell tests to find the operator's binary.
const BINARY: &str = "DB_OPERATOR_BIN";

/// Runs the tests whose names contain `name`, one after the other.
pub fn run(cluster: &Cluster, name: &str) -> Result<()> {
    let binaries = binaries_with(&clone_root().join("e2e/tests"), name)?;
    if binaries.is_empty() {
        return Err(Error::Precondition(format!(
            "No test in e2e/tests is called {name}: `grep -rA1 'test]' e2e/tests` lists them all."
        )));
    }
    let mut tests = cargo();
    tests.args(["test", "--package", "e2e"]);
    for binary in &binaries {
        tests.args(["--test", binary]);
    }
    tests
        .args(["--", name, "--include-ignored", "--nocapture"])
        .arg("--test-threads=1")
        .env(BINARY, operator_binary()?)
        .env("RUST_BACKTRACE", "0");
    if let Some(kubeconfig) = kubeconfig(cluster) {
        tests.env("KUBECONFIG", kubeconfig);
    } else {
        command::say(
            "KUBECONFIG is not set, and this machine's cluster is down: only tests without a cluster can pass.",
        );
    }
    step(name, &mut tests)
}

/// What the caller chose, or else this machine's cluster, if it is up.
fn kubeconfig(cluster: &Cluster) -> Option<PathBuf> {
    chosen("KUBECONFIG").or_else(|| Some(cluster.kubeconfig()).filter(|path| path.is_file()))
}

fn chosen(variable: &str) -> Option<PathBuf> {
    let value = std::env::var_os(variable)?;
    Some(value.into()).filter(|path: &PathBuf| !path.as_os_str().is_empty())
}

/// The operator that tests start by themselves: what the caller chose, or else a debug build of these sources.
fn operator_binary() -> Result<PathBuf> {
    if let Some(chosen) = chosen(BINARY) {
        return Ok(chosen);
    }
    command::say("Building the operator");
    step(
        "the operator is built",
        cargo().args(["build", "--package", "db-operator", "--bin", "db-operator"]),
    )?;
    Ok(operator::target_folder().join("debug/db-operator"))
}

/// The test binaries with a test whose name contains `name`.
fn binaries_with(tests: &Path, name: &str) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut folders = vec![tests.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let path = entry.map_err(Error::io("read", &folder))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            let within = path.strip_prefix(tests).unwrap_or(&path);
            if names(&text).any(|test| full_name(within, test).contains(name)) {
                found.extend(binary(within));
            }
        }
    }
    Ok(found)
}

/// The binary that a file below `tests` is part of: `leader/succession.rs` and `leader.rs` of `leader`.
fn binary(file: &Path) -> Option<String> {
    let first = Path::new(file.components().next()?.as_os_str());
    Some(first.file_stem()?.to_string_lossy().into_owned())
}

/// `succession::a_killed_leader` in `leader/succession.rs`; a binary's root has no such prefix.
fn full_name(file: &Path, test: &str) -> String {
    let module = file.file_stem().unwrap_or_default().to_string_lossy();
    let is_root = module == "main" || file.components().count() == 1;
    if is_root {
        test.to_owned()
    } else {
        format!("{module}::{test}")
    }
}

/// The functions with the attribute of a test.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().map(str::trim);
    std::iter::from_fn(move || {
        lines.find(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))?;
        let function = lines.find(|line| !line.starts_with("#[") && !line.starts_with("//"))?;
        let (_, rest) = function.split_once("fn ")?;
        rest.split('(').next()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    fn found(name: &str) -> Vec<String> {
        let tests = clone_root().join("e2e/tests");
        binaries_with(&tests, name).unwrap().into_iter().collect()
    }

    #[test]
    fn a_test_is_found_by_its_name_and_by_its_module() {
        assert_eq!(
            found("a_killed_leader_is_followed_within_lease_and_renewal"),
            ["leader"]
        );
        assert_eq!(found("succession::a_killed"), ["leader"]);
        assert_eq!(found("the_tutorial_can_be_followed"), ["tutorial"]);
        // A module of a binary whose root is a file, and an ignored test.
        assert_eq!(found("identity::"), ["faults"]);
        assert_eq!(found("big::"), ["backups"]);
        assert!(found("no_such_test").is_empty());
    }
}
