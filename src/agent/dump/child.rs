//! The dump tool's process: it ends with us, and so does everything that it starts.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::credentials::Environment;

/// Size of the pipe, for few switches between the tool and us. It is the most that an unprivileged process may have.
const PIPE: i32 = 1024 * 1024;

/// How long a tool may take to end after SIGTERM: enough time to cancel its query in the server.
const GRACE: Duration = Duration::from_secs(5);

/// A running dump tool.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: Option<Pid>,
}

/// Where a tool writes to.
#[derive(Debug)]
pub struct Output {
    /// The dump.
    pub stdout: File,
    /// Its messages.
    pub stderr: ChildStderr,
}

/// A command with this environment and nothing of ours.
fn command(words: &[OsString], environment: &Environment) -> io::Result<Command> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(environment.0.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A process group of its own: the children of a wrapper end with it.
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Starts the tool.
pub fn start(words: &[OsString], environment: &Environment) -> io::Result<(Running, Output)> {
    let mut child = command(words, environment)?.spawn()?;
    let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
    let stdout = child.stdout.take().ok_or_else(gone)?.into_owned_fd()?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    // A smaller pipe works, too, only slower.
    let _ = fcntl(&stdout, FcntlArg::F_SETPIPE_SZ(PIPE));
    let group = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .map(Pid::from_raw);
    let output = Output {
        stdout: File::from(stdout),
        stderr,
    };
    Ok((Running { child, group }, output))
}

/// What the tool prints when it is asked for its version.
pub async fn version(
    program: &OsString,
    environment: &Environment,
    within: Duration,
) -> io::Result<String> {
    let words = [program.clone(), "--version".into()];
    let output = command(&words, environment)?.output();
    let output = timeout(within, output)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let text = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Running {
    /// Waits until it ends.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends it, unless it has ended, and everything that it has started.
    pub async fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            // How it ends no longer matters.
            let _ = timeout(GRACE, self.child.wait()).await;
        }
        self.signal(Signal::SIGKILL);
        let _ = timeout(GRACE, self.child.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone by now.
            let _ = killpg(group, signal);
        }
    }
}

/// How it ended, for people.
#[must_use]
pub fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(9)) => {
            "was killed by signal 9, perhaps because the pod's memory limit was reached".to_owned()
        }
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}
