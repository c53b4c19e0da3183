//! What a tenant can set in its own database, and do there, so that other sessions in it fail.

use std::time::Duration;

use db_operator::provider::{Fence, Login, ProviderError, SqlName, open};

use crate::fixture::{CANARY, Fixture, desired, password, run};

/// Each ends or spoils a session that follows it. The last column is the first version that knows it.
const HOSTILE: &[(&str, &str, u32)] = &[
    ("default_transaction_read_only", "on", 14),
    ("default_transaction_isolation", "serializable", 14),
    ("local_preload_libraries", "'no_such_library'", 14),
    ("idle_session_timeout", "1", 14),
    ("idle_in_transaction_session_timeout", "1", 14),
    ("transaction_timeout", "1", 17),
    ("statement_timeout", "1", 14),
    ("lock_timeout", "1", 14),
    ("exit_on_error", "on", 14),
    ("client_connection_check_interval", "1", 14),
    ("tcp_user_timeout", "1", 14),
    ("role", "hostile", 14),
    ("session_authorization", "hostile", 14),
    ("search_path", "hostile", 14),
    ("default_tablespace", "nowhere", 14),
    ("temp_tablespaces", "nowhere", 14),
    ("default_table_access_method", "nothing", 14),
    ("client_min_messages", "debug5", 14),
    ("client_encoding", "SJIS", 14),
    ("bytea_output", "escape", 14),
    ("standard_conforming_strings", "off", 14),
    ("quote_all_identifiers", "on", 14),
    ("row_security", "off", 14),
    ("application_name", "'db-operator'", 14),
];

pub(crate) async fn a_tenants_settings_do_not_reach_our_sessions(fixture: &mut Fixture) {
    let provider = fixture.provider("settings");
    let mut wanted = desired("hostile");
    let secret = password("hostile");
    fixture.make(&*provider, "settings", &wanted, &secret).await;
    let mut owner = fixture
        .session("hostile", &format!("{CANARY}-hostile"), "hostile")
        .await
        .unwrap();
    for (number, (setting, value, since)) in HOSTILE.iter().enumerate() {
        if fixture.series() < *since {
            continue;
        }
        run(
            &mut owner,
            &format!("ALTER DATABASE hostile SET {setting} = {value}"),
        )
        .await
        .unwrap();
        // Something to do inside, each time.
        let schema = SqlName::new(format!("made-{number}")).unwrap();
        wanted.postgresql.schemas.push(schema);
        let made = provider.ensure_contents(&wanted).await;
        assert_eq!(made.map(|changes| changes.len()), Ok(1), "{setting}");
        provider.assess(&wanted.names).await.unwrap();
        // A login follows them, as the application's does. Where they keep everybody out, that is told as what it is.
        match provider.login(&wanted.names, &secret).await {
            Ok(answer) => assert_eq!(answer, Login::Accepted, "{setting}"),
            Err(error) => assert_is_the_databases(&error),
        }
        if *setting != "local_preload_libraries" {
            continue;
        }
        assert!(provider.login(&wanted.names, &secret).await.is_err());
        run(
            &mut owner,
            &format!("ALTER DATABASE hostile RESET {setting}"),
        )
        .await
        .unwrap();
    }
    fixture.assert_no_membership_left().await;
    provider.close().await;
}

/// A login reads the catalogs of its database, and its owner can have it wait for them.
pub(crate) async fn a_database_that_lets_nobody_in_is_not_the_server(fixture: &mut Fixture) {
    let mut config = fixture.config();
    config.timeouts.connect = Duration::from_secs(3);
    let provider = open(config, Fence::new("stuck", || true));
    let mut wanted = desired("stuck");
    let secret = password("stuck");
    fixture.make(&*provider, "stuck", &wanted, &secret).await;
    wanted.postgresql.schemas = vec![SqlName::new("never").unwrap()];
    let tenants = format!("{CANARY}-stuck");
    let mut reader = fixture.session("stuck", &tenants, "stuck").await.unwrap();
    let mut vacuum = fixture.session("stuck", &tenants, "stuck").await.unwrap();
    run(&mut reader, "BEGIN; SELECT FROM pg_class LIMIT 1")
        .await
        .unwrap();
    let vacuuming = tokio::spawn(async move { run(&mut vacuum, "VACUUM FULL pg_class").await });
    crate::fixture::eventually("it waits", async || {
        fixture.ask(
            "postgres",
            "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'VACUUM%'",
        )
        .await
            == ["1"]
    })
    .await;
    assert_is_the_databases(&provider.ensure_contents(&wanted).await.unwrap_err());
    assert_is_the_databases(&provider.login(&wanted.names, &secret).await.unwrap_err());
    run(&mut reader, "COMMIT").await.unwrap();
    vacuuming.await.unwrap().unwrap();
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap().len(), 1);
    assert_eq!(
        provider.login(&wanted.names, &secret).await.unwrap(),
        Login::Accepted
    );

    // Limited to nobody: by the database's own limit, not by the server's.
    run(&mut reader, "ALTER DATABASE stuck CONNECTION LIMIT 0")
        .await
        .unwrap();
    assert_is_the_databases(&provider.assess(&wanted.names).await.unwrap_err());
    provider.close().await;
}

/// A rule of `pg_hba.conf`: no password lets the user in, so none is set.
pub(crate) async fn a_rule_that_bars_a_user_is_told_from_a_wrong_password(fixture: &mut Fixture) {
    let provider = fixture.provider("barred");
    let wanted = desired("barred");
    let secret = password("barred");
    fixture.make(&*provider, "barred", &wanted, &secret).await;
    let rules = fixture.ask("postgres", "SHOW hba_file").await.remove(0);
    let edit = async |program: &str| {
        let copy = format!(
            "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null; sed -i \"{program}\" {rules}'; SELECT pg_reload_conf()"
        );
        fixture.run("postgres", &copy).await;
    };
    edit("1i host all barred all reject").await;
    crate::fixture::eventually("it is barred", async || {
        let login = provider.login(&wanted.names, &secret).await.unwrap();
        matches!(login, Login::Barred(said) if said.contains("pg_hba.conf"))
    })
    .await;
    edit("1d").await;
    crate::fixture::eventually("it is let in again", async || {
        provider.login(&wanted.names, &secret).await.unwrap() == Login::Accepted
    })
    .await;

    fixture.run("postgres", "ALTER ROLE barred NOLOGIN").await;
    let login = provider.login(&wanted.names, &secret).await.unwrap();
    assert!(matches!(login, Login::Refused(_)), "{login:?}");
    provider.close().await;
}

fn assert_is_the_databases(error: &ProviderError) {
    assert!(matches!(error, ProviderError::InDatabase { .. }), "{error}");
    assert!(!error.is_server_down() && error.is_retryable(), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with("database \"") && !text.contains("spec.host"),
        "{text}"
    );
}
