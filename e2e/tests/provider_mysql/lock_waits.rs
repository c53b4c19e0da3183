//! Who holds up a session of a database's own user.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::LockWait;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Context, create, desired};

pub(crate) async fn run(session: &mut MySqlConnection, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(session)
        .await
        .map(drop)
}

pub(crate) async fn id(session: &mut MySqlConnection) -> i64 {
    let (id,): (u64,) = sqlx::query_as("SELECT CONNECTION_ID()")
        .fetch_one(session)
        .await
        .unwrap();
    i64::try_from(id).unwrap()
}

pub(crate) async fn who_holds_up_a_backup_is_named(context: Arc<Context>) {
    held_up(&context, false).await;
}

/// MariaDB has a plugin that lists locks, and does not say who waits for them.
pub(crate) async fn a_table_is_named_where_the_server_tells(context: Arc<Context>) {
    let plugin = |word: &str| format!("{word} SONAME 'metadata_lock_info'");
    if !context.mariadb {
        return;
    }
    if let Err(error) = context.server.run(&[plugin("INSTALL")]).await {
        // Not every image has it; this machine's package does.
        assert!(!context.server.verifies_host, "{error}");
        return;
    }
    let work = std::panic::AssertUnwindSafe(held_up(&context, true));
    let outcome = futures::FutureExt::catch_unwind(work).await;
    context.server.run(&[plugin("UNINSTALL")]).await.unwrap();
    outcome.unwrap();
}

async fn held_up(context: &Context, lists_locks: bool) {
    let provider = context.provider().await;
    let names = context.names("heldup");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    assert_eq!(provider.lock_waits(&names).await.unwrap(), []);

    let mut holder = context.tenant(&names, &password).await.unwrap();
    run(&mut holder, "CREATE TABLE orders (secret TEXT)")
        .await
        .unwrap();
    // A session of the same user that is in nobody's way.
    let mut idle = context.tenant(&names, &password).await.unwrap();
    let idle_id = id(&mut idle).await;
    run(&mut holder, "LOCK TABLES orders WRITE").await.unwrap();
    if lists_locks {
        // Where the server says who has a lock, it does not matter which schema is that session's own.
        run(&mut holder, "USE information_schema").await.unwrap();
    }
    let held_by = id(&mut holder).await;
    let mut waiter = context.tenant(&names, &password).await.unwrap();
    let waiting_id = id(&mut waiter).await;
    let waiting = tokio::spawn(async move {
        let read = "SELECT *, 'a secret in a statement' FROM orders";
        let _ = run(&mut waiter, read).await;
    });
    let found = Instant::now() + Duration::from_secs(20);
    let wait: LockWait = loop {
        if let Some(wait) = provider
            .lock_waits(&names)
            .await
            .unwrap()
            .into_iter()
            .next()
        {
            break wait;
        }
        assert!(Instant::now() < found, "nobody is seen to wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let text = wait.to_string();
    assert_eq!(wait.session, waiting_id, "{text}");
    let sessions: Vec<_> = wait.holders.iter().map(|holder| holder.session).collect();
    assert!(sessions.contains(&Some(held_by)), "{text}");
    assert!(
        text.contains(names.role.as_str()) && text.contains(&format!("KILL {held_by}")),
        "{text}"
    );
    assert!(!text.contains("a secret"), "{text}");
    if wait.certain {
        assert_eq!(sessions, [Some(held_by)], "{text}");
        assert!(text.contains("on table \"orders\", held by"), "{text}");
    } else if lists_locks {
        let begins = format!(
            "session {waiting_id} is waiting for a lock on table \"orders\", which may be held by session {held_by} ("
        );
        assert!(text.starts_with(&begins), "{text}");
        assert_eq!(sessions, [Some(held_by)], "{text}");
    } else {
        // MariaDB without its plugin: it may be any session in the database.
        assert!(
            sessions.contains(&Some(idle_id)) && text.contains("may be held by"),
            "{text}"
        );
        assert_eq!(wait.object, None, "{text}");
    }
    run(&mut holder, "UNLOCK TABLES").await.unwrap();
    waiting.await.unwrap();
    assert_eq!(provider.lock_waits(&names).await.unwrap(), []);
    for session in [holder, idle] {
        session.close().await.unwrap();
    }
}
