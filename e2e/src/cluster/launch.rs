//! How the cluster's processes are launched: in its cgroup, in a session of their own, with nothing of the caller's.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use super::cgroup::Cgroup;
use crate::{Error, Result};

/// Moves the shell itself, before it starts anything: `0` stands for who writes it.
const ENTER: &str = "for entrance in $0; do echo 0 >\"$entrance\" || exit; done";

/// The command of the cluster's first process: a script that bash runs.
pub(super) fn first(cgroup: &Cgroup, script: &Path, log: &Path) -> Result<Command> {
    let output = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::io("open", log))?;
    let errors = output.try_clone().map_err(Error::io("open", log))?;
    let mut command = shell(
        cgroup,
        &format!("{ENTER}; exec setsid bash \"$1\""),
        Path::new("/usr/bin"),
    );
    command
        .arg(script)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    Ok(command)
}

/// A command that starts a program in the background, writes its pid to stdout, and ends: the first process of the
/// namespace adopts the program. Were the starter to stay its parent, a dead program would wait for the starter to notice.
#[must_use]
pub(super) fn background(
    cgroup: &Cgroup,
    program: &Path,
    arguments: &[String],
    log: &Path,
) -> Command {
    let script =
        format!("{ENTER}; log=$1; shift; setsid \"$@\" </dev/null >>\"$log\" 2>&1 & echo $!");
    let folder = program.parent().map(Path::to_owned).unwrap_or_default();
    let mut command = shell(cgroup, &script, &folder);
    command.arg(log).arg(program).args(arguments);
    command
}

/// Programs of Debian's packages.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// No variable of the caller's gets in: no proxies, no credentials, no language.
fn shell(cgroup: &Cgroup, script: &str, programs: &Path) -> Command {
    let entrances: Vec<String> = cgroup
        .entrances()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .arg(entrances.join(" "))
        .current_dir("/");
    command
        .env_clear()
        .env("PATH", format!("{}:{SYSTEM_PATH}", programs.display()));
    command
}
