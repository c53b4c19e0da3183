//! Who owns what on a server, decided without a server.
//!
//! A claim is written before anything is made, so that a crash leaves a claim without a database and never a
//! database without a claim. It says *created* only after our own CREATE succeeded. What has no claim of ours is never
//! altered, and what stands under a claim without being what the claim speaks of is somebody else's.

use std::fmt;

use super::{Names, Observed, Ours, Removal};

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
pub struct Claim {
    /// What is claimed.
    pub names: Names,
    /// For whom.
    pub claimant: Claimant,
    /// The object's UID when the claim was written; recorded for people, compared by nothing.
    pub uid: String,
    /// How the database came to be there.
    pub database: Origin,
    /// How the role came to be there.
    pub role: Origin,
    /// What was adopted (not made by us) may be dropped all the same.
    pub drop_adopted: bool,
    /// The object is gone and left database and role behind (`Retain`).
    pub released: bool,
}

/// How something that is claimed came to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stood there, and was adopted.
    Adopted,
    /// It is to be made; no CREATE of ours is known to have succeeded.
    Creating,
    /// Our own CREATE made it.
    Created,
}

impl Origin {
    /// Whether something that stands there is not what a claim of this origin speaks of.
    fn is_stranger(self, ours: Ours) -> bool {
        match self {
            Self::Adopted => false,
            Self::Creating => ours != Ours::Yes,
            Self::Created => ours == Ours::No,
        }
    }

    /// Whether deleting its object may drop it, as it stands there now (`None`: nothing does).
    fn may_drop(self, ours: Option<Ours>, drop_adopted: bool) -> bool {
        match self {
            Self::Adopted => drop_adopted,
            Self::Creating => ours == Some(Ours::Yes),
            Self::Created => ours != Some(Ours::No),
        }
    }
}

impl Claim {
    /// Whether nothing that was claimed is known to exist: neither made by us nor adopted.
    #[must_use]
    pub fn is_of_nothing(&self, observed: &Observed) -> bool {
        let nothing =
            |origin, ours: Option<Ours>| origin == Origin::Creating && ours != Some(Ours::Yes);
        nothing(
            self.database,
            observed.database.as_ref().map(|found| found.ours),
        ) && nothing(self.role, observed.role.as_ref().map(|found| found.ours))
    }

    /// Whether something stands there that is not what the claim speaks of, and that the object is not meant to have.
    #[must_use]
    pub fn has_strangers(&self, observed: &Observed) -> bool {
        let Strangers { database, role } = Strangers::of(self, observed);
        database || role
    }

    /// Whether something of it is still to be made, or to be noted as made.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        self.database == Origin::Creating || self.role == Origin::Creating
    }

    /// What deleting its object may drop of what stands there now: what our own CREATE made and is still the same, and
    /// what was adopted with leave to drop it. A role stays where the database that it owns stays.
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

impl Request<'_> {
    /// Whether a claim is of the object that asks, here or in a cluster that is gone.
    #[must_use]
    pub fn owns(&self, claim: &Claim) -> bool {
        claim.names == *self.names
            && (claim.claimant == *self.claimant || continues(self, &claim.claimant))
    }
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

/// What stands under a claim without being what the claim speaks of: somebody made it while ours was not there.
#[derive(Clone, Copy, Debug)]
struct Strangers {
    database: bool,
    role: bool,
}

impl Strangers {
    fn of(claim: &Claim, observed: &Observed) -> Self {
        let role = observed
            .role
            .as_ref()
            .is_some_and(|found| claim.role.is_stranger(found.ours));
        let database = observed.database.as_ref().is_some_and(|found| {
            // A restore by hand makes the database anew and gives it to the same user: that is meant for the object.
            let given = claim.database == Origin::Created
                && !role
                && found.owner.as_deref() == Some(claim.names.role.as_str());
            claim.database.is_stranger(found.ours) && !given
        });
        Self { database, role }
    }
}

/// What somebody else made is taken as anything is that stood there before: with the consent of both sides.
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
                " and were made by somebody else"
            } else {
                " and was made by somebody else"
            };
            let consent = consent(request, adopts, adoptable.is_some());
            Decision::Refuse(format!(
                "{what}{whose}: choose other names, remove what stands there, or {consent}"
            ))
        }
    }
}

/// Nobody's, or released by somebody else.
fn unclaimed(request: &Request<'_>, observed: &Observed, standing: Option<&Claim>) -> Decision {
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

/// What is in the way, with its verb.
fn existing(names: &Names, database: bool, role: bool) -> String {
    match (database, role) {
        (true, true) => format!(
            "database {:?} and user {:?} exist",
            names.database, names.role
        ),
        (true, false) => format!("database {:?} exists", names.database),
        (false, true | false) => format!("user {:?} exists", names.role),
    }
}

/// Whose consent is missing.
fn consent(request: &Request<'_>, adopts: bool, listed: bool) -> String {
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
    format!("to adopt them, {todo}")
}

#[cfg(test)]
#[path = "claim_tests.rs"]
mod tests;
