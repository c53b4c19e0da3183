//! `cargo xtask test`: everything that must hold before a change lands, from quick to slow.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{Cache, Key};
use crate::cluster::Cluster;
use crate::command::{self, say};
use crate::{Error, Result, clone_root, operator};

/// Tools that read the dependencies, with the version that the committed configuration is written for.
const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_AUDIT: (&str, &str) = ("cargo-audit", "0.22.2");

/// What needs no cluster: formatting, lints, dependencies, unit tests and generated files.
pub fn without_cluster(cache: &Cache, tally: &mut Tally) -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    step(
        "lints",
        cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]),
    )?;
    let deny = installed(cache, CARGO_DENY)?;
    step(
        "licences, bans and sources",
        in_clone(&deny).args([
            "deny",
            "--log-level",
            "error",
            "check",
            "licenses",
            "bans",
            "sources",
        ]),
    )?;
    advisories(&installed(cache, CARGO_AUDIT)?)?;
    tests(
        "unit tests and generated files",
        cargo().args(["test", "--workspace", "--lib", "--bins"]),
        tally,
    )
}

/// Everything that needs real parts, in the cluster that is up with the operator in it.
pub fn with_cluster(cluster: &Cluster, cache: &Cache, tally: &mut Tally) -> Result<()> {
    // One test binary after the other: they share the cluster.
    let mut tests_of = cargo();
    tests_of
        .args(["test", "--package", "e2e", "--test", "*", "--no-fail-fast"])
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("DB_OPERATOR_BIN", operator::build(cache)?);
    tests("tests against real parts", &mut tests_of, tally)
}

/// How many tests passed, failed and were skipped over all runners.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    passed: u32,
    failed: u32,
    ignored: u32,
}

impl Tally {
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

/// Advisories against `Cargo.lock`, from the database itself or, without a network, from the copy beside the checkout.
fn advisories(audit: &Path) -> Result<()> {
    let what = "advisories";
    let fetched = in_clone(audit)
        .args(["audit", "--quiet", "--deny", "warnings"])
        .output();
    let fetched = fetched.map_err(|source| Error::Spawn {
        program: "cargo-audit".to_owned(),
        source,
    })?;
    let complaint = String::from_utf8_lossy(&fetched.stderr).into_owned();
    if !complaint.contains("fetch advisory database") {
        return if fetched.status.success() {
            say(&format!("✓ {what}"));
            Ok(())
        } else {
            let report = String::from_utf8_lossy(&fetched.stdout).into_owned();
            Err(Error::Precondition(format!("{what}: {report}{complaint}")))
        };
    }
    let copy = clone_root().join("../shared/advisory-db");
    if !copy.is_dir() {
        say(
            "! advisories were not checked: their database cannot be fetched, and there is no copy of it",
        );
        return Ok(());
    }
    step(
        what,
        in_clone(audit)
            .args([
                "audit",
                "--quiet",
                "--no-fetch",
                "--deny",
                "warnings",
                "--db",
            ])
            .arg(copy),
    )
}

/// A cargo subcommand, built once into the cache.
fn installed(cache: &Cache, (name, version): (&str, &str)) -> Result<PathBuf> {
    let key = Key::new()
        .text(name)
        .text(version)
        .text(&command::output(Command::new("rustc").arg("--version"))?);
    let folder = cache.built(name, &key, |root| {
        // Without optimisation: these run for a second, and are compiled on every new machine.
        let mut install = cargo();
        install
            .args(["install", "--quiet", "--locked", "--debug", "--root"])
            .arg(root)
            .arg(format!("{name}@{version}"));
        install.env("CARGO_TARGET_DIR", root.join("target"));
        command::run(
            &format!("building {name} {version}"),
            &mut install,
            &cache.log(name),
        )?;
        let target = root.join("target");
        std::fs::remove_dir_all(&target).map_err(Error::io("remove", &target))
    })?;
    Ok(folder.join("bin").join(name))
}

/// Runs a check that says nothing when it passes.
fn step(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    if !status.success() {
        return Err(Error::Failed {
            what: what.to_owned(),
            status: status.to_string(),
            tail: String::new(),
        });
    }
    say(&format!("✓ {what}"));
    Ok(())
}

/// Runs tests with their output shown, and adds up their closing lines.
fn tests(what: &str, command: &mut Command, tally: &mut Tally) -> Result<()> {
    let start = std::time::Instant::now();
    let spawn_error = |source| Error::Spawn {
        program: "cargo".to_owned(),
        source,
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(spawn_error)?;
    if let Some(output) = child.stdout.take() {
        let mut terminal = std::io::stdout();
        for line in BufReader::new(output)
            .lines()
            .map_while(std::result::Result::ok)
        {
            tally.read(&line);
            // Nobody reading is no reason to stop the tests.
            let _ = writeln!(terminal, "{line}");
        }
    }
    let status = child.wait().map_err(spawn_error)?;
    if !status.success() {
        return Err(Error::Failed {
            what: what.to_owned(),
            status: status.to_string(),
            tail: String::new(),
        });
    }
    say(&format!("✓ {what} ({} s)", start.elapsed().as_secs()));
    Ok(())
}

fn cargo() -> Command {
    // The cargo that runs us, so that a toolchain chosen on its command line holds here too.
    in_clone(Path::new(
        &std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
    ))
}

fn in_clone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(clone_root());
    command
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
