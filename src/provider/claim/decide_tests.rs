#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::provider::{DatabaseFacts, Ours, RoleFacts, SqlName};

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
        database: Origin::Created,
        role: Origin::Created,
        drop_adopted: false,
        released,
    }
}

fn database() -> DatabaseFacts {
    DatabaseFacts {
        owner: None,
        deviations: Vec::new(),
        exposures: Vec::new(),
        read_only: Vec::new(),
        options: None,
        character_set: "UTF8".to_owned(),
        collation: "C".to_owned(),
        ours: Ours::Unknown,
    }
}

fn role(powers: &[&str]) -> RoleFacts {
    RoleFacts {
        can_login: true,
        connection_limit: None,
        hindrances: Vec::new(),
        may_be_blocked: false,
        powers: powers.iter().map(|power| (*power).to_owned()).collect(),
        alterable: true,
        deviations: Vec::new(),
        ours: Ours::Unknown,
        password: None,
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
            assert_eq!(
                (claim.database, claim.role),
                (Origin::Created, Origin::Created),
                "as it was"
            );
        }
        (
            "none" | "rival released",
            Decision::Write {
                claim, how: Create, ..
            },
        ) => {
            assert!(!exists);
            assert_eq!(
                (claim.database, claim.role),
                (Origin::Creating, Origin::Creating),
                "not made yet"
            );
            assert!(!claim.drop_adopted);
        }
        (
            "none" | "rival released",
            Decision::Write {
                claim, how: Adopt, ..
            },
        ) => {
            assert!(exists && request.adopts);
            assert_eq!(claim.drop_adopted, request.adoptable.unwrap().drop);
            let origin = |exists| {
                if exists {
                    Origin::Adopted
                } else {
                    Origin::Creating
                }
            };
            assert_eq!(claim.database, origin(observed.database.is_some()));
            assert_eq!(claim.role, origin(observed.role.is_some()));
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
        for (has_database, has_role) in [(false, false), (true, false), (false, true), (true, true)]
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

const ORIGINS: [Origin; 3] = [Origin::Adopted, Origin::Creating, Origin::Created];
const ANSWERS: [Option<Ours>; 4] = [None, Some(Ours::Yes), Some(Ours::No), Some(Ours::Unknown)];

fn standing(database_is: Option<Ours>, role_is: Option<Ours>) -> Observed {
    Observed {
        claims: Vec::new(),
        database: database_is.map(|ours| DatabaseFacts { ours, ..database() }),
        role: role_is.map(|ours| RoleFacts { ours, ..role(&[]) }),
    }
}

/// What is there and may be kept: somebody else made it under a claim that says that it was not made, or made another.
fn is_foreign(origin: Origin, ours: Option<Ours>) -> bool {
    matches!(
        (origin, ours),
        (Origin::Creating, Some(Ours::No | Ours::Unknown)) | (Origin::Created, Some(Ours::No))
    )
}

/// Every origin, whatever stands there now, for the object itself, for the same again, and for a cluster that is gone.
#[test]
fn what_somebody_else_made_under_a_claim_is_not_ours() {
    let here = claimant("here", "ns", "n");
    let wanted = names("d", "r");
    let gone = ["gone".to_owned()];
    let mut refused = 0;
    for owner in ["here", "gone"] {
        for released in [false, true] {
            for (database, role) in ORIGINS.iter().flat_map(|d| ORIGINS.map(|r| (*d, r))) {
                for (database_is, role_is) in ANSWERS.iter().flat_map(|d| ANSWERS.map(|r| (*d, r)))
                {
                    let stands = Claim {
                        database,
                        role,
                        ..claim(wanted.clone(), claimant(owner, "ns", "n"), released)
                    };
                    let mut observed = standing(database_is, role_is);
                    observed.claims = vec![stands.clone()];
                    let mut request = Request {
                        names: &wanted,
                        claimant: &here,
                        uid: "new",
                        take_over_from: &gone,
                        adopts: true,
                        adoptable: None,
                    };
                    let foreign = (is_foreign(database, database_is), is_foreign(role, role_is));
                    let decision = decide(&request, &observed);
                    if foreign == (false, false) {
                        assert!(
                            !matches!(decision, Decision::Refuse(_)),
                            "{stands:?} {observed:?}"
                        );
                        continue;
                    }
                    let Decision::Refuse(sentence) = decision else {
                        panic!("{stands:?} {observed:?}")
                    };
                    assert!(sentence.contains("made by someone else"), "{sentence}");
                    assert!(sentence.contains("spec.adoptable"), "{sentence}");
                    refused += 1;

                    // With the platform's consent it is taken, as what it is.
                    request.adoptable = Some(Adoptable { drop: false });
                    let Decision::Write {
                        claim,
                        how: Acquisition::Adopt,
                        ..
                    } = decide(&request, &observed)
                    else {
                        panic!("{stands:?} {observed:?}")
                    };
                    let taken = |foreign, was| if foreign { Origin::Adopted } else { was };
                    assert_eq!(claim.database, taken(foreign.0, database));
                    assert_eq!(claim.role, taken(foreign.1, role));
                    observed.claims = vec![claim.clone()];
                    assert_eq!(decide(&request, &observed), Decision::Continue(claim));
                }
            }
        }
    }
    assert!(refused > 0);
}

/// Somebody restored it: made it anew, and gave it to the object's own user.
#[test]
fn another_database_of_the_same_user_is_used_and_never_dropped() {
    let here = claimant("here", "ns", "n");
    let wanted = names("d", "r");
    let request = Request {
        names: &wanted,
        claimant: &here,
        uid: "new",
        take_over_from: &[],
        adopts: false,
        adoptable: None,
    };
    let held = claim(wanted.clone(), here.clone(), false);
    let mut observed = standing(Some(Ours::No), Some(Ours::Yes));
    observed.claims = vec![held.clone()];
    for (owner, continues) in [("r", true), ("somebody", false)] {
        observed.database.as_mut().unwrap().owner = Some(owner.to_owned());
        let decision = decide(&request, &observed);
        assert_eq!(
            decision == Decision::Continue(held.clone()),
            continues,
            "{owner}"
        );
    }
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (false, false));
    // Nor is a user that is another one by now a reason.
    observed.database.as_mut().unwrap().owner = Some("r".to_owned());
    observed.role.as_mut().unwrap().ours = Ours::No;
    assert!(matches!(decide(&request, &observed), Decision::Refuse(_)));
}

/// Every origin with whatever stands there now, with and without leave to drop what was adopted.
#[test]
fn only_what_we_made_and_is_the_same_is_dropped() {
    for drop_adopted in [false, true] {
        for (database, role) in ORIGINS.iter().flat_map(|d| ORIGINS.map(|r| (*d, r))) {
            for (database_is, role_is) in ANSWERS.iter().flat_map(|d| ANSWERS.map(|r| (*d, r))) {
                let claim = Claim {
                    database,
                    role,
                    drop_adopted,
                    ..claim(names("d", "r"), claimant("c", "n", "o"), false)
                };
                let removal = claim.removal(&standing(database_is, role_is));
                let may = |origin, is: Option<Ours>| match origin {
                    Origin::Adopted => drop_adopted,
                    Origin::Creating => is == Some(Ours::Yes),
                    Origin::Created => is != Some(Ours::No),
                };
                let never_made = database == Origin::Creating && database_is.is_none();
                assert_eq!(
                    removal.database,
                    may(database, database_is),
                    "{claim:?} {database_is:?}"
                );
                assert_eq!(
                    removal.role,
                    (removal.database || never_made) && may(role, role_is),
                    "a role goes only with its database: {claim:?} {database_is:?} {role_is:?}"
                );
            }
        }
    }
}

#[test]
fn a_claim_is_of_nothing_until_something_is_made() {
    let of = |database, role| Claim {
        database,
        role,
        ..claim(names("d", "r"), claimant("c", "n", "o"), false)
    };
    let creating = of(Origin::Creating, Origin::Creating);
    assert!(creating.is_of_nothing(&standing(None, None)));
    assert!(creating.is_of_nothing(&standing(Some(Ours::No), Some(Ours::Unknown))));
    assert!(!creating.is_of_nothing(&standing(Some(Ours::Yes), None)));
    assert!(!creating.is_of_nothing(&standing(None, Some(Ours::Yes))));
    for (database, role) in [
        (Origin::Created, Origin::Creating),
        (Origin::Creating, Origin::Created),
        (Origin::Adopted, Origin::Creating),
    ] {
        assert!(!of(database, role).is_of_nothing(&standing(None, None)));
    }
}
