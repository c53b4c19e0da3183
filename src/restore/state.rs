//! The life of a `Restore` as a pure function: [`next`] says what follows from a state and what was observed.
//!
//! Built like [`crate::database::state`], which explains the rules; `doc/state.dot` shows all three.

pub use crate::api::RestoreState as State;
use crate::controller;

/// What has been seen of a Restore: only what a decision needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its name"
)]
pub struct Facts {
    /// The object is being deleted.
    pub deleting: bool,
    /// Its Database names it, no backup and no other restore of that Database is active, and all that it needs is there. (A test
    /// has no Database.)
    pub turn: bool,
    /// It only tries a backup out: nothing takes a name.
    pub test: bool,
    /// Its Database is being deleted, or gone; of a test: its instance, or that does not accept the namespace any more.
    pub cancelled: bool,
    /// How far the work is.
    pub work: Work,
    /// After the end: nothing is left of the load (scratch database, login, Job), and the restore is on record.
    pub cleaned: bool,
    /// After the end: someone asks for the former database, and that was not answered yet.
    pub undo: bool,
    /// After the end: the time of the database that was replaced is over, or a newer one was replaced since.
    pub former_due: bool,
}

/// How far the work on a restore is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Nothing runs yet.
    NotRunning,
    /// The Job's pod runs and loads, or is not looked at yet.
    Loading,
    /// The Job's pod compares what it loaded.
    Checking,
    /// The Job has reported: all is loaded and equal, and the object was the manifest's.
    Loaded,
    /// The restored database has the name of its Database.
    Switched,
    /// The server or the bucket remembers that this very Restore was done.
    DoneBefore,
    /// It cannot be done, for whichever reason.
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
    /// Its Database names it, and nothing else of that Database is active; or it is a test.
    Turn,
    /// The Job runs.
    JobRuns,
    /// All is loaded, and is being compared.
    Compares,
    /// What was loaded is what was backed up.
    Proven,
    /// The same of a test, which ends with that.
    Tested,
    /// The restored database has the name.
    Switched,
    /// It was done before.
    DoneBefore,
    /// It cannot be done.
    WorkFailed,
    /// Its Database was deleted.
    DatabaseDeleted,
    /// The instance that it was to be tested on was deleted, or does not accept the namespace any more.
    InstanceWithdrawn,
    /// The object was deleted while it ran.
    Cancelled,
    /// The object was deleted and nothing is left of it.
    ObjectDeleted,
}

impl Cause {
    /// A few words for people: events, logs, the picture.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Turn => "its turn",
            Self::JobRuns => "the Job runs",
            Self::Compares => "all is loaded",
            Self::Proven => "loaded and equal",
            Self::Tested => "loaded and equal, mode Test",
            Self::Switched => "it has the name",
            Self::DoneBefore => "done before",
            Self::WorkFailed => "refused or failed",
            Self::DatabaseDeleted => "Database deleted",
            Self::InstanceWithdrawn => "instance withdrawn (mode Test)",
            Self::Cancelled => "deleted while it ran",
            Self::ObjectDeleted => "deleted, nothing is left",
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
                return gone(Cause::ObjectDeleted);
            }
            match facts.work {
                Work::DoneBefore => to(State::Completed, Cause::DoneBefore),
                Work::Failed => to(State::Failed, Cause::WorkFailed),
                Work::NotRunning
                | Work::Loading
                | Work::Checking
                | Work::Loaded
                | Work::Switched => {
                    if facts.turn && !facts.cancelled {
                        to(State::Preparing, Cause::Turn)
                    } else {
                        None
                    }
                }
            }
        }
        Some(State::Preparing) => failure(*facts).or_else(|| match facts.work {
            Work::Loading | Work::Checking | Work::Loaded => to(State::Loading, Cause::JobRuns),
            Work::NotRunning | Work::Switched | Work::DoneBefore | Work::Failed => None,
        }),
        Some(State::Loading) => failure(*facts).or_else(|| match facts.work {
            Work::Checking | Work::Loaded => to(State::Checking, Cause::Compares),
            Work::NotRunning | Work::Loading | Work::Switched | Work::DoneBefore | Work::Failed => {
                None
            }
        }),
        Some(State::Checking) => failure(*facts).or_else(|| match facts.work {
            Work::Loaded if facts.test => to(State::Completed, Cause::Tested),
            Work::Loaded => to(State::Switching, Cause::Proven),
            Work::NotRunning
            | Work::Loading
            | Work::Checking
            | Work::Switched
            | Work::DoneBefore
            | Work::Failed => None,
        }),
        Some(State::Switching) => {
            // What has the name has it, whatever else happened since.
            if facts.work == Work::Switched {
                to(State::Completed, Cause::Switched)
            } else {
                // A test is never here.
                failure_by(*facts, Cause::DatabaseDeleted)
            }
        }
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
    let cancelled_by = if facts.test {
        Cause::InstanceWithdrawn
    } else {
        Cause::DatabaseDeleted
    };
    failure_by(facts, cancelled_by)
}

fn failure_by(facts: Facts, cancelled_by: Cause) -> Option<Step> {
    if facts.work == Work::Failed {
        to(State::Failed, Cause::WorkFailed)
    } else if facts.deleting {
        to(State::Failed, Cause::Cancelled)
    } else if facts.cancelled {
        to(State::Failed, cancelled_by)
    } else {
        None
    }
}

/// What a state asks to be done, again at each pass, until another state follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Look at the target, make the place to load into and its login, and create the Job.
    Prepare,
    /// Follow the Job, and keep its signed request fresh.
    Follow,
    /// Put the restored database in the place of the other one, and log in.
    Switch,
    /// Remove what is left of the load, and put the restore on record.
    CleanUp,
    /// Put the former database back.
    Undo,
    /// Drop the former database.
    DropFormer,
    /// Remove the finalizer: nothing is left to be done for now.
    Release,
}

/// What a state asks for, if anything.
#[must_use]
pub fn act(at: Option<State>, facts: &Facts) -> Option<Act> {
    let act = match at? {
        State::Preparing => Act::Prepare,
        State::Loading | State::Checking => Act::Follow,
        State::Switching => Act::Switch,
        State::Completed | State::Failed => {
            if !facts.cleaned {
                Act::CleanUp
            } else if facts.undo && !facts.deleting {
                Act::Undo
            } else if facts.former_due && !facts.deleting {
                Act::DropFormer
            } else {
                Act::Release
            }
        }
    };
    Some(act)
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(crate) mod tests;
