//! Who owns what.

use db_operator::provider::claim::{Acquisition, Adoptable, Decision, Request, decide};
use db_operator::provider::{
    Claim, Login, Names, Observed, Origin, Ours, ProviderError, Removal, Removed,
};

use crate::fixture::{
    ADMINISTRATOR, CANARY, Fixture, ask, claim, claimant, desired, names, password, run,
};

pub(crate) async fn one_writer_wins(fixture: &mut Fixture) {
    let provider = fixture.provider("claims");
    let ours = claim("claims", &names("claimed", "claimed"));
    provider.write_claim(&ours, None).await.unwrap();
    assert_eq!(
        provider.observe(&ours.names).await.unwrap().claims,
        std::slice::from_ref(&ours)
    );
    let moved =
        |result: Result<(), ProviderError>| matches!(result, Err(ProviderError::ClaimMoved { .. }));

    // New claims on either name lose, and so does a change over something else than what stands there.
    for (database, role) in [
        ("claimed", "claimed"),
        ("claimed", "other"),
        ("other", "claimed"),
    ] {
        assert!(moved(
            provider
                .write_claim(&claim("rival", &names(database, role)), None)
                .await
        ));
    }
    let released = Claim {
        released: true,
        ..ours.clone()
    };
    assert!(moved(provider.write_claim(&ours, Some(&released)).await));
    provider.write_claim(&released, Some(&ours)).await.unwrap();
    assert!(moved(provider.write_claim(&released, Some(&ours)).await));
    assert_eq!(
        provider.observe(&ours.names).await.unwrap().claims,
        std::slice::from_ref(&released)
    );

    // Only the claimant's own claim is forgotten.
    provider
        .forget_claim(&claim("rival", &ours.names))
        .await
        .unwrap();
    assert_eq!(provider.observe(&ours.names).await.unwrap().claims.len(), 1);
    provider.forget_claim(&ours).await.unwrap();
    provider.forget_claim(&ours).await.unwrap();
    assert_eq!(provider.observe(&ours.names).await.unwrap().claims, []);
    provider.close().await;
}

pub(crate) async fn a_rival_changes_nothing(fixture: &mut Fixture) {
    let provider = fixture.provider("rivals");
    let wanted = desired("contested");
    fixture
        .make(&*provider, "rivals", &wanted, &password("contested"))
        .await;
    let rival = fixture.provider("rivals-other");
    for (database, role) in [
        ("contested", "contested"),
        ("contested", "free"),
        ("free", "contested"),
    ] {
        let names = names(database, role);
        let observed = rival.observe(&names).await.unwrap();
        let claimant = claimant("rivals-other", "object");
        let request = Request {
            names: &names,
            claimant: &claimant,
            uid: "uid-2",
            take_over_from: &[],
            adopts: true,
            adoptable: Some(Adoptable { drop: true }),
        };
        let Decision::Refuse(sentence) = decide(&request, &observed) else {
            panic!("{database} {role}")
        };
        assert!(
            sentence.contains("Database team-a/object of cluster rivals"),
            "{sentence}"
        );
    }
    assert_eq!(
        provider
            .login(&wanted.names, &password("contested"))
            .await
            .unwrap(),
        Login::Accepted
    );
    rival.close().await;
    provider.close().await;
}

pub(crate) async fn what_stands_there_is_adopted_with_its_data(fixture: &mut Fixture) {
    fixture.run("postgres", "CREATE ROLE legacy LOGIN").await;
    fixture.run("postgres", "CREATE DATABASE legacy").await;
    fixture
        .run(
            "legacy",
            "CREATE TABLE t (a text); INSERT INTO t VALUES ('kept'); ALTER TABLE t OWNER TO legacy",
        )
        .await;
    let provider = fixture.provider("adoption");
    let wanted = desired("legacy");
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(
        observed.role.as_ref().unwrap().alterable,
        fixture.series() < 16
    );
    let claimant = claimant("adoption", "object");
    let request = Request {
        names: &wanted.names,
        claimant: &claimant,
        uid: "uid-1",
        take_over_from: &[],
        adopts: true,
        adoptable: Some(Adoptable { drop: false }),
    };
    let Decision::Write {
        claim,
        standing: None,
        how: Acquisition::Adopt,
    } = decide(&request, &observed)
    else {
        panic!()
    };
    let removal = claim.removal(&observed);
    assert!(!removal.database && !removal.role);
    provider.write_claim(&claim, None).await.unwrap();

    // Somebody else made the role and the database: what is needed is said, and is enough.
    let secret = password("legacy");
    let verifier = provider.verifier(&secret);
    let mut grants = 0;
    let granting = async |error: ProviderError| {
        let ProviderError::NotPermitted { grant, .. } = &error else {
            panic!("{error}")
        };
        fixture.run("postgres", grant).await;
    };
    while let Err(error) = provider.ensure_role(&wanted, Some(&verifier)).await {
        granting(error).await;
        grants += 1;
        assert!(grants < 4);
    }
    while let Err(error) = provider.ensure_database(&wanted).await {
        granting(error).await;
        grants += 1;
        assert!(grants < 4);
    }
    assert!(grants >= 1);
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    let mut tenant = fixture
        .session("legacy", &format!("{CANARY}-legacy"), "legacy")
        .await
        .unwrap();
    assert_eq!(ask(&mut tenant, "SELECT a FROM t").await, ["kept"]);
    run(&mut tenant, "ALTER TABLE t ADD b text").await.unwrap();
    assert!(
        fixture
            .session("stranger", &format!("{CANARY}-stranger"), "legacy")
            .await
            .is_err(),
        "it is closed now"
    );
    provider.close().await;
}

pub(crate) async fn the_survey_says_what_observing_says(fixture: &mut Fixture) {
    let provider = fixture.provider("survey");
    for name in ["survey-a", "survey-b"] {
        fixture
            .make(&*provider, "survey", &desired(name), &password(name))
            .await;
    }
    fixture
        .run(
            "postgres",
            "GRANT CONNECT ON DATABASE \"survey-a\" TO PUBLIC",
        )
        .await;
    let removal = Removal {
        names: names("survey-b", "survey-b"),
        database: true,
        role: false,
    };
    assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
    let mark = fixture.mark();
    let survey = provider.survey().await.unwrap();
    assert_eq!(
        fixture.statements_since(mark).len(),
        1,
        "one query for everything"
    );
    for name in ["survey-a", "survey-b"] {
        let names = names(name, name);
        assert_eq!(survey.of(&names), provider.observe(&names).await.unwrap());
    }
    assert_eq!(
        survey
            .of(&names("survey-a", "survey-a"))
            .database
            .unwrap()
            .deviations,
        ["PUBLIC had CONNECT on it"]
    );
    assert_eq!(survey.of(&names("survey-b", "survey-b")).database, None);
    assert!(
        !survey.databases.contains_key("postgres"),
        "what is not claimed is not listed"
    );
    provider.close().await;
}

/// What follows for the object of this cluster, which adopts nothing.
fn decided(cluster: &str, wanted: &Names, observed: &Observed) -> Decision {
    let claimant = claimant(cluster, "object");
    let request = Request {
        names: wanted,
        claimant: &claimant,
        uid: "uid-1",
        take_over_from: &[],
        adopts: false,
        adoptable: None,
    };
    decide(&request, observed)
}

fn continues(cluster: &str, wanted: &Names, observed: &Observed) -> Claim {
    match decided(cluster, wanted, observed) {
        Decision::Continue(claim) => claim,
        other => panic!("{other:?}"),
    }
}

/// An encoding that only CREATE DATABASE refuses. What the platform makes by that name meanwhile is the platform's.
pub(crate) async fn what_was_never_made_is_not_ours(fixture: &mut Fixture) {
    let provider = fixture.provider("unmade");
    let mut wanted = desired("unmade");
    wanted.postgresql.encoding = Some("SJIS".to_owned());
    let observed = provider.observe(&wanted.names).await.unwrap();
    let Decision::Write { claim, .. } = decided("unmade", &wanted.names, &observed) else {
        panic!()
    };
    assert_eq!(
        (claim.database, claim.role),
        (Origin::Creating, Origin::Creating)
    );
    provider.write_claim(&claim, None).await.unwrap();
    let verifier = provider.verifier(&password("unmade"));
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let refused = provider.ensure_database(&wanted).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::Unsupported(_)),
        "{refused}"
    );

    // It is its own still, with a user and without a database.
    let observed = provider.observe(&wanted.names).await.unwrap();
    let held = continues("unmade", &wanted.names, &observed);
    assert_eq!(
        (held.database, held.role),
        (Origin::Creating, Origin::Created)
    );
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (false, true));

    // By hand, with whatever owner.
    for owner in ["", " OWNER unmade"] {
        fixture
            .run("postgres", &format!("CREATE DATABASE unmade{owner}"))
            .await;
        wanted.postgresql.encoding = None;
        let observed = provider.observe(&wanted.names).await.unwrap();
        assert_eq!(observed.database.as_ref().unwrap().ours, Ours::No);
        let Decision::Refuse(sentence) = decided("unmade", &wanted.names, &observed) else {
            panic!("{owner}")
        };
        assert!(sentence.contains("made by someone else"), "{sentence}");
        let refused = provider.ensure_database(&wanted).await.unwrap_err();
        assert!(matches!(refused, ProviderError::Busy { .. }), "{refused}");
        let removal = held.removal(&observed);
        assert_eq!((removal.database, removal.role), (false, false));
        assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
        let owner =
            "SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = 'unmade'";
        assert_eq!(
            fixture.ask("postgres", owner).await.len(),
            1,
            "it is still there"
        );
        fixture.run("postgres", "DROP DATABASE unmade").await;
    }

    // Without it, the database is made.
    provider.ensure_database(&wanted).await.unwrap();
    let observed = provider.observe(&wanted.names).await.unwrap();
    let held = continues("unmade", &wanted.names, &observed);
    assert_eq!(
        (held.database, held.role),
        (Origin::Created, Origin::Created)
    );
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (true, true));
    assert_eq!(provider.remove(&removal).await.unwrap(), Removed::Done);
    provider.forget_claim(&held).await.unwrap();
    provider.close().await;
}

/// The database was dropped, and somebody made another one of that name.
pub(crate) async fn another_of_the_same_name_is_not_ours(fixture: &mut Fixture) {
    let provider = fixture.provider("another");
    let wanted = desired("another");
    let secret = password("another");
    fixture.make(&*provider, "another", &wanted, &secret).await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    let held = continues("another", &wanted.names, &observed);

    fixture.run("postgres", "DROP DATABASE another").await;
    fixture.run("postgres", "CREATE DATABASE another").await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert!(matches!(
        decided("another", &wanted.names, &observed),
        Decision::Refuse(_)
    ));
    assert!(!held.removal(&observed).database);
    let survey = provider.survey().await.unwrap();
    assert_eq!(survey.of(&wanted.names), observed);

    // A restore by hand gives it to the user: it is used, and not dropped.
    fixture
        .run("postgres", "ALTER DATABASE another OWNER TO another")
        .await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    let held = continues("another", &wanted.names, &observed);
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (false, false));
    provider.ensure_database(&wanted).await.unwrap();
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );

    // The user as well.
    fixture.run("postgres", "DROP DATABASE another").await;
    fixture
        .run("postgres", "DROP ROLE another; CREATE ROLE another LOGIN")
        .await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::No);
    assert!(matches!(
        decided("another", &wanted.names, &observed),
        Decision::Refuse(_)
    ));
    let removal = held.removal(&observed);
    assert_eq!((removal.database, removal.role), (true, false));
    fixture.run("postgres", "DROP ROLE another").await;

    // Asked for, it is made anew, and is ours again.
    let verifier = provider.verifier(&secret);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(&wanted).await.unwrap();
    let observed = provider.observe(&wanted.names).await.unwrap();
    let held = continues("another", &wanted.names, &observed);
    assert_eq!(
        (held.database, held.role),
        (Origin::Created, Origin::Created)
    );
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(
        provider.remove(&held.removal(&observed)).await,
        Ok(Removed::Done)
    );
    provider.forget_claim(&held).await.unwrap();
    provider.close().await;
}

/// A crash after CREATE DATABASE, before anybody noted it: what carries the claim's mark is ours, whatever it is called.
pub(crate) async fn what_a_crash_left_half_made_is_ours(fixture: &mut Fixture) {
    let provider = fixture.provider("halfmade");
    let wanted = desired("halfmade");
    let secret = password("halfmade");
    let observed = provider.observe(&wanted.names).await.unwrap();
    let Decision::Write { claim, .. } = decided("halfmade", &wanted.names, &observed) else {
        panic!()
    };
    provider.write_claim(&claim, None).await.unwrap();
    let verifier = provider.verifier(&secret);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let mark =
        "SELECT database_mark::text FROM db_operator.claims WHERE database_name = 'halfmade'";
    let mark = fixture.ask("db_operator", mark).await.remove(0);
    // Another mark is none.
    let mut administrator = fixture
        .session(ADMINISTRATOR, &fixture.password, "postgres")
        .await
        .unwrap();
    for (mark, ours) in [("1000000000", Ours::No), (mark.as_str(), Ours::Yes)] {
        let create = format!(
            "CREATE DATABASE halfmade TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT {mark}"
        );
        run(&mut administrator, &create).await.unwrap();
        let observed = provider.observe(&wanted.names).await.unwrap();
        assert_eq!(observed.database.as_ref().unwrap().ours, ours);
        if ours == Ours::No {
            run(&mut administrator, "DROP DATABASE halfmade")
                .await
                .unwrap();
        }
    }
    let observed = provider.observe(&wanted.names).await.unwrap();
    let held = continues("halfmade", &wanted.names, &observed);
    assert_eq!(held.database, Origin::Creating);
    assert!(held.removal(&observed).database, "it may be dropped");
    assert_eq!(provider.ensure_database(&wanted).await.unwrap().len(), 1);
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap(), []);
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(
        continues("halfmade", &wanted.names, &observed).database,
        Origin::Created
    );
    assert_eq!(observed.database.unwrap().deviations, Vec::<String>::new());

    // One that asks for it once more finds nothing to be done.
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    provider.close().await;
}

/// Claims of the former version say only that something was made. They go on, and so does what they say.
pub(crate) async fn claims_of_the_former_version_go_on(fixture: &mut Fixture) {
    let before = fixture.provider("upgrade");
    for name in ["upgraded", "upgraded-lost"] {
        fixture
            .make(&*before, "upgrade", &desired(name), &password(name))
            .await;
    }
    before.close().await;
    fixture
        .run("postgres", "DROP DATABASE \"upgraded-lost\"")
        .await;
    for undo in [
        "ALTER TABLE db_operator.claims DROP COLUMN database_id, DROP COLUMN role_id, DROP COLUMN database_mark, \
         DROP COLUMN role_mark",
        "UPDATE db_operator.meta SET schema_version = 1",
    ] {
        fixture.run("db_operator", undo).await;
    }

    let provider = fixture.provider("upgrade");
    let upgraded = names("upgraded", "upgraded");
    let observed = provider.observe(&upgraded).await.unwrap();
    let held = continues("upgrade", &upgraded, &observed);
    assert_eq!(
        (held.database, held.role),
        (Origin::Created, Origin::Created)
    );
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(
        provider.remove(&held.removal(&observed)).await,
        Ok(Removed::Done)
    );
    provider.forget_claim(&held).await.unwrap();

    // What was not there at the upgrade and is there now, somebody else made.
    fixture
        .run("postgres", "CREATE DATABASE \"upgraded-lost\"")
        .await;
    let lost = names("upgraded-lost", "upgraded-lost");
    let observed = provider.observe(&lost).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::No);
    assert!(matches!(
        decided("upgrade", &lost, &observed),
        Decision::Refuse(_)
    ));
    fixture
        .run("postgres", "DROP DATABASE \"upgraded-lost\"")
        .await;
    provider.close().await;
}

/// Other tables, other numbers: a server that was filled from a dump of everything.
pub(crate) async fn ids_of_another_server_say_nothing(fixture: &mut Fixture) {
    let provider = fixture.provider("copied");
    let wanted = desired("copied");
    fixture
        .make(&*provider, "copied", &wanted, &password("copied"))
        .await;
    let copied = "UPDATE db_operator.claims SET database_id = '1.1/' || split_part(database_id, '/', 2), \
                  role_id = '1.1/1' WHERE database_name = 'copied'";
    fixture.run("db_operator", copied).await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Unknown);
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Unknown);
    continues("copied", &wanted.names, &observed);
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.as_ref().unwrap().ours, Ours::Yes);
    assert_eq!(observed.role.as_ref().unwrap().ours, Ours::Yes);
    provider.close().await;
}
