//! When a leader is stopped, and how the next one comes to lead. A seed and a number decide it.

use std::fmt;
use std::time::Duration;

use super::super::run::shuffled;

/// The longest time between the beginning of the work and the pause, in milliseconds.
const DELAY: u64 = 600;
/// The longest time for which the next leader works before the paused one goes on, in milliseconds.
const HEAD_START: u64 = 300;

/// How the next process comes to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By another lease, while the paused one holds its own for long: only the servers stop that one.
    Servers,
    /// The lease runs out.
    Lease,
}

/// One pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    seed: u64,
    number: u32,
    /// How the next process comes to lead.
    pub way: Way,
    /// How long after the beginning of the work it is.
    pub delay: Duration,
    /// How long the next leader works before the paused one goes on.
    pub head_start: Duration,
}

impl Plan {
    /// The plan with this number.
    #[must_use]
    pub fn new(seed: u64, number: u32) -> Self {
        let mut plan = Self {
            seed,
            number,
            way: Way::Servers,
            delay: Duration::ZERO,
            head_start: Duration::ZERO,
        };
        if plan.random("way", 2) == 1 {
            plan.way = Way::Lease;
        }
        plan.delay = Duration::from_millis(plan.random("delay", DELAY));
        plan.head_start = Duration::from_millis(plan.random("head start", HEAD_START));
        plan
    }

    /// A number below `limit`, or 0; `what` tells it from the plan's others.
    #[must_use]
    pub fn random(&self, what: &str, limit: u64) -> u64 {
        let text = shuffled(self.seed, &format!("pause {} {what}", self.number));
        let number = u64::from_str_radix(&text[..15], 16);
        number.unwrap_or_default() % limit.max(1)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.way {
            Way::Servers => "another lease",
            Way::Lease => "the lease runs out",
        };
        write!(
            f,
            "pause {} of seed {} ({way}, {:?} after the work began, for {:?} more than the takeover)",
            self.number, self.seed, self.delay, self.head_start
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_number_are_always_the_same_plan() {
        assert_eq!(Plan::new(3, 17), Plan::new(3, 17));
        let differ = |one: Plan, other: Plan| one.delay != other.delay;
        assert!(differ(Plan::new(3, 17), Plan::new(3, 18)));
        assert!(differ(Plan::new(3, 17), Plan::new(4, 17)));
    }

    #[test]
    fn about_half_of_the_leases_run_out() {
        let plans = (0..500).map(|number| Plan::new(0, number));
        let leases = plans.filter(|plan| plan.way == Way::Lease).count();
        assert!((200..300).contains(&leases), "{leases}");
    }
}
