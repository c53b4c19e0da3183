//! Who owns what on a server, decided without a server.
//!
//! A claim is written before anything is made, so that a crash leaves a claim without a database and never a
//! database without a claim. What has no claim of ours is never altered.

use std::fmt;

use super::{Names, Observed};

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
#[allow(clippy::struct_excessive_bools, reason = "a row of a table")]
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

    /// Whether deleting its object may drop the role. It owns the database, so it stays where that stays.
    #[must_use]
    pub fn may_drop_role(&self) -> bool {
        self.may_drop_database() && (self.created_role || self.drop_adopted)
    }
}

/// Who asks for which names, with what consent.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The names that are wanted.
    pub names: &'a Names,
    /// For whom.
    pub claimant: &'a Claimant,
    /// The object's UID.
    pub uid: &'a str,
    /// Ids of clusters that are gone, whose objects continue here: `takeOverClaimsFrom` of the instance.
    pub take_over_from: &'a [String],
    /// The tenant's side of an adoption: `adoptionPolicy: IfUnclaimed`.
    pub adopts: bool,
    /// The platform's side: the instance's `adoptable` entry for these names and this namespace, if there is one.
    pub adoptable: Option<Adoptable>,
}

/// What the platform team allows for something that stands there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoptable {
    /// Whether deleting the object may drop it.
    pub drop: bool,
}

/// What follows from the claims and from what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is ours already: go on.
    Continue(Claim),
    /// Write this claim over the standing one, then go on.
    Write {
        /// What to write.
        claim: Claim,
        /// What stands there now.
        standing: Option<Claim>,
        /// Why it is ours.
        how: Acquisition,
    },
    /// It is not ours. One sentence for the condition, which names the owner or says what to do.
    Refuse(String),
}

/// How something becomes ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// Nothing stood there.
    Create,
    /// It was ours, and was released (`Retain`).
    TakeBack,
    /// It was the same object's in a cluster that is gone.
    TakeOver,
    /// It stood there, and both sides agree.
    Adopt,
}

/// Decides whether the names become (or stay) the claimant's. Reserved names are refused before this.
#[must_use]
pub fn decide(request: &Request<'_>, observed: &Observed) -> Decision {
    if let Some(sentence) = powers(observed, request.names) {
        return Decision::Refuse(sentence);
    }
    match observed.claims.as_slice() {
        [] => unclaimed(request, observed, None),
        [claim] if claim.names == *request.names => claimed(request, observed, claim),
        [claim] => Decision::Refuse(half(claim, request.names)),
        [first, second, ..] => Decision::Refuse(format!(
            "{}; {}",
            half(first, request.names),
            half(second, request.names)
        )),
    }
}

/// One claim on exactly these names.
fn claimed(request: &Request<'_>, observed: &Observed, claim: &Claim) -> Decision {
    let write = |how| Decision::Write {
        claim: Claim {
            claimant: request.claimant.clone(),
            uid: request.uid.to_owned(),
            released: false,
            ..claim.clone()
        },
        standing: Some(claim.clone()),
        how,
    };
    if claim.claimant == *request.claimant {
        return if claim.released {
            write(Acquisition::TakeBack)
        } else {
            Decision::Continue(claim.clone())
        };
    }
    if continues(request, &claim.claimant) {
        return write(Acquisition::TakeOver);
    }
    if claim.released {
        return unclaimed(request, observed, Some(claim));
    }
    Decision::Refuse(format!(
        "database {:?} and user {:?} belong to {}: choose other names, or delete that one first",
        request.names.database, request.names.role, claim.claimant
    ))
}

/// Nobody's, or released by somebody else.
fn unclaimed(request: &Request<'_>, observed: &Observed, standing: Option<&Claim>) -> Decision {
    let free = observed.database.is_none() && observed.role.is_none();
    let claim = |drop_adopted| Claim {
        names: request.names.clone(),
        claimant: request.claimant.clone(),
        uid: request.uid.to_owned(),
        created_database: observed.database.is_none(),
        created_role: observed.role.is_none(),
        drop_adopted,
        released: false,
    };
    if free {
        return Decision::Write {
            claim: claim(false),
            standing: standing.cloned(),
            how: Acquisition::Create,
        };
    }
    match (request.adopts, request.adoptable) {
        (true, Some(adoptable)) => Decision::Write {
            claim: claim(adoptable.drop),
            standing: standing.cloned(),
            how: Acquisition::Adopt,
        },
        (adopts, adoptable) => Decision::Refuse(consent(
            request,
            observed,
            standing,
            adopts,
            adoptable.is_some(),
        )),
    }
}

/// Whether the claimant is the same object in a cluster that is gone.
fn continues(request: &Request<'_>, owner: &Claimant) -> bool {
    request.take_over_from.contains(&owner.cluster_id)
        && owner.namespace == request.claimant.namespace
        && owner.name == request.claimant.name
}

/// A role that is more than an ordinary one is never touched, claimed or not.
fn powers(observed: &Observed, names: &Names) -> Option<String> {
    let role = observed
        .role
        .as_ref()
        .filter(|role| !role.powers.is_empty())?;
    Some(format!(
        "the user {:?} is never touched, because it has {}",
        names.role,
        role.powers.join(", ")
    ))
}

/// The claim holds one of the two names only.
fn half(claim: &Claim, wanted: &Names) -> String {
    let Claim {
        names, claimant, ..
    } = claim;
    let released = if claim.released { " (released)" } else { "" };
    if names.database == wanted.database {
        format!(
            "database {:?} belongs with user {:?} to {claimant}{released}",
            names.database, names.role
        )
    } else {
        format!(
            "user {:?} belongs with database {:?} to {claimant}{released}",
            names.role, names.database
        )
    }
}

/// Whose consent is missing.
fn consent(
    request: &Request<'_>,
    observed: &Observed,
    standing: Option<&Claim>,
    adopts: bool,
    listed: bool,
) -> String {
    let what = match (observed.database.is_some(), observed.role.is_some()) {
        (true, true) => format!(
            "database {:?} and user {:?} exist",
            request.names.database, request.names.role
        ),
        (true, false) => format!("database {:?} exists", request.names.database),
        (false, true | false) => format!("user {:?} exists", request.names.role),
    };
    let whose = standing.map_or_else(
        || " already and were not made by db-operator".to_owned(),
        |claim| format!(" already and were released by {}", claim.claimant),
    );
    let namespace = &request.claimant.namespace;
    let todo = match (adopts, listed) {
        (false, false) => format!(
            "set spec.adoptionPolicy to IfUnclaimed and have the platform team list them for namespace {namespace} \
             in the instance's spec.adoptable"
        ),
        (true, _) => format!(
            "have the platform team list them for namespace {namespace} in the instance's spec.adoptable"
        ),
        (false, true) => "set spec.adoptionPolicy to IfUnclaimed".to_owned(),
    };
    format!("{what}{whose}: choose other names, or to adopt them, {todo}")
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
