//! The tool's process: it ends with us, and so does everything that it starts.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::credentials::Environment;

/// Size of the pipe, for few switches between the tool and us. It is the most that an unprivileged process may have.
const PIPE: i32 = 1024 * 1024;

/// How long a tool may take to end after SIGTERM: enough time to cancel its query in the server.
const GRACE: Duration = Duration::from_secs(5);

/// How long to go on listening after the tool has ended: what it has started may hold its standard error open.
const LISTEN_ON: Duration = Duration::from_secs(2);

/// How much of what a tool prints as its version is read, in bytes.
const PRINTED: u64 = 64 * 1024;

/// Ticks of a second in `/proc`, which Linux has fixed for programs.
const TICKS: u64 = 100;

/// A running tool. When it is dropped, it is killed, and so is everything that it has started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    group: Option<Pid>,
}

/// Where a tool writes to.
#[derive(Debug)]
pub(crate) struct Output {
    /// The dump.
    pub stdout: File,
    /// Its messages.
    pub stderr: ChildStderr,
}

/// What a tool that loads reads from, and where it writes its messages.
#[derive(Debug)]
pub(crate) struct Input {
    /// What it loads.
    pub stdin: File,
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
pub(crate) fn start(
    words: &[OsString],
    environment: &Environment,
) -> io::Result<(Running, Output)> {
    let mut child = command(words, environment)?.spawn()?;
    let stdout = child.stdout.take().ok_or_else(gone)?.into_owned_fd()?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let output = Output {
        stdout: large_pipe(stdout),
        stderr,
    };
    Ok((Running::of(child), output))
}

/// Starts a tool that loads. What it prints is of no use.
pub(crate) fn start_loading(
    words: &[OsString],
    environment: &Environment,
) -> io::Result<(Running, Input)> {
    let mut child = command(words, environment)?
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let stdin = child.stdin.take().ok_or_else(gone)?.into_owned_fd()?;
    let stderr = child.stderr.take().ok_or_else(gone)?;
    let input = Input {
        stdin: large_pipe(stdin),
        stderr,
    };
    Ok((Running::of(child), input))
}

fn gone() -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

/// A smaller pipe works, too, only slower.
fn large_pipe(end: OwnedFd) -> File {
    let _ = fcntl(&end, FcntlArg::F_SETPIPE_SZ(PIPE));
    File::from(end)
}

/// Hears a tool out: to the end of its messages, or until a little after it has ended.
pub(crate) async fn hear_out(hearing: impl Future<Output = ()>, running: &mut Running) {
    tokio::pin!(hearing);
    tokio::select! {
        () = &mut hearing => {}
        _ = running.wait() => {
            let _ = timeout(LISTEN_ON, hearing).await;
        }
    }
}

/// What the tool prints when it is asked for its version.
pub(crate) async fn version(
    program: &OsString,
    environment: &Environment,
    within: Duration,
) -> io::Result<String> {
    let words = [program.clone(), "--version".into()];
    let (mut running, output) = start(&words, environment)?;
    let printed = spawn_blocking(move || {
        let mut text = Vec::new();
        output.stdout.take(PRINTED).read_to_end(&mut text)?;
        Ok::<_, io::Error>(text)
    });
    let answer = async {
        let mut errors = Vec::new();
        let mut stderr = output.stderr.take(PRINTED);
        let (read, printed) = tokio::join!(stderr.read_to_end(&mut errors), printed);
        read?;
        let printed = printed.map_err(io::Error::other)??;
        Ok::<_, io::Error>(if printed.is_empty() { errors } else { printed })
    };
    let answer = timeout(within, answer).await;
    running.stop().await;
    let text = answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

impl Running {
    fn of(child: Child) -> Self {
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        Self { child, group }
    }

    /// Waits until it ends.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// CPU time of it, and of what it has started and is still running.
    pub(crate) fn cpu_time(&self) -> Duration {
        let Some(group) = self.group else {
            return Duration::ZERO;
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ticks: u64 = processes
            .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
            .filter_map(|stat| ticks(&stat, group.as_raw()))
            .sum();
        Duration::from_millis(ticks.saturating_mul(1000 / TICKS))
    }

    /// Ends it, unless it has ended, and everything that it has started.
    pub(crate) async fn stop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGTERM);
            // How it ends no longer matters.
            let _ = timeout(GRACE, self.child.wait()).await;
        }
        self.signal(Signal::SIGKILL);
        let _ = timeout(GRACE, self.child.wait()).await;
        // Its number may become another's from here on.
        self.group = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone by now.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// CPU time of a process, in ticks, by its `/proc/PID/stat`, if it is of this group. Its name, in parentheses, may be anything.
fn ticks(stat: &str, group: i32) -> Option<u64> {
    // From the third field on, the state.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(2);
    let of: i32 = fields.next()?.parse().ok()?;
    if of != group {
        return None;
    }
    let mut times = fields.skip(8).map_while(|field| field.parse::<u64>().ok());
    Some(times.next()? + times.next()?)
}

/// Whether it was killed, as a process is that needs more memory than there is.
#[must_use]
pub(crate) fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

/// How it ended, for people.
#[must_use]
pub(crate) fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    fn shell(script: &str) -> (Running, Output) {
        let words = ["/bin/sh", "-c", script].map(OsString::from);
        start(&words, &Environment(Vec::new())).unwrap()
    }

    #[test]
    fn cpu_time_is_read_of_the_whole_group() {
        let stat = "7 (a) b 1 2) R 1 40 40 0 -1 4194304 100 0 0 0 250 30 0 0 20 0 1 0 9 1 2";
        assert_eq!(ticks(stat, 40), Some(280));
        assert_eq!(ticks(stat, 7), None);
        assert_eq!(ticks("", 40), None);
    }

    /// Until everything that can write to it has ended.
    async fn ended(mut stdout: File) {
        let reading = spawn_blocking(move || stdout.read_to_end(&mut Vec::new()));
        timeout(SOON, reading).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_a_dropped_tool_has_started_ends_with_it() {
        let (running, mut output) = shell("sleep 60 & echo begun; wait");
        let mut line = [0; 6];
        output.stdout.read_exact(&mut line).unwrap();
        drop(running);
        ended(output.stdout).await;
    }

    #[tokio::test]
    async fn a_version_is_what_the_tool_prints() {
        let asked = version(&"/bin/cat".into(), &Environment(Vec::new()), SOON).await;
        assert!(asked.unwrap().starts_with("cat "));
    }
}
