//! The cluster's own pid, mount and network namespaces.
//!
//! Everything of the cluster runs in one set of namespaces under a first process of its own (`config/init.sh`). When
//! that ends, for whatever reason, the kernel ends every process in there (pods and their shims, too), and with the last
//! of them vanish all mounts, links, routes and rules. So there is one process to end, nothing to search for, and no way
//! to hit a neighbour: two clusters can both have a bridge, a table `kube-proxy` or a port 2379.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::process::Process;
use crate::{Error, Result, command};

/// The first process of new namespaces, which waits for its link to the machine.
pub(super) struct Init {
    child: Child,
    /// Its identity.
    pub process: Process,
}

impl Init {
    /// Starts `program` as the first process of new namespaces. It ends by itself if this process does before [`Init::go`].
    pub(super) fn start(program: Command) -> Result<Self> {
        let mut program = program;
        program.stdin(Stdio::piped());
        let child = in_thread(move || {
            // Of the calling thread only; the pid namespace is that of its next child.
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID)
                .map_err(Error::system(
                    "make namespaces (that takes root with CAP_SYS_ADMIN)",
                ))?;
            spawn(&mut program)
        })?;
        let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
        let process = Process::of(pid).ok_or_else(|| {
            Error::Precondition("The cluster's first process ended at once.".to_owned())
        })?;
        Ok(Self { child, process })
    }

    /// Lets it go on, now that its link is there.
    pub(super) fn go(mut self) -> Result<()> {
        let line = self
            .child
            .stdin
            .take()
            .map_or(Ok(()), |mut stdin| stdin.write_all(b"go\n"));
        line.map_err(|source| Error::Spawn {
            program: "the cluster's first process".to_owned(),
            source,
        })
    }
}

/// Runs a launcher ([`super::launch::background`]) in the namespaces of `init`, and returns what it launched: none if
/// that has ended already.
pub(super) fn start_in(init: Process, mut launcher: Command) -> Result<Option<Process>> {
    let pid = in_thread(move || {
        let open = |name: &str| {
            let path = format!("/proc/{}/ns/{name}", init.pid);
            File::open(&path).map_err(Error::io("open", Path::new(&path)))
        };
        let (net, pid, mount) = (open("net")?, open("pid")?, open("mnt")?);
        // A thread can go to another mount namespace only once it shares its root and working directory with no other.
        unshare(CloneFlags::CLONE_FS).map_err(Error::system("enter the cluster's namespaces"))?;
        for (namespace, kind) in [
            (net, CloneFlags::CLONE_NEWNET),
            (pid, CloneFlags::CLONE_NEWPID),
            (mount, CloneFlags::CLONE_NEWNS),
        ] {
            setns(namespace, kind).map_err(Error::system("enter the cluster's namespaces"))?;
        }
        command::output(&mut launcher)
    })?;
    Ok(pid.parse().ok().and_then(|pid| Process::inside(init, pid)))
}

/// Namespaces belong to threads: this one is used for one process and thrown away.
fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let ended = || Error::Precondition("A thread of the starter ended too early.".to_owned());
    thread::spawn(work).join().map_err(|_| ended())?
}

fn spawn(program: &mut Command) -> Result<Child> {
    let name = program.get_program().to_string_lossy().into_owned();
    program.spawn().map_err(|source| Error::Spawn {
        program: name,
        source,
    })
}
