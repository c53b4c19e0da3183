//! What a paused former leader can no longer do.
//!
//! The lease in Kubernetes elects, but it cannot stop a process that was paused and wakes up still believing that it
//! leads. The server can: `db_operator` holds an epoch per cluster id. On its first contact, a process raises the epoch
//! and ends the sessions of its predecessors; it registers each session of its own before the session's first other
//! statement. A process that finds another process's epoch in the place of its own has been superseded, and ends.
//!
//! The order on first contact is what makes it safe: read the epoch, *then* ask the clock whether this process leads,
//! then raise it by compare-and-set. A process that was paused in between loses the comparison.

use std::fmt;
use std::sync::Arc;

use super::ProviderError;

/// What a process brings to the fence of every server. Clones belong to the same process and share its epochs.
#[derive(Clone)]
pub struct Fence {
    cluster_id: String,
    process: String,
    held: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// What the server holds for a cluster id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Raised by one with each process that takes over.
    pub number: i64,
    /// The process that raised it last.
    pub process: String,
}

/// What a process does on its first contact with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The epoch is already this process's own: another of its connections came first.
    Join(i64),
    /// Write the first epoch of this cluster id, unless another process was faster.
    Found(i64),
    /// Raise the epoch, unless it has moved.
    Raise {
        /// What was read.
        from: i64,
        /// What to write.
        to: i64,
    },
}

/// What became of the epoch under which this process registers its sessions, if a server no longer accepts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenure {
    /// It is still there.
    Held,
    /// Another process raised it: this one has to end.
    Superseded {
        /// The epoch that stands now.
        newer: i64,
    },
    /// The server does not have the epoch: it was rebuilt, or restored from a backup. Enter it again.
    Forgotten,
}

impl Fence {
    /// A fence for this process. `held` says by the clock whether the process leads at this moment.
    pub fn new(
        cluster_id: impl Into<String>,
        held: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            cluster_id: cluster_id.into(),
            process: format!("{:032x}", rand::random::<u128>()),
            held: Arc::new(held),
        }
    }

    /// The id of the cluster whose operator this process is. Sessions of other ids are never touched.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// What tells this process apart from all others.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Checks whether this process leads at this moment.
    pub fn check_held(&self) -> Result<(), ProviderError> {
        if (self.held)() {
            Ok(())
        } else {
            Err(ProviderError::NotLeading)
        }
    }

    /// What to do on first contact, from what the server holds. Call it before [`Self::check_held`].
    #[must_use]
    pub fn entry(&self, standing: Option<&Epoch>) -> Entry {
        match standing {
            None => Entry::Found(1),
            Some(epoch) if epoch.process == self.process => Entry::Join(epoch.number),
            Some(epoch) => Entry::Raise {
                from: epoch.number,
                to: epoch.number + 1,
            },
        }
    }

    /// What became of the epoch `mine`, from what the server holds now. Epochs only rise, so a lower one, or none, is
    /// from before.
    #[must_use]
    pub fn tenure(&self, mine: i64, standing: Option<&Epoch>) -> Tenure {
        match standing {
            None => Tenure::Forgotten,
            Some(epoch) if epoch.process == self.process => {
                if epoch.number == mine {
                    Tenure::Held
                } else {
                    // Another connection of this process has already entered again.
                    Tenure::Forgotten
                }
            }
            Some(epoch) if epoch.number < mine => Tenure::Forgotten,
            Some(epoch) => Tenure::Superseded {
                newer: epoch.number,
            },
        }
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(number: i64, process: &str) -> Epoch {
        Epoch {
            number,
            process: process.to_owned(),
        }
    }

    #[test]
    fn the_first_process_founds_the_epoch_and_the_next_raises_it() {
        let fence = Fence::new("c", || true);
        assert_eq!(fence.entry(None), Entry::Found(1));
        assert_eq!(
            fence.entry(Some(&standing(7, "other"))),
            Entry::Raise { from: 7, to: 8 }
        );
    }

    #[test]
    fn connections_of_one_process_share_its_epoch() {
        let fence = Fence::new("c", || true);
        let second = fence.clone();
        assert_eq!(
            second.entry(Some(&standing(3, fence.process()))),
            Entry::Join(3)
        );
    }

    #[test]
    fn only_an_epoch_that_rose_supersedes() {
        let fence = Fence::new("c", || true);
        let found = |number, process: &str| fence.tenure(5, Some(&standing(number, process)));
        assert_eq!(found(5, fence.process()), Tenure::Held);
        assert_eq!(found(6, "other"), Tenure::Superseded { newer: 6 });
        assert_eq!(found(5, "other"), Tenure::Superseded { newer: 5 });
        // A server that was restored from a backup, or made anew, and one that this process has entered again since.
        assert_eq!(found(4, "other"), Tenure::Forgotten);
        assert_eq!(found(4, fence.process()), Tenure::Forgotten);
        assert_eq!(fence.tenure(5, None), Tenure::Forgotten);
    }

    #[test]
    fn two_processes_differ_even_with_the_same_cluster_id() {
        assert_ne!(
            Fence::new("c", || true).process(),
            Fence::new("c", || true).process()
        );
    }

    #[test]
    fn who_does_not_lead_does_not_enter() {
        assert_eq!(
            Fence::new("c", || false).check_held(),
            Err(ProviderError::NotLeading)
        );
        assert_eq!(Fence::new("c", || true).check_held(), Ok(()));
    }
}
