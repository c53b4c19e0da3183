//! The life of a `Backup` as a pure function: [`next`] says what follows from a state and what was observed.
//!
//! Built like [`crate::database::state`], which explains the rules; `doc/state.dot` shows both.

pub use crate::api::BackupState as State;
use crate::controller;

/// What has been seen of a Backup: only what a decision needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its name"
)]
pub struct Facts {
    /// The object is being deleted.
    pub deleting: bool,
    /// Its Database names it, no other backup of that Database is active, and all that it needs is there.
    pub turn: bool,
    /// Its Database is being deleted, and it is not that deletion's final backup.
    pub cancelled: bool,
    /// How far the Job and the upload are.
    pub work: Work,
    /// After the end: the Job is stopped, the upload completed or aborted, or left to the sweeper.
    pub cleaned: bool,
}

/// How far the work on a backup is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Nothing runs yet.
    NotRunning,
    /// The Job's pod runs, or is done and not looked at yet.
    Running,
    /// The Job has reported what it uploaded, or had before a commit was interrupted: that is to be committed.
    Reported,
    /// The object is in the store, whole and checked, with its manifest.
    Committed,
    /// Its Job failed with a transient error, and is to be followed by another one.
    Passing,
    /// It cannot become a backup any more, for whichever reason.
    Failed,
}

/// What follows, and why.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Step {
    /// The state to persist; `None`: the finalizer goes, and with it the object.
    pub to: Option<State>,
    /// Why.
    pub because: Cause,
}

/// Why a state follows another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cause {
    /// Its Database names it, and no other one is active.
    Turn,
    /// The Job runs.
    JobRuns,
    /// The object is in the store, whole and checked.
    Committed,
    /// The Job failed with a transient error.
    TriedAgain,
    /// The work failed.
    WorkFailed,
    /// Its Database was deleted.
    DatabaseDeleted,
    /// The object was deleted while it ran.
    Cancelled,
    /// The object was deleted and nothing runs for it.
    ObjectDeleted,
}

impl Cause {
    /// A few words for people: events, logs, the picture.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "its turn",
            Self::JobRuns => "the Job runs",
            Self::Committed => "committed, checked",
            Self::TriedAgain => "a transient failure, retried",
            Self::WorkFailed => "the work failed",
            Self::DatabaseDeleted => "Database deleted",
            Self::Cancelled => "deleted while it ran",
            Self::ObjectDeleted => "deleted, nothing runs",
        }
    }
}

/// What a pass does next.
pub type Next = controller::Next<Step, Act>;

/// What follows.
#[must_use]
pub fn next(at: Option<State>, facts: &Facts) -> Next {
    Next::of(step(at, facts), act(at, facts))
}

/// The step that follows, if one does.
#[must_use]
pub fn step(at: Option<State>, facts: &Facts) -> Option<Step> {
    match at {
        None => {
            if facts.deleting {
                gone(Cause::ObjectDeleted)
            } else if facts.turn && !facts.cancelled {
                to(State::Starting, Cause::Turn)
            } else {
                None
            }
        }
        Some(State::Starting) => failure(*facts).or_else(|| match facts.work {
            Work::Running | Work::Committed => to(State::BackingUp, Cause::JobRuns),
            Work::NotRunning | Work::Reported | Work::Passing | Work::Failed => None,
        }),
        Some(State::BackingUp) => match facts.work {
            // What is in the store is there, whatever else happened since.
            Work::Committed => to(State::Completed, Cause::Committed),
            // It may be in the store: whether it is, is found out first.
            Work::Reported => None,
            Work::Passing => failure(*facts).or_else(|| to(State::Starting, Cause::TriedAgain)),
            Work::NotRunning | Work::Running | Work::Failed => failure(*facts),
        },
        Some(State::Completed | State::Failed) => {
            if facts.deleting && facts.cleaned {
                gone(Cause::ObjectDeleted)
            } else {
                None
            }
        }
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "step() reads better without a Some around each step"
)]
const fn to(state: State, because: Cause) -> Option<Step> {
    Some(Step {
        to: Some(state),
        because,
    })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "step() reads better without a Some around each step"
)]
const fn gone(because: Cause) -> Option<Step> {
    Some(Step { to: None, because })
}

fn failure(facts: Facts) -> Option<Step> {
    if facts.work == Work::Failed {
        to(State::Failed, Cause::WorkFailed)
    } else if facts.deleting {
        to(State::Failed, Cause::Cancelled)
    } else if facts.cancelled {
        to(State::Failed, Cause::DatabaseDeleted)
    } else {
        None
    }
}

/// What a state asks to be done, again at each pass, until another state follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Begin the upload, sign the first parts, create the Job.
    Start,
    /// Follow the Job's progress, and sign further parts.
    Follow,
    /// Commit what the Job reported.
    Commit,
    /// Stop the Job and abort the upload, or tidy up after a complete one.
    CleanUp,
    /// Remove the finalizer: nothing is left to be done.
    Release,
}

/// What a state asks for, if anything.
#[must_use]
pub fn act(at: Option<State>, facts: &Facts) -> Option<Act> {
    let act = match at? {
        State::Starting => Act::Start,
        State::BackingUp => match facts.work {
            Work::Reported => Act::Commit,
            Work::NotRunning | Work::Running | Work::Committed | Work::Passing | Work::Failed => {
                Act::Follow
            }
        },
        State::Completed | State::Failed => {
            if facts.cleaned {
                Act::Release
            } else {
                Act::CleanUp
            }
        }
    };
    Some(act)
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(crate) mod tests;
