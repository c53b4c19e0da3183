//! A backup that is tried out: a database of its own, with a user of its own, which go again.

use db_operator::provider::restore::{
    Ended, Leftover, Load, LoadMode, RestoreId, Swapped, test_names,
};
use db_operator::provider::{Claimant, Desired, Extension, ProviderError, SqlName};

use crate::fixture::{Fixture, desired, password};
use crate::restores::{MOST, fill, tables};

/// What a test of this name asks for. Its Restore has this UID.
fn trial(cluster: &str, name: &str, uid: &str) -> Load {
    let restore = RestoreId {
        cluster_id: cluster.to_owned(),
        namespace: "team-a".to_owned(),
        name: name.to_owned(),
        uid: uid.to_owned(),
        spec_hash: "5bec".to_owned(),
    };
    let target = test_names(&restore).unwrap();
    let wanted = Desired {
        names: target.clone(),
        ..desired("unused")
    };
    Load {
        restore,
        claimant: Claimant {
            cluster_id: cluster.to_owned(),
            namespace: "team-a".to_owned(),
            name: String::new(),
        },
        target,
        take_over_from: Vec::new(),
        extensions: Vec::new(),
        desired: wanted,
        mode: LoadMode::Test,
    }
}

/// Databases, users and rows of a test.
async fn left(fixture: &Fixture, load: &Load) -> Vec<String> {
    let (database, role) = (&load.target.database, &load.target.role);
    let sql = format!(
        "SELECT 'database ' || datname FROM pg_database WHERE datname = '{database}'
         UNION ALL SELECT 'user ' || rolname FROM pg_roles WHERE rolname = '{role}' ORDER BY 1"
    );
    let mut left = fixture.ask("postgres", &sql).await;
    let rows = format!(
        "SELECT 'row ' || purpose FROM db_operator.scratch WHERE uid = '{}'",
        load.restore.uid
    );
    left.extend(fixture.ask("db_operator", &rows).await);
    left
}

pub(crate) async fn a_backup_is_tried_out_in_a_database_that_goes_again(fixture: &mut Fixture) {
    let provider = fixture.provider("tries");
    provider.inspect().await.unwrap();
    let mut load = trial("tries", "weekly", "7e570001-1111-4222-8333-444455556666");
    load.desired.postgresql.encoding = Some("LATIN1".to_owned());
    load.desired.postgresql.locale = Some("C".to_owned());
    let facts = provider.look_at_target(&load).await.unwrap();
    assert_eq!((facts.contents, facts.obstacles), (vec![], vec![]));
    assert!(facts.free_connections.unwrap() > 0);
    assert_eq!(left(fixture, &load).await, [""; 0], "looking makes nothing");

    let secret = password("trial");
    let verifier = provider.verifier(&secret);
    let scratch = provider.make_scratch(&load, &verifier).await.unwrap();
    assert_eq!(scratch.database, load.target.database);
    assert_eq!(
        (&scratch.login, &scratch.owner),
        (&load.target.role, &load.target.role)
    );
    fill(fixture, &scratch, &secret).await;
    let database = scratch.database.as_str();
    assert_eq!(tables(fixture, database).await, ["restored"]);
    let made = format!(
        "SELECT concat_ws('|', pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datallowconn, datconnlimit,
           has_database_privilege('public', oid, 'CONNECT')) FROM pg_database WHERE datname = '{database}'"
    );
    let expected = format!("{}|LATIN1|C|t|-1|f", scratch.owner);
    assert_eq!(fixture.ask("postgres", &made).await, [expected]);
    let may = format!(
        "SELECT concat_ws('|', rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit)
         FROM pg_roles WHERE rolname = '{}'",
        scratch.login
    );
    assert_eq!(fixture.ask("postgres", &may).await, ["f|f|f|f|f|10"]);
    fixture.assert_no_membership_left().await;

    // It takes the place of nothing, and is not remembered.
    let swapped = provider.swap(&load, &scratch, MOST).await.unwrap();
    assert!(matches!(swapped, Swapped::ChangedHands(_)), "{swapped:?}");
    assert_eq!(provider.restored(&load.restore, &[]).await.unwrap(), None);
    // A process that crashed has its work begun anew, also by another object of the name.
    let mut anew = trial("tries", "weekly", "7e570002-1111-4222-8333-444455556666");
    anew.desired.postgresql = load.desired.postgresql.clone();
    provider.make_scratch(&anew, &verifier).await.unwrap();
    assert!(left(fixture, &load).await.is_empty());
    assert_eq!(left(fixture, &anew).await.len(), 3);
    for _ in 0..2 {
        let ended = provider
            .drop_leftover(&anew, Leftover::Scratch)
            .await
            .unwrap();
        assert_eq!(ended, Ended::Done);
        assert!(left(fixture, &anew).await.is_empty());
    }
}

pub(crate) async fn what_a_server_does_not_allow_is_named_beforehand(fixture: &mut Fixture) {
    let provider = fixture.provider("asks");
    provider.inspect().await.unwrap();
    let mut load = trial("asks", "odd", "7e570003-1111-4222-8333-444455556666");
    load.extensions = vec![Extension {
        name: SqlName::new("pageinspect").unwrap(),
        schema: None,
        version: None,
    }];
    let facts = provider.look_at_target(&load).await.unwrap();
    let told = facts.obstacles.join("; ");
    assert!(told.contains("allowedExtensions"), "{told}");
    load.extensions.clear();
    load.desired.postgresql.locale = Some("xx_XX.nothing".to_owned());
    let refused = provider.look_at_target(&load).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::Unsupported(_)),
        "{refused}"
    );
    let verifier = provider.verifier(&password("odd"));
    let refused = provider.make_scratch(&load, &verifier).await.unwrap_err();
    assert!(
        matches!(refused, ProviderError::Unsupported(_)),
        "{refused}"
    );
    assert!(
        left(fixture, &load).await.is_empty(),
        "what was begun is undone"
    );
}

pub(crate) async fn what_is_somebody_elses_is_left_alone(fixture: &mut Fixture) {
    let provider = fixture.provider("spares");
    provider.inspect().await.unwrap();
    let load = trial("spares", "taken", "2f1e2d3c-1111-4222-8333-444455556666");
    let database = load.target.database.postgresql();
    let verifier = provider.verifier(&password("taken"));
    fixture
        .run("postgres", &format!("CREATE DATABASE {database}"))
        .await;
    let refused = provider.make_scratch(&load, &verifier).await.unwrap_err();
    assert!(matches!(refused, ProviderError::InTheWay(_)), "{refused}");
    assert_eq!(left(fixture, &load).await.len(), 1, "only what was there");
    fixture
        .run("postgres", &format!("DROP DATABASE {database}"))
        .await;

    // Dropped and made again by somebody else while a test has it: that is not the noted one any more.
    provider.make_scratch(&load, &verifier).await.unwrap();
    fixture
        .run(
            "postgres",
            &format!("DROP DATABASE {database} WITH (FORCE)"),
        )
        .await;
    fixture
        .run("postgres", &format!("CREATE DATABASE {database}"))
        .await;
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert!(matches!(ended, Ended::ChangedHands(_)), "{ended:?}");
    // The user was ours, and the database is not.
    let found = left(fixture, &load).await;
    assert_eq!(found, [format!("database {}", load.target.database)]);
    fixture
        .run("postgres", &format!("DROP DATABASE {database}"))
        .await;
    let ended = provider
        .drop_leftover(&load, Leftover::Scratch)
        .await
        .unwrap();
    assert_eq!(ended, Ended::Done);
    assert!(left(fixture, &load).await.is_empty());
}

pub(crate) async fn what_a_lost_restore_left_is_listed_and_dropped_alone(fixture: &mut Fixture) {
    let provider = fixture.provider("loses");
    provider.inspect().await.unwrap();
    let clusters = ["loses".to_owned()];
    assert!(provider.tests(&clusters).await.unwrap().is_empty());
    let lost = trial("loses", "weekly", "3f1e2d3c-1111-4222-8333-444455556666");
    let verifier = provider.verifier(&password("lost"));
    provider.make_scratch(&lost, &verifier).await.unwrap();
    let listed = RestoreId {
        spec_hash: String::new(),
        ..lost.restore.clone()
    };
    assert_eq!(provider.tests(&clusters).await.unwrap(), [listed]);
    let others = ["another".to_owned()];
    assert!(provider.tests(&others).await.unwrap().is_empty());
    // Another object of its name.
    let other = trial("loses", "weekly", "4f1e2d3c-1111-4222-8333-444455556666");
    assert_eq!(provider.drop_test(&other).await.unwrap(), Ended::Done);
    assert_eq!(left(fixture, &lost).await.len(), 3);
    for _ in 0..2 {
        assert_eq!(provider.drop_test(&lost).await.unwrap(), Ended::Done);
        assert!(left(fixture, &lost).await.is_empty());
    }
    assert!(provider.tests(&clusters).await.unwrap().is_empty());
}
