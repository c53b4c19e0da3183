//! What a login that also looks around finds, and what it costs.

use db_operator::provider::{Desired, Extension, Extent, Inside, Login, Probe, Provider, SqlName};
use secrecy::{ExposeSecret, SecretString};

use crate::fixture::{Fixture, desired, password, run, session_at};

async fn inside(provider: &dyn Provider, wanted: &Desired, secret: &SecretString) -> Inside {
    let extent = Extent::OwnSchemas;
    let probe = provider.probe(wanted, secret, extent).await.unwrap();
    assert_eq!(probe.login, Login::Accepted);
    probe.inside.unwrap()
}

pub(crate) async fn a_login_sees_what_changed_inside(fixture: &mut Fixture) {
    let provider = fixture.provider("probed");
    let name = |name: &str| SqlName::new(name).unwrap();
    let (mut wanted, secret) = (desired("probed"), password("probed"));
    wanted.postgresql.schemas = vec![name("audit"), name("odd \"schema\"")];
    wanted.postgresql.extensions = vec![Extension {
        name: name("hstore"),
        schema: Some(name("audit")),
        version: None,
    }];
    fixture.make(&*provider, "probed", &wanted, &secret).await;
    let mark = fixture.mark();
    assert_eq!(
        inside(&*provider, &wanted, &secret).await,
        Inside::default()
    );
    // No session of the administrator is needed: nobody lets anybody in.
    assert_eq!(fixture.statements_since(mark), Vec::<String>::new());

    for (change, back) in [
        (
            "ALTER SCHEMA audit OWNER TO stranger",
            "ALTER SCHEMA audit OWNER TO probed",
        ),
        (
            "ALTER SCHEMA \"odd \"\"schema\"\"\" RENAME TO other",
            "ALTER SCHEMA other RENAME TO \"odd \"\"schema\"\"\"",
        ),
        (
            "ALTER EXTENSION hstore SET SCHEMA public",
            "ALTER EXTENSION hstore SET SCHEMA audit",
        ),
        (
            "DROP EXTENSION hstore",
            "CREATE EXTENSION hstore SCHEMA audit",
        ),
    ] {
        fixture.run("probed", change).await;
        let seen = inside(&*provider, &wanted, &secret).await;
        assert!(seen.differs, "{change}");
        fixture.run("probed", back).await;
        let seen = inside(&*provider, &wanted, &secret).await;
        assert!(!seen.differs, "{back}");
    }

    // Somebody else's password.
    fixture.set_password("probed", "canary-another").await;
    let probe = provider.probe(&wanted, &secret, Extent::OwnSchemas).await;
    assert!(matches!(
        probe.unwrap(),
        Probe {
            login: Login::Refused(_),
            inside: None
        }
    ));
    fixture.set_password("probed", secret.expose_secret()).await;
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

pub(crate) async fn a_login_sees_what_belongs_to_others_by_now(fixture: &mut Fixture) {
    let provider = fixture.provider("taken");
    let (wanted, secret) = (desired("taken"), password("taken"));
    fixture.make(&*provider, "taken", &wanted, &secret).await;
    let mut tenant = session_at(
        fixture.server.port,
        "taken",
        secret.expose_secret(),
        "taken",
    )
    .await
    .unwrap();
    run(
        &mut tenant,
        "CREATE SCHEMA own; CREATE TABLE own.first (x int); CREATE TABLE public.second (x serial)",
    )
    .await
    .unwrap();
    // A private schema of the platform's is none of the tenant's.
    fixture
        .run(
            "taken",
            "CREATE SCHEMA platform; CREATE TABLE platform.private (x int)",
        )
        .await;
    let seen = inside(&*provider, &wanted, &secret).await.inaccessible;
    assert_eq!((seen.unreadable.len(), seen.reads_some), (0, true));

    fixture
        .run("taken", "ALTER TABLE own.first OWNER TO stranger")
        .await;
    let seen = inside(&*provider, &wanted, &secret).await.inaccessible;
    let [first] = seen.unreadable.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(
        first.needed_for,
        "1 object of \"stranger\": \"own\".\"first\""
    );
    assert!(seen.reads_some);
    fixture
        .run("taken", "ALTER TABLE public.second OWNER TO stranger")
        .await;
    let seen = inside(&*provider, &wanted, &secret).await.inaccessible;
    assert!(!seen.reads_some && seen.unreadable.len() == 1, "{seen:?}");
    // The administrator answers the same.
    let asked = provider.inaccessible(&wanted.names, Extent::OwnSchemas);
    assert_eq!(asked.await.unwrap(), seen);
    fixture.run("taken", &seen.unreadable[0].grant).await;
    let seen = inside(&*provider, &wanted, &secret).await.inaccessible;
    assert!(seen.reads_some && seen.unreadable.is_empty(), "{seen:?}");

    let of = async |extent| {
        let asked = provider.inaccessible(&wanted.names, extent).await.unwrap();
        asked.unreadable.len()
    };
    assert_eq!(of(Extent::Everything).await, 1, "the platform's own");
    assert_eq!(of(Extent::Nothing).await, 0);
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A tenant may set nearly everything for its own sessions.
pub(crate) async fn a_login_that_looks_is_not_led_astray(fixture: &mut Fixture) {
    let provider = fixture.provider("astray");
    let (mut wanted, secret) = (desired("astray"), password("astray"));
    wanted.postgresql.schemas = vec![SqlName::new("audit").unwrap()];
    fixture.make(&*provider, "astray", &wanted, &secret).await;
    let mut tenant = session_at(
        fixture.server.port,
        "astray",
        secret.expose_secret(),
        "astray",
    )
    .await
    .unwrap();
    run(
        &mut tenant,
        "CREATE SCHEMA evil; CREATE VIEW evil.pg_namespace AS SELECT 0::oid AS oid, 'x' AS nspname, 0::oid AS nspowner;
         CREATE FUNCTION evil.pg_has_role(oid, oid, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
         ALTER ROLE astray SET search_path = evil, pg_catalog; ALTER ROLE astray SET statement_timeout = 1;
         ALTER DATABASE astray SET lock_timeout = 1",
    )
    .await
    .unwrap();
    let seen = inside(&*provider, &wanted, &secret).await;
    assert_eq!((seen.differs, seen.inaccessible.reads_some), (false, true));

    // One that has no connection left has logged in, and sees nothing.
    wanted.connection_limit = Some(1);
    provider.ensure_role(&wanted, None).await.unwrap();
    let probe = provider.probe(&wanted, &secret, Extent::OwnSchemas).await;
    assert_eq!(probe.unwrap(), Login::AtConnectionLimit.into());
    provider.close().await;
}
