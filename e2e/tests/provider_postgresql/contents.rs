//! Extensions and schemas.

use db_operator::provider::{Extension, ProviderError, SqlName};

use crate::fixture::{Fixture, desired, password, texts};

pub async fn schemas_and_extensions_are_the_owners(fixture: &mut Fixture) {
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
pub async fn the_schema_public_is_like_any_other(fixture: &mut Fixture) {
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
