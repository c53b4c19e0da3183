//! `BackupBeforeDelete`: nothing is dropped before its backup is complete, and nothing waits for ever.

use db_operator::api::{Backup, BackupState, DatabaseState, RELEASE};
use e2e::testing::{Bed, Bucket, Into, SOON, Server, Session, in_bed, on_every_server};
use serde_json::{Value, json};

fn before() -> Value {
    json!({"deletionPolicy": "BackupBeforeDelete"})
}

fn before_on(instance: &str) -> Value {
    json!({"deletionPolicy": "BackupBeforeDelete", "instanceRef": {"name": instance}})
}

async fn write(bed: &Bed, name: &str) {
    let mut session = Session::open(&bed.client, &bed.secret(name).await)
        .await
        .unwrap();
    session.run("CREATE TABLE kept (x INT)").await.unwrap();
    session.run("INSERT INTO kept VALUES (7)").await.unwrap();
    let view = "CREATE VIEW happy AS SELECT x FROM kept";
    session.run(view).await.unwrap();
    session.close().await;
}

/// Nothing of this test's is left on the server.
async fn nothing_is_left(bed: &Bed) {
    let left = bed.server.names(&bed.client, &bed.prefix).await;
    assert!(left.is_empty(), "{left:?}");
}

/// The one final backup of a Database that is gone is complete, and what it logged in with is gone, too.
async fn one_is_complete(bed: &Bed, name: &str) {
    let finals = bed.final_backups(name).await;
    let states: Vec<_> = finals.iter().map(Backup::state).collect();
    assert_eq!(states, [Some(BackupState::Completed)]);
    let status = finals[0].status.clone().unwrap();
    assert!(status.stored_bytes.unwrap() > 0, "{status:?}");
    assert!(status.destination.unwrap().contains(&bed.namespace));
    bed.without_final_secret(name).await;
}

#[tokio::test]
async fn it_is_dropped_after_its_final_backup() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", before()).await;
        write(bed, &name).await;
        bed.delete(&name).await;
        bed.gone_after_a_backup(&name).await;
        one_is_complete(bed, &name).await;
        bed.told(&name, "FinalBackupCompleted").await;
        bed.told(&name, "Dropped").await;
        nothing_is_left(bed).await;

        // It can be had back: the same again, from the store.
        let last = bed.final_backups(&name).await.remove(0);
        let key = last.status.unwrap().upload.unwrap().key;
        let object = Bucket::open(&bed.client).await.get(&key).await.unwrap();
        bed.make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        bed.restore(&object, &name, Into::ItsOwn).await;
        let secret = bed.secret(&name).await;
        let mut session = Session::open(&bed.client, &secret).await.unwrap();
        let found = session.column("SELECT x FROM happy").await.unwrap();
        assert_eq!(found, ["7"]);
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_secret_and_the_namespace_may_go_first() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", before()).await;
        write(bed, &name).await;
        bed.delete_secret(&name).await;
        bed.delete_namespace().await;
        bed.gone_after_a_backup(&name).await;
        one_is_complete(bed, &name).await;
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn a_failed_one_is_said_and_tried_again() {
    in_bed(Server::Postgres, async |bed| {
        let instance = bed.instance_without_bucket("broken").await;
        let name = bed.make_usable("orders", before_on(&instance)).await;
        write(bed, &name).await;
        bed.delete(&name).await;
        bed.told(&name, "FinalBackupFailed").await;
        let found = bed
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
        let message = bed.reconciling(&name, "WaitingForFinalBackup").await;
        for part in ["failed", "-final-", "Retain", RELEASE] {
            assert!(message.contains(part), "{part}: {message}");
        }
        // It is all there still.
        let left = bed.server.names(&bed.client, &bed.prefix).await;
        assert_eq!(left.len(), 3, "{left:?}");

        let backup = bed.shared_destination().await;
        bed.patch_instance(&instance, json!({"backup": backup}))
            .await;
        bed.gone_after_a_backup(&name).await;
        let finals = bed.final_backups(&name).await;
        let (last, failed) = finals.split_last().unwrap();
        assert_eq!(last.state(), Some(BackupState::Completed));
        assert!(!failed.is_empty());
        for attempt in failed {
            assert_eq!(attempt.state(), Some(BackupState::Failed));
        }
        bed.without_final_secret(&name).await;
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn a_changed_policy_or_a_release_ends_the_wait() {
    on_every_server(async |bed| {
        let instance = bed.instance_without_bucket("broken").await;
        let mut names = Vec::new();
        for name in ["dropped", "kept", "released"] {
            names.push(bed.make_usable(name, before_on(&instance)).await);
        }
        for name in &names {
            write(bed, name).await;
            bed.delete(name).await;
        }
        for name in &names {
            bed.told(name, "FinalBackupFailed").await;
        }
        let [dropped, kept, released] = names.as_slice() else {
            unreachable!("three were made");
        };
        bed.patch(dropped, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        bed.patch(kept, json!({"spec": {"deletionPolicy": "Retain"}}))
            .await;
        bed.annotate(released, RELEASE, "true").await;
        bed.gone(dropped).await;
        bed.gone(kept).await;
        // Only the database's own name lets it go.
        assert!(bed.databases().get_opt(released).await.unwrap().is_some());
        bed.annotate(released, RELEASE, released).await;
        bed.gone(released).await;
        for name in &names {
            bed.without_final_secret(name).await;
        }

        let mut left = bed.server.names(&bed.client, &bed.prefix).await;
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
    in_bed(Server::Postgres, async |bed| {
        let name = bed.make_usable("running", before()).await;
        write(bed, &name).await;
        let holder = bed.hold_up(&name).await;
        bed.delete(&name).await;
        let in_progress = Some(DatabaseState::BackupBeforeDeleteInProgress);
        let runs = |database: &db_operator::api::Database| {
            database
                .status
                .as_ref()
                .is_some_and(|status| status.state == in_progress)
        };
        bed.until(&name, "its final backup runs", SOON, runs).await;
        let key = {
            let running = async || {
                let last = bed.final_backups(&name).await.pop()?;
                let begun = last.state() == Some(BackupState::BackingUp);
                last.status.filter(|_| begun)?.upload
            };
            let upload = e2e::testing::eventually("the final backup runs", SOON, async || {
                running().await.ok_or_else(|| "not yet".to_owned())
            });
            upload.await.key
        };
        bed.patch(&name, json!({"spec": {"deletionPolicy": "Delete"}}))
            .await;
        e2e::testing::eventually("the final backup is stopped", SOON, async || {
            let left = bed.final_backups(&name).await;
            left.first()
                .map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        // A superuser's session is one that the operator may not end.
        holder.close().await;
        bed.gone(&name).await;
        bed.without_final_secret(&name).await;
        let bucket = Bucket::open(&bed.client).await;
        assert_eq!(bucket.uploads(&key).await.len(), 0);
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn without_a_destination_it_waits_for_one() {
    in_bed(Server::Postgres, async |bed| {
        let instance = bed.make_instance("nowhere", json!({"backup": null})).await;
        let name = bed.make("orders", before_on(&instance)).await;
        bed.stalled(&name, "NoBackupDestination").await;
        bed.delete(&name).await;
        let deleting = |database: &db_operator::api::Database| {
            database.state() == Some(DatabaseState::BackupBeforeDeleteRequested)
        };
        bed.until(&name, "being deleted", SOON, deleting).await;
        let message = bed.stalled(&name, "NoBackupDestination").await;
        assert!(message.contains(&instance), "{message}");
        assert!(bed.final_backups(&name).await.is_empty());

        let backup = bed.shared_destination().await;
        bed.patch_instance(&instance, json!({"backup": backup}))
            .await;
        bed.gone_after_a_backup(&name).await;
        one_is_complete(bed, &name).await;
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_not_waited_for() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", before()).await;
        let mut root = bed.server.root(&bed.client).await;
        let drop = format!("DROP DATABASE {}", bed.server.quote(&name));
        root.run(&drop).await.unwrap();
        root.close().await;
        bed.delete(&name).await;
        bed.gone(&name).await;
        bed.told(&name, "NothingToBackUp").await;
        assert!(bed.final_backups(&name).await.is_empty());
        nothing_is_left(bed).await;
    })
    .await;
}

#[tokio::test]
async fn a_rivals_database_is_neither_backed_up_nor_locked_out() {
    on_every_server(async |bed| {
        let winner = bed.make_usable("orders", json!({})).await;
        let secret = bed.secret(&winner).await;
        let rival = json!({"name": winner, "deletionPolicy": "BackupBeforeDelete"});
        let rival = bed.make("rival", rival).await;
        bed.stalled(&rival, "ClaimedByAnother").await;
        bed.delete(&rival).await;
        bed.gone(&rival).await;
        assert!(bed.final_backups(&rival).await.is_empty());
        Session::open(&bed.client, &secret)
            .await
            .unwrap()
            .close()
            .await;
    })
    .await;
}
