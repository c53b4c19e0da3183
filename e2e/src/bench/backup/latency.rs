//! In the cluster: how soon a Backup of an empty database is COMPLETED after `kubectl apply`, and where the time goes.

use std::time::Instant;

use db_operator::api::Backup;
use db_operator::api::backup::BackupState;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Serialize;

use super::super::in_cluster::{InCluster, begun, ended, in_cluster, installed};
use super::figures::middle;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};

const PREFIX: &str = "bench-backup";
const DATABASE: &str = "empty";
/// An instance with a destination for backups.
const INSTANCE: &str = "postgres";
/// The container that dumps.
const CONTAINER: &str = "dump";

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

/// Measures in the cluster's own operator; what it makes goes again.
pub(super) async fn measure(cluster: &Cluster, rounds: u32) -> Result<Latency> {
    let rounds = in_cluster(cluster, PREFIX, async |here| all(here, rounds).await).await?;
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

async fn all(here: &InCluster<'_>, rounds: u32) -> Result<Vec<Moments>> {
    here.make_database(DATABASE, INSTANCE).await?;
    let mut all = Vec::new();
    // The first one finds nothing warm, and does not count.
    for round in 0..=rounds {
        let moments = one(here, &format!("b{round}")).await?;
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

async fn one(here: &InCluster<'_>, name: &str) -> Result<Moments> {
    let start = Instant::now();
    let spec = serde_json::json!({"databaseRef": {"name": DATABASE}});
    here.apply("Backup", name, &spec)?;
    let mut moments = Moments {
        applied: start.elapsed().as_secs_f64(),
        ..Moments::default()
    };
    let uid = here.get::<Backup>(name).await?.uid();
    let job = format!("backup-{}", uid.unwrap_or_default());
    loop {
        let backup: Backup = here.get(name).await?;
        let pod = here.pod_of(&job).await?;
        let now = start.elapsed().as_secs_f64();
        let state = backup.status.and_then(|status| status.state);
        if state == Some(BackupState::Failed) {
            return Err(Error::Trial {
                what: "back an empty database up".to_owned(),
                detail: "the Backup is FAILED".to_owned(),
            });
        }
        let reached = |wanted: BackupState| state.is_some_and(|state| rank(state) >= rank(wanted));
        let is =
            |said: fn(&Pod, &str) -> bool| pod.as_ref().is_some_and(|pod| said(pod, CONTAINER));
        let notes = [
            (&mut moments.starting, reached(BackupState::Starting)),
            (&mut moments.backing_up, reached(BackupState::BackingUp)),
            (&mut moments.installed, pod.as_ref().is_some_and(installed)),
            (&mut moments.dumping, is(begun)),
            (&mut moments.dumped, is(ended)),
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
        here.wait(start).await?;
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
