//! Who is next, wherever namespaces share something that there is little of: passes, and connections to a server.
//!
//! Turns go round the namespaces. While others wait, nobody has more than a quarter of the places. Who waits is a line
//! in a list, not a future: thousands of objects may wait.
//!
//! | file | its one job |
//! |---|---|
//! | `line_of_database.rs` | which backup of one Database is next (pure) |
//! | `slots.rs` | how many backups may run, and which of them have a slot |
//! | `slot_order.rs` | which waiting backup gets the next slot (pure) |
//! | `line.rs` | the order of those who wait for a connection (pure) |
//! | `order.rs` | which object may be worked on now (pure) |
//! | `turns.rs` | the places of one kind's passes, given back by themselves |
//! | `suspects.rs` | whose passes held a place for long lately |
//! | `caller.rs` | for whom a connection is asked for |
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
    /// How many objects of one kind are worked on at a time.
    pub concurrency: u16,
    /// Passes over Databases.
    pub databases: Turns,
    /// Passes over Backups.
    pub backups: Turns,
    /// Whose passes held a place for long lately, whatever they were about.
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

/// What one namespace may have of `places` while others wait: a quarter.
#[must_use]
pub const fn quarter(places: usize) -> usize {
    at_least_one(places / 4)
}

/// Half of `places`: what those may have together who were found to hold a place for long.
#[must_use]
pub const fn half(places: usize) -> usize {
    at_least_one(places / 2)
}

const fn at_least_one(places: usize) -> usize {
    if places == 0 { 1 } else { places }
}
