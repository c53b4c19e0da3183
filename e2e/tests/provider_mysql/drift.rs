//! What others changed, and what stood there before.

use std::sync::Arc;

use db_operator::provider::{Login, ProviderError};
use sqlx::Connection;

use crate::context::{Context, create, desired};

pub(crate) async fn drift_is_seen_and_put_back(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("dr_ift");
    let mut wanted = desired(&names);
    wanted.connection_limit = Some(5);
    let password = context.password();
    create(provider.as_ref(), &wanted, &password).await;
    let clean = provider.observe(&names).await.unwrap();
    let account = format!("'{}'@'%'", names.role);
    let exact = context.pattern(&names.database);
    let wild = names.database.mysql();

    let mut of_role = vec![
        format!("ALTER USER {account} WITH MAX_USER_CONNECTIONS 9"),
        format!("ALTER USER {account} ACCOUNT LOCK"),
        format!("ALTER USER {account} PASSWORD EXPIRE INTERVAL 1 DAY"),
        format!("ALTER USER {account} PASSWORD EXPIRE"),
        format!("ALTER USER {account} REQUIRE X509"),
        format!("ALTER USER {account} REQUIRE SUBJECT '/CN=nobody'"),
        format!("ALTER USER {account} WITH MAX_QUERIES_PER_HOUR 1"),
        format!("ALTER USER {account} WITH MAX_UPDATES_PER_HOUR 1"),
        format!("ALTER USER {account} WITH MAX_CONNECTIONS_PER_HOUR 1"),
    ];
    if !context.mariadb {
        of_role.push(format!(
            "ALTER USER {account} FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED"
        ));
    }
    if context.mariadb {
        of_role.push(format!("ALTER USER {account} WITH MAX_STATEMENT_TIME 0.5"));
        let identified = context.identified(&password);
        of_role.push(format!("ALTER USER {account} {identified} OR unix_socket"));
    }
    let of_database = [
        format!("REVOKE EVENT, DROP ON {exact}.* FROM {account}"),
        format!("REVOKE ALL PRIVILEGES ON {exact}.* FROM {account}"),
        format!("GRANT SELECT ON {exact}.* TO {account} WITH GRANT OPTION"),
        format!("GRANT SELECT ON {wild}.* TO {account}"),
        format!("DROP DATABASE {wild}"),
    ];
    for drift in of_role {
        context
            .server
            .run(std::slice::from_ref(&drift))
            .await
            .unwrap();
        assert_ne!(provider.observe(&names).await.unwrap(), clean, "{drift}");
        assert_eq!(
            provider.ensure_database(&wanted).await.unwrap(),
            [],
            "{drift}"
        );
        let changes = provider.ensure_role(&wanted, None).await.unwrap();
        assert_eq!(changes.len(), 1, "{drift}: {changes:?}");
        assert_eq!(provider.observe(&names).await.unwrap(), clean, "{drift}");
        // The password is what it was.
        let login = provider.login(&names, &password).await.unwrap();
        assert_eq!(login, Login::Accepted, "{drift}");
    }
    for drift in of_database {
        if context.literal_grants
            && drift.starts_with(&format!("GRANT SELECT ON {wild}.* TO {account}"))
        {
            continue;
        }
        context
            .server
            .run(std::slice::from_ref(&drift))
            .await
            .unwrap();
        assert_ne!(provider.observe(&names).await.unwrap(), clean, "{drift}");
        assert_eq!(
            provider.ensure_role(&wanted, None).await.unwrap(),
            [],
            "{drift}"
        );
        let changes = provider.ensure_database(&wanted).await.unwrap();
        assert_eq!(changes.len(), 1, "{drift}: {changes:?}");
        assert_eq!(provider.observe(&names).await.unwrap(), clean, "{drift}");
    }
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted
    );

    // Dropped altogether: only with a password can it be made again.
    context
        .server
        .run(&[format!("DROP USER {account}")])
        .await
        .unwrap();
    assert!(provider.ensure_role(&wanted, None).await.is_err());
    let verifier = provider.verifier(&password);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(&wanted).await.unwrap();
    let mut observed = provider.observe(&names).await.unwrap();
    if let (Some(role), Some(before)) = (&mut observed.role, &clean.role) {
        // On MySQL it has another salt.
        role.password = before.password;
    }
    assert_eq!(observed, clean);
}

pub(crate) async fn what_hinders_a_login_is_told_from_what_does_not(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("hinder");
    let wanted = desired(&names);
    let password = context.password();
    create(provider.as_ref(), &wanted, &password).await;
    let clean = provider.observe(&names).await.unwrap();
    let account = format!("'{}'@'%'", names.role);
    // Nobody is taken for able to log in who has to change the password first.
    context
        .server
        .run(&[format!("ALTER USER {account} PASSWORD EXPIRE")])
        .await
        .unwrap();
    let login = provider.login(&names, &password).await.unwrap();
    assert!(matches!(login, Login::Refused(_)), "{login:?}");
    provider.ensure_role(&wanted, None).await.unwrap();
    // What is for the platform to ask, and keeps nobody out here.
    context
        .server
        .run(&[format!("ALTER USER {account} REQUIRE SSL")])
        .await
        .unwrap();
    assert_eq!(provider.observe(&names).await.unwrap(), clean);
    let login = provider.login(&names, &password).await.unwrap();
    assert_eq!(login, Login::Accepted);
}

/// No Secret contains a second factor, or a third one.
pub(crate) async fn further_factors_are_taken_back(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let provider = context.provider().await;
    let names = context.names("factors");
    let wanted = desired(&names);
    let password = context.password();
    create(provider.as_ref(), &wanted, &password).await;
    let clean = provider.observe(&names).await.unwrap();
    let account = format!("'{}'@'%'", names.role);
    let add = |number| format!("ADD {number} FACTOR IDENTIFIED WITH auth_socket");
    context
        .server
        .run(&["INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'"])
        .await
        .unwrap();
    for factors in [add(2), format!("{} {}", add(2), add(3))] {
        context
            .server
            .run(&[format!("ALTER USER {account} {factors}")])
            .await
            .unwrap();
        let login = provider.login(&names, &password).await.unwrap();
        assert!(matches!(login, Login::Refused(_)), "{login:?}");
        let role = provider.observe(&names).await.unwrap().role.unwrap();
        let [deviation] = &role.deviations[..] else {
            panic!("{role:?}");
        };
        assert!(deviation.contains("factor"), "{deviation}");
        // Together with what the grammar has in another statement.
        let locked = format!("ALTER USER {account} ACCOUNT LOCK");
        context.server.run(&[locked]).await.unwrap();
        let changes = provider.ensure_role(&wanted, None).await.unwrap();
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert_eq!(provider.observe(&names).await.unwrap(), clean);
        let login = provider.login(&names, &password).await.unwrap();
        assert_eq!(login, Login::Accepted);
    }
    context
        .server
        .run(&["UNINSTALL PLUGIN auth_socket"])
        .await
        .unwrap();
}

/// Without a login, and without knowing what it should be.
pub(crate) async fn a_changed_password_is_seen(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("moved");
    let (first, second) = (context.password(), context.password());
    create(provider.as_ref(), &desired(&names), &first).await;
    let stored = async || {
        let role = provider.observe(&names).await.unwrap().role.unwrap();
        role.password.unwrap()
    };
    let before = stored().await;
    assert_eq!(stored().await, before);
    let mut tenant = context.tenant(&names, &first).await.unwrap();
    let change = format!("ALTER USER USER() {}", context.identified(&second));
    // A user may set a password, but no hash, where the server judges passwords.
    if sqlx::raw_sql(sqlx::AssertSqlSafe(change))
        .execute(&mut tenant)
        .await
        .is_err()
    {
        let of_root = format!(
            "ALTER USER '{}'@'%' {}",
            names.role,
            context.identified(&second)
        );
        context.server.run(&[of_root]).await.unwrap();
    }
    assert_ne!(stored().await, before);
}

/// Neither server drops privileges with a schema.
pub(crate) async fn privileges_of_an_earlier_database_are_revoked(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("ear_lier");
    let former = context.names("former");
    let password = context.password();
    let account = format!("'{}'@'%'", former.role);
    let exact = context.pattern(&names.database);
    context
        .server
        .run(&[
            format!("CREATE DATABASE {}", names.database.mysql()),
            format!("CREATE USER {account} {}", context.identified(&password)),
            format!("GRANT ALL PRIVILEGES ON {exact}.* TO {account} WITH GRANT OPTION"),
            format!("DROP DATABASE {}", names.database.mysql()),
        ])
        .await
        .unwrap();
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let former = crate::context::names(names.database.as_str(), former.role.as_str());
    let login = provider.login(&former, &password).await.unwrap();
    assert!(matches!(login, Login::NoDatabase(_)), "{login:?}");
    let facts = provider.observe(&names).await.unwrap().database.unwrap();
    assert_eq!(facts.owner.as_deref(), Some(names.role.as_str()));

    // What is granted by hand on a database that stands is left alone.
    context
        .server
        .run(&[format!("GRANT SELECT ON {exact}.* TO {account}")])
        .await
        .unwrap();
    assert_eq!(
        provider.ensure_database(&desired(&names)).await.unwrap(),
        []
    );
    assert_eq!(
        provider.login(&former, &password).await.unwrap(),
        Login::Accepted
    );
}

pub(crate) async fn an_adopted_database_keeps_its_data(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("leg_acy");
    let (old, new) = (context.password(), context.password());
    let account = format!("'{}'@'%'", names.role);
    let schema = names.database.mysql();
    context
        .server
        .run(&[
            format!("CREATE DATABASE {schema} CHARACTER SET latin1"),
            format!("CREATE USER {account} {}", context.identified(&old)),
            // As everybody writes it: `_` is a wildcard here.
            format!("GRANT ALL PRIVILEGES ON {schema}.* TO {account}"),
            format!("CREATE TABLE {schema}.t (a INT) ENGINE=InnoDB"),
            format!("INSERT INTO {schema}.t VALUES (42)"),
        ])
        .await
        .unwrap();
    let facts = provider.observe(&names).await.unwrap();
    let database = facts.database.unwrap();
    assert_eq!(database.owner.as_deref(), Some(names.role.as_str()));
    let wildcards = usize::from(!context.literal_grants);
    assert_eq!(database.deviations.len(), wildcards, "{database:?}");
    assert_eq!(facts.role.unwrap().powers, [""; 0]);

    create(provider.as_ref(), &desired(&names), &new).await;
    let facts = provider.observe(&names).await.unwrap();
    assert_eq!(facts.database.unwrap().deviations, [""; 0]);
    assert_eq!(facts.role.unwrap().deviations, [""; 0]);
    let mut tenant = context.tenant(&names, &new).await.unwrap();
    let rows = sqlx::raw_sql("SELECT a FROM t WHERE a = 42")
        .fetch_all(&mut tenant)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    sqlx::raw_sql("ALTER TABLE t ADD b INT")
        .execute(&mut tenant)
        .await
        .unwrap();
    tenant.close().await.unwrap();
}

pub(crate) async fn powers_are_named(context: Arc<Context>) {
    let provider = context.provider().await;
    let role = context.unique("role");
    let mut cases = vec![
        ("GRANT CREATE USER ON *.* TO {}", "CREATE USER"),
        ("GRANT SELECT ON *.* TO {}", "SELECT"),
        ("GRANT USAGE ON *.* TO {} WITH GRANT OPTION", "GRANT OPTION"),
        ("GRANT UPDATE ON mysql.* TO {}", "privileges on mysql"),
        ("GRANT UPDATE ON `my%`.* TO {}", "privileges on mysql"),
        ("GRANT UPDATE ON mysql.db TO {}", "privileges on mysql.db"),
        ("GRANT PROXY ON ''@'%' TO {}", "PROXY"),
    ];
    if context.mariadb {
        cases.push(("GRANT BINLOG ADMIN ON *.* TO {}", "BINLOG ADMIN"));
    } else {
        cases.push(("GRANT SYSTEM_USER ON *.* TO {}", "SYSTEM_USER"));
    }
    let member = format!("membership of the role {role}");
    let grant_role = format!("GRANT `{role}` TO {{}}");
    cases.push((&grant_role, &member));
    context
        .server
        .run(&[format!("CREATE ROLE `{role}`")])
        .await
        .unwrap();
    for (grant, power) in cases {
        if context.literal_grants && grant.contains("my%") {
            continue;
        }
        let names = context.names("power");
        let account = format!("'{}'@'%'", names.role);
        let statements = [
            format!("CREATE USER {account}"),
            grant.replace("{}", &account),
            format!("GRANT PROCESS ON *.* TO {account}"),
        ];
        // Only what can be given away by an account that has it itself.
        if let Err(error) = context.server.run(&statements).await {
            assert!(grant.contains("PROXY"), "{grant}: {error}");
            continue;
        }
        let facts = provider.observe(&names).await.unwrap().role.unwrap();
        assert_eq!(facts.powers, [power], "{grant}");
    }
    let names = context.named(&context.unique("r"), &role);
    let facts = provider.observe(&names).await.unwrap().role;
    if context.mariadb {
        assert_eq!(facts.unwrap().powers.len(), 1);
    } else {
        assert!(!facts.unwrap().can_login);
    }
    context
        .server
        .run(&[format!("DROP ROLE `{role}`")])
        .await
        .unwrap();
}

/// `user@'10.%'` would answer in the place of `user@'%'`, with another password.
pub(crate) async fn an_account_at_another_host_is_in_the_way(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("hosts");
    let account = format!("'{}'@'10.0.0.%'", names.role);
    context
        .server
        .run(&[format!("CREATE USER {account}")])
        .await
        .unwrap();
    assert_eq!(provider.observe(&names).await.unwrap().role, None);
    let verifier = provider.verifier(&context.password());
    let wanted = desired(&names);
    // Before anything is made, and where somebody was faster.
    for refused in [
        provider.validate(&wanted).await.unwrap_err(),
        provider
            .ensure_role(&wanted, Some(&verifier))
            .await
            .unwrap_err(),
    ] {
        let ProviderError::InTheWay(sentence) = refused else {
            panic!("{refused:?}");
        };
        assert!(sentence.contains("10.0.0.%"), "{sentence}");
    }
    context
        .server
        .run(&[format!("DROP USER {account}")])
        .await
        .unwrap();

    // Where ours was there first, it is told of, and left to whoever made it.
    let password = context.password();
    create(provider.as_ref(), &wanted, &password).await;
    let clean = provider.observe(&names).await.unwrap();
    context
        .server
        .run(&[format!("CREATE USER {account} ACCOUNT LOCK")])
        .await
        .unwrap();
    let observed = provider.observe(&names).await.unwrap();
    let hindrances = observed.role.unwrap().hindrances;
    let [hindrance] = &hindrances[..] else {
        panic!("{hindrances:?}");
    };
    assert_eq!(provider.ensure_role(&wanted, None).await.unwrap(), []);
    let (_, remedy) = hindrance.rsplit_once("run: ").unwrap();
    context.server.run(&[remedy]).await.unwrap();
    assert_eq!(provider.observe(&names).await.unwrap(), clean);
}
