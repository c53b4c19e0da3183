//! What goes wrong around the operator, and that it ends well. They need the cluster: `cargo xtask up`. Each has an API
//! server of its own, so that the operator of the cluster does not meddle, and one runs at a time, because they measure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end with a panic

#[path = "faults/environment.rs"]
mod environment;
#[path = "faults/identity.rs"]
mod identity;
#[path = "faults/read_only.rs"]
mod read_only;
#[path = "faults/restart.rs"]
mod restart;
#[path = "faults/takeover.rs"]
mod takeover;

use std::time::{Duration, Instant};

use db_operator::api::DatabaseInstance;
use e2e::campaign::{self, Engine, eventually};
use e2e::cluster::Cluster;
use e2e::fault_proxy::{Faults, Tunnel};
use environment::Environment;
use kube::Api;

/// How soon a server that is back is used again.
const FOUND: Duration = Duration::from_secs(10);

/// How soon all that waited for a server are through on a machine with two processors that has other things to do.
const CAUGHT_UP: Duration = Duration::from_secs(45);

/// How long a storm may take on a busy machine.
const STORM: Duration = Duration::from_secs(90);

#[tokio::test]
async fn a_part_of_the_campaign_that_changes_with_the_date_passes() {
    let days = campaign::today();
    let options = campaign::Options {
        errors: true,
        seed: days,
        budget: Some(Duration::from_secs(35)),
        ..campaign::Options::default()
    };
    let tally = campaign::run(&Cluster::main(), &options).await.unwrap();
    assert!(tally.failures.is_empty(), "seed {days}: {tally}");
    assert!(tally.plans > 0, "{tally}");
    println!("seed {days}: {tally}");
}

#[tokio::test]
async fn a_part_of_the_pauses_that_changes_with_the_date_passes() {
    let options = campaign::pauses::Options {
        count: 8,
        seed: campaign::today(),
        budget: Some(Duration::from_secs(20)),
        ..campaign::pauses::Options::default()
    };
    let tally = campaign::pauses::run(&Cluster::main(), &options).await;
    let tally = tally.unwrap();
    assert!(tally.failures.is_empty(), "seed {}: {tally}", options.seed);
    assert!(tally.plans > 0, "{tally}");
    println!("seed {}: {tally}", options.seed);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_within_ten_seconds() {
    let environment = Environment::with(Engine::Mariadb).await;
    let operator = environment.operator("operator", environment.control_plane.kubeconfig());
    environment.apply(0..50).await;
    environment.until_created(1, STORM).await;
    environment.tunnel.cut();
    let back = Instant::now() + Duration::from_secs(30);
    environment.apply(50..100).await;
    let before = environment.created().await;
    assert!(before < 100, "the server was away too late for this test");
    tokio::time::sleep_until(back.into()).await;
    environment.tunnel.mend();
    let returned = Instant::now();
    let report =
        |what: &str| println!("{what}, {:?} after the server's return", returned.elapsed());
    environment.until_created(before + 1, FOUND).await;
    report("the first Database is created");
    environment.until_created(100, CAUGHT_UP).await;
    report(&format!("all {} that waited are created", 100 - before));
    // Its conditions do not wait for the next resync.
    let instances: Api<DatabaseInstance> = Api::all(environment.client.clone());
    eventually("the instance is connected", FOUND, async || {
        let status = instances.get("server").await.unwrap().status;
        let conditions = status.unwrap_or_default().conditions;
        let ready = conditions.iter().find(|it| it.type_ == "Ready");
        Ok(ready.filter(|ready| ready.reason == "Connected").map(drop))
    })
    .await
    .unwrap();
    println!("(on a machine with nothing else to do it is to be within {FOUND:?})");
    operator.ensure().unwrap();
    environment.check_all(100).await;
    environment.delete_all(STORM).await;
    drop(operator);
    environment.clear().await;
}

#[tokio::test]
async fn an_operator_without_an_api_server_ends_and_continues_when_it_is_back() {
    let environment = Environment::with(Engine::Mariadb).await;
    let way = Tunnel::to(
        environment.control_plane.address(),
        "api",
        Faults::new(|| ()),
    )
    .await
    .unwrap();
    let kubeconfig = environment
        .control_plane
        .kubeconfig_through(way.address())
        .unwrap();
    let operator = environment.operator("operator", kubeconfig);
    environment.apply(0..20).await;
    environment.until_created(1, STORM).await;
    environment.apply(20..40).await;
    way.cut();
    // The lease is for six seconds.
    eventually("the operator ends", Duration::from_secs(15), async || {
        Ok(operator.ended())
    })
    .await
    .unwrap();
    assert!(
        operator.log().contains("stopped leading"),
        "{}",
        operator.log()
    );
    // The kubelet would start it again; it waits for the API server.
    operator.kill();
    operator.ensure().unwrap();
    way.mend();
    environment.until_created(40, STORM).await;
    operator.ensure().unwrap();
    environment.check_all(40).await;
    environment.delete_all(STORM).await;
    drop(operator);
    environment.clear().await;
}
