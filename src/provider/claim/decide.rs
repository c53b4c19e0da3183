//! Decides whether names become, or stay, the claimant's: from the claims on a server and from what exists there.

use super::refusal::{consent, derived, existing, half, never_touched};
use super::{Claim, Claimant, Origin};
use crate::provider::{Names, Observed, reserved};

/// Who asks for which names, and who agrees to an adoption.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The names that are wanted.
    pub names: &'a Names,
    /// Who asks for them.
    pub claimant: &'a Claimant,
    /// The object's UID.
    pub uid: &'a str,
    /// The ids of clusters that are gone and whose objects continue here: `takeOverClaimsFrom` of the instance.
    pub take_over_from: &'a [String],
    /// The tenant's side of an adoption: `adoptionPolicy: IfUnclaimed`.
    pub adopts: bool,
    /// The platform's side: the instance's `adoptable` entry for these names and this namespace, if there is one.
    pub adoptable: Option<Adoptable>,
}

impl Request<'_> {
    /// Whether a claim belongs to the object that asks, here or in a cluster that is gone.
    #[must_use]
    pub fn owns(&self, claim: &Claim) -> bool {
        claim.names == *self.names
            && (claim.claimant == *self.claimant || continues(self, &claim.claimant))
    }
}

/// What the platform team allows for something that exists already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adoptable {
    /// Whether deleting the object may drop it.
    pub drop: bool,
}

/// What follows from the claims and from what exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is ours already: carry on.
    Continue(Claim),
    /// Write this claim over the standing one, then carry on.
    Write {
        /// What to write.
        claim: Claim,
        /// The claim that it replaces.
        standing: Option<Claim>,
        /// Why it is ours.
        how: Acquisition,
    },
    /// It is not ours. A sentence for the condition, which names the owner or says what to do.
    Refuse(String),
}

/// How something becomes ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acquisition {
    /// Nothing existed.
    Create,
    /// It was ours, and was released (`Retain`).
    TakeBack,
    /// It belonged to the same object in a cluster that is gone.
    TakeOver,
    /// It existed already, and both sides agree.
    Adopt,
}

/// Decides whether the names become (or stay) the claimant's. Reserved names are refused before this.
#[must_use]
pub fn decide(request: &Request<'_>, observed: &Observed) -> Decision {
    // Claimed or not.
    if let Some(role) = &observed.role
        && let Some(sentence) = never_touched(request.names.role.as_str(), &role.powers)
    {
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

/// Decides where one claim has exactly these names.
fn claimed(request: &Request<'_>, observed: &Observed, claim: &Claim) -> Decision {
    let own = claim.claimant == *request.claimant;
    if !own && !continues(request, &claim.claimant) {
        return if claim.released {
            unclaimed(request, observed, Some(claim))
        } else {
            Decision::Refuse(format!(
                "database {:?} and user {:?} belong to {}: choose other names, or delete that one first",
                request.names.database, request.names.role, claim.claimant
            ))
        };
    }
    if claim.has_strangers(observed) {
        return among_strangers(request, claim, Strangers::of(claim, observed));
    }
    if own && !claim.released {
        return Decision::Continue(claim.clone());
    }
    Decision::Write {
        claim: Claim {
            claimant: request.claimant.clone(),
            uid: request.uid.to_owned(),
            released: false,
            ..claim.clone()
        },
        standing: Some(claim.clone()),
        how: if own {
            Acquisition::TakeBack
        } else {
            Acquisition::TakeOver
        },
    }
}

/// What exists under a claimed name without being what the claim describes: someone made it while ours was missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strangers {
    pub(super) database: bool,
    pub(super) role: bool,
}

impl Strangers {
    pub(super) fn of(claim: &Claim, observed: &Observed) -> Self {
        let role = observed
            .role
            .as_ref()
            .is_some_and(|found| claim.role.is_stranger(found.ours));
        let database = observed.database.as_ref().is_some_and(|found| {
            // A manual restore recreates the database and gives it to the same user: that is meant for the object.
            let given = claim.database == Origin::Created
                && !role
                && found.owner.as_deref() == Some(claim.names.role.as_str());
            claim.database.is_stranger(found.ours) && !given
        });
        Self { database, role }
    }
}

/// Decides where someone else made what exists: like anything that existed before, it takes the consent of both sides.
fn among_strangers(request: &Request<'_>, claim: &Claim, strangers: Strangers) -> Decision {
    let origin = |stranger: bool, origin| if stranger { Origin::Adopted } else { origin };
    match (request.adopts, request.adoptable) {
        (true, Some(adoptable)) => Decision::Write {
            claim: Claim {
                claimant: request.claimant.clone(),
                uid: request.uid.to_owned(),
                database: origin(strangers.database, claim.database),
                role: origin(strangers.role, claim.role),
                drop_adopted: adoptable.drop,
                released: false,
                ..claim.clone()
            },
            standing: Some(claim.clone()),
            how: Acquisition::Adopt,
        },
        (adopts, adoptable) => {
            let what = existing(request.names, strangers.database, strangers.role);
            let whose = if strangers.database && strangers.role {
                " and were made by someone else"
            } else {
                " and was made by someone else"
            };
            let consent = consent(request, adopts, adoptable.is_some());
            Decision::Refuse(format!(
                "{what}{whose}: choose other names, remove what stands there, or {consent}"
            ))
        }
    }
}

/// Decides where no claim stands, or another object released its own.
fn unclaimed(request: &Request<'_>, observed: &Observed, standing: Option<&Claim>) -> Decision {
    let mut names = [&request.names.database, &request.names.role].into_iter();
    if let Some(name) = names.find(|name| reserved::is_derived(name.as_str())) {
        return Decision::Refuse(derived(name));
    }
    let (database, role) = (observed.database.is_some(), observed.role.is_some());
    let origin = |exists: bool| {
        if exists {
            Origin::Adopted
        } else {
            Origin::Creating
        }
    };
    let claim = |drop_adopted| Claim {
        names: request.names.clone(),
        claimant: request.claimant.clone(),
        uid: request.uid.to_owned(),
        database: origin(database),
        role: origin(role),
        drop_adopted,
        released: false,
    };
    if !database && !role {
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
        (adopts, adoptable) => {
            let what = existing(request.names, database, role);
            let were = if database && role { "were" } else { "was" };
            let whose = standing.map_or_else(
                || format!(" already and {were} not made by db-operator"),
                |claim| format!(" already and {were} released by {}", claim.claimant),
            );
            let consent = consent(request, adopts, adoptable.is_some());
            Decision::Refuse(format!("{what}{whose}: choose other names, or {consent}"))
        }
    }
}

/// Whether the claimant is the same object in a cluster that is gone.
fn continues(request: &Request<'_>, owner: &Claimant) -> bool {
    request.take_over_from.contains(&owner.cluster_id)
        && owner.namespace == request.claimant.namespace
        && owner.name == request.claimant.name
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
