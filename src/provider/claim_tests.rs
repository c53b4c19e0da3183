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
        exposures: Vec::new(),
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

#[test]
fn a_role_goes_only_with_its_database() {
    for (created_database, created_role, drop_adopted, expected) in [
        (true, true, false, (true, true)),
        (true, false, false, (true, false)),
        (false, true, false, (false, false)),
        (false, false, false, (false, false)),
        (true, false, true, (true, true)),
        (false, true, true, (true, true)),
        (false, false, true, (true, true)),
    ] {
        let claim = Claim {
            created_database,
            created_role,
            drop_adopted,
            ..claim(names("d", "r"), claimant("c", "n", "o"), false)
        };
        assert_eq!(
            (claim.may_drop_database(), claim.may_drop_role()),
            expected,
            "{claim:?}"
        );
    }
}
