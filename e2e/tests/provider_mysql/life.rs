//! From nothing to a database that its user works in.

use std::sync::Arc;

use db_operator::provider::{
    DatabaseFacts, Flavour, Login, MysqlSettings, Observed, Ours, RoleFacts, open,
};
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Context, claim, create, desired};

pub(crate) async fn a_database_is_created_and_its_user_logs_in(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("new");
    assert_eq!(provider.observe(&names).await.unwrap(), Observed::default());
    let mut wanted = desired(&names);
    wanted.connection_limit = Some(7);
    provider.validate(&wanted).await.unwrap();
    provider
        .write_claim(&claim(&names, &context.unique("")), None)
        .await
        .unwrap();

    let password = context.password();
    let verifier = provider.verifier(&password);
    let made = provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    assert_eq!(made.len(), 1, "{made:?}");
    let made = provider.ensure_database(&wanted).await.unwrap();
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!(provider.ensure_contents(&wanted).await.unwrap(), []);
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::Accepted
    );

    let observed = provider.observe(&names).await.unwrap();
    let expected = RoleFacts {
        can_login: true,
        connection_limit: Some(7),
        powers: vec![],
        alterable: true,
        deviations: vec![],
        hindrances: vec![],
        may_be_blocked: false,
        ours: Ours::Unknown,
        password: observed.role.as_ref().and_then(|role| role.password),
    };
    assert!(expected.password.is_some());
    assert_eq!(observed.role, Some(expected));
    let DatabaseFacts {
        owner, deviations, ..
    } = observed.database.unwrap();
    assert_eq!(owner.as_deref(), Some(names.role.as_str()));
    assert_eq!(deviations, [""; 0]);

    // Everything that an owner does in its database.
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    for statement in [
        "CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB",
        "CREATE VIEW v AS SELECT a FROM t",
        "CREATE PROCEDURE p() SELECT 1",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
        "INSERT INTO t VALUES (1)",
        "LOCK TABLES t READ",
        "UNLOCK TABLES",
        "CALL p()",
        "DROP EVENT e",
    ] {
        let outcome = sqlx::raw_sql(statement).execute(&mut tenant).await;
        assert!(outcome.is_ok(), "{statement}: {outcome:?}");
    }
    // MySQL with a binary log lets only somebody with SUPER make triggers, whatever else they may do.
    let trigger = "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.a = NEW.a + 1";
    if let Err(refused) = sqlx::raw_sql(trigger).execute(&mut tenant).await {
        assert!(refused.to_string().contains("binary logging"), "{refused}");
    }
    // And nothing else.
    let other = context.names("other");
    create(provider.as_ref(), &desired(&other), &context.password()).await;
    for statement in [
        format!("CREATE TABLE {}.t (a INT)", other.database.mysql()),
        format!("USE {}", other.database.mysql()),
        "SELECT * FROM db_operator.claims".to_owned(),
        "CREATE DATABASE x".to_owned(),
        "CREATE USER x@'%'".to_owned(),
    ] {
        let outcome = sqlx::raw_sql(AssertSqlSafe(statement.clone()))
            .execute(&mut tenant)
            .await;
        assert!(outcome.is_err(), "{statement}");
    }
    tenant.close().await.unwrap();
}

pub(crate) async fn the_second_time_nothing_is_changed(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let names = context.names("same");
    let mut wanted = desired(&names);
    wanted.connection_limit = Some(3);
    let password = context.password();
    let verifier = provider.verifier(&password);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(&wanted).await.unwrap();

    let before = context.server.log(&administrator.user).await.unwrap().len();
    assert_eq!(
        provider
            .ensure_role(&wanted, Some(&verifier))
            .await
            .unwrap(),
        []
    );
    assert_eq!(provider.ensure_role(&wanted, None).await.unwrap(), []);
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    let log = context.server.log(&administrator.user).await.unwrap();
    let after = &log[before..];
    assert!(!after.is_empty());
    for line in after {
        assert!(
            line.statement.is_empty() || line.statement.starts_with("SELECT"),
            "a change: {line:?}"
        );
    }
}

pub(crate) async fn a_login_tells_what_is_wrong(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("login");
    let password = context.password();
    let missing = provider.login(&names, &password).await.unwrap();
    assert!(matches!(missing, Login::Refused(_)), "{missing:?}");

    let mut wanted = desired(&names);
    wanted.connection_limit = Some(1);
    let verifier = provider.verifier(&password);
    provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    let no_database = provider.login(&names, &password).await.unwrap();
    assert!(
        matches!(no_database, Login::NoDatabase(_)),
        "{no_database:?}"
    );

    provider.ensure_database(&wanted).await.unwrap();
    let wrong = SecretString::from("wrong");
    let refused = provider.login(&names, &wrong).await.unwrap();
    assert!(matches!(refused, Login::Refused(_)), "{refused:?}");

    let one = context.tenant(&names, &password).await.unwrap();
    assert_eq!(
        provider.login(&names, &password).await.unwrap(),
        Login::AtConnectionLimit
    );
    let refused = provider.login(&names, &wrong).await.unwrap();
    assert!(matches!(refused, Login::Refused(_)), "{refused:?}");
    one.close().await.unwrap();

    let lock = format!("ALTER USER '{}'@'%' ACCOUNT LOCK", names.role);
    context.server.run(&[lock]).await.unwrap();
    let locked = provider.login(&names, &password).await.unwrap();
    assert!(matches!(locked, Login::Refused(_)), "{locked:?}");
}

pub(crate) async fn a_changed_password_is_followed(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("pass");
    let wanted = desired(&names);
    let (first, second) = (context.password(), context.password());
    create(provider.as_ref(), &wanted, &first).await;
    let verifier = provider.verifier(&second);
    let changes = provider
        .ensure_role(&wanted, Some(&verifier))
        .await
        .unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert!(matches!(
        provider.login(&names, &first).await.unwrap(),
        Login::Refused(_)
    ));
    assert_eq!(
        provider.login(&names, &second).await.unwrap(),
        Login::Accepted
    );
}

pub(crate) async fn character_sets_are_followed(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("chars");
    let mut wanted = desired(&names);
    wanted.mysql = MysqlSettings {
        character_set: Some("latin1".to_owned()),
        collation: Some("latin1_bin".to_owned()),
    };
    provider.validate(&wanted).await.unwrap();
    create(provider.as_ref(), &wanted, &context.password()).await;
    let facts = provider.observe(&names).await.unwrap().database.unwrap();
    assert_eq!(
        (facts.character_set.as_str(), facts.collation.as_str()),
        ("latin1", "latin1_bin")
    );

    wanted.mysql = MysqlSettings {
        character_set: Some("utf8mb4".to_owned()),
        collation: None,
    };
    let changes = provider.ensure_database(&wanted).await.unwrap();
    assert_eq!(changes.len(), 1, "{changes:?}");
    let facts = provider.observe(&names).await.unwrap().database.unwrap();
    assert_eq!(facts.character_set, "utf8mb4");
    assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);

    for (character_set, collation) in [
        (Some("klingon"), None),
        (None, Some("utf8mb4_klingon_ci")),
        (Some("latin1"), Some("utf8mb4_bin")),
        (Some("x' COLLATE y"), None),
    ] {
        wanted.mysql = MysqlSettings {
            character_set: character_set.map(str::to_owned),
            collation: collation.map(str::to_owned),
        };
        let refused = provider.validate(&wanted).await.unwrap_err();
        assert!(!refused.is_retryable(), "{refused:?}");
    }
}

/// MariaDB takes a collation without its character set, and names it with it.
pub(crate) async fn a_collation_of_mariadb_is_the_same_in_two_spellings(context: Arc<Context>) {
    if !context.mariadb {
        return;
    }
    let provider = context.provider().await;
    let names = context.names("spell");
    let mut wanted = desired(&names);
    let with = |character_set: &str, collation: &str| MysqlSettings {
        character_set: Some(character_set.to_owned()).filter(|text| !text.is_empty()),
        collation: Some(collation.to_owned()),
    };
    wanted.mysql = with("utf8mb4", "uca1400_ai_ci");
    provider.validate(&wanted).await.unwrap();
    create(provider.as_ref(), &wanted, &context.password()).await;
    let full = "utf8mb4_uca1400_ai_ci";
    for spelling in [
        with("utf8mb4", "uca1400_ai_ci"),
        with("", "uca1400_ai_ci"),
        with("utf8mb4", full),
        with("", full),
    ] {
        wanted.mysql = spelling;
        let facts = provider.observe(&names).await.unwrap().database.unwrap();
        assert_eq!(
            (facts.character_set.as_str(), facts.collation.as_str()),
            ("utf8mb4", full)
        );
        assert!(wanted.mysql.are(&facts.character_set, &facts.collation));
        assert_eq!(provider.ensure_database(&wanted).await.unwrap(), []);
    }
    // What somebody set by hand is seen, and put back.
    let schema = names.database.mysql();
    for by_hand in ["CHARACTER SET latin1", "COLLATE utf8mb4_bin"] {
        wanted.mysql = with("utf8mb4", "uca1400_ai_ci");
        let alter = format!("ALTER DATABASE {schema} {by_hand}");
        context.server.run(&[alter]).await.unwrap();
        let facts = provider.observe(&names).await.unwrap().database.unwrap();
        assert!(!wanted.mysql.are(&facts.character_set, &facts.collation));
        let changes = provider.ensure_database(&wanted).await.unwrap();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(
            changes[0].0.ends_with(&format!("is utf8mb4 ({full})")),
            "{changes:?}"
        );
    }
    wanted.mysql = with("latin1", "uca1400_ai_ci");
    let refused = provider.validate(&wanted).await.unwrap_err();
    assert!(!refused.is_retryable(), "{refused:?}");
}

pub(crate) async fn a_survey_says_what_observe_says(context: Arc<Context>) {
    let provider = context.provider().await;
    let cluster = context.unique("");
    let all: Vec<_> = (0..3).map(|_| context.names("sur_vey")).collect();
    for names in &all {
        create(provider.as_ref(), &desired(names), &context.password()).await;
        provider
            .write_claim(&claim(names, &cluster), None)
            .await
            .unwrap();
    }
    context
        .server
        .run(&[
            format!("ALTER USER '{}'@'%' ACCOUNT LOCK", all[1].role),
            format!("DROP DATABASE {}", all[2].database.mysql()),
        ])
        .await
        .unwrap();
    let survey = provider.survey().await.unwrap();
    for names in &all {
        assert_eq!(survey.of(names), provider.observe(names).await.unwrap());
    }
    assert!(survey.databases.contains_key(all[0].database.as_str()));
    assert!(!survey.roles[all[1].role.as_str()].can_login);
    assert!(!survey.databases.contains_key(all[2].database.as_str()));
}

pub(crate) async fn inspection_tells_what_was_found(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let found = provider.inspect().await.unwrap();
    let version = context
        .server
        .value("SELECT VERSION()")
        .await
        .unwrap()
        .unwrap();
    assert!(version.starts_with(&found.version), "{version} {found:?}");
    assert!(
        found.version.starts_with(&format!("{}.", found.series)),
        "{found:?}"
    );
    let flavour = if context.mariadb {
        Flavour::Mariadb
    } else {
        Flavour::Mysql
    };
    assert_eq!(found.flavour, flavour);
    assert!(
        found.tls.as_ref().is_some_and(|tls| tls.contains("TLS")),
        "{found:?}"
    );
    assert!(!found.read_only);
    assert_eq!(found.missing, []);
    assert!(found.identity.is_some());
    let again = open(context.config(&administrator), context.fence());
    let mut again = again.inspect().await.unwrap();
    // What others made meanwhile.
    again.warnings.clone_from(&found.warnings);
    assert_eq!(again, found);
}
