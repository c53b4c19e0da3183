//! What `cargo xtask` says on a machine that lacks something: one sentence with what to do, and nothing left behind.
//!
//! Needs root, to be somebody else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// A user who owns nothing.
const NOBODY: u32 = 65534;
const NEEDS_ROOT: &str = "A cluster needs root (namespaces, mounts, cgroups): run this as root.\n";

/// A folder of a test's own that everybody may read, gone with this.
struct Folder(PathBuf);

impl Folder {
    fn of(test: &str) -> Self {
        let name = format!("db-operator-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn below(&self, name: &str) -> PathBuf {
        let folder = self.0.join(name);
        fs::create_dir(&folder).unwrap();
        folder
    }

    fn entries(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What it said; it may not have succeeded, nor printed a result.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn without_root_each_command_says_so_before_anything_else() {
    let folder = Folder::of("no-root");
    // The checkout may be where nobody else may look.
    let program = folder.0.join("xtask");
    fs::copy(XTASK, &program).unwrap();
    let home = folder.below("home");
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();

    for command in ["up", "demo", "load", "test", "status", "down"] {
        let output = Command::new(&program)
            .arg(command)
            .env_clear()
            .env("HOME", &home)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .current_dir(&home)
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap();
        assert_eq!(refused(&output), NEEDS_ROOT, "{command}");
    }
    assert_eq!(Folder::entries(&home), Vec::<PathBuf>::new());
}

#[test]
fn a_missing_tool_is_named() {
    let folder = Folder::of("no-tool");
    let (nothing, cache) = (folder.below("bin"), folder.below("cache"));
    let run = |arguments: &[&str]| {
        let output = Command::new(XTASK)
            .args(arguments)
            .env_clear()
            .env("PATH", &nothing)
            .env("DB_OPERATOR_CACHE", &cache)
            .output()
            .unwrap();
        refused(&output)
    };
    assert_eq!(
        run(&["alerts"]),
        "The cluster's programs are built with Go, which is not on the PATH: install it.\n"
    );
    // Not the machine's own cluster: should this go on, it must not reach it.
    let said = run(&["up", "--cluster", "beside"]);
    assert!(
        said.contains("This machine lacks buildah mmdebstrap "),
        "{said}"
    );
    let advice = "and has no apt-get to install them with: install them yourself.\n";
    assert!(said.ends_with(advice), "{said}");
    assert_eq!(Folder::entries(&cache), Vec::<PathBuf>::new());
}

#[test]
fn without_a_network_it_is_said_that_one_is_needed() {
    let folder = Folder::of("no-network");
    let (home, cache) = (folder.below("home"), folder.below("cache"));
    let output = Command::new("unshare")
        .args(["--net", XTASK, "alerts"])
        .env_clear()
        .env("HOME", &home)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DB_OPERATOR_CACHE", &cache)
        .output()
        .unwrap();
    let said = refused(&output);
    let beginning = "The source of promtool could not be fetched: check the network, and GOPROXY if you need one. ";
    assert!(said.starts_with(beginning), "{said}");
    assert!(said.contains("the whole log: "), "{said}");
    // The next run begins anew.
    let left = Folder::entries(&cache.join("tools-promtool"));
    assert_eq!(left, [cache.join("tools-promtool/.lock")]);
}
