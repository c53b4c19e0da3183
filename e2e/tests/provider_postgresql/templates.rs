//! Databases that are copies of another one.

use db_operator::provider::{Desired, Extension, Login, ProviderError, SqlName};

use crate::fixture::{CANARY, Fixture, ask, desired, eventually, names, password, run};

pub(crate) async fn a_template_is_copied_where_it_is_allowed(fixture: &mut Fixture) {
    let provider = fixture.provider("template");
    fixture
        .run("postgres", "CREATE DATABASE base TEMPLATE template0")
        .await;
    fixture
        .run(
            "base",
            "CREATE TABLE seed (x text); INSERT INTO seed VALUES ('kept'); GRANT SELECT ON seed TO PUBLIC",
        )
        .await;
    let mut wanted = desired("templated");
    wanted.postgresql.template = Some(SqlName::new("base").unwrap());
    let refused = async |wanted: &Desired| match provider.validate(wanted).await {
        Err(ProviderError::Unsupported(sentence)) => sentence,
        other => panic!("{other:?}"),
    };
    let sentence = refused(&wanted).await;
    assert!(sentence.contains("allowedTemplates"), "{sentence}");
    // Nor is it taken where nobody asked beforehand.
    let mut unasked = Desired {
        names: names("unasked", "unasked"),
        ..wanted.clone()
    };
    let verifier = provider.verifier(&password("unasked"));
    provider
        .ensure_role(&unasked, Some(&verifier))
        .await
        .unwrap();
    let error = provider.ensure_database(&unasked).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");

    wanted.postgresql.allowed_templates = vec!["base".to_owned(), "nothing".to_owned()];
    let error = provider.validate(&wanted).await.unwrap_err();
    let ProviderError::NotPermitted { grant, .. } = &error else {
        panic!("{error}")
    };
    fixture.run("postgres", grant).await;
    wanted.postgresql.template = Some(SqlName::new("nothing").unwrap());
    let sentence = refused(&wanted).await;
    assert!(sentence.contains("no database \"nothing\""), "{sentence}");
    wanted.postgresql.template = Some(SqlName::new("base").unwrap());

    // A copy has the options of its template.
    wanted.postgresql.encoding = Some("LATIN1".to_owned());
    wanted.postgresql.locale = Some("C".to_owned());
    let sentence = refused(&wanted).await;
    assert!(
        sentence.contains("its encoding is UTF8, not LATIN1"),
        "{sentence}"
    );
    wanted.postgresql.encoding = Some("utf8".to_owned());
    wanted.postgresql.locale = Some("C.utf8".to_owned());

    let session = fixture.superuser("base").await;
    let busy = |error: ProviderError| match error {
        ProviderError::Busy { detail, .. } => detail,
        other => panic!("{other}"),
    };
    let detail = busy(provider.validate(&wanted).await.unwrap_err());
    assert!(detail.contains("1 of them"), "{detail}");
    unasked.postgresql = wanted.postgresql.clone();
    let detail = busy(provider.ensure_database(&unasked).await.unwrap_err());
    let (_, mends) = detail.split_once("run: ").unwrap();
    fixture.run("postgres", mends).await;
    sqlx::Connection::close(session).await.unwrap();
    eventually("the template has no sessions", async || {
        provider.validate(&wanted).await.is_ok()
    })
    .await;
    fixture
        .make(&*provider, "template", &wanted, &password("templated"))
        .await;
    let mut tenant = fixture
        .session("templated", &format!("{CANARY}-templated"), "templated")
        .await
        .unwrap();
    assert_eq!(ask(&mut tenant, "SELECT x FROM seed").await, ["kept"]);
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.unwrap().deviations, Vec::<String>::new());

    // What exists is no copy any more: neither the list nor the template matters to it.
    wanted.postgresql.allowed_templates.clear();
    assert_eq!(provider.validate(&wanted).await, Ok(()));
    assert_eq!(provider.ensure_database(&wanted).await, Ok(vec![]));
    provider.close().await;
}

pub(crate) async fn what_the_platform_put_into_template1_is_copied_and_left_alone(
    fixture: &mut Fixture,
) {
    let provider = fixture.provider("template1");
    fixture
        .run(
            "template1",
            "CREATE SCHEMA platform; CREATE TABLE platform.audit (x int); CREATE EXTENSION pg_trgm SCHEMA platform;
             CREATE TABLE public.theirs (x int)",
        )
        .await;
    let mut wanted = desired("of-template1");
    wanted.postgresql.template = Some(SqlName::new("template1").unwrap());
    wanted.postgresql.allowed_templates = vec!["template1".to_owned()];
    let extension = |name: &str| Extension {
        name: SqlName::new(name).unwrap(),
        schema: None,
        version: None,
    };
    wanted.postgresql.extensions = vec![extension("pg_trgm"), extension("citext")];
    wanted.postgresql.schemas = vec![SqlName::new("own").unwrap()];
    let secret = password("of-template1");
    provider.validate(&wanted).await.unwrap();
    fixture
        .make(&*provider, "template1", &wanted, &secret)
        .await;
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));
    assert_eq!(
        provider.login(&wanted.names, &secret).await,
        Ok(Login::Accepted)
    );
    let mut tenant = fixture
        .session(
            "of-template1",
            &format!("{CANARY}-of-template1"),
            "of-template1",
        )
        .await
        .unwrap();
    run(
        &mut tenant,
        "CREATE TABLE own.t (x int); INSERT INTO own.t VALUES (1)",
    )
    .await
    .unwrap();
    let owners = "SELECT r.rolname FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner WHERE c.relname IN ('audit', 'theirs')";
    assert_eq!(
        fixture.ask("of-template1", owners).await,
        ["super", "super"]
    );

    // One whose version is not that of the platform's is the platform's to change.
    wanted.postgresql.extensions = vec![Extension {
        schema: Some(SqlName::new("own").unwrap()),
        ..extension("pg_trgm")
    }];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let ProviderError::InTheWay(sentence) = &error else {
        panic!("{error}")
    };
    let (_, mends) = sentence.split_once("run: ").unwrap();
    fixture.run("of-template1", mends).await;
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));
    fixture
        .run(
            "template1",
            "DROP SCHEMA platform CASCADE; DROP TABLE public.theirs",
        )
        .await;
    provider.close().await;
}
