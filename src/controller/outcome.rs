//! How a pass ends, and how an act of it does.

use std::time::Duration;

use kube::runtime::controller::Action;

use super::Blocked;

/// How a pass ended, where it did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The object is looked at again after this time, or when something wakes it.
    Again(Duration),
    /// The object is looked at again at the next resync, or when something wakes it.
    Waits,
    /// Nothing is left to be done, unless the object changes.
    Over,
}

impl Outcome {
    /// How long the object is left alone, if nothing wakes it; `None`: until it changes.
    #[must_use]
    pub const fn rest(self, resync: Duration) -> Option<Duration> {
        match self {
            Self::Again(rest) => Some(rest),
            Self::Waits => Some(resync),
            Self::Over => None,
        }
    }

    /// The same, for the queue.
    #[must_use]
    pub fn action(self, resync: Duration) -> Action {
        self.rest(resync)
            .map_or_else(Action::await_change, Action::requeue)
    }
}

/// What a pass does next, for a kind with persisted states.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next<Step, Act> {
    /// It persists the state that follows.
    Step(Step),
    /// It does what the state asks for.
    Act(Act),
    /// It ends: the state asks for nothing.
    Rest,
}

impl<Step, Act> Next<Step, Act> {
    /// A step comes before what the state asks for.
    #[must_use]
    pub fn of(step: Option<Step>, act: Option<Act>) -> Self {
        match (step, act) {
            (Some(step), _) => Self::Step(step),
            (None, Some(act)) => Self::Act(act),
            (None, None) => Self::Rest,
        }
    }
}

/// How an act of a pass ended.
#[derive(Debug)]
pub enum Acted<R> {
    /// What it found is part of what was seen: the pass goes on.
    Done,
    /// Something is in its way, and the conditions say so: the pass ends.
    Blocked(Blocked<R>),
    /// Nothing more can be done for now: the pass ends.
    Ends(Outcome),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_over_is_left_alone_for_good() {
        let (soon, resync) = (Duration::from_secs(2), Duration::from_mins(5));
        assert_eq!(Outcome::Again(soon).rest(resync), Some(soon));
        assert_eq!(Outcome::Waits.rest(resync), Some(resync));
        assert_eq!(Outcome::Over.rest(resync), None);
        assert_eq!(Outcome::Over.action(resync), Action::await_change());
        assert_eq!(Outcome::Waits.action(resync), Action::requeue(resync));
    }
}
