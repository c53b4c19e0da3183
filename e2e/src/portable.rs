//! Whether the operator's binary runs in any image: backup pods run it inside the database vendors' images, whatever libc they have.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Error, Result, command};

/// Fails with a sentence if the program needs anything of the system that it runs on, and starts it in an empty folder to see.
pub fn check(program: &Path) -> Result<()> {
    let mut objdump = Command::new("objdump");
    let report = command::output(objdump.env("LC_ALL", "C").arg("-p").arg(program))?;
    let wants = needs(&report);
    if !wants.is_empty() {
        return Err(Error::Precondition(format!(
            "{} needs {}, which an image may not have: build it with -C target-feature=+crt-static.",
            program.display(),
            wants.join(", "),
        )));
    }
    starts_in_nothing(program)
}

/// What a program asks of the system before it starts: a loader, and shared libraries.
fn needs(report: &str) -> Vec<String> {
    let mut needs: Vec<String> = report
        .lines()
        .filter_map(|line| line.trim().strip_prefix("NEEDED"))
        .map(|library| library.trim().to_owned())
        .collect();
    if report
        .lines()
        .any(|line| line.trim_start().starts_with("INTERP"))
    {
        needs.push("a dynamic loader".to_owned());
    }
    needs
}

/// Runs it where there is nothing else: no libc, no shell, no `/etc`.
fn starts_in_nothing(program: &Path) -> Result<()> {
    let root = std::env::temp_dir().join(format!("db-operator-nothing-{}", std::process::id()));
    fs::create_dir_all(&root).map_err(Error::io("create", &root))?;
    let inside = root.join("program");
    let started = fs::copy(program, &inside)
        .map_err(Error::io("write", &inside))
        .and_then(|_| {
            command::output(
                Command::new("chroot")
                    .arg(&root)
                    .args(["/program", "--version"]),
            )
        });
    fs::remove_dir_all(&root).map_err(Error::io("remove", &root))?;
    started.map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn a_program_with_a_loader_and_libraries_is_refused() {
        // It was linked here, in the ordinary way.
        let error = check(&std::env::current_exe().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("libc.so") && error.contains("a dynamic loader"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_wanted_by_a_static_program() {
        let report = "
Program Header:
    LOAD off    0x0000000000000000 vaddr 0x0000000000000000 paddr 0x0000000000000000 align 2**12
 DYNAMIC off    0x0000000002345678 vaddr 0x0000000002345678 paddr 0x0000000002345678 align 2**3
Dynamic Section:
  INIT                 0x0000000000001000
";
        assert_eq!(needs(report), Vec::<String>::new());
    }
}
