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

    /// Whether deleting its object may drop the role.
    #[must_use]
    pub fn may_drop_role(&self) -> bool {
        self.created_role || self.drop_adopted
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
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        reason = "a test fails by panicking"
    )]

    use super::*;
    use crate::provider::{DatabaseFacts, RoleFacts, SqlName};

    fn names(database: &str, role: &str) -> Names {
        Names {
            database: SqlName::new(database).unwrap(),
            role: SqlName::new(role).unwrap(),
        }
    }

    fn claimant(cluster_id: &str, namespace: &str, name: &str) -> Claimant {
        Claimant {
            cluster_id: cluster_id.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    fn claim(names: Names, claimant: Claimant, released: bool) -> Claim {
        Claim {
            names,
            claimant,
            uid: "old".to_owned(),
            created_database: true,
            created_role: true,
            drop_adopted: false,
            released,
        }
    }

    fn database() -> DatabaseFacts {
        DatabaseFacts {
            owner: None,
            deviations: Vec::new(),
            character_set: "UTF8".to_owned(),
            collation: "C".to_owned(),
        }
    }

    fn role(powers: &[&str]) -> RoleFacts {
        RoleFacts {
            can_login: true,
            connection_limit: None,
            powers: powers.iter().map(|power| (*power).to_owned()).collect(),
            alterable: true,
            deviations: Vec::new(),
        }
    }

    /// Every claim that can stand, with who holds it.
    fn standings() -> Vec<(&'static str, Vec<Claim>)> {
        let mut all = vec![("none", vec![])];
        for released in [false, true] {
            let of = |owner| claim(names("d", "r"), owner, released);
            all.push((
                if released { "ours released" } else { "ours" },
                vec![of(claimant("here", "ns", "n"))],
            ));
            all.push((
                if released { "gone released" } else { "gone" },
                vec![of(claimant("gone", "ns", "n"))],
            ));
            for rival in [
                claimant("here", "ns", "m"),
                claimant("here", "ns2", "n"),
                claimant("alien", "ns", "n"),
                claimant("gone", "ns", "m"),
            ] {
                all.push((
                    if released { "rival released" } else { "rival" },
                    vec![of(rival)],
                ));
            }
            let database = claim(names("d", "other"), claimant("here", "ns", "m"), released);
            let role = claim(names("other", "r"), claimant("here", "ns2", "n"), released);
            let own = claim(names("d", "other"), claimant("here", "ns", "n"), released);
            all.push(("half", vec![database.clone()]));
            all.push(("half", vec![role.clone()]));
            all.push(("half", vec![own]));
            all.push(("half", vec![database, role]));
        }
        all
    }

    fn assert_promised(who: &str, request: &Request<'_>, observed: &Observed) {
        use Acquisition::{Adopt, Create, TakeBack, TakeOver};
        let claims = &observed.claims;
        let exists = observed.database.is_some() || observed.role.is_some();
        let decision = decide(request, observed);
        if let Decision::Write {
            claim, standing, ..
        } = &decision
        {
            assert_eq!(standing.as_ref(), claims.first());
            assert_eq!(claim.claimant, *request.claimant);
            assert!(!claim.released);
        }
        match (who, decision) {
            ("ours", Decision::Continue(kept)) => assert_eq!(kept, claims[0]),
            (
                "ours released",
                Decision::Write {
                    claim,
                    how: TakeBack,
                    ..
                },
            )
            | (
                "gone" | "gone released",
                Decision::Write {
                    claim,
                    how: TakeOver,
                    ..
                },
            ) => {
                assert!(claim.created_database && claim.created_role, "as it was");
            }
            (
                "none" | "rival released",
                Decision::Write {
                    claim, how: Create, ..
                },
            ) => {
                assert!(!exists);
                assert!(claim.created_database && claim.created_role && !claim.drop_adopted);
            }
            (
                "none" | "rival released",
                Decision::Write {
                    claim, how: Adopt, ..
                },
            ) => {
                assert!(exists && request.adopts);
                assert_eq!(claim.drop_adopted, request.adoptable.unwrap().drop);
                assert_eq!(
                    claim.created_database,
                    observed.database.is_none(),
                    "only what we make"
                );
                assert_eq!(
                    claim.created_role,
                    observed.role.is_none(),
                    "only what we make"
                );
            }
            ("none" | "rival released", Decision::Refuse(sentence)) => {
                assert!(exists && !(request.adopts && request.adoptable.is_some()));
                assert!(sentence.contains("adopt"), "{sentence}");
            }
            ("rival" | "half", Decision::Refuse(sentence)) => {
                assert!(sentence.contains("belong"), "{sentence}");
                for claim in claims {
                    assert!(sentence.contains(&claim.claimant.to_string()), "{sentence}");
                }
            }
            (who, decision) => panic!("{who}: {decision:?}"),
        }
    }

    #[test]
    fn every_combination_is_decided_as_promised() {
        let here = claimant("here", "ns", "n");
        let wanted = names("d", "r");
        let gone = ["gone".to_owned()];
        let mut cases = 0;
        for (who, claims) in standings() {
            for (has_database, has_role) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                for adopts in [false, true] {
                    for adoptable in [
                        None,
                        Some(Adoptable { drop: false }),
                        Some(Adoptable { drop: true }),
                    ] {
                        let observed = Observed {
                            claims: claims.clone(),
                            database: has_database.then(database),
                            role: has_role.then(|| role(&[])),
                        };
                        let request = Request {
                            names: &wanted,
                            claimant: &here,
                            uid: "new",
                            take_over_from: &gone,
                            adopts,
                            adoptable,
                        };
                        assert_promised(who, &request, &observed);
                        cases += 1;
                    }
                }
            }
        }
        assert_eq!(cases, 21 * 24);
    }

    #[test]
    fn a_role_with_powers_is_never_touched_even_when_claimed() {
        let here = claimant("here", "ns", "n");
        let wanted = names("d", "r");
        for claims in [vec![], vec![claim(wanted.clone(), here.clone(), false)]] {
            let observed = Observed {
                claims,
                database: None,
                role: Some(role(&["SUPERUSER", "BYPASSRLS"])),
            };
            let request = Request {
                names: &wanted,
                claimant: &here,
                uid: "new",
                take_over_from: &[],
                adopts: true,
                adoptable: Some(Adoptable { drop: true }),
            };
            let Decision::Refuse(sentence) = decide(&request, &observed) else {
                panic!("not refused")
            };
            assert!(sentence.contains("SUPERUSER, BYPASSRLS"), "{sentence}");
        }
    }
}
