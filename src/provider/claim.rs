//! Who owns what on a server, decided without a server.

use super::Names;

/// The `Database` object that a claim is for. Its UID is no part of it: the same object made again is the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimant {
    /// The id of its cluster.
    pub cluster_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A row of the claim table: this database and this role belong to this object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What is claimed.
    pub names: Names,
    /// For whom.
    pub claimant: Claimant,
    /// The object's UID when the claim was written; recorded for people, compared by nothing.
    pub uid: String,
    /// The database did not exist when it was claimed: we made it.
    pub created_database: bool,
    /// The role did not exist when it was claimed: we made it.
    pub created_role: bool,
    /// What was adopted (not made by us) may be dropped all the same.
    pub drop_adopted: bool,
    /// The object is gone and left database and role behind (`Retain`).
    pub released: bool,
}

impl Claim {
    /// Whether deleting its object may drop the database.
    #[must_use]
    pub fn may_drop_database(&self) -> bool {
        self.created_database || self.drop_adopted
    }

    /// Whether deleting its object may drop the role.
    #[must_use]
    pub fn may_drop_role(&self) -> bool {
        self.created_role || self.drop_adopted
    }
}
