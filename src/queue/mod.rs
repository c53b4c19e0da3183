//! Decides who is next wherever namespaces share a scarce resource: passes, and connections to a server.
//!
//! Namespaces take turns. While others wait, none gets more than a quarter of the slots. A waiter is an entry in a list,
//! not a future: thousands of objects may wait.
//!
//! | file | its one job |
//! |---|---|
//! | `line_of_database.rs` | which backup of one Database is next (pure) |
//! | `slots.rs` | how many backups may run, and which of them have a slot |
//! | `slot_order.rs` | which waiting backup gets the next slot (pure) |
//! | `line.rs` | the order in which waiters are served (pure) |
//! | `order.rs` | which object may be reconciled now (pure) |
//! | `turns.rs` | the slots for one kind's passes, which are freed on drop |
//! | `suspects.rs` | namespaces whose passes recently held a slot for long |
//! | `caller.rs` | on whose behalf a connection is requested |
//! | `keyed.rs` | one at a time for each key |

pub mod caller;
pub mod keyed;
pub mod line;
pub mod line_of_database;
mod order;
pub mod slot_order;
pub mod slots;
pub mod suspects;
pub mod turns;

use std::sync::Arc;

use suspects::Suspects;
use turns::Turns;

/// The queues of this process.
pub struct Queues {
    /// How many objects of one kind are reconciled at a time.
    pub concurrency: u16,
    /// Passes over Databases.
    pub databases: Turns,
    /// Passes over Backups.
    pub backups: Turns,
    /// Namespaces whose passes, of either kind, recently held a slot for long.
    pub suspects: Arc<Suspects>,
}

impl Queues {
    /// Room for `concurrency` passes of each kind.
    #[must_use]
    pub fn new(concurrency: u16) -> Self {
        let suspects = Arc::new(Suspects::default());
        Self {
            concurrency,
            databases: Turns::new(concurrency, Arc::clone(&suspects)),
            backups: Turns::new(concurrency, Arc::clone(&suspects)),
            suspects,
        }
    }
}

/// A namespace's share of `places` while others wait: a quarter.
#[must_use]
pub const fn quarter(places: usize) -> usize {
    at_least_one(places / 4)
}

/// Half of `places`: the joint share of all namespaces that were found to hold a slot for long.
#[must_use]
pub const fn half(places: usize) -> usize {
    at_least_one(places / 2)
}

const fn at_least_one(places: usize) -> usize {
    if places == 0 { 1 } else { places }
}
