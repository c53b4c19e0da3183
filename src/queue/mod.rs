//! Decides who is next wherever namespaces share a scarce resource: passes, and connections to a server.
//!
//! Namespaces take turns. While others wait, none gets more than a quarter of the slots. A waiter is an entry in a list,
//! not a future: thousands of objects may wait.
//!
//! | file | its one job |
//! |---|---|
//! | `line_of_database.rs` | which backup or restore of one Database is next (pure) |
//! | `turns.rs` | which restores ask for their turn |
//! | `slots.rs` | how many backups, or restores, may run, and which of them have a slot |
//! | `slot_order.rs` | which waiting backup gets the next slot (pure) |
//! | `line.rs` | the order in which waiters are served (pure) |
//! | `order.rs` | which object may be reconciled now (pure) |
//! | `pass_queue.rs` | the queue for one kind's passes, and their slots, which are freed on drop |
//! | `suspects.rs` | namespaces whose passes recently held a slot for long |
//! | `caller.rs` | on whose behalf a connection is requested |
//! | `keyed.rs` | one at a time for each key |

pub mod caller;
pub mod keyed;
pub mod line;
pub mod line_of_database;
mod order;
pub mod pass_queue;
pub mod slot_order;
pub mod slots;
pub mod suspects;
pub mod turns;

use std::sync::Arc;

use pass_queue::PassQueue;
use suspects::Suspects;
use turns::Turns;

/// The queues of this process.
pub struct Queues {
    /// How many objects of one kind are reconciled at a time.
    pub concurrency: u16,
    /// Passes over Databases.
    pub databases: PassQueue,
    /// Passes over Backups.
    pub backups: PassQueue,
    /// Passes over Restores.
    pub restores: PassQueue,
    /// Restores that ask their Databases for their turn.
    pub turns: Turns,
    /// Namespaces whose passes, of any kind, recently held a slot for long.
    pub suspects: Arc<Suspects>,
}

impl Queues {
    /// Room for `concurrency` passes of each kind.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        let suspects = Arc::new(Suspects::default());
        Self {
            concurrency,
            databases: PassQueue::new(concurrency, Arc::clone(&suspects)),
            backups: PassQueue::new(concurrency, Arc::clone(&suspects)),
            restores: PassQueue::new(concurrency, Arc::clone(&suspects)),
            turns: Turns::default(),
            suspects,
        }
    }
}

/// A namespace's share of `slots` while others wait: a quarter.
#[must_use]
pub const fn quarter(slots: usize) -> usize {
    at_least_one(slots / 4)
}

/// Half of `slots`: the joint share of all namespaces that were found to hold a slot for long.
#[must_use]
pub const fn half(slots: usize) -> usize {
    at_least_one(slots / 2)
}

const fn at_least_one(slots: usize) -> usize {
    if slots == 0 { 1 } else { slots }
}
