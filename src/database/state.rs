//! The life of a `Database` as a pure function: [`next`] says what follows from a state and what was observed.
//!
//! No client and no clock. A pass observes, and then either persists the state that follows ([`step`]), or does what its
//! state asks for ([`act`]), or rests. A state is persisted before its effect, and an effect belongs to a state, not to a step: a crash
//! anywhere repeats an effect that can be repeated. `doc/state.dot` is made from these functions, and a test holds the
//! two equal.

pub use crate::api::DatabaseState as State;
use crate::api::DeletionPolicy;
use crate::api::database::DeletionEffect;
use crate::controller;

/// What was observed of a Database: only what a decision needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, each with its name"
)]
pub struct Facts {
    /// The object is being deleted.
    pub deleting: bool,
    /// The release annotation is there, with the right value. It counts only while the object is being deleted.
    pub release: bool,
    /// What a deletion does: see [`effective_policy`].
    pub policy: DeletionPolicy,
    /// Whether the SQL database exists.
    pub database: Existence,
    /// The Secret exists, and logging in with it works.
    pub usable: bool,
    /// `spec.suspend`: neither repairs nor new backups.
    pub suspended: bool,
    /// The backup that `status.backup` names; in `CREATED` the first in line ([`crate::queue::line_of_database::first_in_line`]).
    pub backup: BackupSeen,
    /// The backup that `status.finalBackup` names: no older one is taken for it. Once its completion is noted there, it
    /// counts as completed, whatever becomes of the object.
    pub final_backup: BackupSeen,
    /// `status.deletion`: what was decided when the state became `DELETION_IN_PROGRESS`.
    pub deletion: Option<DeletionEffect>,
    /// What `DELETION_IN_PROGRESS` asks for is done.
    pub deleted: bool,
    /// In `CREATED`: the database was dropped by hand, it is asked for anew, and it is to begin with a backup.
    pub begins_anew: bool,
}

/// Whether something exists. "I could not look" is not "it does not exist".
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existence {
    /// It exists.
    Present,
    /// The server says that it does not exist.
    Missing,
    /// The server could not be asked.
    Unknown,
}

/// What was observed of a Backup of this Database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackupSeen {
    /// There is none.
    None,
    /// It waits to begin: it has no state.
    Waiting,
    /// It is `STARTING` or `BACKING_UP`.
    Active,
    /// It is `COMPLETED`.
    Completed,
    /// It is `FAILED`.
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
    /// The object has no state yet.
    New,
    /// The Secret exists, and logging in with it works.
    LoginWorks,
    /// The database was dropped by hand, and is to begin with its backup again.
    BeginsAnew,
    /// A Backup waits to begin.
    BackupWaiting,
    /// The Backup has begun, or is gone.
    BackupBegun,
    /// The Backup is complete.
    BackupCompleted,
    /// The Backup failed, or is gone.
    BackupFailed,
    /// A completed backup was noted in the status.
    BackupNoted,
    /// The object was deleted.
    ObjectDeleted,
    /// The object was deleted before anything was begun.
    NothingBegun,
    /// The object was deleted, and its policy wants a final backup.
    FinalBackupWanted,
    /// The policy was changed to want a final backup, and there is none.
    FinalBackupMissing,
    /// The policy no longer wants a final backup.
    PolicyChanged,
    /// There is no database to back up.
    NothingToBackUp,
    /// The policy was read for the last time.
    PolicyRead,
    /// The claim was released, and the database dropped if that was decided.
    DeletionDone,
    /// Nothing is left to do.
    NothingLeft,
    /// The release annotation asks to let the object go.
    Released,
}

impl Cause {
    /// A few words for people: events, logs, the picture.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new object",
            Self::LoginWorks => "login with the Secret works",
            Self::BeginsAnew => "dropped by hand, recreate asked, initFrom",
            Self::BackupWaiting => "a Backup is waiting",
            Self::BackupBegun => "Backup begun (or gone)",
            Self::BackupCompleted => "Backup COMPLETED",
            Self::BackupFailed => "Backup FAILED (or gone)",
            Self::BackupNoted => "noted in the status",
            Self::ObjectDeleted => "deleted, policy Retain or Delete",
            Self::NothingBegun => "deleted before anything was begun",
            Self::FinalBackupWanted => "deleted, policy BackupBeforeDelete",
            Self::FinalBackupMissing => "policy changed to BackupBeforeDelete",
            Self::PolicyChanged => "policy changed to another one",
            Self::NothingToBackUp => "nothing to back up",
            Self::PolicyRead => "policy read for the last time",
            Self::DeletionDone => "claim given up, dropped if decided so",
            Self::NothingLeft => "finalizer removed",
            Self::Released => "being deleted, release annotation",
        }
    }
}

/// What deleting a Database does, as things stand: in a namespace that may not use the instance (any more), and to
/// what was adopted without the platform's consent to drop it, every deletion is a `Retain`.
#[must_use]
pub const fn effective_policy(
    asked: DeletionPolicy,
    namespace_allowed: bool,
    may_drop: bool,
) -> DeletionPolicy {
    if namespace_allowed && may_drop {
        asked
    } else {
        DeletionPolicy::Retain
    }
}

/// What is persisted together with `DELETION_IN_PROGRESS`: from then on the policy is not read again.
#[must_use]
pub const fn deletion_effect(policy: DeletionPolicy) -> DeletionEffect {
    match policy {
        DeletionPolicy::Retain => DeletionEffect::Keep,
        DeletionPolicy::Delete | DeletionPolicy::BackupBeforeDelete => DeletionEffect::Drop,
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
    let Some(at) = at else {
        return if facts.deleting {
            gone(Cause::NothingBegun)
        } else {
            to(State::Creating, Cause::New)
        };
    };
    if facts.deleting && facts.release {
        return gone(Cause::Released);
    }
    match at {
        State::Creating => begin_deletion(facts).or_else(|| {
            if facts.usable {
                to(State::Created, Cause::LoginWorks)
            } else {
                None
            }
        }),
        State::Created => begin_deletion(facts).or_else(|| {
            if facts.begins_anew && !facts.suspended {
                to(State::Creating, Cause::BeginsAnew)
            } else if facts.backup == BackupSeen::Waiting && !facts.suspended {
                to(State::BackupRequested, Cause::BackupWaiting)
            } else {
                None
            }
        }),
        State::BackupRequested => begin_deletion(facts).or_else(|| {
            if facts.backup == BackupSeen::Waiting {
                None
            } else {
                to(State::BackupInProgress, Cause::BackupBegun)
            }
        }),
        State::BackupInProgress => begin_deletion(facts).or_else(|| match facts.backup {
            BackupSeen::Waiting | BackupSeen::Active => None,
            BackupSeen::Completed => to(State::BackupCompleted, Cause::BackupCompleted),
            BackupSeen::Failed | BackupSeen::None => to(State::Created, Cause::BackupFailed),
        }),
        State::BackupCompleted => {
            begin_deletion(facts).or_else(|| to(State::Created, Cause::BackupNoted))
        }
        State::BackupBeforeDeleteRequested => {
            policy_change(facts).or_else(|| match (facts.final_backup, facts.database) {
                (BackupSeen::None | BackupSeen::Waiting, Existence::Missing) => {
                    to(State::DeletionRequested, Cause::NothingToBackUp)
                }
                (
                    BackupSeen::None | BackupSeen::Waiting,
                    Existence::Present | Existence::Unknown,
                ) => None,
                (BackupSeen::Active | BackupSeen::Completed | BackupSeen::Failed, _) => {
                    to(State::BackupBeforeDeleteInProgress, Cause::BackupBegun)
                }
            })
        }
        State::BackupBeforeDeleteInProgress => {
            policy_change(facts).or_else(|| match facts.final_backup {
                BackupSeen::Waiting | BackupSeen::Active => None,
                BackupSeen::Completed => {
                    to(State::BackupBeforeDeleteCompleted, Cause::BackupCompleted)
                }
                BackupSeen::Failed | BackupSeen::None => {
                    to(State::BackupBeforeDeleteRequested, Cause::BackupFailed)
                }
            })
        }
        State::BackupBeforeDeleteCompleted => {
            policy_change(facts).or_else(|| to(State::DeletionRequested, Cause::BackupNoted))
        }
        State::DeletionRequested => {
            if lacks_final_backup(facts) {
                to(
                    State::BackupBeforeDeleteRequested,
                    Cause::FinalBackupMissing,
                )
            } else {
                to(State::DeletionInProgress, Cause::PolicyRead)
            }
        }
        State::DeletionInProgress => {
            if facts.deleted {
                to(State::Deleted, Cause::DeletionDone)
            } else {
                None
            }
        }
        State::Deleted => gone(Cause::NothingLeft),
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

fn begin_deletion(facts: &Facts) -> Option<Step> {
    match (facts.deleting, facts.policy) {
        (false, _) => None,
        (true, DeletionPolicy::BackupBeforeDelete) => {
            to(State::BackupBeforeDeleteRequested, Cause::FinalBackupWanted)
        }
        (true, DeletionPolicy::Retain | DeletionPolicy::Delete) => {
            to(State::DeletionRequested, Cause::ObjectDeleted)
        }
    }
}

fn policy_change(facts: &Facts) -> Option<Step> {
    match facts.policy {
        DeletionPolicy::BackupBeforeDelete => None,
        DeletionPolicy::Retain | DeletionPolicy::Delete => {
            to(State::DeletionRequested, Cause::PolicyChanged)
        }
    }
}

/// The policy is read until the deletion begins: one that wants a final backup only now gets it.
fn lacks_final_backup(facts: &Facts) -> bool {
    facts.policy == DeletionPolicy::BackupBeforeDelete
        && facts.final_backup != BackupSeen::Completed
        && facts.database != Existence::Missing
}

/// What a state asks to be done, again at each pass, until another state follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Claim the names, make the Secret, the user and the database, and log in.
    Create,
    /// Look for differences, put them back, and log in.
    Maintain,
    /// Make the final backup's Secret and Backup in the operator's namespace.
    RequestFinalBackup,
    /// Release the claim, and keep or drop the database and the user.
    Delete(DeletionEffect),
}

/// What a state asks for, if anything.
#[must_use]
pub fn act(at: Option<State>, facts: &Facts) -> Option<Act> {
    match at? {
        State::Creating => Some(Act::Create),
        State::Created
        | State::BackupRequested
        | State::BackupInProgress
        | State::BackupCompleted => (!facts.suspended).then_some(Act::Maintain),
        State::BackupBeforeDeleteRequested => Some(Act::RequestFinalBackup),
        State::BackupBeforeDeleteInProgress
        | State::BackupBeforeDeleteCompleted
        | State::DeletionRequested
        | State::Deleted => None,
        // A decision that was not persisted drops nothing.
        State::DeletionInProgress => {
            let effect = facts.deletion.unwrap_or(DeletionEffect::Keep);
            Some(Act::Delete(effect))
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
pub(crate) mod tests;
