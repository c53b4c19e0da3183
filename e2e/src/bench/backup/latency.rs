//! In the cluster: how soon a Backup of an empty database is COMPLETED after `kubectl apply`, and where the time goes.

use std::time::{Duration, Instant};

use db_operator::api::backup::BackupState;
use db_operator::api::{Backup, Database, DatabaseState};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use serde::Serialize;

use super::figures::middle;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result, command};

const PREFIX: &str = "bench-backup";
const DATABASE: &str = "empty";
/// An instance with a destination for backups.
const INSTANCE: &str = "postgres";
/// How long one Backup may take.
const LIMIT: Duration = Duration::from_mins(3);
const LOOK_EACH: Duration = Duration::from_millis(20);

/// Moments of one Backup, in seconds after `kubectl apply` was started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Moments {
    /// `kubectl apply` has ended.
    pub(super) applied: f64,
    /// The Backup's turn has come.
    pub(super) starting: f64,
    /// Upload, Job and task are created.
    pub(super) backing_up: f64,
    /// The kubelet says that the init container has ended.
    pub(super) installed: f64,
    /// The kubelet says that the dump runs.
    pub(super) dumping: f64,
    /// The kubelet says that the dump has ended.
    pub(super) dumped: f64,
    /// The object is whole and checked.
    pub(super) completed: f64,
}

/// All Backups, and the median of each moment.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    pub(super) median: Moments,
    pub(super) rounds: Vec<Moments>,
}

/// A namespace of this run's own: that of an earlier one may still be going.
fn namespace() -> String {
    format!("{PREFIX}-{}", std::process::id())
}

/// Measures in the cluster's own operator; what it makes goes again.
pub(super) async fn measure(cluster: &Cluster, rounds: u32) -> Result<Latency> {
    let client = super::super::environment::client(cluster).await?;
    command::output(
        cluster
            .kubectl()
            .args(["create", "namespace", &namespace()]),
    )?;
    // Whatever becomes of the measuring, the namespace goes.
    let measured = tokio::select! {
        measured = all(cluster, &client, rounds) => measured,
        interrupted = super::super::interrupted() => interrupted,
    };
    let mut delete = cluster.kubectl();
    delete.args(["delete", "namespace", &namespace(), "--timeout=120s"]);
    let deleted = command::output(&mut delete);
    let rounds = measured?;
    deleted?;
    let of = |moment: fn(&Moments) -> f64| middle(rounds.iter().map(moment).collect());
    Ok(Latency {
        median: Moments {
            applied: of(|one| one.applied),
            starting: of(|one| one.starting),
            backing_up: of(|one| one.backing_up),
            installed: of(|one| one.installed),
            dumping: of(|one| one.dumping),
            dumped: of(|one| one.dumped),
            completed: of(|one| one.completed),
        },
        rounds,
    })
}

async fn all(cluster: &Cluster, client: &Client, rounds: u32) -> Result<Vec<Moments>> {
    let spec = serde_json::json!({"instanceRef": {"name": INSTANCE}, "deletionPolicy": "Delete"});
    apply(cluster, "Database", DATABASE, &spec)?;
    let databases: Api<Database> = Api::namespaced(client.clone(), &namespace());
    let start = Instant::now();
    loop {
        let database = databases.get(DATABASE).await.map_err(failed())?;
        if database.state() == Some(DatabaseState::Created) {
            break;
        }
        wait(start).await?;
    }
    let mut all = Vec::new();
    // The first one finds nothing warm, and does not count.
    for round in 0..=rounds {
        let moments = one(cluster, client, &format!("b{round}")).await?;
        say(&format!(
            "an empty database, round {round}: {:.2} s",
            moments.completed
        ));
        if round > 0 {
            all.push(moments);
        }
    }
    Ok(all)
}

async fn one(cluster: &Cluster, client: &Client, name: &str) -> Result<Moments> {
    let backups: Api<Backup> = Api::namespaced(client.clone(), &namespace());
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace());
    let start = Instant::now();
    let spec = serde_json::json!({"databaseRef": {"name": DATABASE}});
    apply(cluster, "Backup", name, &spec)?;
    let mut moments = Moments {
        applied: start.elapsed().as_secs_f64(),
        ..Moments::default()
    };
    let uid = backups.get(name).await.map_err(failed())?.uid();
    let job = format!(
        "batch.kubernetes.io/job-name=backup-{}",
        uid.unwrap_or_default()
    );
    loop {
        let backup = backups.get(name).await.map_err(failed())?;
        let found = pods.list(&ListParams::default().labels(&job)).await;
        let pod = found.map_err(failed())?.items.pop();
        let now = start.elapsed().as_secs_f64();
        let state = backup.status.and_then(|status| status.state);
        if state == Some(BackupState::Failed) {
            return Err(Error::Trial {
                what: "back an empty database up".to_owned(),
                detail: "the Backup is FAILED".to_owned(),
            });
        }
        let reached = |wanted: BackupState| state.is_some_and(|state| rank(state) >= rank(wanted));
        let notes = [
            (&mut moments.starting, reached(BackupState::Starting)),
            (&mut moments.backing_up, reached(BackupState::BackingUp)),
            (&mut moments.installed, pod.as_ref().is_some_and(installed)),
            (&mut moments.dumping, pod.as_ref().is_some_and(dumping)),
            (&mut moments.dumped, pod.as_ref().is_some_and(dumped)),
            (&mut moments.completed, reached(BackupState::Completed)),
        ];
        for (moment, is_reached) in notes {
            if is_reached && *moment == 0.0 {
                *moment = now;
            }
        }
        if reached(BackupState::Completed) {
            return Ok(moments);
        }
        wait(start).await?;
    }
}

/// A place in the order of a life that goes well.
fn rank(state: BackupState) -> u8 {
    match state {
        BackupState::Failed => 0,
        BackupState::Starting => 1,
        BackupState::BackingUp => 2,
        BackupState::Completed => 3,
    }
}

fn installed(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let containers = status.and_then(|status| status.init_container_statuses.as_ref());
    containers.is_some_and(|all| all.iter().all(has_ended))
}

fn dumping(pod: &Pod) -> bool {
    dump(pod).is_some_and(|dump| {
        let state = dump.state.as_ref();
        has_ended(dump) || state.is_some_and(|state| state.running.is_some())
    })
}

fn dumped(pod: &Pod) -> bool {
    dump(pod).is_some_and(has_ended)
}

fn dump(pod: &Pod) -> Option<&ContainerStatus> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == "dump")
}

fn has_ended(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    state.is_some_and(|state| state.terminated.is_some())
}

fn apply(cluster: &Cluster, kind: &str, name: &str, spec: &serde_json::Value) -> Result<()> {
    let object = serde_json::json!({
        "apiVersion": "db-operator.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace()},
        "spec": spec,
    });
    let mut apply = cluster.kubectl();
    apply.args(["apply", "--filename=-"]);
    command::output_with_input(&mut apply, &object.to_string()).map(drop)
}

async fn wait(since: Instant) -> Result<()> {
    if since.elapsed() > LIMIT {
        return Err(Error::Timeout {
            what: format!("What is in the namespace {}", namespace()),
            seconds: LIMIT.as_secs(),
            tail: String::new(),
        });
    }
    tokio::time::sleep(LOOK_EACH).await;
    Ok(())
}

fn failed<E: std::fmt::Display>() -> impl FnOnce(E) -> Error {
    Error::trial("look at the bench's Backups")
}
