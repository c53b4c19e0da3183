//! A deletion with its final backup goes on where it was when the operator ended without a word.

use db_operator::api::{Backup, BackupState, DatabaseState};
use e2e::testing::{BACKED_UP, Fixture, Server, with_fixture};
use serde_json::json;

async fn in_state(fixture: &Fixture, name: &str, state: DatabaseState) {
    fixture
        .until(name, state.as_str(), BACKED_UP, |database| {
            database.state() == Some(state)
        })
        .await;
}

#[tokio::test]
async fn an_operator_that_is_killed_in_any_state_is_made_up_for() {
    with_fixture(Server::Postgres, async |fixture| {
        let broken = fixture.instance_without_bucket("broken").await;
        let working = fixture.make_instance("working", json!({})).await;
        let make = async |name: &str, instance: &str| {
            let spec =
                json!({"deletionPolicy": "BackupBeforeDelete", "instanceRef": {"name": instance}});
            fixture.make_usable(name, spec).await
        };
        let requested = make("requested", &broken).await;
        let running = make("running", &working).await;
        let dropping = make("dropping", &working).await;

        // It owns something elsewhere, so it cannot be dropped.
        let elsewhere = fixture.make_usable("elsewhere", json!({})).await;
        let mut root = fixture.server.superuser(&fixture.client, &elsewhere).await;
        let table = "CREATE TABLE public.left_behind (x INT)";
        root.run(table).await.unwrap();
        let owner = fixture.server.user(&dropping);
        let owner = format!("ALTER TABLE public.left_behind OWNER TO {owner}");
        root.run(&owner).await.unwrap();
        let holder = fixture.hold_up(&running).await;
        for name in [&requested, &running, &dropping] {
            fixture.delete(name).await;
        }
        in_state(fixture, &dropping, DatabaseState::DeletionInProgress).await;
        in_state(
            fixture,
            &running,
            DatabaseState::BackupBeforeDeleteInProgress,
        )
        .await;
        fixture.told(&requested, "FinalBackupFailed").await;
        in_state(
            fixture,
            &requested,
            DatabaseState::BackupBeforeDeleteRequested,
        )
        .await;

        fixture.kill_the_leader().await;
        let backup = fixture.shared_destination().await;
        fixture
            .patch_instance(&broken, json!({"backup": backup}))
            .await;
        holder.close().await;
        root.run("DROP TABLE public.left_behind").await.unwrap();
        root.close().await;
        fixture.kill_the_leader().await;
        for name in [&dropping, &running, &requested] {
            fixture.gone_after_a_backup(name).await;
            let finals = fixture.final_backups(name).await;
            let states: Vec<_> = finals.iter().filter_map(Backup::state).collect();
            let (last, before) = states.split_last().unwrap();
            assert_eq!(*last, BackupState::Completed);
            assert!(before.iter().all(|state| *state == BackupState::Failed));
            // Only the one whose store failed was tried again.
            let failures: Vec<_> = finals
                .iter()
                .filter_map(|backup| backup.status.as_ref()?.failure.as_ref())
                .collect();
            assert_eq!(
                before.is_empty(),
                name != &requested,
                "{name}: {failures:?}"
            );
            fixture.without_final_secret(name).await;
            let left = fixture.server.names(&fixture.client, name).await;
            assert!(left.is_empty(), "{left:?}");
        }
        fixture.both_replicas_are_ready().await;
    })
    .await;
}
