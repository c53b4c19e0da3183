//! What a paused former leader can no longer do.
//!
//! The lease in Kubernetes elects, but it cannot stop a process that was paused and wakes up still believing that
//! it leads. The server can: `db_operator` holds an epoch per cluster id. A process raises it at its first contact,
//! ends the sessions of its predecessors, and registers each session of its own before the session's first other
//! statement. A process that finds a newer epoch than its own has been superseded, and ends.

use std::fmt;
use std::sync::Arc;

/// What a process brings to the fence of every server.
#[derive(Clone)]
pub struct Fence {
    /// The id of the cluster whose operator this process is. Other ids are never touched.
    pub cluster_id: String,
    /// Whether this process leads at this moment, said by the clock and not by the last answer.
    pub held: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence")
            .field("cluster_id", &self.cluster_id)
            .finish_non_exhaustive()
    }
}
