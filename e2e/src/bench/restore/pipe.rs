//! The floor, and the pipes of a shell.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::backup::meter::{self, Measured};
use super::super::backup::ours::KEY;
use super::super::backup::source::{Engine, Source};
use super::super::backup::target::Target;
use super::ours::RESTORED;
use crate::{Error, Result, command};

/// Which pipe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pipe<'a> {
    /// The tool from this uncompressed file: nothing that restores is faster.
    Floor(&'a Path),
    /// What is in most charts and blogs.
    Aws,
    /// The fastest that was found.
    S5cmd,
}

/// What restores, in short.
pub(super) fn tool(source: &Source) -> &'static str {
    match source.engine {
        Engine::Postgresql => "pg_restore",
        Engine::Mariadb => "mariadb",
    }
}

/// The same, as fast as it can.
pub(super) fn fastest(source: &Source) -> &'static str {
    match source.engine {
        Engine::Postgresql => "pg_restore -j2",
        Engine::Mariadb => "mariadb",
    }
}

/// Dumps into a local file, without compression.
pub(super) fn make_file(source: &Source) -> Result<PathBuf> {
    let file = source.folder.join("plain.dump");
    let words = format!("{} > {}", source.plain_words(), file.display());
    let mut dump = Command::new("bash");
    dump.args(["-o", "pipefail", "-c", &words]);
    source.environment(&mut dump)?;
    command::output(&mut dump)?;
    if file.is_file() {
        return Ok(file);
    }
    Err(Error::Precondition(
        "the dump tool wrote nothing".to_owned(),
    ))
}

/// Runs it once, into a new database.
pub(super) fn run(source: &Source, target: &Target, pipe: Pipe<'_>) -> Result<Measured> {
    let words = match (pipe, source.engine) {
        (Pipe::Floor(file), Engine::Postgresql) => {
            format!("{} -j2 {}", tool_words(source), file.display())
        }
        (Pipe::Floor(file), Engine::Mariadb) => {
            format!("{} < {}", tool_words(source), file.display())
        }
        (Pipe::Aws, _) => format!(
            "{} | zstd -q -dc | {}",
            target.aws_print_words(KEY),
            tool_words(source)
        ),
        (Pipe::S5cmd, _) => format!(
            "{} | zstd -q -dc | {}",
            target.s5cmd_print_words(KEY),
            tool_words(source)
        ),
    };
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", &words]);
    source.environment(&mut command)?;
    target.environment(&mut command);
    // Neither the shell nor the tool counts.
    let counts = |name: &str, root: bool| !root && name != tool(source) && name != "bash";
    meter::run(&mut command, &target.folder.join("pipe.log"), counts)
}

/// A shell's words for the tool.
fn tool_words(source: &Source) -> String {
    match source.engine {
        Engine::Postgresql => format!(
            "{} --no-password --no-owner --no-privileges --exit-on-error --dbname={RESTORED}",
            source.program("pg_restore")
        ),
        Engine::Mariadb => format!(
            "mariadb {} --default-character-set=utf8mb4 --max-allowed-packet=1G {RESTORED}",
            source.mariadb_login()
        ),
    }
}
