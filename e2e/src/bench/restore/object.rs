//! In the cluster: how soon a Restore is COMPLETED after `kubectl apply`, and where the time goes.

use std::time::Instant;

use db_operator::api::restore::CheckLevel;
use db_operator::api::{Database, Restore, RestoreState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde::Serialize;
use serde_json::json;

use super::super::backup::figures::middle;
use super::super::in_cluster::{InCluster, begun, ended, in_cluster, installed};
use crate::campaign::server::secret;
use crate::cluster::Cluster;
use crate::command::say;
use crate::testing::Session;
use crate::{Error, Result, dataset};

const PREFIX: &str = "bench-restore";
/// An instance with a destination for backups.
pub(super) const INSTANCE: &str = "postgres";
/// The container that loads.
const CONTAINER: &str = "restore";

/// Moments of one Restore, in seconds after `kubectl apply` was started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Moments {
    /// `kubectl apply` has ended.
    pub(super) applied: f64,
    /// The Restore's turn has come.
    pub(super) preparing: f64,
    /// Place, login, Job and task are there.
    pub(super) loading: f64,
    /// The kubelet says that the init container has ended.
    pub(super) installed: f64,
    /// The kubelet says that the pod loads.
    pub(super) running: f64,
    /// The kubelet says that it has ended.
    pub(super) ended: f64,
    /// The operator knows so, too.
    pub(super) switching: f64,
    /// The restored database has the name.
    pub(super) completed: f64,
}

/// All Restores of one kind, and the median of each moment.
#[derive(Debug, Serialize)]
pub(super) struct Objects {
    pub(super) name: String,
    pub(super) median: Moments,
    /// From the container's beginning to its end.
    pub(super) pod: f64,
    pub(super) rounds: Vec<Moments>,
}

/// Measures in the cluster's own operator; what it makes goes again.
pub(super) async fn measure(cluster: &Cluster, bytes: u64, rounds: u32) -> Result<Vec<Objects>> {
    in_cluster(cluster, PREFIX, async |here| all(here, bytes, rounds).await).await
}

async fn all(here: &InCluster<'_>, bytes: u64, rounds: u32) -> Result<Vec<Objects>> {
    here.make_database("empty", INSTANCE).await?;
    here.make_database("rows", INSTANCE).await?;
    fill(here, "rows", bytes).await?;
    for name in ["empty", "rows"] {
        here.back_up(name, name).await?;
    }
    let kinds = [
        ("empty", CheckLevel::Rows),
        ("rows", CheckLevel::None),
        ("rows", CheckLevel::Rows),
        ("rows", CheckLevel::Digest),
    ];
    let mut all: Vec<Vec<Moments>> = vec![Vec::new(); kinds.len()];
    // The first one finds nothing warm, and does not count.
    one(here, "first", "empty", CheckLevel::Rows).await?;
    for round in 1..=rounds {
        for (number, (backup, check)) in kinds.into_iter().enumerate() {
            let moments = one(here, &format!("r{round}-{number}"), backup, check).await?;
            say(&format!(
                "a Restore of {backup}, check: {check:?}, round {round}: {:.2} s",
                moments.completed
            ));
            all[number].push(moments);
        }
    }
    Ok(kinds
        .into_iter()
        .zip(all)
        .map(|((backup, check), rounds)| Objects {
            name: format!("a Restore of {backup}, check: {check:?}"),
            median: median(&rounds),
            pod: middle(rounds.iter().map(|one| one.ended - one.running).collect()),
            rounds,
        })
        .collect())
}

/// Fills a Database with the rows of the bench.
pub(super) async fn fill(here: &InCluster<'_>, database: &str, bytes: u64) -> Result<()> {
    let failed = || Error::trial("make the bench's rows");
    let values = secret(&here.client, here.namespace(), database).await?;
    let session = Session::open(&here.client, &values.unwrap_or_default()).await;
    let mut session = session.map_err(failed())?;
    dataset::grow(&mut session, bytes).await.map_err(failed())?;
    session.end().await.map_err(failed())
}

/// One Restore into a new Database, both of which go again.
async fn one(here: &InCluster<'_>, name: &str, backup: &str, check: CheckLevel) -> Result<Moments> {
    here.make_database(name, INSTANCE).await?;
    let start = Instant::now();
    let spec = json!({
        "databaseRef": {"name": name}, "source": {"backupRef": {"name": backup}}, "check": {"level": check},
    });
    here.apply("Restore", name, &spec)?;
    let moments = follow(here, name, start).await?;
    here.remove::<Restore>(name).await?;
    here.remove::<Database>(name).await?;
    Ok(moments)
}

async fn follow(here: &InCluster<'_>, name: &str, start: Instant) -> Result<Moments> {
    let mut moments = Moments {
        applied: start.elapsed().as_secs_f64(),
        ..Moments::default()
    };
    let uid = here.get::<Restore>(name).await?.uid();
    let job = format!("restore-{}", uid.unwrap_or_default());
    loop {
        let restore: Restore = here.get(name).await?;
        let pod = here.pod_of(&job).await?;
        let now = start.elapsed().as_secs_f64();
        let state = restore.state();
        if state == Some(RestoreState::Failed) {
            return Err(Error::trial("restore")(json!(restore.status)));
        }
        let place = |state: RestoreState| RestoreState::ALL.iter().position(|it| *it == state);
        let reached = |wanted| state.and_then(place) >= place(wanted);
        let is =
            |said: fn(&Pod, &str) -> bool| pod.as_ref().is_some_and(|pod| said(pod, CONTAINER));
        let notes = [
            (&mut moments.preparing, reached(RestoreState::Preparing)),
            (&mut moments.loading, reached(RestoreState::Loading)),
            (&mut moments.installed, pod.as_ref().is_some_and(installed)),
            (&mut moments.running, is(begun)),
            (&mut moments.ended, is(ended)),
            (&mut moments.switching, reached(RestoreState::Switching)),
            (&mut moments.completed, reached(RestoreState::Completed)),
        ];
        for (moment, is_reached) in notes {
            if is_reached && *moment == 0.0 {
                *moment = now;
            }
        }
        if state == Some(RestoreState::Completed) {
            return Ok(moments);
        }
        here.wait(start).await?;
    }
}

fn median(rounds: &[Moments]) -> Moments {
    let of = |moment: fn(&Moments) -> f64| middle(rounds.iter().map(moment).collect());
    Moments {
        applied: of(|one| one.applied),
        preparing: of(|one| one.preparing),
        loading: of(|one| one.loading),
        installed: of(|one| one.installed),
        running: of(|one| one.running),
        ended: of(|one| one.ended),
        switching: of(|one| one.switching),
        completed: of(|one| one.completed),
    }
}
