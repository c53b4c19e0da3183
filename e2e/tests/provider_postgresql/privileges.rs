//! What a server is, how it is reached, and what the administrator may do there.

use db_operator::provider::{Fence, Flavour, ProviderError, TlsMode, open};
use secrecy::SecretString;

use crate::fixture::{ADMINISTRATOR, CANARY, Fixture, claim, desired, names, password};

pub(crate) async fn a_server_is_described(fixture: &mut Fixture) {
    let inspection = fixture.provider("described").inspect().await.unwrap();
    assert_eq!(inspection.flavour, Flavour::Postgresql);
    assert_eq!(inspection.series, fixture.series().to_string());
    assert!(
        inspection
            .version
            .starts_with(&format!("{}.", fixture.series())),
        "{}",
        inspection.version
    );
    assert!(inspection.tls.unwrap().starts_with("TLSv1."));
    let identity = fixture
        .ask(
            "postgres",
            "SELECT system_identifier::text FROM pg_control_system()",
        )
        .await;
    assert_eq!(inspection.identity.as_ref(), identity.first());
    assert!(!inspection.read_only);
    assert_eq!(inspection.missing, Vec::new());
    let acl = fixture
        .ask(
            "postgres",
            "SELECT datacl::text FROM pg_database WHERE datname = 'db_operator'",
        )
        .await;
    assert!(
        !acl[0].contains("{=") && !acl[0].contains(",="),
        "PUBLIC has privileges on db_operator: {acl:?}"
    );
}

pub(crate) async fn tls_is_what_was_asked_for(fixture: &mut Fixture) {
    let attempt = async |mode, host: &str, ca: Option<Vec<u8>>| {
        let mut config = fixture.config();
        config.tls.mode = mode;
        config.host = host.to_owned();
        config.tls.ca = ca;
        open(config, Fence::new("tls", || true))
            .inspect()
            .await
            .map(|inspection| inspection.tls.is_some())
    };
    let own = Some(fixture.server.certificates.ca.clone().into_bytes());
    let other = Some(
        e2e::sql_servers::Certificates::new()
            .unwrap()
            .ca
            .into_bytes(),
    );
    let refused =
        |result: Result<bool, ProviderError>| matches!(result, Err(ProviderError::Tls { .. }));
    assert_eq!(
        attempt(TlsMode::Disable, "localhost", None).await,
        Ok(false)
    );
    assert_eq!(attempt(TlsMode::Require, "127.0.0.1", None).await, Ok(true));
    assert_eq!(
        attempt(TlsMode::Require, "localhost", other.clone()).await,
        Ok(true)
    );
    assert_eq!(
        attempt(TlsMode::VerifyCa, "127.0.0.1", own.clone()).await,
        Ok(true)
    );
    assert_eq!(
        attempt(TlsMode::VerifyFull, "localhost", own.clone()).await,
        Ok(true)
    );
    assert!(
        refused(attempt(TlsMode::VerifyFull, "127.0.0.1", own).await),
        "another name"
    );
    assert!(
        refused(attempt(TlsMode::VerifyFull, "localhost", other.clone()).await),
        "another authority"
    );
    assert!(
        refused(attempt(TlsMode::VerifyCa, "localhost", other).await),
        "another authority"
    );
    assert!(
        refused(attempt(TlsMode::VerifyFull, "localhost", None).await),
        "no authority of the public web"
    );
    assert!(
        refused(
            attempt(
                TlsMode::VerifyFull,
                "localhost",
                Some(b"no certificate".to_vec())
            )
            .await
        ),
        "no CA"
    );
}

pub(crate) async fn wrong_credentials_and_addresses_are_told_apart(fixture: &mut Fixture) {
    let mut config = fixture.config();
    config.password = SecretString::from(format!("{CANARY}-wrong"));
    let error = open(config, Fence::new("wrong", || true))
        .inspect()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProviderError::LoginRefused { .. }),
        "{error}"
    );
    assert!(!error.to_string().contains(CANARY), "{error}");

    for (host, port) in [
        ("localhost", e2e::sql_servers::free_port().unwrap()),
        ("no.such.host.invalid", 5432),
    ] {
        let mut config = fixture.config();
        (config.host, config.port) = (host.to_owned(), port);
        let error = open(config, Fence::new("wrong", || true))
            .inspect()
            .await
            .unwrap_err();
        assert!(
            matches!(error, ProviderError::Unreachable { .. }),
            "{error}"
        );
    }
}

pub(crate) async fn what_is_missing_is_named_with_sql_that_grants_it(fixture: &mut Fixture) {
    // A bare administrator, and the operator's own database not yet made: then made by another one.
    fixture
        .run("postgres", "CREATE ROLE \"bare \"\"admin\" LOGIN NOINHERIT")
        .await;
    fixture
        .run(
            "postgres",
            &format!(
                "ALTER ROLE \"bare \"\"admin\" PASSWORD '{}'",
                db_operator::provider::Verifier::scram_sha_256(&format!("{CANARY}-bare")).expose()
            ),
        )
        .await;
    let mut config = fixture.config();
    "bare \"admin".clone_into(&mut config.username);
    config.password = SecretString::from(format!("{CANARY}-bare"));
    let provider = open(config, Fence::new("missing", || true));
    let found = provider.inspect().await.unwrap().missing;
    let grants: Vec<&str> = found.iter().map(|missing| missing.grant.as_str()).collect();
    assert!(
        grants.contains(&"ALTER ROLE \"bare \"\"admin\" CREATEDB"),
        "{grants:?}"
    );
    assert!(
        grants.contains(&"ALTER ROLE \"bare \"\"admin\" CREATEROLE"),
        "{grants:?}"
    );
    // Everything that is named is run as it stands, and then nothing is missing.
    for grant in &grants {
        fixture.run("postgres", grant).await;
    }
    let left = provider.inspect().await.unwrap().missing;
    assert_eq!(left, Vec::new());
    fixture
        .make(
            &*provider,
            "missing",
            &desired("missing-none"),
            &password("missing"),
        )
        .await;
    provider.close().await;
}

pub(crate) async fn a_read_only_server_is_named(fixture: &mut Fixture) {
    let writable = fixture.provider("read-only");
    writable.inspect().await.unwrap();
    writable.close().await;
    fixture
        .run(
            "postgres",
            &format!("ALTER ROLE \"{ADMINISTRATOR}\" SET default_transaction_read_only = on"),
        )
        .await;
    let provider = fixture.provider("read-only");
    let inspection = provider.inspect().await.unwrap();
    assert!(inspection.read_only);
    let names = names("read-only", "read-only");
    let error = provider
        .write_claim(&claim("read-only", &names), None)
        .await
        .unwrap_err();
    assert!(matches!(error, ProviderError::ReadOnly { .. }), "{error}");
    fixture
        .run(
            "postgres",
            &format!("ALTER ROLE \"{ADMINISTRATOR}\" RESET default_transaction_read_only"),
        )
        .await;
    assert!(
        !provider.inspect().await.unwrap().read_only,
        "it is seen when that ends"
    );
    provider.close().await;
}
