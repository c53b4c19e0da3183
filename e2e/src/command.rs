//! Running other programs: progress for what takes long, and the lines that explain a failure.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, Result};

/// How many of a log's last lines a failure shows.
const TAIL_LINES: usize = 20;
/// How much of a log's end is read to find them, in bytes.
const TAIL_BYTES: u64 = 16 * 1024;
/// What takes less is not worth a progress line.
const QUIET: Duration = Duration::from_secs(2);
/// How often progress is written where it goes to a file.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// Runs a program to its end with its output in `log`, showing `what` and the elapsed time on stderr if it takes long.
///
/// A failure holds the log's last lines and its path.
pub fn run(what: &str, command: &mut Command, log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    }
    let file = File::create(log).map_err(Error::io("create", log))?;
    let errors = file.try_clone().map_err(Error::io("write", log))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .spawn()
        .map_err(spawn_error(command))?;

    let mut progress = Progress::new(what);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(source) => return Err(spawn_error(command)(source)),
        }
        progress.tick();
        thread::sleep(Duration::from_millis(20));
    };
    progress.end(status.success());
    if status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        what: what.to_owned(),
        status: status.to_string(),
        tail: tail(log),
    })
}

/// Runs a program to its end and returns what it wrote to stdout, trimmed at its end.
///
/// A failure holds what it wrote to stderr.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(spawn_error(command))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    Err(Error::Failed {
        what: describe(command),
        status: output.status.to_string(),
        tail: indent(&String::from_utf8_lossy(&output.stderr)),
    })
}

/// Runs a program to its end with `input` on its stdin, and returns its stdout like [`output`].
pub fn output_with_input(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(spawn_error(command))?;
    let written = child
        .stdin
        .take()
        .map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().map_err(spawn_error(command))?;
    if !output.status.success() {
        return Err(Error::Failed {
            what: describe(command),
            status: output.status.to_string(),
            tail: indent(&String::from_utf8_lossy(&output.stderr)),
        });
    }
    written.map_err(spawn_error(command))?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}

/// Waits until `condition` holds, looking every 50 ms; a failure shows the last lines of `log`.
///
/// An error of the condition itself ends the wait at once.
pub fn wait_until(
    what: &str,
    within: Duration,
    log: Option<&Path>,
    mut condition: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let deadline = Instant::now() + within;
    let mut progress = Progress::new(what);
    loop {
        if condition()? {
            progress.end(true);
            return Ok(());
        }
        if Instant::now() >= deadline {
            progress.end(false);
            let tail = log.map(tail).unwrap_or_default();
            return Err(Error::Timeout {
                what: what.to_owned(),
                seconds: within.as_secs(),
                tail,
            });
        }
        progress.tick();
        thread::sleep(Duration::from_millis(50));
    }
}

/// The last lines of a log and where the rest is, as the end of an error message. Empty if there is no log.
#[must_use]
pub fn tail(log: &Path) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        Ok(String::from_utf8_lossy(&end).into_owned())
    };
    let Ok(end) = read() else {
        return String::new();
    };
    format!("{}\n  the whole log: {}", indent(&end), log.display())
}

/// Says on stderr what is being done or was done.
pub fn say(line: &str) {
    // Progress that nobody can read is no reason to stop the work.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether a program of this name is on the PATH.
#[must_use]
pub fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

fn indent(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    lines[from..]
        .iter()
        .fold(String::new(), |all, line| all + "\n  | " + line)
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn spawn_error(command: &Command) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let program = command.get_program().to_string_lossy().into_owned();
    move |source| Error::Spawn { program, source }
}

/// One line on stderr that follows something slow: rewritten in place on a terminal, repeated now and then elsewhere.
struct Progress<'a> {
    what: &'a str,
    start: Instant,
    shown: Option<Instant>,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(what: &'a str) -> Self {
        Self {
            what,
            start: Instant::now(),
            shown: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn tick(&mut self) {
        let elapsed = self.start.elapsed();
        if elapsed < QUIET {
            return;
        }
        let pause = if self.terminal {
            Duration::from_secs(1)
        } else {
            HEARTBEAT
        };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        if self.terminal {
            let _ = write!(
                std::io::stderr(),
                "\r\x1b[K  {} … {} s",
                self.what,
                elapsed.as_secs()
            );
        } else {
            say(&format!("  {} … {} s", self.what, elapsed.as_secs()));
        }
    }

    fn end(&self, success: bool) {
        if self.shown.is_none() {
            return;
        }
        let clear = if self.terminal { "\r\x1b[K" } else { "" };
        let end = if success {
            "done after"
        } else {
            "failed after"
        };
        say(&format!(
            "{clear}  {}: {end} {} s",
            self.what,
            self.start.elapsed().as_secs()
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn a_failure_shows_the_last_lines_and_the_log() {
        let log = std::env::temp_dir().join(format!("command-test-{}.log", std::process::id()));
        let error = run(
            "counting",
            Command::new("sh").args(["-c", "seq 100; exit 3"]),
            &log,
        )
        .unwrap_err()
        .to_string();
        std::fs::remove_file(&log).unwrap();
        assert!(
            error.starts_with("counting failed (exit status: 3)"),
            "{error}"
        );
        assert!(error.contains("\n  | 100\n"), "{error}");
        assert!(!error.contains("\n  | 80\n"), "{error}");
        assert!(error.contains(&log.display().to_string()), "{error}");
    }

    #[test]
    fn output_is_stdout_and_its_failure_is_stderr() {
        assert_eq!(output(Command::new("echo").arg("a b")).unwrap(), "a b");
        let error = output(Command::new("sh").args(["-c", "echo why >&2; false"]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("| why"), "{error}");
        assert_eq!(
            output_with_input(&mut Command::new("cat"), "x\n").unwrap(),
            "x"
        );
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("no-such-program could not be started"),
            "{error}"
        );
    }
}
