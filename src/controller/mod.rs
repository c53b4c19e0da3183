//! What the controllers of all kinds do. A kind says what one reconcile does; this says when, how many at a time, and what
//! follows from a failure.
//!
//! | file | its one job |
//! |---|---|
//! | `run.rs` | runs the controller of a kind |
//! | `fairness.rs` | whose turn it is among the namespaces, and the slots for their passes |
//! | `context.rs`, `cache.rs` | what every reconcile has at hand; the objects of all kinds |
//! | `trigger.rs` | wakes the controllers of the kinds |
//! | `error.rs`, `blocked.rs` | how a reconcile fails; why a pass could not do what it was about |
//! | `pass.rs`, `outcome.rs` | one pass over an object: what it has at hand, how it persists and reports; how it ends |
//! | `revisit.rs`, `allowance.rs` | when an object is looked at again; how often its owner may ask for that (pure) |
//! | `written.rs` | what this process wrote and the cache does not show yet |
//! | `status.rs`, `finalizer.rs`, `events.rs` | how a status, a finalizer and an Event are written |
//! | `sweep.rs` | when a kind clears up what no object's reconcile sees |
//! | `watchdog.rs` | how long a reconcile holds a thread |

mod allowance;
mod blocked;
pub mod cache;
mod context;
pub mod error;
pub mod events;
mod fairness;
#[cfg(test)]
pub(crate) mod fakes;
pub mod finalizer;
mod outcome;
mod pass;
pub mod revisit;
mod run;
pub mod status;
pub mod sweep;
pub mod trigger;
pub mod watchdog;
pub mod written;

use std::fmt::Debug;
use std::ops::Deref;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::backoff::Key;
use crate::queue::Queues;
use crate::queue::pass_queue::{PassQueue, Want};
pub use blocked::Blocked;
pub use context::Context;
pub use error::Error;
pub use outcome::{Acted, Next, Outcome};
pub use pass::{Pass, Reports};
pub use run::{run, watching};

/// A kind that has a controller.
pub trait Reconcile:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;

    /// What its reconciles have at hand: what all have, and what only this kind needs.
    type Context: Deref<Target = Context> + Send + Sync + 'static;

    /// When an object is to be looked at, if not now. Asked first; what it answers is no success, so that the failures
    /// before it still count.
    fn not_yet(&self, _context: &Self::Context) -> Option<Action> {
        None
    }

    /// Where passes wait for their slots; `None` for a kind that namespaces do not share.
    #[must_use]
    fn queue(_queues: &Queues) -> Option<&PassQueue> {
        None
    }

    /// For whom a pass over this object is.
    fn want(&self, _context: &Self::Context) -> Want {
        Want::default()
    }

    /// Brings the world one step closer to what this object says.
    fn reconcile(
        &self,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Action, Error>> + Send;
}

/// Under which key failures of an object are counted.
pub fn key<K: Reconcile>(object: &impl ResourceExt) -> Key {
    (
        K::KIND,
        object.namespace().unwrap_or_default(),
        object.name_any(),
    )
}
