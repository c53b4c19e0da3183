//! A server that takes no writes for a while: its instance says so, and the log of all that fails there can be read.

use std::time::Duration;

use db_operator::api::DatabaseInstance;
use e2e::campaign::eventually;
use e2e::sql_servers::postgresql::Postgresql;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::STORM;
use super::environment::Environment;

/// The series of the test's own server: the cluster's servers are not its own.
const SERIES: u32 = 17;
/// As many as were once logged ten times a second.
const COUNT: usize = 7;
/// How long it takes no writes, in seconds.
const FOR: u64 = 20;
/// What an object may say of its failures meanwhile: that it fails, in another way, and that it does not any more.
const LINES: usize = 4;

#[tokio::test]
async fn a_server_that_takes_no_writes_is_told_at_a_rate_that_a_person_can_read() {
    let postgres = Postgresql::start(SERIES).unwrap();
    let environment = Environment::on(&postgres).await;
    let operator = environment.operator("operator", environment.control_plane.kubeconfig());
    environment.apply(0..COUNT).await;
    environment.until_created(COUNT, STORM).await;

    let ask = async |sql: &str| environment.server.ask("postgres", sql).await.unwrap();
    ask("ALTER SYSTEM SET default_transaction_read_only = on").await;
    ask("SELECT pg_reload_conf()::text").await;
    let before = operator.log().len();
    let databases = environment.databases();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    for second in 1..=FOR {
        seconds.tick().await;
        // Something has to be written on the server for each of them.
        let wish = Patch::Merge(json!({"spec": {"connectionLimit": second}}));
        for number in 0..COUNT {
            let name = format!("db-{number}");
            databases
                .patch(&name, &PatchParams::default(), &wish)
                .await
                .unwrap();
        }
    }
    let log = operator.log();
    let said = log[before..]
        .lines()
        .filter(|line| !line.contains(" DEBUG "));
    let said: Vec<&str> = said.collect();
    let failures = said
        .iter()
        .filter(|line| line.contains("failed, trying again"));
    let failures = failures.count();
    println!("{} lines in {FOR} s, {failures} of failures", said.len());
    assert!(failures <= COUNT * LINES, "{said:#?}");
    assert!(said.len() <= COUNT * LINES * 2, "{said:#?}");
    let instances: Api<DatabaseInstance> = Api::all(environment.client.clone());
    let status = instances.get("server").await.unwrap().status.unwrap();
    let ready = status
        .conditions
        .iter()
        .find(|it| it.type_ == "Ready")
        .unwrap();
    assert_eq!(ready.reason, "ReadOnly");

    ask("ALTER SYSTEM RESET default_transaction_read_only").await;
    ask("SELECT pg_reload_conf()::text").await;
    let wanted = FOR.to_string();
    let limits = format!(
        "SELECT rolconnlimit::text FROM pg_roles WHERE starts_with(rolname, '{}')",
        environment.prefix
    );
    eventually("all have what was asked for", STORM, async || {
        let limits = environment.server.ask("postgres", &limits).await?;
        let done = limits.len() == COUNT && limits.iter().all(|limit| *limit == wanted);
        Ok(done.then_some(()))
    })
    .await
    .unwrap();
    operator.ensure().unwrap();
    environment.delete_all(STORM).await;
    drop(operator);
    environment.clear().await;
}
