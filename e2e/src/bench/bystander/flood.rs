//! What a flood is, how it begins and how it ends.

use std::fmt;
use std::time::Duration;

use db_operator::api::{BACKUP_LABEL, Database, RECONCILE_REQUESTED_AT};
use futures::future::join_all;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Resource;
use kube::api::{Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::place::{AT_A_TIME, Objects, Place, each};
use crate::testing::Session;
use crate::{Error, Result};

/// Sessions that hold a lock at a time: a server has a hundred connections for everybody.
const SESSIONS: usize = 48;

/// So many Databases of a flood have a database of their own, which takes 8 MB on the server. The others name one that is
/// taken: each look finds that out again.
const REAL: u32 = 200;

/// Databases with the largest templates.
const LARGE: u32 = 32;

/// Templates of a Secret: the longest, and as many as all of them together may be.
const KEYS: usize = 8;
const TEMPLATE: usize = 8192;

/// Jobs and pods with our label, and what each is given to carry. The API server stores no more than 1.5 MB.
const OBJECTS: u32 = 40;
const CARRIED: usize = 1_000_000;

/// Backups that hold their slots.
const BACKUPS: u32 = 12;
/// How often each object is changed whose change is small.
const REQUESTS: Duration = Duration::from_secs(1);
/// How often each object of a megabyte is changed: more often, and its versions fill etcd's two gigabytes before they are
/// compacted.
const LARGE_CHANGES: Duration = Duration::from_secs(10);

/// What one namespace does to the operator.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flood {
    /// Databases that wait for locks of their own users, each asked for again once a second.
    Locks(u32),
    /// Databases with the largest Secrets that there may be, each asked for again once a second.
    Secrets,
    /// Jobs and pods with the label of backups, as large as they may be, each changed every ten seconds.
    Work,
    /// Backups that wait for locks and hold their slots.
    Backups,
}

impl fmt::Display for Flood {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locks(count) => write!(formatter, "locks of {count}"),
            Self::Secrets => formatter.write_str("large Secrets"),
            Self::Work => formatter.write_str("large Jobs and pods"),
            Self::Backups => formatter.write_str("Backups behind locks"),
        }
    }
}

/// A flood under way.
#[derive(Default)]
pub(super) struct Begun {
    /// What goes on once a second.
    repeats: Vec<JoinHandle<()>>,
    locks: Vec<Session>,
}

impl Begun {
    /// Ends what the flood does. What it made is cleared with its place.
    pub(super) async fn end(self) {
        for repeat in self.repeats {
            repeat.abort();
            // It was asked to end.
            let _ = repeat.await;
        }
        for lock in self.locks {
            lock.close().await;
        }
    }
}

impl Flood {
    pub(super) async fn begin(self, place: &Place) -> Result<Begun> {
        match self {
            Self::Locks(count) => locks(place, count).await,
            Self::Secrets => secrets(place).await,
            Self::Work => work(&place.objects).await,
            Self::Backups => backups(place).await,
        }
    }
}

async fn locks(place: &Place, count: u32) -> Result<Begun> {
    let mut names = place.databases(count.min(REAL), &json!({})).await?;
    let mut begun = Begun::default();
    for name in names.iter().take(SESSIONS) {
        let lock = "BEGIN; CREATE SCHEMA s1";
        begun.locks.push(locked(&place.objects, name, lock).await?);
    }
    let schemas = json!({"spec": {"postgresql": {"schemas": [{"name": "s1"}]}}});
    place.objects.merge::<Database>(&names, &schemas).await?;
    let taken = json!({"name": names.first()});
    let rivals: Vec<String> = (REAL..count)
        .map(|number| place.objects.name(number))
        .collect();
    each(&rivals, |name| place.objects.database(name, taken.clone())).await?;
    names.extend(rivals);
    begun
        .repeats
        .push(change_every::<Database>(REQUESTS, &place.objects, names));
    Ok(begun)
}

async fn secrets(place: &Place) -> Result<Begun> {
    let template = "x".repeat(TEMPLATE);
    // The names of keys that the operator does not write itself.
    let data: serde_json::Map<String, Value> = (0..KEYS)
        .map(|number| (format!("KEY_{number}"), json!(template)))
        .collect();
    let names = place
        .databases(LARGE, &json!({"secretTemplate": {"data": data}}))
        .await?;
    let mut begun = Begun::default();
    begun
        .repeats
        .push(change_every::<Database>(REQUESTS, &place.objects, names));
    Ok(begun)
}

async fn work(objects: &Objects) -> Result<Begun> {
    let names: Vec<String> = (0..OBJECTS).map(|number| objects.name(number)).collect();
    let carried = "x".repeat(CARRIED);
    let pod = json!({
        "restartPolicy": "Never",
        // It never runs.
        "schedulingGates": [{"name": "db-operator.dev/bench"}],
        "containers": [{"name": "c", "image": "none.invalid/none", "args": [carried]}],
    });
    let labels = json!({BACKUP_LABEL: "none"});
    each(&names, |name| {
        let job = json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"suspend": true, "template": {"spec": {
                "restartPolicy": "Never", "containers": pod["containers"],
            }}},
        });
        let pod = json!({"metadata": {"name": name, "labels": labels}, "spec": pod});
        async move {
            objects.create::<Job>(job).await?;
            objects.create::<Pod>(pod).await.map(drop)
        }
    })
    .await?;
    Ok(Begun {
        repeats: vec![
            change_every::<Job>(LARGE_CHANGES, objects, names.clone()),
            change_every::<Pod>(LARGE_CHANGES, objects, names),
        ],
        locks: Vec::new(),
    })
}

async fn backups(place: &Place) -> Result<Begun> {
    let names = place.databases(BACKUPS, &json!({})).await?;
    let mut begun = Begun::default();
    let lock = "CREATE TABLE t (x int); BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE";
    for name in &names {
        begun.locks.push(locked(&place.objects, name, lock).await?);
    }
    let patient = json!({"deadlineSeconds": 21_600, "stallSeconds": 3_600});
    each(&names, |name| {
        place.objects.backup(name, name, patient.clone())
    })
    .await?;
    Ok(begun)
}

async fn locked(objects: &Objects, name: &str, lock: &str) -> Result<Session> {
    let mut session = objects.session(name).await?;
    let locked = session.run(lock).await;
    locked.map_err(Error::trial("take a lock"))?;
    Ok(session)
}

/// Sets the annotation that asks for a look at each object, this often or as often as the API server takes it.
fn change_every<K>(interval: Duration, objects: &Objects, names: Vec<String>) -> JoinHandle<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + fmt::Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let objects = objects.clone();
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval(interval);
        for round in 0_u64.. {
            rounds.tick().await;
            let value = format!("round {round}");
            let patch = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: value}}});
            let (api, params) = (objects.api::<K>(), PatchParams::default());
            for some in names.chunks(AT_A_TIME) {
                let patch = Patch::Merge(&patch);
                let asked = some.iter().map(|name| api.patch(name, &params, &patch));
                // What fails now is asked for again in the next round.
                let _ = join_all(asked).await;
            }
        }
    })
}
