//! Running tests: their output as it comes, and how many passed.
//!
//! The tests that need real servers are run by cargo-nextest; `.config/nextest.toml` says which run at the same time.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use crate::cache::Cache;
use crate::check::in_clone;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result, clone_root, operator};

/// The test binary that needs Argo CD in the cluster: `cargo xtask gitops` runs it.
pub(crate) const GITOPS: &str = "gitops";

/// Everything that needs real parts, in the cluster that is up with the operator in it.
pub fn with_cluster(
    cluster: &Cluster,
    cache: &Cache,
    runner: &Path,
    tally: &mut Tally,
) -> Result<()> {
    let binary = operator::build(cache)?;
    let mut tests = nextest(runner, cluster);
    for name in names(&clone_root().join("e2e/tests"))? {
        if name != GITOPS {
            tests.args(["--test", &name]);
        }
    }
    tests.env("DB_OPERATOR_BIN", binary);
    run("tests on real parts", &mut tests, tally)
}

/// The tests that take too long for every change, in the cluster that is up with the operator in it.
pub fn big(cluster: &Cluster, runner: &Path) -> Result<()> {
    let mut tests = nextest(runner, cluster);
    tests.args(["--test", "backups", "--run-ignored", "only", "--no-capture"]);
    run("the long tests", &mut tests, &mut Tally::default())
}

/// cargo-nextest, about to run tests of this package in the cluster.
pub(crate) fn nextest(runner: &Path, cluster: &Cluster) -> Command {
    let mut tests = in_clone(runner);
    tests
        .args(["nextest", "run", "--package", "e2e"])
        .env("KUBECONFIG", cluster.kubeconfig())
        // What a test waited for in vain stands in its message; the runtime's frames would bury it.
        .env("RUST_BACKTRACE", "0");
    tests
}

/// The test binaries of a folder, as cargo finds them.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let is_test =
            path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").is_file();
        if let Some(name) = path.file_stem().filter(|_| is_test) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Runs tests with their output shown, and adds up their closing lines.
pub fn run(what: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let start = std::time::Instant::now();
    let status = follow(command, tally).map_err(|source| Error::Spawn {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    Error::unless_success(what, status)?;
    say(&format!("✓ {what} ({} s)", start.elapsed().as_secs()));
    Ok(())
}

/// Runs a command and prints each line of its output. One runner closes on stdout, the other one on stderr.
fn follow(command: &mut Command, tally: &mut Tally) -> std::io::Result<ExitStatus> {
    let (output, end) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(end.try_clone()?)
        .stderr(end);
    let mut child = command.spawn()?;
    // The pipe's end here would keep it open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(output).lines() {
        let line = line?;
        tally.read(&line);
        // Nobody reading is no reason to stop the tests.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    child.wait()
}

/// How many tests passed, failed and were skipped over all runners.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Adds a runner's closing line; any other line changes nothing.
    fn read(&mut self, line: &str) {
        let Some(counts) = libtest(line).or_else(|| nextest_summary(line)) else {
            return;
        };
        for count in counts.split([';', ',']) {
            let Some((number, what)) = count.trim().split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse::<u32>() else {
                continue;
            };
            // `3 passed (1 slow)` are three that passed.
            match what.split(" (").next().unwrap_or_default() {
                "passed" => self.passed += number,
                "failed" | "timed out" | "exec failed" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// `test result: FAILED. 1 passed; 2 failed; 0 ignored; …`
fn libtest(line: &str) -> Option<&str> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    Some(counts)
}

/// `     Summary [  12.345s] 5/6 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 1 skipped`
fn nextest_summary(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("Summary [")?;
    let (_, counts) = rest.split_once(" run: ")?;
    Some(counts)
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> String {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally.to_string()
    }

    #[test]
    fn closing_lines_of_libtest_add_up_and_other_lines_do_not_count() {
        let said = tally(&[
            "running 12 tests",
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.04s",
            "the test result: ok. 99 passed",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.00s",
        ]);
        assert_eq!(said, "13 passed, 2 failed, 3 skipped");
    }

    #[test]
    fn summaries_of_nextest_add_up() {
        let said = tally(&[
            "    Starting 240 tests across 27 binaries (1 test skipped)",
            "        PASS [   0.004s] e2e::writes a_finalizer_is_added_once_and_keeps_others",
            "     Summary [  61.213s] 9 tests run: 6 passed (1 slow, 2 leaky), 1 failed, 2 timed out, 1 skipped",
            "     Summary [   0.021s] 3/4 tests run: 2 passed, 1 exec failed, 0 skipped",
        ]);
        assert_eq!(said, "8 passed, 4 failed, 1 skipped");
    }
}
