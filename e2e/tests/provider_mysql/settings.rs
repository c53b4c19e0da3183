//! Settings of a whole server that forbid what the operator does, or that applications meet: each is told with the statement
//! that changes it, and that statement is enough.

use std::sync::Arc;

use db_operator::provider::{Login, ProviderError, TlsConfig, TlsMode, Warning, open};
use e2e::sql_servers::mariadb::LocalMariadb;
use secrecy::SecretString;

use crate::context::{Context, create, desired};

/// The statement of the one warning that contains this.
fn remedy(warnings: &[Warning], says: &str) -> String {
    let found: Vec<&Warning> = warnings.iter().filter(|w| w.what.contains(says)).collect();
    let [warning] = found[..] else {
        panic!("{says}: {warnings:?}");
    };
    warning.sql.clone()
}

/// `strict_password_validation` is on from the start; a plugin makes it count.
pub(crate) async fn a_check_of_passwords_is_told_with_what_lets_hashes_in(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let provider = open(context.config(&administrator), context.fence());
    let (before, names) = (context.names("before"), context.names("checked"));
    let (first, password) = (context.password(), context.password());
    create(provider.as_ref(), &desired(&before), &first).await;
    assert_eq!(provider.inspect().await.unwrap().warnings, []);
    context
        .server
        .run(&["INSTALL SONAME 'simple_password_check'"])
        .await
        .unwrap();
    let work = async {
        let warnings = provider.inspect().await.unwrap().warnings;
        let remedy = remedy(&warnings, "simple_password_check");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        // Where it was not inspected since.
        let verifier = provider.verifier(&password);
        let refused = provider
            .ensure_role(&desired(&names), Some(&verifier))
            .await
            .unwrap_err();
        let ProviderError::InTheWay(sentence) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            sentence.contains("strict-password-validation"),
            "{sentence}"
        );
        let login = provider.login(&before, &first).await.unwrap();
        assert_eq!(login, Login::Accepted, "what was there works");

        context.server.run(&[remedy]).await.unwrap();
        assert_eq!(provider.inspect().await.unwrap().warnings, []);
        create(provider.as_ref(), &desired(&names), &password).await;
        let login = provider.login(&names, &password).await.unwrap();
        assert_eq!(login, Login::Accepted);
    };
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
    context
        .server
        .run(&[
            "SET GLOBAL strict_password_validation = ON",
            "UNINSTALL SONAME 'simple_password_check'",
        ])
        .await
        .unwrap();
    outcome.unwrap();
}

pub(crate) async fn an_init_connect_that_fails_lets_no_one_in(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("init");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    context
        .server
        .run(&["SET GLOBAL init_connect = 'SELECT no_such_column'"])
        .await
        .unwrap();
    let login = provider.login(&names, &password).await;
    context
        .server
        .run(&["SET GLOBAL init_connect = ''"])
        .await
        .unwrap();
    let login = login.unwrap();
    let Login::Ended(sentence) = &login else {
        panic!("{login:?}");
    };
    assert!(sentence.contains("init_connect"), "{sentence}");
    let login = provider.login(&names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
}

pub(crate) async fn wrong_passwords_that_lock_a_user_are_told(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("wrong");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    assert_eq!(provider.inspect().await.unwrap().warnings, []);
    context
        .server
        .run(&["SET GLOBAL max_password_errors = 2"])
        .await
        .unwrap();
    let warnings = provider.inspect().await.unwrap().warnings;
    for _ in 0..2 {
        let login = provider.login(&names, &context.password()).await.unwrap();
        assert!(matches!(login, Login::Refused(_)), "{login:?}");
    }
    let locked = provider.login(&names, &password).await.unwrap();
    context
        .server
        .run(&[
            remedy(&warnings, "max_password_errors").as_str(),
            "FLUSH PRIVILEGES",
        ])
        .await
        .unwrap();
    assert!(matches!(locked, Login::Blocked(_)), "{locked:?}");
    let login = provider.login(&names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
    assert_eq!(provider.inspect().await.unwrap().warnings, []);
}

/// Whoever knows the user's name can block it; neither FLUSH PRIVILEGES nor a person is needed to end that.
pub(crate) async fn a_user_that_wrong_passwords_have_blocked_may_log_in_again(
    context: Arc<Context>,
) {
    let provider = context.provider().await;
    let names = context.names("blocked");
    let wanted = desired(&names);
    let password = context.password();
    create(provider.as_ref(), &wanted, &password).await;
    let clean = provider.observe(&names).await.unwrap();
    let (arm, disarm) = if context.mariadb {
        (
            "SET GLOBAL max_password_errors = 2".to_owned(),
            "SET GLOBAL max_password_errors = DEFAULT",
        )
    } else {
        let account = format!("'{}'@'%'", names.role);
        (
            format!("ALTER USER {account} FAILED_LOGIN_ATTEMPTS 2 PASSWORD_LOCK_TIME UNBOUNDED"),
            "DO 0",
        )
    };
    let work = async {
        let verifier = provider.verifier(&password);
        // By what the catalog tells, and by a login where it does not.
        for set in [None, Some(&verifier)] {
            context
                .server
                .run(std::slice::from_ref(&arm))
                .await
                .unwrap();
            for _ in 0..2 {
                let login = provider.login(&names, &context.password()).await.unwrap();
                assert_ne!(login, Login::Accepted);
            }
            let login = provider.login(&names, &password).await.unwrap();
            assert!(matches!(login, Login::Blocked(_)), "{login:?}");
            let role = provider.observe(&names).await.unwrap().role.unwrap();
            assert_ne!(role.may_be_blocked, !role.deviations.is_empty(), "{role:?}");
            if role.may_be_blocked && set.is_none() {
                continue;
            }
            let changes = provider.ensure_role(&wanted, set).await.unwrap();
            assert_eq!(changes.is_empty(), role.may_be_blocked, "{changes:?}");
            let login = provider.login(&names, &password).await.unwrap();
            assert_eq!(login, Login::Accepted);
        }
    };
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
    context.server.run(&[disarm]).await.unwrap();
    outcome.unwrap();
    let mut observed = provider.observe(&names).await.unwrap();
    if let (Some(role), Some(before)) = (&mut observed.role, &clean.role) {
        // On MySQL it has another salt.
        role.password = before.password;
    }
    assert_eq!(observed, clean);
}

pub(crate) async fn a_server_that_demands_tls_says_so(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let mut config = context.config(&administrator);
    config.tls = TlsConfig {
        mode: TlsMode::Disable,
        ca: None,
    };
    let plain = open(config, context.fence());
    context
        .server
        .run(&["SET GLOBAL require_secure_transport = ON"])
        .await
        .unwrap();
    let refused = plain.inspect().await;
    let found = open(context.config(&administrator), context.fence())
        .inspect()
        .await;
    context
        .server
        .run(&["SET GLOBAL require_secure_transport = OFF"])
        .await
        .unwrap();
    // By a number of its own, or as any login that is denied.
    match refused.unwrap_err() {
        ProviderError::TlsRequired { .. } => {}
        ProviderError::LoginRefused { detail, .. } => {
            assert!(detail.contains("require_secure_transport"), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    assert!(found.unwrap().tls.is_some());
    assert_eq!(plain.inspect().await.unwrap().tls, None);
}

/// On a server of its own, because nothing can switch a binary log on.
pub(crate) async fn a_binary_log_that_keeps_functions_out_is_told(_: Arc<Context>) {
    let logging = LocalMariadb::start(&["--log-bin=binlog"]).await.unwrap();
    let context = Context::new(logging.server.clone(), None).await;
    let provider = context.provider().await;
    let names = context.names("log");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let found = provider.inspect().await.unwrap();
    assert_eq!(found.unsuitable, [], "the operator needs no functions");
    let remedy = remedy(&found.warnings, "1419");
    let attempts = [
        "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
    ];
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    sqlx::raw_sql("CREATE TABLE t (a INT)")
        .execute(&mut tenant)
        .await
        .unwrap();
    for attempt in attempts {
        let refused = sqlx::raw_sql(attempt).execute(&mut tenant).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("SUPER"), "{attempt}: {refused}");
    }
    context.server.run(&[remedy]).await.unwrap();
    for attempt in attempts {
        sqlx::raw_sql(attempt).execute(&mut tenant).await.unwrap();
    }
    assert_eq!(provider.inspect().await.unwrap().warnings, []);
    context.clean().await.unwrap();
}

/// MySQL can forbid a password that was used before. An account that expired gets its own one again.
pub(crate) async fn a_password_that_was_used_before_is_set_again(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let provider = context.provider().await;
    let names = context.names("again");
    let wanted = desired(&names);
    let (first, second) = (context.password(), context.password());
    let set = |value: u32| {
        [
            format!("SET GLOBAL password_history = {value}"),
            format!("SET GLOBAL password_reuse_interval = {value}"),
        ]
    };
    context.server.run(&set(5)).await.unwrap();
    let work = async {
        create(provider.as_ref(), &wanted, &first).await;
        assert_eq!(provider.inspect().await.unwrap().unsuitable, []);
        let set = async |password: &SecretString| {
            let verifier = provider.verifier(password);
            let changed = provider
                .ensure_role(&wanted, Some(&verifier))
                .await
                .unwrap();
            assert_eq!(changed.len(), 1, "{changed:?}");
            let login = provider.login(&names, password).await.unwrap();
            assert_eq!(login, Login::Accepted);
        };
        set(&second).await;
        set(&first).await;
        let expire = format!("ALTER USER '{}'@'%' PASSWORD EXPIRE", names.role);
        context.server.run(&[expire]).await.unwrap();
        provider.ensure_role(&wanted, None).await.unwrap();
        let login = provider.login(&names, &first).await.unwrap();
        assert_eq!(login, Login::Accepted);
    };
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(work)).await;
    context.server.run(&set(0)).await.unwrap();
    outcome.unwrap();
}

/// MySQL's `authentication_policy`.
pub(crate) async fn a_policy_that_asks_for_more_than_a_password_is_told(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let provider = context.provider().await;
    let names = context.names("policy");
    let verifier = provider.verifier(&context.password());
    let before = context
        .server
        .value("SELECT @@GLOBAL.authentication_policy")
        .await
        .unwrap()
        .unwrap();
    let set = |value: &str| format!("SET GLOBAL authentication_policy = '{value}'");
    let told = provider.inspect().await.unwrap().warnings;
    let of_policy = |warning: &Warning| warning.what.contains("authentication_policy");
    assert!(!told.iter().any(of_policy), "{told:?}");
    let mut outcomes = Vec::new();
    for policy in ["*,*,", "sha256_password,,"] {
        context.server.run(&[set(policy)]).await.unwrap();
        let found = provider.inspect().await;
        let made = provider
            .ensure_role(&desired(&names), Some(&verifier))
            .await;
        context.server.run(&[set(&before)]).await.unwrap();
        outcomes.push((policy, found.unwrap().warnings, made));
    }
    for (policy, warnings, made) in outcomes {
        assert!(made.is_err(), "{policy}: {made:?}");
        let remedy = remedy(&warnings, "authentication_policy");
        assert!(remedy.ends_with("'*,,'"), "{remedy}");
    }
    provider
        .ensure_role(&desired(&names), Some(&verifier))
        .await
        .unwrap();
}
