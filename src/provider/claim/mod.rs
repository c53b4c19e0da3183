//! Who owns what on a server, decided without a server.
//!
//! A claim is written before anything is made, so that a crash leaves a claim without a database and never a database
//! without a claim. It says *created* only after our own CREATE succeeded. What carries no claim of ours is never
//! altered. Something that exists under a claimed name without being what the claim describes belongs to someone else.

mod decide;
mod refusal;

use std::fmt;

use super::{Names, Observed, Ours, Removal};
use decide::Strangers;
pub use decide::{Acquisition, Adoptable, Decision, Request, decide};
pub(super) use refusal::never_touched;

/// The `Database` object that a claim is for. Its UID is not part of it: the same object, created again, is the same
/// claimant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimant {
    /// The id of its cluster.
    pub cluster_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Database {}/{} of cluster {}",
            self.namespace, self.name, self.cluster_id
        )
    }
}

/// A row of the claim table: this database and this role belong to this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub names: Names,
    /// Whom it belongs to.
    pub claimant: Claimant,
    /// The object's UID when the claim was written; recorded for people, and never compared.
    pub uid: String,
    /// How the database came to exist.
    pub database: Origin,
    /// How the role came to exist.
    pub role: Origin,
    /// What was adopted, rather than made by us, may still be dropped.
    pub drop_adopted: bool,
    /// The object is gone, and its database and role were kept (`Retain`).
    pub released: bool,
}

/// How something that is claimed came to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It existed already and was adopted.
    Adopted,
    /// It is to be made; no CREATE of ours is known to have succeeded.
    Creating,
    /// Our own CREATE made it.
    Created,
}

impl Origin {
    /// Whether something that exists is not what a claim of this origin describes.
    fn is_stranger(self, ours: Ours) -> bool {
        match self {
            Self::Adopted => false,
            Self::Creating => ours != Ours::Yes,
            Self::Created => ours == Ours::No,
        }
    }

    /// Whether deleting its object may drop what exists now (`None`: nothing does).
    fn may_drop(self, ours: Option<Ours>, drop_adopted: bool) -> bool {
        match self {
            Self::Adopted => drop_adopted,
            Self::Creating => ours == Some(Ours::Yes),
            Self::Created => ours != Some(Ours::No),
        }
    }
}

impl Claim {
    /// Whether nothing that was claimed is known to exist, be it made by us or adopted.
    #[must_use]
    pub fn is_of_nothing(&self, observed: &Observed) -> bool {
        let nothing =
            |origin, ours: Option<Ours>| origin == Origin::Creating && ours != Some(Ours::Yes);
        nothing(
            self.database,
            observed.database.as_ref().map(|found| found.ours),
        ) && nothing(self.role, observed.role.as_ref().map(|found| found.ours))
    }

    /// Whether something exists that is not what the claim describes, and that the object is not meant to have.
    #[must_use]
    pub fn has_strangers(&self, observed: &Observed) -> bool {
        let Strangers { database, role } = Strangers::of(self, observed);
        database || role
    }

    /// Whether part of it is still to be made, or to be recorded as made.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.database == Origin::Creating || self.role == Origin::Creating
    }

    /// What deleting its object may drop of what exists now: what our own CREATE made, if it is still the same, and
    /// what was adopted with permission to drop it. A role stays as long as the database that it owns stays.
    #[must_use]
    pub fn removal(&self, observed: &Observed) -> Removal {
        let (database, role) = (observed.database.as_ref(), observed.role.as_ref());
        let drops = self
            .database
            .may_drop(database.map(|found| found.ours), self.drop_adopted);
        let never_made = self.database == Origin::Creating && database.is_none();
        Removal {
            names: self.names.clone(),
            database: drops,
            role: (drops || never_made)
                && self
                    .role
                    .may_drop(role.map(|found| found.ours), self.drop_adopted),
        }
    }
}
