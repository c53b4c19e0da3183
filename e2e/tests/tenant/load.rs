//! The operator's memory and its queue: a flood of objects that cannot work.

use std::time::Duration;

use db_operator::api::Database;
use e2e::servers::OPERATOR_NAMESPACE;
use e2e::testing::{BACKED_UP, Fixture, Server, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::scene::played;

/// As many objects as a mistake in a loop makes.
const FLOOD: usize = 300;
/// Keys of each, as large as a template may be. How many objects there can be is a matter of the namespace's quota.
const KEYS: usize = 8;
const TEMPLATE: usize = 8192;
/// The memory that the operator may use, in bytes; see kustomize/base/deployment.yaml.
const LIMIT: f64 = 128.0 * 1024.0 * 1024.0;

async fn operators(fixture: &Fixture) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
    let named = ListParams::default().labels("app.kubernetes.io/name=db-operator");
    let mut found = pods.list(&named).await.unwrap().items;
    found.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    found
}

fn restarts(pods: &[Pod]) -> i32 {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
    statuses
        .flat_map(|status| status.container_statuses.iter().flatten())
        .map(|container| container.restart_count)
        .sum()
}

/// What each replica says of itself, line by line.
async fn metrics(fixture: &Fixture) -> Vec<String> {
    let mut all = Vec::new();
    for pod in operators(fixture).await {
        let name = pod.metadata.name.unwrap();
        let path =
            format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{name}:8080/proxy/metrics");
        let (status, text) = fixture.ask("GET", &path, &Value::Null).await;
        assert_eq!(status, 200, "{text}");
        all.extend(text.as_str().lines().map(ToOwned::to_owned));
    }
    all
}

/// The figures of all lines that begin so.
async fn figures(fixture: &Fixture, begin: &str) -> Vec<f64> {
    let lines = metrics(fixture).await;
    let found = lines.iter().filter(|line| line.starts_with(begin));
    found
        .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
        .collect()
}

/// The most that a replica has resident, in bytes.
async fn resident(fixture: &Fixture) -> f64 {
    let all = figures(fixture, "process_resident_memory_bytes ").await;
    all.into_iter().fold(0.0, f64::max)
}

/// How often Backups were looked at.
async fn looks_at_backups(fixture: &Fixture) -> f64 {
    let all = figures(fixture, "db_operator_reconciles_total{kind=\"Backup\"").await;
    all.into_iter().sum()
}

/// What nobody can make is looked at once, and waits; it delays no other team, and does not fill the operator's memory.
#[tokio::test]
async fn a_flood_of_what_cannot_be_made_delays_nobody() {
    played(Server::Postgres, async |scene| {
        let before = (
            restarts(&operators(scene.rival).await),
            resident(scene.rival).await,
        );
        let text = "x".repeat(TEMPLATE);
        let api = scene.team.databases();
        let flood = (0..FLOOD).map(|number| {
            let keys: Value = (0..KEYS)
                .map(|key| (format!("K{key}"), json!(text)))
                .collect::<serde_json::Map<_, _>>()
                .into();
            let object = json!({"metadata": {"name": format!("f{number}")}, "spec": {
                "instanceRef": {"name": "nowhere"}, "secretTemplate": {"data": keys}}});
            let object: Database = serde_json::from_value(object).unwrap();
            let api = api.clone();
            async move { api.create(&PostParams::default(), &object).await }
        });
        let made = futures::future::join_all(flood).await;
        let taken = made.iter().filter(|made| made.is_ok()).count();

        // Another team has what it asks for meanwhile, as soon as ever.
        let other = scene
            .rival
            .make_usable("meanwhile", json!({"deletionPolicy": "Delete"}))
            .await;
        scene.rival.delete(&other).await;
        scene.rival.gone(&other).await;

        let after = resident(scene.rival).await;
        println!(
            "{taken} of {FLOOD} were taken; resident {:.0} MiB before, {:.0} MiB after",
            before.1 / 1_048_576.0,
            after / 1_048_576.0
        );
        assert!(after < LIMIT, "{after}");
        assert_eq!(
            restarts(&operators(scene.rival).await),
            before.0,
            "the operator was killed"
        );
        let all = kube::api::DeleteParams::default();
        api.delete_collection(&all, &ListParams::default())
            .await
            .unwrap();
    })
    .await;
}

/// Backups that wait for one of their Database are not looked at again and again, and delay no other team.
#[tokio::test]
async fn a_queue_of_backups_delays_nobody() {
    played(Server::Postgres, async |scene| {
        let own = scene
            .team
            .make_usable("queued", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = scene.admin.hold_up(&own).await;
        let first = scene.team.back_up("first", &own, json!({})).await;
        scene.team.backing_up(&first).await;
        let queue = (0..FLOOD).map(|number| {
            let name = format!("q{number}");
            let (team, own) = (&scene.team, &own);
            async move { team.back_up(&name, own, json!({})).await }
        });
        let queue = futures::future::join_all(queue).await;
        for name in [&queue[0], &queue[FLOOD - 1]] {
            scene
                .team
                .waits(name, "Reconciling", "WaitingForTurn")
                .await;
        }

        // Another team's turn comes at once.
        let backup = scene.rival.back_up("b", &scene.owner, json!({})).await;
        scene.rival.completed(&backup).await;

        // One look each in so much time would be three hundred; one waits in front, and others of the cluster run.
        let before = looks_at_backups(scene.rival).await;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let looks = looks_at_backups(scene.rival).await - before;
        println!("{looks} looks at Backups in 6 s, with {FLOOD} in a queue");
        assert!(looks < 200.0, "{looks}");

        let mine = ListParams::default();
        let all = kube::api::DeleteParams::default();
        scene
            .admin
            .backups()
            .delete_collection(&all, &mine)
            .await
            .unwrap();
        holder.close().await;
        eventually("the queue is gone", BACKED_UP, async || {
            match scene.admin.backups().list(&mine).await.unwrap().items.len() {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            }
        })
        .await;
    })
    .await;
}
