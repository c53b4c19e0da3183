//! Running tests: their output as it comes, and how many passed.
//!
//! The test binaries that share the cluster run one after the other. Those that bring their own servers run beside them.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::cache::Cache;
use crate::check::cargo;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result, clone_root, operator};

/// The test binaries that need no cluster: each starts the servers that it asks, if it asks any.
const BESIDE: [&str; 6] = [
    "bad_input",
    "dataset",
    "dump",
    "health",
    "provider_postgresql",
    "store",
];

/// The test binary that needs Argo CD in the cluster: `cargo xtask gitops` runs it.
pub(crate) const GITOPS: &str = "gitops";

/// What looks back at what all the others made the operator do.
const LAST: &str = "rbac";

/// Tests at a time of those in the cluster, which mostly wait for it.
const THREADS: &str = "3";

/// Everything that needs real parts, in the cluster that is up with the operator in it.
pub fn with_cluster(cluster: &Cluster, cache: &Cache, tally: &mut Tally) -> Result<()> {
    let binary = operator::build(cache)?;
    let command = |names: &[String]| {
        let mut tests = cargo();
        tests.args(["test", "--package", "e2e", "--no-fail-fast"]);
        for name in names {
            tests.args(["--test", name]);
        }
        tests
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("DB_OPERATOR_BIN", &binary)
            // What a test waited for in vain stands in its message; the runtime's frames would bury it.
            .env("RUST_BACKTRACE", "0");
        tests
    };
    let all = names(&clone_root().join("e2e/tests"))?;
    let (beside, mut in_cluster): (Vec<_>, Vec<_>) = all
        .into_iter()
        .filter(|name| name != GITOPS)
        .partition(|name| BESIDE.contains(&name.as_str()));
    in_cluster.retain(|name| name != LAST);
    // Two cargos would wait for each other's builds.
    run(
        "the tests are built",
        command(&[beside.clone(), in_cluster.clone(), vec![LAST.to_owned()]].concat())
            .arg("--no-run"),
        &mut Tally::default(),
    )?;

    let mut own_servers = command(&beside);
    let (lines, output) = mpsc::channel();
    let aside = thread::spawn(move || {
        let mut tally = Tally::default();
        let result = follow(&mut own_servers, &mut tally, |line| {
            // It is printed when the other ones are through; nobody listens after a panic alone.
            let _ = lines.send(line.to_owned());
        });
        (tally, result)
    });
    let mut in_cluster = command(&in_cluster);
    in_cluster.env("RUST_TEST_THREADS", THREADS);
    let shared = run("tests in the cluster", &mut in_cluster, tally);
    for line in output {
        print(&line);
    }
    let (passed, result) = aside.join().map_err(|_| Error::Failed {
        what: "tests with servers of their own".to_owned(),
        status: "a panic".to_owned(),
        tail: String::new(),
    })?;
    tally.add(passed);
    let looked_back = run(
        "a look back at what the tests made the operator do",
        &mut command(&[LAST.to_owned()]),
        tally,
    );
    shared
        .and(ended("tests with servers of their own", result))
        .and(looked_back)
}

/// The tests that take too long for every change, in the cluster that is up with the operator in it.
pub fn big(cluster: &Cluster) -> Result<()> {
    let mut tests = cargo();
    tests
        .args(["test", "--package", "e2e", "--test", "backups"])
        .args(["--", "--ignored", "--nocapture"])
        .env("KUBECONFIG", cluster.kubeconfig());
    run("the long tests", &mut tests, &mut Tally::default())
}

/// The test binaries of a folder, as cargo finds them.
fn names(folder: &Path) -> Result<Vec<String>> {
    let unreadable = |source| Error::Io {
        what: "read",
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
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
    ended(what, follow(command, tally, print))?;
    say(&format!("✓ {what} ({} s)", start.elapsed().as_secs()));
    Ok(())
}

fn print(line: &str) {
    // Nobody reading is no reason to stop the tests.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn ended(what: &str, status: std::io::Result<std::process::ExitStatus>) -> Result<()> {
    let status = status.map_err(|source| Error::Spawn {
        program: "cargo".to_owned(),
        source,
    })?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        what: what.to_owned(),
        status: status.to_string(),
        tail: String::new(),
    })
}

/// Runs a command and hands out each line of its output.
fn follow(
    command: &mut Command,
    tally: &mut Tally,
    mut show: impl FnMut(&str),
) -> std::io::Result<std::process::ExitStatus> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output)
            .lines()
            .map_while(std::result::Result::ok)
        {
            tally.read(&line);
            show(&line);
        }
    }
    child.wait()
}

/// How many tests passed, failed and were skipped over all runners.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }

    /// Adds a runner's closing line; any other line changes nothing.
    fn read(&mut self, line: &str) {
        let Some(counts) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.1.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(word)) = (
                words.next().and_then(|word| word.parse::<u32>().ok()),
                words.next(),
            ) else {
                continue;
            };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_add_up_and_other_lines_do_not_count() {
        let mut tally = Tally::default();
        for line in [
            "running 12 tests",
            "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.04s",
            "the test result: ok. 99 passed",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 5 filtered out; finished in 1.00s",
        ] {
            tally.read(line);
        }
        assert_eq!(
            tally,
            Tally {
                passed: 13,
                failed: 2,
                ignored: 3
            }
        );
        assert_eq!(tally.to_string(), "13 passed, 2 failed, 3 skipped");
    }
}
