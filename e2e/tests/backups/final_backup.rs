//! `BackupBeforeDelete`: nothing is dropped before its backup is complete, and nothing waits for ever.

use db_operator::api::{Backup, BackupState, DatabaseState, RELEASE};
use e2e::testing::{Bucket, Fixture, Into, SOON, Server, Session, on_every_server, with_fixture};
use serde_json::{Value, json};

fn before() -> Value {
    json!({"deletionPolicy": "BackupBeforeDelete"})
}

fn before_on(instance: &str) -> Value {
    json!({"deletionPolicy": "BackupBeforeDelete", "instanceRef": {"name": instance}})
}

async fn write(fixture: &Fixture, name: &str) {
    let mut session = Session::open(&fixture.client, &fixture.secret(name).await)
        .await
        .unwrap();
    session.run("CREATE TABLE kept (x INT)").await.unwrap();
    session.run("INSERT INTO kept VALUES (7)").await.unwrap();
    let view = "CREATE VIEW happy AS SELECT x FROM kept";
    session.run(view).await.unwrap();
    session.close().await;
}

/// Nothing of this test's is left on the server.
async fn nothing_is_left(fixture: &Fixture) {
    let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
    assert!(left.is_empty(), "{left:?}");
}

/// The one final backup of a Database that is gone is complete, and what it logged in with is gone, too.
async fn one_is_complete(fixture: &Fixture, name: &str) {
    let finals = fixture.final_backups(name).await;
    let states: Vec<_> = finals.iter().map(Backup::state).collect();
    assert_eq!(states, [Some(BackupState::Completed)]);
    let status = finals[0].status.clone().unwrap();
    assert!(status.stored_bytes.unwrap() > 0, "{status:?}");
    assert!(status.destination.unwrap().contains(&fixture.namespace));
    fixture.without_final_secret(name).await;
}

#[tokio::test]
async fn it_is_dropped_after_its_final_backup() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", before()).await;
        write(fixture, &name).await;
        fixture.delete(&name).await;
        fixture.gone_after_a_backup(&name).await;
        one_is_complete(fixture, &name).await;
        fixture.told(&name, "FinalBackupCompleted").await;
        fixture.told(&name, "Dropped").await;
        nothing_is_left(fixture).await;

        // It can be had back: the same again, from the store.
        let last = fixture.final_backups(&name).await.remove(0);
        let key = last.status.unwrap().upload.unwrap().key;
        let object = Bucket::open(&fixture.client).await.get(&key).await.unwrap();
        fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        fixture.restore(&object, &name, Into::ItsOwn).await;
        let secret = fixture.secret(&name).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        let found = session.column("SELECT x FROM happy").await.unwrap();
        assert_eq!(found, ["7"]);
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_secret_and_the_namespace_may_go_first() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", before()).await;
        write(fixture, &name).await;
        fixture.delete_secret(&name).await;
        fixture.delete_namespace().await;
        fixture.gone_after_a_backup(&name).await;
        one_is_complete(fixture, &name).await;
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_one_is_said_and_tried_again() {
    with_fixture(Server::Postgres, async |fixture| {
        let instance = fixture.instance_without_bucket("broken").await;
        let name = fixture.make_usable("orders", before_on(&instance)).await;
        write(fixture, &name).await;
        fixture.delete(&name).await;
        fixture.told(&name, "FinalBackupFailed").await;
        let found = fixture
            .until(&name, "waiting for another attempt", SOON, |database| {
                let status = database.status.clone().unwrap_or_default();
                status
                    .final_backup
                    .is_some_and(|last| last.retry_at.is_some())
            })
            .await;
        assert_eq!(
            found.state(),
            Some(DatabaseState::BackupBeforeDeleteRequested)
        );
        let message = fixture.reconciling(&name, "WaitingForFinalBackup").await;
        for part in ["failed", "-final-", "Retain", RELEASE] {
            assert!(message.contains(part), "{part}: {message}");
        }
        // It is all there still.
        let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        assert_eq!(left.len(), 3, "{left:?}");

        let backup = fixture.shared_destination().await;
        fixture
            .patch_instance(&instance, json!({"backup": backup}))
            .await;
        fixture.gone_after_a_backup(&name).await;
        let finals = fixture.final_backups(&name).await;
        let (last, failed) = finals.split_last().unwrap();
        assert_eq!(last.state(), Some(BackupState::Completed));
        assert!(!failed.is_empty());
        for attempt in failed {
            assert_eq!(attempt.state(), Some(BackupState::Failed));
        }
        fixture.without_final_secret(&name).await;
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_policy_or_a_release_ends_the_wait() {
    on_every_server(async |fixture| {
        let instance = fixture.instance_without_bucket("broken").await;
        let mut names = Vec::new();
        for name in ["dropped", "kept", "released"] {
            names.push(fixture.make_usable(name, before_on(&instance)).await);
        }
        for name in &names {
            write(fixture, name).await;
            fixture.delete(name).await;
        }
        for name in &names {
            fixture.told(name, "FinalBackupFailed").await;
        }
        let [dropped, kept, released] = names.as_slice() else {
            unreachable!("three were made");
        };
        fixture
            .patch(dropped, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        fixture
            .patch(kept, json!({"spec": {"deletionPolicy": "Retain"}}))
            .await;
        fixture.annotate(released, RELEASE, "true").await;
        fixture.gone(dropped).await;
        fixture.gone(kept).await;
        // Only the database's own name lets it go.
        assert!(
            fixture
                .databases()
                .get_opt(released)
                .await
                .unwrap()
                .is_some()
        );
        fixture.annotate(released, RELEASE, released).await;
        fixture.gone(released).await;
        for name in &names {
            fixture.without_final_secret(name).await;
        }

        let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        left.sort();
        let mut expected: Vec<String> = ["claim", "database", "user"]
            .iter()
            .flat_map(|kind| [format!("{kind} {kept}"), format!("{kind} {released}")])
            .collect();
        expected.sort();
        assert_eq!(left, expected);
    })
    .await;
}

/// Nobody waits for the end of a backup that nobody wants any more, and nothing goes on without its Backup.
#[tokio::test]
async fn one_that_runs_is_stopped_by_a_changed_policy() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("running", before()).await;
        write(fixture, &name).await;
        let holder = fixture.hold_up(&name).await;
        fixture.delete(&name).await;
        let in_progress = Some(DatabaseState::BackupBeforeDeleteInProgress);
        let runs = |database: &db_operator::api::Database| {
            database
                .status
                .as_ref()
                .is_some_and(|status| status.state == in_progress)
        };
        fixture
            .until(&name, "its final backup runs", SOON, runs)
            .await;
        let key = {
            let running = async || {
                let last = fixture.final_backups(&name).await.pop()?;
                let begun = last.state() == Some(BackupState::BackingUp);
                last.status.filter(|_| begun)?.upload
            };
            let upload = e2e::testing::eventually("the final backup runs", SOON, async || {
                running().await.ok_or_else(|| "not yet".to_owned())
            });
            upload.await.key
        };
        fixture
            .patch(&name, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        e2e::testing::eventually("the final backup is stopped", SOON, async || {
            let left = fixture.final_backups(&name).await;
            left.first()
                .map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        // A superuser's session is one that the operator may not end.
        holder.close().await;
        fixture.gone(&name).await;
        fixture.without_final_secret(&name).await;
        let bucket = Bucket::open(&fixture.client).await;
        assert_eq!(bucket.uploads(&key).await.len(), 0);
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_destination_it_waits_for_one() {
    with_fixture(Server::Postgres, async |fixture| {
        let instance = fixture
            .make_instance("nowhere", json!({"backup": null}))
            .await;
        let name = fixture.make("orders", before_on(&instance)).await;
        fixture.stalled(&name, "NoBackupDestination").await;
        fixture.delete(&name).await;
        let deleting = |database: &db_operator::api::Database| {
            database.state() == Some(DatabaseState::BackupBeforeDeleteRequested)
        };
        fixture.until(&name, "being deleted", SOON, deleting).await;
        let message = fixture.stalled(&name, "NoBackupDestination").await;
        assert!(message.contains(&instance), "{message}");
        assert!(fixture.final_backups(&name).await.is_empty());

        let backup = fixture.shared_destination().await;
        fixture
            .patch_instance(&instance, json!({"backup": backup}))
            .await;
        fixture.gone_after_a_backup(&name).await;
        one_is_complete(fixture, &name).await;
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_not_waited_for() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", before()).await;
        let mut root = fixture.server.root(&fixture.client).await;
        let drop = format!("DROP DATABASE {}", fixture.server.quote(&name));
        root.run(&drop).await.unwrap();
        root.close().await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        fixture.told(&name, "NothingToBackUp").await;
        assert!(fixture.final_backups(&name).await.is_empty());
        nothing_is_left(fixture).await;
    })
    .await;
}

#[tokio::test]
async fn a_rivals_database_is_neither_backed_up_nor_locked_out() {
    on_every_server(async |fixture| {
        let winner = fixture.make_usable("orders", json!({})).await;
        let secret = fixture.secret(&winner).await;
        let rival = json!({"name": winner, "deletionPolicy": "BackupBeforeDelete"});
        let rival = fixture.make("rival", rival).await;
        fixture.stalled(&rival, "ClaimedByAnother").await;
        fixture.delete(&rival).await;
        fixture.gone(&rival).await;
        assert!(fixture.final_backups(&rival).await.is_empty());
        Session::open(&fixture.client, &secret)
            .await
            .unwrap()
            .close()
            .await;
    })
    .await;
}
