//! What goes wrong with the operator while a backup or a restore runs: it dies at any of its requests, another one leads,
//! the API server is away. All of it in the cluster, in the place of the operator that is installed there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod keys;
mod restores;

use std::time::{Duration, Instant};

use db_operator::api::{BackupState, DatabaseInstance};
use e2e::campaign::backups::fixture::LIMIT;
use e2e::campaign::backups::{Fixture, Options, Store, trials};
use e2e::campaign::{Engine, Operator, eventually, today};
use e2e::cluster::Cluster;
use e2e::fault_proxy::StoreProxy;
use e2e::sql_servers::Scratch;
use e2e::testing::{Session, catch};
use keys::{Giver, Identity};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// The installed operator rests once, for all of it.
#[tokio::test]
async fn a_backup_and_a_restore_survive_their_operator() {
    let folder = Scratch::new("keys").unwrap();
    let giver = Giver::start(folder.path()).await;
    let environment = giver.environment(Identity::Pod);
    let fixture = Fixture::start(&Cluster::main(), &Engine::ALL, environment).await;
    let fixture = fixture.unwrap();
    let result = catch(async {
        let mut store = Store::default();
        Box::pin(a_part_of_the_campaign_that_changes_with_the_date(
            &fixture, &mut store,
        ))
        .await;
        Box::pin(restores::a_part_of_the_campaign_that_changes_with_the_date(
            &fixture,
        ))
        .await;
        Box::pin(restores::a_leader_that_was_frozen_in_the_switch_does_nothing_more(&fixture))
            .await;
        store.note_present(&fixture).unwrap();
        Box::pin(another_leader(&fixture, &mut store)).await;
        Box::pin(no_api_server(&fixture, &mut store)).await;
        Box::pin(own_identity(&fixture, &mut store, &giver)).await;
    })
    .await;
    if result.is_err() {
        eprintln!("--- {}", fixture.operator.log());
    }
    let cleared = fixture.clear(false).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    cleared.unwrap();
}

async fn a_part_of_the_campaign_that_changes_with_the_date(fixture: &Fixture, store: &mut Store) {
    let days = today();
    let options = Options {
        only: None,
        tool: 4,
        seed: days,
        slice: None,
        budget: Some(Duration::from_secs(40)),
    };
    let tally = trials(fixture, &options, store).await.unwrap();
    assert!(tally.failures.is_empty(), "seed {days}: {tally}");
    assert!(tally.plans > 0, "{tally}");
    println!("seed {days}: {tally}");
}

/// A backup whose dump waits for a lock.
async fn held(fixture: &Fixture, name: &str) -> Session {
    let holder = fixture.hold().await.unwrap();
    fixture.back_up(name).await.unwrap();
    let running = eventually("the backup runs", LIMIT, async || {
        fixture.operator.ensure()?;
        let backup = fixture.backups().get(name).await.unwrap();
        Ok((backup.state() == Some(BackupState::BackingUp)).then_some(()))
    });
    running.await.unwrap();
    holder
}

async fn completes(fixture: &Fixture, store: &mut Store, name: &str) {
    let backup = fixture.ended(name).await.unwrap();
    assert_eq!(
        backup.state(),
        Some(BackupState::Completed),
        "{:?}",
        backup.status
    );
    store.check(fixture, &backup).await.unwrap();
}

async fn leads(operator: &Operator) {
    let leading = eventually("it leads", LIMIT, async || {
        operator.ensure()?;
        Ok(operator.log().contains("leading lease=").then_some(()))
    });
    leading.await.unwrap();
}

/// The leader dies, and another one that stood by finishes what it began.
async fn another_leader(fixture: &Fixture, store: &mut Store) {
    let second = fixture.another("second", Vec::new());
    second.ensure().unwrap();
    let holder = held(fixture, "leader").await;
    fixture.operator.kill();
    leads(&second).await;
    holder.close().await;
    completes(fixture, store, "leader").await;
    second.kill();
}

/// The dump ends while nobody can be asked or told.
async fn no_api_server(fixture: &Fixture, store: &mut Store) {
    let holder = held(fixture, "away").await;
    fixture.way.cut();
    let back = Instant::now() + Duration::from_mins(1);
    holder.close().await;
    eventually("the operator ends", LIMIT, async || {
        Ok(fixture.operator.ended())
    })
    .await
    .unwrap();
    tokio::time::sleep_until(back.into()).await;
    fixture.way.mend();
    // The kubelet would start it again.
    fixture.operator.kill();
    completes(fixture, store, "away").await;
}

/// A store for which the operator has no keys but those of where it runs.
async fn own_identity(fixture: &Fixture, store: &mut Store, giver: &Giver) {
    let proxy = StoreProxy::in_cluster(&fixture.server).await.unwrap();
    let instances: Api<DatabaseInstance> = Api::all(fixture.client.clone());
    let own_identity = json!({"spec": {"backup": {"s3": {
        "endpoint": proxy.endpoint(), "credentialsSecretRef": null}}}});
    let as_is = PatchParams::default();
    let patch = Patch::Merge(own_identity);
    instances
        .patch(&fixture.instance(Engine::Postgres), &as_is, &patch)
        .await
        .unwrap();
    Box::pin(keys_that_end(fixture, store, giver, &proxy)).await;
    for identity in [Identity::Web, Identity::Instance] {
        let name = format!("{identity:?}").to_lowercase();
        let operator = fixture.another(&name, giver.environment(identity));
        fixture.operator.kill();
        leads(&operator).await;
        fixture.back_up(&name).await.unwrap();
        completes(fixture, store, &name).await;
        assert!(giver.given(identity) > 0, "{identity:?}");
        operator.kill();
    }
}

/// The keys are temporary, and end while a dump waits: what the operator signed with them is refused by the store, and the
/// pod goes on with what it signed with the next.
async fn keys_that_end(fixture: &Fixture, store: &mut Store, giver: &Giver, proxy: &StoreProxy) {
    let holder = held(fixture, "keys").await;
    let given = giver.given(Identity::Pod);
    assert!(given > 0, "the keys are the giver's");
    proxy.expire_tokens();
    holder.close().await;
    eventually("a part is refused", LIMIT, async || {
        fixture.operator.ensure()?;
        Ok((proxy.refused() > 0).then_some(()))
    })
    .await
    .unwrap();
    completes(fixture, store, "keys").await;
    assert!(giver.given(Identity::Pod) > given, "others were asked for");
}
