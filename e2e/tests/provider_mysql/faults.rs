//! Servers that are slow, gone, restarted, read-only, or set up otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::{Login, ProviderError, Removal, Removed, TlsConfig, TlsMode, open};
use e2e::sql_servers::Certificates;
use secrecy::SecretString;
use sqlx::Connection;

use crate::context::{Context, create, desired};

pub(crate) async fn connections_stay_within_the_limit(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let names = context.names("limit");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let users = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER IN ('{}', '{}')",
        administrator.user, names.role
    );
    let storm = async {
        let calls = (0..40).map(|number| {
            let (provider, names, password) = (&provider, &names, &password);
            async move {
                if number % 4 == 0 {
                    assert_eq!(
                        provider.login(names, password).await.unwrap(),
                        Login::Accepted
                    );
                } else {
                    provider.observe(names).await.unwrap();
                }
            }
        });
        futures::future::join_all(calls).await;
    };
    let watch = async {
        let mut most = 0;
        loop {
            let count: i64 = context
                .server
                .value(&users)
                .await
                .unwrap()
                .unwrap()
                .parse()
                .unwrap();
            most = most.max(count);
            if most > 2 {
                return most;
            }
        }
    };
    tokio::select! {
        () = storm => {}
        most = watch => panic!("{most} connections"),
    }
}

pub(crate) async fn a_rotated_admin_password_is_told(context: Arc<Context>) {
    let (provider, mut administrator) = context.provider_and_administrator().await;
    let names = context.names("rotate");
    provider.observe(&names).await.unwrap();
    let new = format!("{}-2", administrator.password);
    let hash = context.identified(&SecretString::from(new.clone()));
    context
        .server
        .run(&[format!("ALTER USER '{}'@'%' {hash}", administrator.user)])
        .await
        .unwrap();
    // The session that is open goes on; a new one is refused.
    provider.observe(&names).await.unwrap();
    let stale = open(context.config(&administrator), context.fence());
    let refused = stale.observe(&names).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::LoginRefused { .. }),
        "{refused:?}"
    );
    assert!(refused.is_server_down());
    administrator.password = new;
    open(context.config(&administrator), context.fence())
        .observe(&names)
        .await
        .unwrap();
}

pub(crate) async fn tls_is_what_was_asked_for(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let names = context.names("tls");
    let strange = Certificates::new().unwrap().ca;
    let ours = context.server.ca.clone();
    let connect = |mode: TlsMode, ca: Option<&String>, host: Option<&str>| {
        let mut config = context.config(&administrator);
        config.tls = TlsConfig {
            mode,
            ca: ca.map(|pem| pem.clone().into_bytes()),
        };
        if let Some(host) = host {
            host.clone_into(&mut config.host);
        }
        let provider = open(config, context.fence());
        async move { provider.inspect().await }
    };
    let found = connect(TlsMode::Require, None, None).await.unwrap();
    assert!(found.tls.is_some());
    connect(TlsMode::VerifyCa, Some(&ours), None).await.unwrap();
    for (mode, ca) in [
        (TlsMode::VerifyCa, Some(&strange)),
        (TlsMode::VerifyCa, None),
        (TlsMode::VerifyFull, Some(&strange)),
    ] {
        let refused = connect(mode, ca, None).await.unwrap_err();
        assert!(
            matches!(refused, ProviderError::Tls { .. }),
            "{mode:?}: {refused:?}"
        );
    }
    if context.server.verifies_host {
        connect(TlsMode::VerifyFull, Some(&ours), None)
            .await
            .unwrap();
        // An address that the certificate does not name.
        connect(TlsMode::VerifyCa, Some(&ours), Some("127.0.0.1"))
            .await
            .unwrap();
        let refused = connect(TlsMode::VerifyFull, Some(&ours), Some("127.0.0.1"))
            .await
            .unwrap_err();
        assert!(matches!(refused, ProviderError::Tls { .. }), "{refused:?}");
    } else {
        let refused = connect(TlsMode::VerifyFull, Some(&ours), None)
            .await
            .unwrap_err();
        assert!(matches!(refused, ProviderError::Tls { .. }), "{refused:?}");
    }
    let clear = connect(TlsMode::Disable, None, None).await;
    if context.mariadb {
        assert_eq!(clear.unwrap().tls, None);
    } else {
        // Also when the server knows the password already and would let it pass.
        let refused = clear.unwrap_err();
        assert!(
            matches!(refused, ProviderError::TlsRequired { .. }),
            "{refused:?}"
        );
        return;
    }
    // MariaDB's own authentication needs none, for the administrator and for a database's user.
    let mut config = context.config(&administrator);
    config.tls = TlsConfig {
        mode: TlsMode::Disable,
        ca: None,
    };
    let provider = open(config, context.fence());
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let login = provider.login(&names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
}

pub(crate) async fn a_server_that_folds_names_refuses_upper_case(context: Arc<Context>) {
    let provider = context.provider().await;
    let stem = context.unique("");
    let upper = desired(&crate::context::names(
        &format!("{stem}Upper"),
        &context.unique("u"),
    ));
    for refused in [
        provider.validate(&upper).await.unwrap_err(),
        provider.ensure_database(&upper).await.unwrap_err(),
    ] {
        assert!(
            matches!(&refused, ProviderError::Unsupported(text) if text.contains("lower case")),
            "{refused:?}"
        );
    }
    // Users are not folded.
    let lower = desired(&context.named(&format!("{stem}upper"), &context.unique("U")));
    let password = context.password();
    create(provider.as_ref(), &lower, &password).await;
    assert_eq!(
        provider.login(&lower.names, &password).await.unwrap(),
        Login::Accepted
    );
}

pub(crate) async fn a_read_only_server_is_told(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let names = context.names("replica");
    provider.inspect().await.unwrap();
    context
        .server
        .run(&["SET GLOBAL read_only = ON"])
        .await
        .unwrap();
    let new = open(context.config(&administrator), context.fence());
    let found = new.inspect().await.unwrap();
    assert!(found.read_only);
    let refused = provider
        .ensure_database(&desired(&names))
        .await
        .unwrap_err();
    assert!(
        matches!(refused, ProviderError::ReadOnly { .. }),
        "{refused:?}"
    );
    let refused = new.observe(&names).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::ReadOnly { .. }),
        "{refused:?}"
    );
    context
        .server
        .run(&["SET GLOBAL read_only = OFF"])
        .await
        .unwrap();
    assert!(!new.inspect().await.unwrap().read_only);
    new.observe(&names).await.unwrap();
}

/// Only on a server of its own: these are for everybody who connects.
pub(crate) async fn what_a_server_is_set_to_for_all_does_not_reach_us(context: Arc<Context>) {
    let settings = [
        ("sql_select_limit", "1"),
        ("sql_safe_updates", "1"),
        ("tx_read_only", "1"),
        ("foreign_key_checks", "0"),
        ("lc_messages", "'de_DE'"),
        ("wait_timeout", "2"),
        ("sql_mode", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'"),
        ("lock_wait_timeout", "86400"),
    ];
    let set = |value: &dyn Fn(&str, &str) -> String| -> Vec<String> {
        settings
            .iter()
            .map(|(name, changed)| format!("SET GLOBAL {name} = {}", value(name, changed)))
            .collect()
    };
    let mut before = std::collections::HashMap::new();
    for (name, _) in settings {
        let value = context
            .server
            .value(&format!("SELECT @@GLOBAL.{name}"))
            .await
            .unwrap();
        before.insert(name, value.unwrap_or_default());
    }
    let administrator = context.administrator().await;
    let names = context.names("set");
    let password = context.password();
    context
        .server
        .run(&set(&|_, changed| changed.to_owned()))
        .await
        .unwrap();
    let work = async {
        let provider = open(context.config(&administrator), context.fence());
        create(provider.as_ref(), &desired(&names), &password).await;
        provider
            .write_claim(&crate::context::claim(&names, "cluster"), None)
            .await
            .unwrap();
        // Several rows, and more than one session.
        let survey = provider.survey().await.unwrap();
        let observed = provider.observe(&names).await.unwrap();
        let claim = observed.claims[0].clone();
        let login = provider.login(&names, &password).await.unwrap();
        let removal = Removal {
            names: names.clone(),
            database: true,
            role: true,
        };
        let removed = provider.remove(&removal).await.unwrap();
        provider.forget_claim(&claim).await.unwrap();
        provider.close().await;
        (survey.of(&names) == observed, login, removed)
    };
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
    context
        .server
        .run(&set(&|name, _| {
            let value = &before[name];
            if value.parse::<u64>().is_ok() {
                value.clone()
            } else {
                format!("'{value}'")
            }
        }))
        .await
        .unwrap();
    assert_eq!(outcome.unwrap(), (true, Login::Accepted, Removed::Done));
}

/// Amazon's RDS: no privilege to end others' sessions, but a procedure.
pub(crate) async fn the_procedure_of_a_managed_server_ends_sessions(context: Arc<Context>) {
    let grants: Vec<_> = context
        .least()
        .iter()
        .map(|grant| grant.replace(", CONNECTION ADMIN", ""))
        .collect();
    let administrator = context.administrator_with(&grants).await;
    let names = context.names("rds");
    let password = context.password();
    let provider = open(context.config(&administrator), context.fence());
    create(provider.as_ref(), &desired(&names), &password).await;
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    let removal = Removal {
        names: names.clone(),
        database: true,
        role: true,
    };
    let refused = provider.remove(&removal).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::NotPermitted { .. }),
        "{refused:?}"
    );
    assert!(!provider.inspect().await.unwrap().missing.is_empty());

    context
        .server
        .run(&[
            "CREATE PROCEDURE mysql.rds_kill(IN id BIGINT) SQL SECURITY DEFINER KILL CONNECTION id",
        ])
        .await
        .unwrap();
    assert_eq!(provider.inspect().await.unwrap().missing, []);
    let removed = provider.remove(&removal).await;
    context
        .server
        .run(&["DROP PROCEDURE mysql.rds_kill"])
        .await
        .unwrap();
    assert_eq!(removed.unwrap(), Removed::Done);
    assert!(tenant.ping().await.is_err());
}

pub(crate) async fn a_restarted_server_is_worked_with_again(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("restart");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let mut process = context.process.lock().await;
    let server = process.as_mut().unwrap();
    server.kill().unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        let error = provider.observe(&names).await.unwrap_err();
        assert!(
            matches!(error, ProviderError::Unreachable { .. }),
            "{error:?}"
        );
        assert!(error.is_retryable() && error.is_server_down());
    }
    let error = provider.login(&names, &password).await.unwrap_err();
    assert!(
        matches!(error, ProviderError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    server.launch().await.unwrap();
    context.server.log_to_table().await.unwrap();
    assert!(provider.observe(&names).await.unwrap().database.is_some());
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted
    );
    // The registrations of the sessions that died with the server are gone, too.
    provider.close().await;
    let left = "SELECT COUNT(*) FROM db_operator.sessions s \
                WHERE IS_USED_LOCK(CONCAT('db_operator/', token)) IS NULL AND cluster_id IN \
                (SELECT cluster_id FROM db_operator.claims)";
    assert_eq!(
        context.server.value(left).await.unwrap().as_deref(),
        Some("0")
    );
}
