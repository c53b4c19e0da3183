//! Extensions and schemas.

use db_operator::provider::{Extension, ProviderError, SqlName};

use crate::fixture::{Fixture, desired, password, texts};

pub(crate) async fn schemas_and_extensions_are_the_owners(fixture: &mut Fixture) {
    let provider = fixture.provider("contents");
    let name = |name: &str| SqlName::new(name).unwrap();
    let mut wanted = desired("contents");
    wanted.postgresql.schemas = vec![name("audit"), name("odd \"schema\"; --")];
    wanted.postgresql.extensions = vec![
        Extension {
            name: name("pg_trgm"),
            schema: None,
            version: None,
        },
        Extension {
            name: name("hstore"),
            schema: Some(name("audit")),
            version: None,
        },
    ];
    let changes = fixture
        .make(&*provider, "contents", &wanted, &password("contents"))
        .await;
    assert!(
        texts(&changes).contains(&"schema audit was made"),
        "{changes:?}"
    );
    assert!(
        texts(&changes).contains(&"extension pg_trgm was installed"),
        "{changes:?}"
    );
    fixture.assert_no_membership_left().await;
    let schemas = "SELECT n.nspname || ' ' || r.rolname FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
        WHERE n.nspname IN ('audit', 'odd \"schema\"; --') ORDER BY 1";
    assert_eq!(
        fixture.ask("contents", schemas).await,
        ["audit contents", "odd \"schema\"; -- contents"]
    );
    let extensions = "SELECT e.extname || ' ' || n.nspname || ' ' || r.rolname FROM pg_extension e
        JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_roles r ON r.oid = e.extowner
        WHERE e.extname <> 'plpgsql' ORDER BY 1";
    assert_eq!(
        fixture.ask("contents", extensions).await,
        ["hstore audit contents", "pg_trgm public contents"]
    );
    let acl = "SELECT datacl::text FROM pg_database WHERE datname = 'contents'";
    assert!(
        !fixture.ask("postgres", acl).await[0].contains("the-operator"),
        "the visit's permission was taken back"
    );

    // Drift inside is found by looking inside.
    fixture.run("contents", "DROP EXTENSION pg_trgm").await;
    assert_eq!(
        texts(&provider.ensure_contents(&wanted).await.unwrap()),
        ["extension pg_trgm was installed"]
    );

    // Not trusted: only where the platform team allows it, and then only where the server lets the administrator.
    wanted.postgresql.extensions.push(Extension {
        name: name("pageinspect"),
        schema: None,
        version: None,
    });
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
    wanted.postgresql.allowed_extensions = vec!["pageinspect".to_owned()];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let ProviderError::NotPermitted { grant, .. } = &error else {
        panic!("{error}")
    };
    assert!(
        grant.starts_with("CREATE EXTENSION \"pageinspect\""),
        "{grant}"
    );
    fixture
        .run("contents", "CREATE EXTENSION pageinspect")
        .await;
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap(), []);

    // Somebody else's schema is not taken.
    fixture.run("contents", "CREATE SCHEMA theirs").await;
    wanted.postgresql.schemas.push(name("theirs"));
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert!(matches!(error, ProviderError::InTheWay(_)), "{error}");
    assert!(
        !fixture.ask("postgres", acl).await[0].contains("the-operator"),
        "also after an error"
    );
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// `public` belongs to the database's owner by a membership (PostgreSQL 15 and later), and may be dropped.
pub(crate) async fn the_schema_public_is_like_any_other(fixture: &mut Fixture) {
    let provider = fixture.provider("public");
    let mut wanted = desired("public-schema");
    let public = SqlName::new("public").unwrap();
    wanted.postgresql.schemas = vec![public.clone()];
    if fixture.series() < 15 {
        fixture
            .make(
                &*provider,
                "public",
                &desired("public-schema"),
                &password("public"),
            )
            .await;
        let error = provider.ensure_contents(&wanted).await.unwrap_err();
        let ProviderError::InTheWay(sentence) = &error else {
            panic!("{error}")
        };
        let (_, mends) = sentence.split_once("run: ").unwrap();
        fixture.run("public-schema", mends).await;
    } else {
        fixture
            .make(&*provider, "public", &wanted, &password("public"))
            .await;
    }
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap(), []);

    fixture.run("public-schema", "DROP SCHEMA public").await;
    wanted.postgresql.schemas = vec![];
    wanted.postgresql.extensions = vec![Extension {
        name: SqlName::new("citext").unwrap(),
        schema: None,
        version: None,
    }];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert!(
        matches!(&error, ProviderError::InTheWay(text) if text.contains("CREATE SCHEMA")),
        "{error}"
    );
    wanted.postgresql.schemas = vec![public];
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap().len(), 2);
    provider.close().await;
}

fn extension(name: &str, schema: Option<&str>, version: Option<&str>) -> Extension {
    Extension {
        name: SqlName::new(name).unwrap(),
        schema: schema.map(|schema| SqlName::new(schema).unwrap()),
        version: version.map(str::to_owned),
    }
}

fn unsupported<T: std::fmt::Debug>(answer: Result<T, ProviderError>) -> String {
    match answer {
        Err(ProviderError::Unsupported(sentence)) => sentence,
        other => panic!("{other:?}"),
    }
}

/// Schema and version, at first and after each change.
pub(crate) async fn an_extension_is_where_and_what_it_is_asked_to_be(fixture: &mut Fixture) {
    let provider = fixture.provider("placed");
    let mut wanted = desired("placed");
    wanted.postgresql.extensions = vec![extension("pg_trgm", Some("tools"), Some("9.9"))];
    let sentence = unsupported(provider.validate(&wanted).await);
    assert!(
        sentence.contains("1.3") && sentence.contains("\"9.9\""),
        "{sentence}"
    );
    wanted.postgresql.extensions = vec![extension("pg_trgm", Some("tools"), Some("1.4"))];
    provider.validate(&wanted).await.unwrap();
    let changes = fixture
        .make(&*provider, "placed", &wanted, &password("placed"))
        .await;
    assert!(
        texts(&changes).contains(&"schema tools was made"),
        "{changes:?}"
    );
    let is = "SELECT e.extname || ' ' || e.extversion || ' ' || n.nspname || ' ' || r.rolname FROM pg_extension e
        JOIN pg_namespace n ON n.oid = e.extnamespace JOIN pg_roles r ON r.oid = e.extowner
        WHERE e.extname <> 'plpgsql' ORDER BY 1";
    assert_eq!(
        fixture.ask("placed", is).await,
        ["pg_trgm 1.4 tools placed"]
    );
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));

    // What PostgreSQL trusts owners with belongs to the superuser inside, so only one may move it.
    wanted.postgresql.extensions = vec![extension("pg_trgm", Some("other"), Some("1.5"))];
    provider.validate(&wanted).await.unwrap();
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let ProviderError::InTheWay(sentence) = &error else {
        panic!("{error}")
    };
    assert_eq!(
        fixture.ask("placed", is).await,
        ["pg_trgm 1.5 tools placed"]
    );
    let (_, mends) = sentence.split_once("run: ").unwrap();
    fixture.run("placed", mends).await;
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));
    assert_eq!(
        fixture.ask("placed", is).await,
        ["pg_trgm 1.5 other placed"]
    );
    // Nothing asked for changes nothing.
    wanted.postgresql.extensions = vec![extension("pg_trgm", None, None)];
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));

    wanted.postgresql.extensions = vec![extension("pg_trgm", None, Some("1.3"))];
    let sentence = unsupported(provider.ensure_contents(&wanted).await);
    assert!(sentence.contains("no way from there to 1.3"), "{sentence}");

    // Something of the user's own is where it would go.
    fixture
        .run(
            "placed",
            "CREATE SCHEMA taken AUTHORIZATION placed;
             CREATE FUNCTION taken.soundex(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
        )
        .await;
    wanted.postgresql.extensions = vec![extension("fuzzystrmatch", Some("taken"), None)];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert!(matches!(error, ProviderError::InTheWay(_)), "{error}");

    // Somebody else's schema.
    fixture.run("placed", "CREATE SCHEMA foreigners").await;
    wanted.postgresql.extensions = vec![extension("hstore", Some("foreigners"), None)];
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let ProviderError::InTheWay(sentence) = &error else {
        panic!("{error}")
    };
    let (_, mends) = sentence.split_once("run: ").unwrap();
    fixture.run("placed", mends).await;
    assert_eq!(
        texts(&provider.ensure_contents(&wanted).await.unwrap()),
        ["extension hstore was installed"]
    );

    // One that cannot be moved.
    fixture
        .run("placed", "CREATE EXTENSION xml2 SCHEMA public")
        .await;
    wanted.postgresql.extensions = vec![extension("xml2", Some("tools"), None)];
    wanted.postgresql.allowed_extensions = vec!["xml2".to_owned()];
    let sentence = unsupported(provider.ensure_contents(&wanted).await);
    assert!(sentence.contains("cannot be moved"), "{sentence}");
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn what_an_extension_needs_comes_first(fixture: &mut Fixture) {
    let provider = fixture.provider("needs");
    let mut wanted = desired("needs");
    wanted.postgresql.allowed_extensions = vec!["earthdistance".to_owned()];
    wanted.postgresql.extensions = vec![extension("earthdistance", None, None)];
    let sentence = unsupported(provider.validate(&wanted).await);
    assert!(
        sentence.contains("needs the extension \"cube\""),
        "{sentence}"
    );
    wanted
        .postgresql
        .extensions
        .push(extension("cube", None, None));
    provider.validate(&wanted).await.unwrap();
    fixture
        .make(&*provider, "needs", &desired("needs"), &password("needs"))
        .await;
    // The first is a superuser's to create: what it needs is there by then.
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    let ProviderError::NotPermitted { grant, .. } = &error else {
        panic!("{error}")
    };
    let (statement, _) = grant.split_once(" (in database").unwrap();
    fixture.run("needs", statement).await;
    assert_eq!(provider.ensure_contents(&wanted).await, Ok(vec![]));

    // What is there needs not be asked for.
    fixture.run("needs", "DROP EXTENSION earthdistance").await;
    wanted.postgresql.extensions = vec![extension("earthdistance", None, None)];
    provider.validate(&wanted).await.unwrap();
    let error = provider.ensure_contents(&wanted).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::NotPermitted { .. }),
        "{error}"
    );
    fixture.run("needs", "DROP EXTENSION cube").await;
    let sentence = unsupported(provider.ensure_contents(&wanted).await);
    assert!(sentence.contains("\"cube\""), "{sentence}");
    provider.close().await;
}
