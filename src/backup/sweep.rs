//! From time to time: abort what a crash left open in the stores, under this cluster's own id, and what no backup needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::core::ObjectMeta;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Context, database_ref};
use crate::api::destination::BackupDestination;
use crate::api::{Backup, DatabaseInstance};
use crate::controller;
use crate::store::{self, GRACE};
use crate::watch::{read, until_read};

/// What one store may take.
const TIMEOUT: Duration = Duration::from_mins(3);

/// Sweeps until `stop`.
pub(super) async fn run(context: Arc<Context>, stop: CancellationToken) {
    controller::sweep::run(&stop, || sweep_all(&context)).await;
}

async fn sweep_all(context: &Context) {
    until_read(&context.cache.backups).await;
    if read(&context.cache.backups).is_none() {
        return;
    }
    forget_the_gone(context);
    let mut swept = BTreeSet::new();
    for guarded in context.cache.instances.state() {
        let Ok(instance) = &guarded.0 else { continue };
        let Some(settings) = &instance.spec.backup else {
            continue;
        };
        // Instances may share a bucket.
        let place = (
            settings.s3.endpoint.clone(),
            settings.s3.bucket.clone(),
            settings.s3.prefix.clone(),
        );
        if instance.spec.suspend || swept.contains(&place) || !context.leadership.is_held() {
            continue;
        }
        match timeout(TIMEOUT, sweep_one(context, instance, settings)).await {
            // Another instance of the same bucket may have better keys.
            Ok(Swept::No) => {}
            Ok(Swept::Yes) => {
                swept.insert(place);
            }
            Err(_) => tracing::debug!(instance = instance.name_any(), "the sweep took too long"),
        }
    }
}

/// What is remembered of Backups that went without an end is not needed any more.
fn forget_the_gone(context: &Context) {
    let all = database_ref::all(context);
    let uids = all.iter().filter_map(ResourceExt::uid).collect();
    let namespaces = all.iter().filter_map(Backup::database_namespace).collect();
    context.revisit.keep_only(&uids);
    context.remembered.keep_only(&uids, Instant::now());
    context.windows.keep_only(&uids);
    context.slots.keep_only(&uids, &namespaces);
}

/// Whether a sweep worked.
enum Swept {
    Yes,
    No,
}

async fn sweep_one(
    context: &Context,
    instance: &DatabaseInstance,
    settings: &BackupDestination,
) -> Swept {
    let name = instance.name_any();
    let opened = context
        .destinations
        .open(&context.client, &context.namespace, &name, settings)
        .await;
    let destination = match opened {
        Ok(destination) => destination,
        Err(error) => {
            tracing::debug!(instance = name, %error, "cannot sweep the store");
            return Swept::No;
        }
    };
    let prefix = store::cluster_prefix(settings.s3.prefix.as_deref(), &context.cluster_id);
    let needed = |key: &str| {
        let all = database_ref::all(context);
        is_needed(all.iter(), key) || all.unreadable().any(|odd| may_be_of(&odd.metadata, key))
    };
    match store::sweep(&destination.store, &prefix, GRACE, needed).await {
        Ok(swept) => {
            if swept.aborted > 0 {
                tracing::info!(
                    instance = name,
                    aborted = swept.aborted,
                    "aborted uploads that no backup needs"
                );
            }
            Swept::Yes
        }
        Err(error) => {
            tracing::warn!(instance = name, %error, "cannot sweep the store");
            Swept::No
        }
    }
}

/// Whether a backup that is not at its end uploads to this key.
fn is_needed<'a>(mut backups: impl Iterator<Item = &'a Backup>, key: &str) -> bool {
    backups.any(|backup| {
        let upload = backup.status.as_ref().and_then(|s| s.upload.as_ref());
        backup.is_active() && upload.is_some_and(|upload| upload.key == key)
    })
}

/// Whether a key may be that of a Backup that cannot be read: it may run, and its own part of the key is known.
fn may_be_of(metadata: &ObjectMeta, key: &str) -> bool {
    let (Some(namespace), Some(name), Some(uid)) =
        (&metadata.namespace, &metadata.name, &metadata.uid)
    else {
        return true;
    };
    let uid: String = uid.chars().take(8).collect();
    key.contains(&format!("/{namespace}/")) && key.contains(&format!("-{name}-{uid}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_upload_of_a_backup_that_cannot_be_read_is_left_alone() {
        let odd = |uid: Option<&str>| ObjectMeta {
            namespace: Some("team".to_owned()),
            name: Some("nightly".to_owned()),
            uid: uid.map(ToOwned::to_owned),
            ..ObjectMeta::default()
        };
        let key = |namespace, uid: &str| {
            let started = jiff::Timestamp::UNIX_EPOCH;
            let flavour = crate::agent::protocol::task::Flavour::Postgresql;
            store::key(
                None, "c", namespace, "orders", started, "nightly", uid, flavour,
            )
        };
        let known = odd(Some("0123456789"));
        assert!(may_be_of(&known, &key("team", "0123456789")));
        assert!(!may_be_of(&known, &key("team", "9876543210")));
        assert!(!may_be_of(&known, &key("other", "0123456789")));
        assert!(may_be_of(&odd(None), &key("team", "9876543210")));
    }

    #[test]
    fn only_running_backups_need_their_uploads() {
        let backup = |state: &str, key: &str| -> Backup {
            serde_json::from_value(json!({
                "metadata": {"name": "b"}, "spec": {"databaseRef": {"name": "d"}},
                "status": {"state": state, "upload": {"bucket": "b", "key": key}},
            }))
            .unwrap()
        };
        let all = [
            backup("STARTING", "a"),
            backup("BACKING_UP", "b"),
            backup("FAILED", "c"),
            backup("COMPLETED", "d"),
        ];
        let needed: Vec<_> = ["a", "b", "c", "d", "e"]
            .into_iter()
            .filter(|key| is_needed(all.iter(), key))
            .collect();
        assert_eq!(needed, ["a", "b"]);
    }
}
