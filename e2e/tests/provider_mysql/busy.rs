//! Who is named when a change waits for a lock in vain.

use std::sync::Arc;

use db_operator::provider::{MysqlSettings, ProviderError};
use sqlx::Connection;

use crate::context::{Context, claim, create, desired};
use crate::lock_waits::{id, run};

fn assert_names(error: &ProviderError, session: i64, whose: &str, neighbour: &str) {
    let text = error.to_string();
    assert!(
        matches!(error.cause(), ProviderError::Busy { .. }),
        "{text}"
    );
    assert!(
        text.contains(&format!("session {session} (user \"{whose}"))
            && text.contains(&format!("KILL {session}")),
        "{text}"
    );
    assert!(!text.contains(neighbour), "{text}");
}

/// Where the server does not say who has a lock, as it does on none of these, it may be anybody who is at work in the database, or
/// in a transaction.
pub(crate) async fn who_holds_up_a_change_is_named(context: Arc<Context>) {
    let provider = context.provider().await;
    let (names, other) = (context.names("changing"), context.names("stranger"));
    let password = context.password();
    for names in [&names, &other] {
        create(provider.as_ref(), &desired(names), &password).await;
    }
    let theirs = claim(&other, &context.unique(""));
    provider.write_claim(&theirs, None).await.unwrap();
    let mut neighbour = context.tenant(&other, &password).await.unwrap();
    for statement in [
        "CREATE TABLE t (secret INT) ENGINE=InnoDB",
        "START TRANSACTION",
        "INSERT INTO t VALUES (1)",
    ] {
        run(&mut neighbour, statement).await.unwrap();
    }
    let neighbours = id(&mut neighbour).await;

    let mut holder = context.tenant(&names, &password).await.unwrap();
    run(&mut holder, "CREATE TABLE t (a INT)").await.unwrap();
    run(&mut holder, "LOCK TABLES t WRITE").await.unwrap();
    let held_by = id(&mut holder).await;
    let mut wanted = desired(&names);
    wanted.mysql = MysqlSettings {
        character_set: Some("ascii".to_owned()),
        collation: None,
    };
    let error = provider.ensure_database(&wanted).await.unwrap_err();
    assert_names(&error, held_by, names.role.as_str(), other.role.as_str());
    let text = error.to_string();
    assert!(
        text.contains(&format!("session {neighbours} (in a transaction since ")),
        "{text}"
    );
    // It is the same as long as it is the same: a condition is not written anew each time.
    assert_eq!(provider.ensure_database(&wanted).await, Err(error));
    run(&mut holder, "UNLOCK TABLES").await.unwrap();
    assert_eq!(provider.ensure_database(&wanted).await.unwrap().len(), 1);

    // An account is a row of a table only on MySQL.
    if !context.mariadb {
        let mut root = context.server.root().await.unwrap();
        let lock = format!(
            "START TRANSACTION; SELECT user FROM mysql.user WHERE user = '{}' FOR UPDATE",
            names.role
        );
        run(&mut root, &lock).await.unwrap();
        let held_by = id(&mut root).await;
        wanted.connection_limit = Some(3);
        let error = provider.ensure_role(&wanted, None).await.unwrap_err();
        assert_names(&error, held_by, "", other.role.as_str());
        run(&mut root, "ROLLBACK").await.unwrap();
        assert_eq!(provider.ensure_role(&wanted, None).await.unwrap().len(), 1);
        root.close().await.unwrap();
    }
    for session in [holder, neighbour] {
        session.close().await.unwrap();
    }
    provider.forget_claim(&theirs).await.unwrap();
}
