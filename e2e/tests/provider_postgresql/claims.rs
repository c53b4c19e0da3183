//! Who owns what.

use db_operator::provider::claim::{Acquisition, Adoptable, Decision, Request, decide};
use db_operator::provider::{Login, ProviderError, Removal, Removed};

use crate::bed::{Bed, CANARY, ask, claim, claimant, desired, names, password, run};

pub async fn one_writer_wins(bed: &mut Bed) {
    let provider = bed.provider("claims");
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
    let released = db_operator::provider::Claim {
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

pub async fn a_rival_changes_nothing(bed: &mut Bed) {
    let provider = bed.provider("rivals");
    let wanted = desired("contested");
    bed.make(&*provider, "rivals", &wanted, &password("contested"))
        .await;
    let rival = bed.provider("rivals-other");
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

pub async fn what_stands_there_is_adopted_with_its_data(bed: &mut Bed) {
    bed.run("postgres", "CREATE ROLE legacy LOGIN").await;
    bed.run("postgres", "CREATE DATABASE legacy").await;
    bed.run(
        "legacy",
        "CREATE TABLE t (a text); INSERT INTO t VALUES ('kept'); ALTER TABLE t OWNER TO legacy",
    )
    .await;
    let provider = bed.provider("adoption");
    let wanted = desired("legacy");
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.role.as_ref().unwrap().alterable, bed.series() < 16);
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
    assert!(!claim.may_drop_database() && !claim.may_drop_role());
    provider.write_claim(&claim, None).await.unwrap();

    // Somebody else made the role and the database: what is needed is said, and is enough.
    let secret = password("legacy");
    let verifier = provider.verifier(&secret);
    let mut grants = 0;
    let granting = async |error: ProviderError| {
        let ProviderError::NotPermitted { grant, .. } = &error else {
            panic!("{error}")
        };
        bed.run("postgres", grant).await;
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
    let mut tenant = bed
        .session("legacy", &format!("{CANARY}-legacy"), "legacy")
        .await
        .unwrap();
    assert_eq!(ask(&mut tenant, "SELECT a FROM t").await, ["kept"]);
    run(&mut tenant, "ALTER TABLE t ADD b text").await.unwrap();
    assert!(
        bed.session("stranger", &format!("{CANARY}-stranger"), "legacy")
            .await
            .is_err(),
        "it is closed now"
    );
    provider.close().await;
}

pub async fn the_survey_says_what_observing_says(bed: &mut Bed) {
    let provider = bed.provider("survey");
    for name in ["survey-a", "survey-b"] {
        bed.make(&*provider, "survey", &desired(name), &password(name))
            .await;
    }
    bed.run(
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
    let mark = bed.mark();
    let survey = provider.survey().await.unwrap();
    assert_eq!(
        bed.statements_since(mark).len(),
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
