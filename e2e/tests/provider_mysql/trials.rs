//! A backup that is tried out: a schema of its own, with a user of its own, which go again.

use std::sync::Arc;
use std::time::Duration;

use db_operator::provider::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Swapped, test_names,
};
use db_operator::provider::{
    Claimant, Desired, Fence, MysqlSettings, Provider, ProviderError, open,
};
use sqlx::{AssertSqlSafe, Connection};

use crate::context::{Context, desired};
use crate::restore::fill;

/// What a test asks for. Its names are removed at the end, whatever becomes of it.
fn trial(context: &Context, cluster: &str) -> Load {
    let restore = RestoreId {
        cluster_id: cluster.to_owned(),
        namespace: "team-a".to_owned(),
        name: "weekly".to_owned(),
        uid: format!("{:08x}-1111-4222-8333-444455556666", rand::random::<u32>()),
        spec_hash: "5f0e".to_owned(),
    };
    let target = test_names(&restore).unwrap();
    let target = context.named(target.database.as_str(), target.role.as_str());
    Load {
        restore,
        claimant: Claimant {
            cluster_id: cluster.to_owned(),
            namespace: "team-a".to_owned(),
            name: String::new(),
        },
        take_over_from: Vec::new(),
        extensions: Vec::new(),
        desired: Desired {
            mysql: MysqlSettings {
                character_set: Some("latin1".to_owned()),
                collation: Some("latin1_bin".to_owned()),
            },
            ..desired(&target)
        },
        target,
        mode: LoadMode::Test,
    }
}

/// Schemas, users, privileges and rows of a test.
async fn left(context: &Context, load: &Load) -> Vec<String> {
    let (database, role) = (&load.target.database, &load.target.role);
    let part = |what: &str, name: &str, from: &str| {
        format!(
            "SELECT CONCAT('{what} ', CONVERT({name} USING utf8mb4)) COLLATE utf8mb4_bin AS found FROM {from}"
        )
    };
    let sql = [
        part(
            "schema",
            "SCHEMA_NAME",
            &format!("information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'"),
        ),
        part("user", "User", &format!("mysql.user WHERE User = '{role}'")),
        part(
            "privileges",
            "User",
            &format!("mysql.db WHERE User = '{role}'"),
        ),
        part(
            "row",
            "purpose",
            &format!("db_operator.scratch WHERE database_name = '{database}'"),
        ),
    ]
    .join(" UNION ALL ");
    context.server.column(&sql).await.unwrap()
}

pub(crate) async fn a_backup_is_tried_out_in_a_schema_that_goes_again(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let cluster = context.unique("cluster");
    let provider = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    provider.inspect().await.unwrap();
    let load = trial(&context, &cluster);
    let facts = provider.look_at_target(&load).await.unwrap();
    assert_eq!((facts.contents, facts.obstacles), (vec![], vec![]));
    assert!(
        left(&context, &load).await.is_empty(),
        "looking makes nothing"
    );

    let password = context.password();
    let verifier = provider.verifier(&password);
    let scratch = provider.make_scratch(&load, &verifier).await.unwrap();
    assert_eq!(scratch.database, load.target.database);
    assert_eq!(
        (&scratch.login, &scratch.owner),
        (&load.target.role, &load.target.role)
    );
    let mut session = context.tenant(&load.target, &password).await.unwrap();
    fill(&context, &mut session).await;
    // It has rights on that one schema.
    let elsewhere = AssertSqlSafe("SELECT COUNT(*) FROM db_operator.claims");
    assert!(
        sqlx::raw_sql(elsewhere)
            .execute(&mut session)
            .await
            .is_err()
    );
    let another = AssertSqlSafe("CREATE DATABASE one_more");
    assert!(sqlx::raw_sql(another).execute(&mut session).await.is_err());
    let charset = format!(
        "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{}'",
        load.target.database
    );
    assert_eq!(
        context.server.column(&charset).await.unwrap(),
        ["latin1_bin"]
    );

    let swapped = provider
        .swap(&load, &scratch, Duration::from_secs(5))
        .await
        .unwrap();
    assert!(matches!(swapped, Swapped::ChangedHands(_)), "{swapped:?}");
    assert_eq!(provider.restored(&load.restore, &[]).await.unwrap(), None);
    // A process that crashed has its work begun anew.
    let other = context.password();
    provider
        .make_scratch(&load, &provider.verifier(&other))
        .await
        .unwrap();
    assert!(session.ping().await.is_err(), "its session was ended");
    assert!(context.tenant(&load.target, &password).await.is_err());
    let mut session = context.tenant(&load.target, &other).await.unwrap();
    fill(&context, &mut session).await;
    for _ in 0..2 {
        let ended = provider
            .drop_leftover(&load, Leftover::Scratch)
            .await
            .unwrap();
        assert_eq!(ended, Ended::Done);
        assert!(left(&context, &load).await.is_empty());
    }
}

pub(crate) async fn what_is_somebody_elses_is_left_alone(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let cluster = context.unique("cluster");
    let provider = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    provider.inspect().await.unwrap();
    let load = trial(&context, &cluster);
    let database = load.target.database.mysql();
    let verifier = provider.verifier(&context.password());
    let make = [
        format!("CREATE DATABASE {database}"),
        format!("CREATE TABLE {database}.kept (id INT)"),
    ];
    context.server.run(&make).await.unwrap();
    let refused = provider.make_scratch(&load, &verifier).await.unwrap_err();
    assert!(matches!(refused, ProviderError::InTheWay(_)), "{refused}");
    assert_eq!(left(&context, &load).await.len(), 1, "only what was there");

    // As after a crash between the row and the CREATE, and then somebody else was faster.
    let row = format!(
        "INSERT INTO db_operator.scratch (database_name, role_name, purpose, restore_id, cluster_id, namespace, name, uid, \
         seen_empty, marks, former_plugin, former_hash, former_limit, locked_at) VALUES ('{}', '{}', 'test', \
         SHA2(CONCAT('{cluster}', CHAR(0), 'team-a', CHAR(0), 'weekly', CHAR(0)), 256), '{cluster}', 'team-a', 'weekly', '{}', \
         FALSE, '', '', '', 0, 0)",
        load.target.database, load.target.role, load.restore.uid
    );
    context
        .server
        .run(std::slice::from_ref(&row))
        .await
        .unwrap();
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::ChangedHands(_)), "{ended:?}");
    context
        .server
        .run(&[format!("DROP TABLE {database}.kept")])
        .await
        .unwrap();
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert_eq!(
        ended,
        Ended::Done,
        "an empty one is as our CREATE leaves it"
    );
    assert!(left(&context, &load).await.is_empty());
    // A user that can do more than log in was not made by a test, wherever its privileges are.
    let user = format!("'{}'@'%'", load.target.role);
    let taken = [
        format!(
            "CREATE USER {user} {}",
            context.identified(&context.password())
        ),
        format!("GRANT SELECT ON *.* TO {user}"),
        row,
    ];
    context.server.run(&taken).await.unwrap();
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::ChangedHands(_)), "{ended:?}");
    assert_eq!(
        left(&context, &load).await.len(),
        2,
        "the user, and the row"
    );
    let revoke = format!("REVOKE SELECT ON *.* FROM {user}");
    context.server.run(&[revoke]).await.unwrap();
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert_eq!(ended, Ended::Done);
    assert!(left(&context, &load).await.is_empty());
}

pub(crate) async fn a_former_leader_makes_nothing(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let cluster = context.unique("cluster");
    let provider = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    provider.inspect().await.unwrap();
    let load = trial(&context, &cluster);
    let verifier = provider.verifier(&context.password());
    let next: Arc<dyn Provider> = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    next.inspect().await.unwrap();
    assert!(provider.make_scratch(&load, &verifier).await.is_err());
    assert!(left(&context, &load).await.is_empty());
    next.make_scratch(&load, &verifier).await.unwrap();
    assert!(
        provider
            .drop_leftover(&load, Leftover::Scratch)
            .await
            .is_err()
    );
    assert_eq!(left(&context, &load).await.len(), 4);
    let ended = next.drop_leftover(&load, Leftover::Scratch).await.unwrap();
    assert_eq!(ended, Ended::Done);
    assert!(left(&context, &load).await.is_empty());
}

pub(crate) async fn what_a_lost_restore_left_is_listed_and_dropped_alone(context: Arc<Context>) {
    let administrator = context.administrator().await;
    let cluster = context.unique("cluster");
    let provider = open(
        context.config(&administrator),
        Fence::new(&cluster, || true),
    );
    provider.inspect().await.unwrap();
    let clusters = [cluster.clone()];
    assert!(provider.tests(&clusters).await.unwrap().is_empty());
    let lost = trial(&context, &cluster);
    let verifier = provider.verifier(&context.password());
    provider.make_scratch(&lost, &verifier).await.unwrap();
    let listed = RestoreId {
        spec_hash: String::new(),
        ..lost.restore.clone()
    };
    assert_eq!(provider.tests(&clusters).await.unwrap(), [listed]);
    let others = [context.unique("another"), context.unique("third")];
    assert!(provider.tests(&others).await.unwrap().is_empty());
    // Another object of its name.
    let other = trial(&context, &cluster);
    assert_eq!(provider.drop_test(&other).await.unwrap(), Ended::Done);
    assert_eq!(left(&context, &lost).await.len(), 4);
    for _ in 0..2 {
        assert_eq!(provider.drop_test(&lost).await.unwrap(), Ended::Done);
        assert!(left(&context, &lost).await.is_empty());
    }
    assert!(provider.tests(&clusters).await.unwrap().is_empty());
}
