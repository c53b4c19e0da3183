//! `down`: everything away, in the order in which nothing can get lost on the way.

use std::fs;
use std::time::Duration;

use super::cgroup::Cgroup;
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
        self.end_processes()?;
        network::disconnect(self.settings())?;
        Cgroup::new(self.settings().name)?.remove()?;
        self.remove_state()
    }

    /// Ends the first process, and with it everything in its namespaces.
    fn end_processes(&self) -> Result<()> {
        let Some(init) = self.init() else {
            return Ok(());
        };
        init.kill()?;
        command::wait_until(
            "All processes of the cluster have ended",
            PATIENCE,
            None,
            || Ok(!init.is_alive()),
        )
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
