//! Making a database and keeping it as it should be.

use db_operator::provider::{Extension, Login, ProviderError, SqlName};

use crate::fixture::{CANARY, Fixture, ask, desired, password, run, texts};

pub(crate) async fn a_database_is_made_and_used(fixture: &mut Fixture) {
    let provider = fixture.provider("made");
    let desired = desired("orders");
    let secret = password("orders");
    fixture.make(&*provider, "made", &desired, &secret).await;
    fixture.assert_no_membership_left().await;

    let owner = "SELECT r.rolname FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba WHERE d.datname = 'orders'";
    assert_eq!(fixture.ask("postgres", owner).await, ["orders"]);
    let mut tenant = fixture
        .session("orders", &format!("{CANARY}-orders"), "orders")
        .await
        .unwrap();
    run(
        &mut tenant,
        "CREATE TABLE public.t (a text); INSERT INTO t VALUES ('x'); CREATE SCHEMA own",
    )
    .await
    .unwrap();
    assert_eq!(ask(&mut tenant, "SELECT a FROM t").await, ["x"]);
    assert_eq!(
        ask(&mut tenant, "SHOW search_path").await,
        ["\"$user\", public"],
        "the tenant's own is as ever"
    );

    let stranger = fixture
        .session("stranger", &format!("{CANARY}-stranger"), "orders")
        .await;
    assert!(stranger.is_err(), "nobody else may connect");
    let home = fixture
        .session("stranger", &format!("{CANARY}-stranger"), "db_operator")
        .await;
    assert!(
        home.is_err(),
        "nobody else may connect to the operator's own database"
    );

    let names = &desired.names;
    assert!(matches!(
        provider.login(names, &password("wrong")).await.unwrap(),
        Login::Refused(_)
    ));
    let nowhere = crate::fixture::names("no-such-database", "orders");
    assert!(matches!(
        provider.login(&nowhere, &secret).await.unwrap(),
        Login::NoDatabase(_)
    ));
    let forbidden = crate::fixture::names("db_operator", "orders");
    assert!(matches!(
        provider.login(&forbidden, &secret).await.unwrap(),
        Login::NoDatabase(_)
    ));
    provider.close().await;
}

/// Looking first: the second time only reads.
pub(crate) async fn nothing_changes_the_second_time(fixture: &mut Fixture) {
    let provider = fixture.provider("second");
    let mut desired = desired("second");
    desired.connection_limit = Some(7);
    desired.postgresql.extensions = vec![Extension {
        name: SqlName::new("hstore").unwrap(),
        schema: None,
        version: None,
    }];
    fixture
        .make(&*provider, "second", &desired, &password("second"))
        .await;

    let mark = fixture.mark();
    assert_eq!(provider.ensure_role(&desired, None).await.unwrap(), []);
    assert_eq!(provider.ensure_database(&desired).await.unwrap(), []);
    let observed = provider.observe(&desired.names).await.unwrap();
    assert_eq!(observed.database.unwrap().deviations, Vec::<String>::new());
    let role = observed.role.unwrap();
    assert_eq!(
        (role.can_login, role.connection_limit, role.alterable),
        (true, Some(7), true)
    );
    assert_eq!((role.powers, role.deviations), (vec![], vec![]));
    let statements = fixture.statements_since(mark);
    assert_eq!(statements.len(), 3, "{statements:#?}");
    for statement in &statements {
        let first = statement.split_whitespace().next().unwrap();
        assert!(matches!(first, "WITH" | "SELECT"), "{statement}");
    }

    // A look inside the database costs a visit, which leaves no trace but its registration.
    assert_eq!(provider.ensure_contents(&desired).await.unwrap(), []);
    assert_eq!(
        provider.ensure_database(&desired).await.unwrap(),
        [],
        "nothing was left open by the visit"
    );
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn drift_is_put_right_and_reported(fixture: &mut Fixture) {
    let provider = fixture.provider("drift");
    let mut desired = desired("drift");
    desired.connection_limit = Some(5);
    let secret = password("drift");
    fixture.make(&*provider, "drift", &desired, &secret).await;
    let drift = [
        (
            "ALTER ROLE drift NOLOGIN",
            "user drift: it could not log in",
        ),
        (
            "ALTER ROLE drift CREATEDB",
            "user drift: it could create databases",
        ),
        (
            "ALTER ROLE drift VALID UNTIL '2001-01-01'",
            "user drift: its password had an expiry date",
        ),
        (
            "ALTER ROLE drift CONNECTION LIMIT 1",
            "user drift: its connection limit was 1, is 5",
        ),
        (
            "GRANT CONNECT ON DATABASE drift TO PUBLIC",
            "database drift: PUBLIC had CONNECT on it",
        ),
        (
            "REVOKE CONNECT ON DATABASE drift FROM drift",
            "database drift: its owner had no CONNECT on it",
        ),
        (
            "ALTER DATABASE drift CONNECTION LIMIT 1",
            "database drift: it was limited to 1 connections",
        ),
        (
            "ALTER DATABASE drift ALLOW_CONNECTIONS false",
            "database drift: connections to it were switched off",
        ),
        (
            "ALTER DATABASE drift IS_TEMPLATE true",
            "database drift: it was a template that others may copy",
        ),
        (
            "ALTER DATABASE drift OWNER TO \"the-operator\"",
            "database drift: its owner was the-operator, is drift",
        ),
    ];
    for (sql, report) in drift {
        fixture.run("postgres", sql).await;
        let mut changes = provider.ensure_role(&desired, None).await.unwrap();
        changes.extend(provider.ensure_database(&desired).await.unwrap());
        assert_eq!(texts(&changes), [report], "{sql}");
        assert_eq!(
            provider.login(&desired.names, &secret).await.unwrap(),
            Login::Accepted,
            "{sql}"
        );
        assert_eq!(
            provider.ensure_database(&desired).await.unwrap(),
            [],
            "{sql}"
        );
        fixture.assert_no_membership_left().await;
    }

    // All at once, and another tenant as the owner.
    let other = crate::fixture::desired("drift-other");
    fixture
        .make(&*provider, "drift-other", &other, &password("drift-other"))
        .await;
    for (sql, _) in &drift[..9] {
        fixture.run("postgres", sql).await;
    }
    fixture
        .run("postgres", "ALTER DATABASE drift OWNER TO \"drift-other\"")
        .await;
    let mut changes = provider.ensure_role(&desired, None).await.unwrap();
    changes.extend(provider.ensure_database(&desired).await.unwrap());
    assert!(
        texts(&changes).contains(&"database drift: its owner was drift-other, is drift"),
        "{changes:?}"
    );
    assert_eq!(
        provider.login(&desired.names, &secret).await.unwrap(),
        Login::Accepted
    );

    // Owned by somebody whom the administrator may not act for: the sentence holds what mends it.
    fixture
        .run("postgres", "ALTER DATABASE drift OWNER TO super")
        .await;
    let error = provider.ensure_database(&desired).await.unwrap_err();
    let ProviderError::NotPermitted { grant, .. } = &error else {
        panic!("{error}")
    };
    fixture.run("postgres", grant).await;
    assert_eq!(provider.ensure_database(&desired).await.unwrap(), []);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn what_the_server_cannot_hold_is_refused_before_anything_is_made(
    fixture: &mut Fixture,
) {
    let provider = fixture.provider("refused");
    let extension = |name: &str| Extension {
        name: SqlName::new(name).unwrap(),
        schema: None,
        version: None,
    };
    let mut cases = Vec::new();
    for (encoding, locale, extensions) in [
        (Some("UTF9"), None, vec![]),
        (None, Some("xx_XX.UTF-8"), vec![]),
        // Each of which the server has, but not together; its own locale is C.UTF-8.
        (Some("LATIN1"), Some("C.UTF-8"), vec![]),
        (Some("LATIN1"), None, vec![]),
        (None, None, vec![extension("no_such_extension")]),
        (None, None, vec![extension("pageinspect")]),
    ] {
        let mut wanted = desired("refused");
        wanted.postgresql.encoding = encoding.map(str::to_owned);
        wanted.postgresql.locale = locale.map(str::to_owned);
        wanted.postgresql.extensions = extensions;
        cases.push(wanted);
    }
    cases.push(desired("with,comma"));
    cases.push(desired("crab-🦀"));
    cases.push(desired("postgres"));
    for wanted in cases {
        let error = provider.validate(&wanted).await.unwrap_err();
        assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
    }
    let mut fine = desired("refused");
    fine.postgresql.encoding = Some("UTF8".to_owned());
    fine.postgresql.locale = Some("C.UTF-8".to_owned());
    fine.postgresql.extensions = vec![extension("pg_trgm"), extension("pageinspect")];
    fine.postgresql.allowed_extensions = vec!["pageinspect".to_owned()];
    provider.validate(&fine).await.unwrap();
    for (encoding, locale) in [
        (None, Some("C.UTF-8")),
        (Some("utf-8"), None),
        (Some("LATIN1"), Some("POSIX")),
        (None, Some("C")),
    ] {
        fine.postgresql.encoding = encoding.map(str::to_owned);
        fine.postgresql.locale = locale.map(str::to_owned);
        provider.validate(&fine).await.unwrap();
    }
    assert_eq!(
        fixture
            .ask(
                "postgres",
                "SELECT rolname FROM pg_roles WHERE rolname = 'refused'"
            )
            .await,
        [""; 0]
    );
    provider.close().await;
}

pub(crate) async fn encoding_and_locale_are_as_asked(fixture: &mut Fixture) {
    let provider = fixture.provider("encoding");
    let mut wanted = desired("latin");
    wanted.postgresql.encoding = Some("LATIN1".to_owned());
    wanted.postgresql.locale = Some("C".to_owned());
    provider.validate(&wanted).await.unwrap();
    fixture
        .make(&*provider, "encoding", &wanted, &password("latin"))
        .await;
    let database = provider
        .observe(&wanted.names)
        .await
        .unwrap()
        .database
        .unwrap();
    assert_eq!(
        (database.character_set.as_str(), database.collation.as_str()),
        ("LATIN1", "C")
    );

    // The same is said by CREATE DATABASE itself, of locales that do not tell their encoding.
    let mut wanted = desired("mismatch");
    wanted.postgresql.encoding = Some("LATIN1".to_owned());
    wanted.postgresql.locale = Some("C.UTF-8".to_owned());
    let verifier = provider.verifier(&password("mismatch"));
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let error = provider.ensure_database(&wanted).await.unwrap_err();
    assert!(matches!(error, ProviderError::Unsupported(_)), "{error}");
    provider.close().await;
}

/// Its owner may have meant it, so it is told and not taken back.
pub(crate) async fn sessions_that_may_not_write_are_told(fixture: &mut Fixture) {
    let provider = fixture.provider("readonly");
    let wanted = desired("readonly");
    let secret = password("readonly");
    fixture.make(&*provider, "readonly", &wanted, &secret).await;
    for set in [
        "ALTER DATABASE readonly SET default_transaction_read_only = on",
        "ALTER ROLE readonly SET default_transaction_read_only = yes",
        "ALTER ROLE readonly IN DATABASE readonly SET default_transaction_read_only = true",
    ] {
        fixture.run("postgres", set).await;
        let observed = provider.observe(&wanted.names).await.unwrap();
        let told = observed.database.clone().unwrap().read_only;
        let [sentence] = &told[..] else {
            panic!("{set}: {told:?}")
        };
        assert_eq!(provider.survey().await.unwrap().of(&wanted.names), observed);
        assert_eq!(provider.ensure_role(&wanted, None).await, Ok(vec![]));
        assert_eq!(provider.ensure_database(&wanted).await, Ok(vec![]));
        let mut tenant = fixture
            .session("readonly", &format!("{CANARY}-readonly"), "readonly")
            .await
            .unwrap();
        assert!(
            run(&mut tenant, "CREATE SCHEMA refused").await.is_err(),
            "{set}"
        );
        // The statement is the user's own to run, or a superuser's.
        let (_, reset) = sentence.split_once("run: ").unwrap();
        run(&mut tenant, "SET default_transaction_read_only = off")
            .await
            .unwrap();
        run(&mut tenant, reset).await.unwrap();
        let observed = provider.observe(&wanted.names).await.unwrap();
        assert_eq!(
            observed.database.unwrap().read_only,
            Vec::<String>::new(),
            "{set}"
        );
    }
    // The setting for the user counts before that for the database.
    fixture
        .run(
            "postgres",
            "ALTER DATABASE readonly SET default_transaction_read_only = on; \
             ALTER ROLE readonly SET default_transaction_read_only = off",
        )
        .await;
    let observed = provider.observe(&wanted.names).await.unwrap();
    assert_eq!(observed.database.unwrap().read_only, Vec::<String>::new());
    provider.close().await;
}
