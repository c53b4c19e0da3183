//! Taking databases and users away.

use std::sync::Arc;

use db_operator::provider::{Login, Names, Removal, Removed};
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Context, create, desired};

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

pub async fn a_removal_ends_sessions_and_is_complete(context: Arc<Context>) {
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

pub async fn a_removal_takes_only_what_it_is_told(context: Arc<Context>) {
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

pub async fn who_is_in_the_way_is_named(context: Arc<Context>) {
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
    assert!(sentence.contains(&context.server.superuser.0), "{sentence}");
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

pub async fn what_the_user_defined_elsewhere_is_named(context: Arc<Context>) {
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
    assert!(
        sentence.contains("view_of_it") && sentence.contains("proc_of_it"),
        "{sentence}"
    );
    let left = provider.observe(&names).await.unwrap();
    assert!(left.database.is_none() && left.role.is_some_and(|role| !role.can_login));
    context
        .server
        .run(&[format!("DROP DATABASE {schema}")])
        .await
        .unwrap();
    assert_eq!(provider.remove(&both(&names)).await.unwrap(), Removed::Done);
    assert!(provider.observe(&names).await.unwrap().role.is_none());
}

/// Every point at which a process can end, made by hand.
pub async fn a_removal_that_was_cut_short_is_completed(context: Arc<Context>) {
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
