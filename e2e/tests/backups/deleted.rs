//! Deleted while it runs: a Backup, or its Database.

use std::time::Duration;

use db_operator::api::{Backup, Database, DatabaseState};
use e2e::testing::{Bucket, Fixture, SOON, eventually, on_every_server};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

/// The grace of a backup's pod: one that was asked to end before its process listened to signals stays that long.
const GRACE: Duration = Duration::from_secs(15);

/// Where a Backup's object would be, without the part that tells backups of a Database apart.
fn folder(backup: &Backup) -> String {
    let upload = backup.status.clone().unwrap().upload.unwrap();
    let (folder, _) = upload.key.rsplit_once('/').unwrap();
    folder.to_owned()
}

/// Waits until nothing is left of what was uploaded there, and sees that nothing is to be seen.
async fn nothing_is_stored(fixture: &Fixture, folder: &str) {
    let bucket = Bucket::open(&fixture.client).await;
    eventually("no upload is open", SOON, async || {
        let open = bucket.uploads(folder).await;
        open.first().map_or(Ok(()), |open| Err(open.clone()))
    })
    .await;
    assert_eq!(bucket.keys(folder).await, [""; 0]);
}

/// Waits until no object of this kind that belongs to a backup is left in the test's namespace.
async fn none_is_left<K>(fixture: &Fixture)
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let kind = K::kind(&()).into_owned();
    eventually(&format!("no {kind} is left"), GRACE + SOON, async || {
        let left = api.list(&ListParams::default()).await.unwrap().items;
        let mut left = left.iter().map(ResourceExt::name_any);
        left.find(|name| name.starts_with("backup-"))
            .map_or(Ok(()), Err)
    })
    .await;
}

#[tokio::test]
async fn a_backup_that_is_deleted_while_it_runs_leaves_nothing() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = fixture.hold_up(&name).await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let folder = folder(&fixture.backing_up(&backup).await);
        let bucket = Bucket::open(&fixture.client).await;
        assert_eq!(bucket.uploads(&folder).await.len(), 1);

        fixture.delete_backup(&backup).await;
        eventually("the Backup is gone", SOON, async || {
            let left = fixture.backups().get_opt(&backup).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        nothing_is_stored(fixture, &folder).await;
        none_is_left::<Job>(fixture).await;
        none_is_left::<Secret>(fixture).await;
        none_is_left::<Pod>(fixture).await;
        let rested = |database: &Database| {
            let status = database.status.clone().unwrap_or_default();
            status.state == Some(DatabaseState::Created)
                && status.backup.is_none()
                && status.last_backup.is_none()
        };
        fixture.until(&name, "at rest", SOON, rested).await;
        fixture.usable(&name).await;
        holder.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_deletion_of_the_database_cancels_its_backup() {
    on_every_server(async |fixture| {
        let instance = fixture.make_instance("i", json!({})).await;
        let mut held = Vec::new();
        for policy in ["Retain", "Delete"] {
            let spec = json!({"deletionPolicy": policy, "instanceRef": {"name": instance}});
            let name = fixture.make_usable(&policy.to_lowercase(), spec).await;
            let holder = fixture.hold_up(&name).await;
            let backup = fixture
                .back_up(&policy.to_lowercase(), &name, json!({}))
                .await;
            held.push((name, holder, backup));
        }
        let mut folders = Vec::new();
        for (name, _, backup) in &held {
            folders.push(folder(&fixture.backing_up(backup).await));
            fixture.delete(name).await;
        }
        for (name, holder, backup) in held {
            let failure = fixture.failed(&backup, SOON).await;
            assert_eq!(failure.reason, "DatabaseDeleted", "{failure:?}");
            // It is not ours to end: no database is dropped under it.
            holder.close().await;
            fixture.gone(&name).await;
        }
        for folder in &folders {
            nothing_is_stored(fixture, folder).await;
        }
        none_is_left::<Job>(fixture).await;
        let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        left.sort();
        let kept = fixture.name("retain");
        let kept = ["claim", "database", "user"].map(|kind| format!("{kind} {kept}"));
        assert_eq!(left, kept);
    })
    .await;
}
