//! `down`: everything away, in the order in which nothing can get lost on the way.

use std::fs;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::process::Process;
use super::{Cluster, network};
use crate::{Error, Result, command, host};

/// How long the kernel may take to end all processes of a cluster.
const PATIENCE: Duration = Duration::from_secs(30);

impl Cluster {
    /// Takes the whole cluster away, or whatever is left of it: processes first, then the link and the routes, the
    /// cgroups, and the state folder. Does nothing if nothing is there. The caller holds the [`lock`](Cluster::lock).
    ///
    /// What stays is in the cache: programs, and the images that containerd holds.
    pub fn down(&self) -> Result<()> {
        host::require_root()?;
        let cgroup = Cgroup::new(self.settings().name)?;
        end_processes(&cgroup)?;
        network::disconnect(self.settings())?;
        cgroup.remove()?;
        self.remove_state()
    }

    fn remove_state(&self) -> Result<()> {
        let state = self.state_dir();
        // The cluster's mounts are in its own namespace. One that is seen here is somebody else's, and what lies below it, too.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let below = format!("{}/", state.display());
        if let Some(mount) = mounts
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .find(|path| path.starts_with(&below))
        {
            return Err(Error::Precondition(format!(
                "Something is mounted at {mount}: unmount it, then run `cargo xtask down` again."
            )));
        }
        match fs::remove_dir_all(state) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", state)(error));
            }
            Ok(()) | Err(_) => {}
        }
        // Another cluster may still have its state there.
        let _ = state.parent().map(fs::remove_dir);
        Ok(())
    }
}

/// Ends all processes in the cluster's cgroups. The first one is among them, and with it the kernel ends everything in
/// its namespaces. No record is needed for that, so a lost or foreign one does no harm.
fn end_processes(cgroup: &Cgroup) -> Result<()> {
    command::wait_until(
        "All processes of the cluster have ended",
        PATIENCE,
        None,
        || {
            let processes = cgroup.processes();
            // A pid of 0 is a process that cannot be seen from here, which then is not ours to end.
            let mut ours = processes
                .iter()
                .filter(|pid| **pid > 0)
                .filter_map(|pid| Process::of(*pid));
            ours.try_for_each(|process| process.kill())?;
            Ok(processes.is_empty())
        },
    )
}
