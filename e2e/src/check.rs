//! `cargo xtask test`: everything that must hold before a change lands, from quick to slow.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cache::{Cache, Key};
use crate::command::{self, say};
use crate::suite::{self, Tally};
use crate::{Error, Result, clone_root};

/// Tools that read the dependencies, with the version that the committed configuration is written for.
const CARGO_DENY: (&str, &str) = ("cargo-deny", "0.20.2");
const CARGO_AUDIT: (&str, &str) = ("cargo-audit", "0.22.2");

/// What runs the tests that need real servers.
const NEXTEST: (&str, &str) = ("cargo-nextest", "0.9.151");

/// What makes the book.
const MDBOOK: (&str, &str) = ("mdbook", "0.5.4");

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
    let deny = installed(cache, CARGO_DENY, &[])?;
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
    advisories(&installed(cache, CARGO_AUDIT, &[])?)?;
    suite::run(
        "unit tests and generated files",
        cargo().args(["test", "--workspace", "--lib", "--bins"]),
        tally,
    )
}

/// Names the folder with a copy of the advisory database, for where it cannot be fetched.
const ADVISORY_DB: &str = "DB_OPERATOR_ADVISORY_DB";

/// Advisories against `Cargo.lock`, from the database itself or, without a network, from the copy that a variable names.
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
    let Some(copy) = std::env::var_os(ADVISORY_DB).filter(|path| !path.is_empty()) else {
        say(&format!(
            "! advisories were not checked: their database cannot be fetched, and {ADVISORY_DB} names no copy of it"
        ));
        return Ok(());
    };
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

/// cargo-nextest, without its updates of itself.
pub fn nextest(cache: &Cache) -> Result<PathBuf> {
    installed(cache, NEXTEST, &["--no-default-features"])
}

/// mdBook, with the search in the book, but without its web server and its watcher.
pub fn mdbook(cache: &Cache) -> Result<PathBuf> {
    installed(
        cache,
        MDBOOK,
        &["--no-default-features", "--features", "search"],
    )
}

/// A program of crates.io, built once into the cache.
fn installed(cache: &Cache, (name, version): (&str, &str), features: &[&str]) -> Result<PathBuf> {
    let key = Key::new()
        .text(name)
        .text(version)
        .text(&features.join(" "))
        .text(&command::output(Command::new("rustc").arg("--version"))?);
    let folder = cache.built(name, &key, |root| {
        // Without optimisation: these run for a second, and are compiled on every new machine.
        let mut install = cargo();
        install
            .args(["install", "--quiet", "--locked", "--debug", "--root"])
            .arg(root)
            .args(features)
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
pub(crate) fn step(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| Error::Spawn {
            program: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
    Error::unless_success(what, status)?;
    say(&format!("✓ {what}"));
    Ok(())
}

/// Cargo, in this clone.
#[must_use]
pub fn cargo() -> Command {
    // The cargo that runs us, so that a toolchain chosen on its command line holds here too.
    in_clone(Path::new(
        &std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
    ))
}

/// A program, in this clone.
pub(crate) fn in_clone(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(clone_root());
    command
}
