//! Taking databases and users away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::{Login, Names, Removal, Removed};
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Context, create, desired};

/// How long an event may take to begin for the second time, which is due after a second.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// When the scheduler is reminded of an event that does not begin again.
const ALTERED_AFTER: Duration = Duration::from_secs(5);

fn both(names: &Names) -> Removal {
    Removal {
        names: names.clone(),
        database: true,
        role: true,
    }
}

async fn privileges_left(context: &Context, names: &Names) -> Vec<String> {
    let user = names.role.to_string();
    let sql = format!("SELECT CONCAT(User, ' ', Db) FROM mysql.db WHERE User = '{user}'");
    context.server.column(&sql).await.unwrap()
}

pub(crate) async fn a_removal_ends_sessions_and_is_complete(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("re_move");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let mut busy = context.tenant(&names, &password).await.unwrap();
    sqlx::raw_sql(
        "CREATE TABLE t (a INT) ENGINE=InnoDB; START TRANSACTION; INSERT INTO t VALUES (1)",
    )
    .execute(&mut busy)
    .await
    .unwrap();
    let mut idle = context.tenant(&names, &password).await.unwrap();

    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
    assert!(sqlx::raw_sql("SELECT 1").execute(&mut busy).await.is_err());
    assert!(idle.ping().await.is_err());
    let left = provider.observe(&names).await.unwrap();
    assert_eq!((left.database, left.role), (None, None));
    assert_eq!(privileges_left(&context, &names).await, [""; 0]);
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
}

pub(crate) async fn a_removal_takes_only_what_it_is_told(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("part");
    let password = context.password();
    let wanted = desired(&names);
    create(provider.as_ref(), &wanted, &password).await;
    // The database alone: the user stays as it was, and may still log in elsewhere.
    let elsewhere = context.names("else");
    let account = format!("'{}'@'%'", names.role);
    context
        .server
        .run(&[
            format!("CREATE DATABASE {}", elsewhere.database.mysql()),
            format!(
                "GRANT SELECT ON {}.* TO {account}",
                elsewhere.database.mysql()
            ),
        ])
        .await
        .unwrap();
    let there = crate::context::names(elsewhere.database.as_str(), names.role.as_str());
    let mut session = context.tenant(&there, &password).await.unwrap();
    let database_only = Removal {
        role: false,
        ..both(&names)
    };
    assert_eq!(
        provider.remove(&database_only).await.unwrap(),
        Removed::Done
    );
    let left = provider.observe(&names).await.unwrap();
    assert!(left.database.is_none() && left.role.unwrap().can_login);
    assert!(session.ping().await.is_ok());
    assert_eq!(
        provider.login(&there, &password).await.unwrap(),
        Login::Accepted
    );
    assert_eq!(privileges_left(&context, &names).await.len(), 1);

    // The user alone: the database stays.
    provider.ensure_database(&wanted).await.unwrap();
    let role_only = Removal {
        database: false,
        ..both(&names)
    };
    assert_eq!(provider.remove(&role_only).await.unwrap(), Removed::Done);
    let left = provider.observe(&names).await.unwrap();
    assert!(left.database.is_some() && left.role.is_none());

    let nothing = Removal {
        role: false,
        ..role_only
    };
    assert_eq!(provider.remove(&nothing).await.unwrap(), Removed::Done);
    assert!(provider.observe(&names).await.unwrap().database.is_some());
}

pub(crate) async fn who_is_in_the_way_is_named(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("locked");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let table = format!("{}.t", names.database.mysql());
    // Somebody's long transaction, from outside the database: a backup, say.
    let mut dump = context.server.root().await.unwrap();
    for statement in [
        format!("CREATE TABLE {table} (a INT) ENGINE=InnoDB"),
        "START TRANSACTION".to_owned(),
        format!("SELECT * FROM {table}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut dump)
            .await
            .unwrap();
    }
    let Removed::Blocked(sentence) = provider.remove(&both(&names)).await.unwrap() else {
        panic!("dropped under a reader");
    };
    // Whose it is is told only by a server that says who has the lock.
    assert!(
        sentence.contains("in a transaction since ") && sentence.contains("run: KILL "),
        "{sentence}"
    );
    assert!(dump.ping().await.is_ok(), "a stranger's session was ended");
    assert!(
        !provider
            .observe(&names)
            .await
            .unwrap()
            .role
            .unwrap()
            .can_login
    );
    dump.close().await.unwrap();
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
}

pub(crate) async fn what_the_user_defined_elsewhere_is_named(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("define");
    let other = context.names("other");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let schema = other.database.mysql();
    let definer = format!("DEFINER='{}'@'%'", names.role);
    context
        .server
        .run(&[
            format!("CREATE DATABASE {schema}"),
            format!("CREATE {definer} VIEW {schema}.view_of_it AS SELECT 1 AS a"),
            format!("CREATE {definer} PROCEDURE {schema}.proc_of_it() SELECT 1"),
        ])
        .await
        .unwrap();
    let Removed::Blocked(sentence) = provider.remove(&both(&names)).await.unwrap() else {
        panic!("dropped a definer");
    };
    for statement in ["DROP VIEW", "DROP PROCEDURE"] {
        let statement = format!("{statement} {schema}.");
        assert!(sentence.contains(&statement), "{sentence}");
    }
    let left = provider.observe(&names).await.unwrap();
    assert!(left.database.is_none() && left.role.is_some_and(|role| !role.can_login));
    // What is said can be run as it is.
    let (_, statements) = sentence.rsplit_once("run: ").unwrap();
    let statements: Vec<&str> = statements.split("; ").collect();
    context.server.run(&statements).await.unwrap();
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
    assert!(provider.observe(&names).await.unwrap().role.is_none());
}

/// Every point at which a process can end, made by hand.
pub(crate) async fn a_removal_that_was_cut_short_is_completed(context: Arc<Context>) {
    let provider = context.provider().await;
    let cuts: [&[&str]; 3] = [
        &["ALTER USER {user} ACCOUNT LOCK"],
        &["ALTER USER {user} ACCOUNT LOCK", "DROP DATABASE {schema}"],
        &[
            "ALTER USER {user} ACCOUNT LOCK",
            "DROP DATABASE {schema}",
            "DROP USER {user}",
        ],
    ];
    for cut in cuts {
        let names = context.names("cut");
        create(provider.as_ref(), &desired(&names), &context.password()).await;
        let statements: Vec<String> = cut
            .iter()
            .map(|statement| {
                statement
                    .replace("{user}", &format!("'{}'@'%'", names.role))
                    .replace("{schema}", &names.database.mysql())
            })
            .collect();
        context.server.run(&statements).await.unwrap();
        assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
        let left = provider.observe(&names).await.unwrap();
        assert_eq!((left.database, left.role), (None, None));
        assert_eq!(privileges_left(&context, &names).await, [""; 0]);
    }
}

/// An event goes on when its definer is locked out, and each time it begins it is a session again.
pub(crate) async fn events_do_not_keep_a_user_there(context: Arc<Context>) {
    let provider = context.provider().await;
    let names = context.names("events");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let scheduler = "SELECT @@GLOBAL.event_scheduler";
    let before = context.server.value(scheduler).await.unwrap().unwrap();
    context
        .server
        .run(&["SET GLOBAL event_scheduler = ON"])
        .await
        .unwrap();
    let as_tenant = async |sql: &'static str| {
        let mut tenant = context.tenant(&names, &password).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut tenant).await.unwrap();
        tenant.close().await.unwrap();
    };
    as_tenant("CREATE EVENT `e``x` ON SCHEDULE EVERY 1 SECOND DO SELECT SLEEP(1000)").await;
    let sessions = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{}'",
        names.role
    );
    let state = format!(
        "SELECT CONCAT_WS(', ', @@GLOBAL.event_scheduler, STATUS, STARTS, LAST_EXECUTED, NOW()) \
         FROM information_schema.EVENTS WHERE EVENT_SCHEMA = '{}'",
        names.database
    );
    // More than one, so that it has begun again.
    let began = Instant::now();
    let mut altered = began;
    loop {
        let running = context.server.value(&sessions).await.unwrap().unwrap();
        if running.parse::<u32>().unwrap() > 1 {
            break;
        }
        let state = context.server.value(&state).await.unwrap();
        assert!(
            began.elapsed() < BEGINS_WITHIN,
            "the event did not begin again: {running} sessions; {state:?}"
        );
        // A scheduler of MySQL that slept past an event on a busy machine wakes up when one is altered.
        if altered.elapsed() > ALTERED_AFTER {
            as_tenant("ALTER EVENT `e``x` ON SCHEDULE EVERY 1 SECOND").await;
            altered = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let removed = provider.remove(&both(&names)).await;
    context
        .server
        .run(&[format!("SET GLOBAL event_scheduler = {before}")])
        .await
        .unwrap();
    assert_eq!(removed.unwrap(), Removed::Done);
}

fn hex(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02X}").unwrap();
        hex
    })
}

pub(crate) async fn a_prepared_transaction_is_named_with_what_ends_it(context: Arc<Context>) {
    let (provider, administrator) = context.provider_and_administrator().await;
    let names = context.names("prepared");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let xid = format!("'{}''x',X'00FF',7", names.role);
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    for statement in [
        "CREATE TABLE t (a INT PRIMARY KEY) ENGINE=InnoDB".to_owned(),
        format!("XA START {xid}"),
        "INSERT INTO t VALUES (1)".to_owned(),
        format!("XA END {xid}"),
        format!("XA PREPARE {xid}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut tenant)
            .await
            .unwrap();
    }
    let hex = hex(&format!("{}'x", names.role));
    let ends = format!("XA ROLLBACK X'{hex}',X'00FF',7");
    let blocked = provider.remove(&both(&names)).await;
    let seen = if context.mariadb {
        None
    } else {
        // Whoever may list them is told their names.
        let grant = format!(
            "GRANT XA_RECOVER_ADMIN ON *.* TO '{}'@'%'",
            administrator.user
        );
        context.server.run(&[grant]).await.unwrap();
        let provider = db_operator::provider::open(context.config(&administrator), context.fence());
        Some(provider.remove(&both(&names)).await)
    };
    context.server.run(&[&ends]).await.unwrap();
    let (blocked, unseen) = match seen {
        Some(seen) => (seen, Some(blocked)),
        None => (blocked, None),
    };
    let Ok(Removed::Blocked(sentence)) = blocked else {
        panic!("{blocked:?}");
    };
    assert!(sentence.contains(&ends), "{sentence}");
    assert!(sentence.contains("KILL does not help"), "{sentence}");
    match unseen {
        None => {}
        Some(Ok(Removed::Blocked(sentence))) => {
            assert!(sentence.contains("XA_RECOVER_ADMIN"), "{sentence}");
            assert!(sentence.contains("XA RECOVER CONVERT XID"), "{sentence}");
        }
        Some(other) => panic!("{other:?}"),
    }
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
}

/// MySQL has an option of a schema for that, which ALTER on it is enough for.
pub(crate) async fn what_an_owner_made_read_only_is_dropped(context: Arc<Context>) {
    if context.mariadb {
        return;
    }
    let provider = context.provider().await;
    let names = context.names("readonly");
    let password = context.password();
    create(provider.as_ref(), &desired(&names), &password).await;
    let mut tenant = context.tenant(&names, &password).await.unwrap();
    for statement in [
        "CREATE TABLE t (a INT)".to_owned(),
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1".to_owned(),
        format!("ALTER DATABASE {} READ ONLY = 1", names.database.mysql()),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut tenant)
            .await
            .unwrap();
    }
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
}

/// MariaDB drops one table after the other, and would leave the rest of them behind.
pub(crate) async fn foreign_keys_of_others_are_named_before_anything_is_dropped(
    context: Arc<Context>,
) {
    let provider = context.provider().await;
    let names = context.names("parent");
    let other = context.names("child");
    create(provider.as_ref(), &desired(&names), &context.password()).await;
    let (parent, child) = (names.database.mysql(), other.database.mysql());
    context
        .server
        .run(&[
            format!("CREATE TABLE {parent}.a (a INT) ENGINE=InnoDB"),
            format!("CREATE TABLE {parent}.p (a INT PRIMARY KEY) ENGINE=InnoDB"),
            format!("CREATE DATABASE {child}"),
            format!(
                "CREATE TABLE {child}.c (a INT, CONSTRAINT `k``x` FOREIGN KEY (a) REFERENCES {parent}.p (a)) ENGINE=InnoDB"
            ),
        ])
        .await
        .unwrap();
    let Removed::Blocked(sentence) = provider.remove(&both(&names)).await.unwrap() else {
        panic!("dropped what others refer to");
    };
    let tables = format!(
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}'",
        names.database
    );
    assert_eq!(context.server.column(&tables).await.unwrap().len(), 2);
    let (_, statement) = sentence.rsplit_once("run: ").unwrap();
    context.server.run(&[statement]).await.unwrap();
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
}
