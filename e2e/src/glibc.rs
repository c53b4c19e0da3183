//! Which glibc a program needs: the operator's binary also runs inside the database vendors' images.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::{Error, Result, command};

/// The newest glibc whose symbols may be used: Enterprise Linux 9 and Debian 12 have it, or a newer one.
pub const NEWEST: Version = Version(2, 34);

/// A version of glibc: 2.34.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

/// Fails, naming the symbols, if this program needs a glibc newer than [`NEWEST`].
pub fn check(program: &Path) -> Result<()> {
    let mut objdump = Command::new("objdump");
    // -p lists the versions a library has to know, -T the symbols that want them.
    objdump.env("LC_ALL", "C").args(["-p", "-T"]).arg(program);
    let too_new = newer_than(NEWEST, &command::output(&mut objdump)?);
    if too_new.is_empty() {
        return Ok(());
    }
    let list: Vec<String> = too_new
        .iter()
        .map(|(version, symbols)| format!("{version} ({})", symbols.join(", ")))
        .collect();
    Err(Error::Precondition(format!(
        "{} needs {}, but backup pods run it in images with glibc {}.{}: build it on Debian 12 or an older system.",
        program.display(),
        list.join(", "),
        NEWEST.0,
        NEWEST.1,
    )))
}

/// The versions in objdump's report that are newer than `newest`, each with the symbols that want it.
///
/// A version without a number (`GLIBC_PRIVATE`, `GLIBC_ABI_DT_RELR`) binds a program to a particular or newer glibc, so it
/// counts as too new.
fn newer_than(newest: Version, report: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(place) = words
            .iter()
            .position(|word| word.trim_start_matches('(').starts_with("GLIBC_"))
        else {
            continue;
        };
        let name = words[place].trim_matches(['(', ')']);
        if parse(name).is_some_and(|version| version <= newest) {
            continue;
        }
        let symbols = found.entry(name.to_owned()).or_default();
        symbols.extend(words[place + 1..].iter().map(|symbol| (*symbol).to_owned()));
    }
    found
}

/// `GLIBC_2.34` or `GLIBC_2.2.5`.
fn parse(name: &str) -> Option<Version> {
    let mut numbers = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Some(Version(major, minor)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    const REPORT: &str = "
Version References:
  required from libc.so.6:
    0x06969194 0x00 05 GLIBC_2.34
    0x069691b8 0x00 04 GLIBC_2.38
    0xfd0e42 0x00 03 GLIBC_ABI_DT_RELR
DYNAMIC SYMBOL TABLE:
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.34) __libc_start_main
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.38) __isoc23_strtol
0000000000000000      DF *UND*\t0000000000000000 (GLIBC_2.2.5) malloc
0000000000000000  w   D  *UND*\t0000000000000000  Base        __gmon_start__
";

    #[test]
    fn names_what_is_too_new_and_what_wants_it() {
        let found = newer_than(Version(2, 34), REPORT);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found["GLIBC_2.38"], ["__isoc23_strtol"]);
        assert!(found["GLIBC_ABI_DT_RELR"].is_empty());
        assert_eq!(newer_than(Version(2, 38), REPORT).len(), 1);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(parse("GLIBC_2.4").unwrap() < parse("GLIBC_2.34").unwrap());
        assert_eq!(parse("GLIBC_2.2.5"), Some(Version(2, 2)));
        assert_eq!(parse("GLIBC_PRIVATE"), None);
    }

    #[test]
    fn a_real_program_is_read() {
        // It was linked here, so the report has the start of every program at the least.
        let program = std::env::current_exe().unwrap();
        let mut objdump = Command::new("objdump");
        let report = command::output(objdump.args(["-p", "-T"]).arg(&program)).unwrap();
        let found = newer_than(Version(2, 1), &report);
        let symbols: Vec<&String> = found.values().flatten().collect();
        assert!(
            symbols.iter().any(|symbol| *symbol == "__libc_start_main"),
            "{found:?}"
        );
    }
}
