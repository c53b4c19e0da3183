//! The pipes of a shell.

use std::process::Command;

use super::meter::{self, Measured};
use super::source::Source;
use super::target::Target;
use crate::Result;

/// Which pipe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pipe {
    /// The dump tool alone: nothing that dumps is faster.
    Floor,
    /// What is in most charts and blogs.
    Aws,
    /// The fastest that was found.
    S5cmd,
}

/// Runs it once.
pub(super) fn run(source: &Source, target: &Target, pipe: Pipe) -> Result<Measured> {
    let key = match pipe {
        Pipe::Floor => None,
        Pipe::Aws => Some("aws.dump"),
        Pipe::S5cmd => Some("s5cmd.dump.zst"),
    };
    let words = match key {
        None => format!("{} > /dev/null", source.plain_words()),
        Some(key) if pipe == Pipe::Aws => {
            format!("{} | {}", source.compressing_words(), target.aws_words(key))
        }
        Some(key) => format!(
            "{} | zstd -q -1 -T2 | {}",
            source.plain_words(),
            target.s5cmd_words(key)
        ),
    };
    let mut command = Command::new("bash");
    command.args(["-o", "pipefail", "-c", &words]);
    source.environment(&mut command)?;
    target.environment(&mut command);
    // Neither the shell nor the dump tool counts.
    let counts = |name: &str, root: bool| !root && name != source.process() && name != "bash";
    let mut measured = meter::run(&mut command, &target.folder.join("pipe.log"), counts)?;
    if let Some(key) = key {
        measured.stored_bytes = target.take(key)?;
    }
    Ok(measured)
}
