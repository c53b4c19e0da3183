//! Backups of what is another namespace's, final backups, and work made beforehand under the names of a backup's own.

use std::collections::BTreeMap;

use db_operator::api::{Backup, BackupState, DATABASE_LABEL, DATABASE_NAMESPACE_LABEL};
use e2e::servers::OPERATOR_NAMESPACE;
use e2e::testing::{BACKED_UP, Bed, Server, eventually, password};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::scene::{played, played_on_every_server};

/// Makes a Backup as it stands.
async fn write(team: &Bed, metadata: Value, reference: Value) {
    let backup = json!({"metadata": metadata, "spec": {"databaseRef": reference}});
    let backup: Backup = serde_json::from_value(backup).unwrap();
    team.backups()
        .create(&PostParams::default(), &backup)
        .await
        .unwrap();
}

#[tokio::test]
async fn another_namespaces_database_is_not_backed_up_under_any_name() {
    played(Server::Postgres, async |scene| {
        let rival = &scene.rival.namespace;
        let uid = Bed::uid(&scene.rival.databases().get(&scene.owner).await.unwrap());
        // What the operator would write for the backup before its deletion.
        let labels = json!({DATABASE_LABEL: scene.owner, DATABASE_NAMESPACE_LABEL: rival,
            "app.kubernetes.io/managed-by": "db-operator"});
        let last = scene.rival.databases().get(&scene.owner).await.unwrap().final_backup_name(1);
        let owner = json!([{"apiVersion": "db-operator.dev/v1alpha1", "kind": "Database", "name": scene.owner, "uid": uid}]);
        let reference = |namespace: &str| json!({"name": scene.owner, "namespace": namespace});
        write(&scene.team, json!({"name": "plain"}), reference(rival)).await;
        write(&scene.team, json!({"name": last, "labels": labels}), reference(rival)).await;
        write(&scene.team, json!({"name": "own", "labels": labels}), reference(&scene.team.namespace)).await;
        write(&scene.team, json!({"name": "home"}), reference(OPERATOR_NAMESPACE)).await;
        for name in ["plain", &last, "own", "home"] {
            scene.team.waits(name, "Stalled", "ForeignNamespace").await;
        }
        // A child of somebody else's object is not there for long, and never that object's.
        write(&scene.team, json!({"name": "child", "ownerReferences": owner, "labels": labels}), json!({"name": scene.owner})).await;
        // They take nobody's turn, neither now nor before a deletion.
        let backup = scene.rival.back_up("b", &scene.owner, json!({})).await;
        scene.rival.completed(&backup).await;
        let other = scene.rival.make_usable("other", json!({"deletionPolicy": "BackupBeforeDelete"})).await;
        let last = scene.rival.databases().get(&other).await.unwrap().final_backup_name(1);
        write(&scene.team, json!({"name": last, "labels": {DATABASE_LABEL: other, DATABASE_NAMESPACE_LABEL: rival}}),
            json!({"name": other, "namespace": rival})).await;
        scene.rival.delete(&other).await;
        scene.rival.gone_after_a_backup(&other).await;
        let finals = scene.rival.final_backups(&other).await;
        assert_eq!(finals.iter().map(Backup::state).collect::<Vec<_>>(), [Some(BackupState::Completed)]);
        scene.team.waits(&last, "Stalled", "ForeignNamespace").await;
        for backup in scene.team.backups().list(&ListParams::default()).await.unwrap() {
            assert_eq!(backup.state(), None, "{backup:?}");
        }
        assert!(scene.team.api::<Job>().list(&ListParams::default()).await.unwrap().items.is_empty());
    })
    .await;
}

/// A Database that was refused has nothing to back up, whatever its Secret says: neither when it is asked for, nor
/// before its deletion.
#[tokio::test]
async fn a_database_that_is_not_its_own_is_not_backed_up() {
    played_on_every_server(async |scene| {
        let name = scene.team.name("posing");
        scene
            .team
            .make_secret(
                &name,
                json!({"db-operator.dev/adopt": "true"}),
                json!({"password": "chosen"}),
            )
            .await;
        let spec = json!({"name": scene.owner, "deletionPolicy": "BackupBeforeDelete"});
        scene.team.make("posing", spec).await;
        scene.team.stalled(&name, "ClaimedByAnother").await;
        let backup = scene.team.back_up("b", &name, json!({})).await;
        scene
            .team
            .waits(&backup, "Reconciling", "WaitingForDatabase")
            .await;
        scene.team.delete(&name).await;
        scene.team.gone(&name).await;
        assert!(scene.admin.final_backups(&name).await.is_empty());
        // The password that was brought along did not become the rival's.
        let mut values = scene.rival.secret(&scene.owner).await;
        values.insert("password".to_owned(), "chosen".to_owned());
        assert!(scene.log_in(&values).await.is_err());
    })
    .await;
}

/// A Job of the team's own, under any name, with any labels.
fn own_job(name: &str, labels: &BTreeMap<String, String>) -> Job {
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {
            "restartPolicy": "Never", "serviceAccountName": "team", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "dump", "image": "docker.io/library/postgres:17", "imagePullPolicy": "Never",
                "command": ["sleep", "infinity"]}],
        }}},
    }))
    .unwrap()
}

/// The name of a backup's Job is known before the Job is there, if it has to wait.
#[tokio::test]
async fn work_made_beforehand_is_neither_used_nor_removed() {
    played(Server::Postgres, async |scene| {
        let own = scene.team.make_usable("own", json!({"deletionPolicy": "Delete"})).await;
        let holder = scene.admin.hold_up(&own).await;
        let first = scene.team.back_up("first", &own, json!({})).await;
        scene.team.backing_up(&first).await;
        let second = scene.team.back_up("second", &own, json!({})).await;
        let uid = Bed::uid(&scene.team.backups().get(&second).await.unwrap());
        let name = format!("backup-{uid}");
        let labels = BTreeMap::from([("db-operator.dev/backup".to_owned(), second.clone())]);
        let jobs = scene.team.api::<Job>();
        let made = jobs.create(&PostParams::default(), &own_job(&name, &labels)).await.unwrap();
        let secret: Secret = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}, "stringData": {"errand.json": "{}"}})).unwrap();
        let secret = scene.team.secrets().create(&PostParams::default(), &secret).await.unwrap();
        holder.close().await;

        scene.team.completed(&first).await;
        let failure = scene.team.failed(&second, BACKED_UP).await;
        assert_eq!(failure.reason, "JobRefused", "{}", failure.message);
        assert!(failure.message.contains(&name), "{}", failure.message);
        let left = jobs.get(&name).await.unwrap();
        assert_eq!((left.uid(), left.metadata.deletion_timestamp), (made.uid(), None));
        let left = scene.team.secrets().get(&name).await.unwrap();
        assert_eq!((left.resource_version(), left.data), (secret.resource_version(), secret.data));

        // With that out of its way, it works again.
        let third = scene.team.back_up("third", &own, json!({})).await;
        scene.team.completed(&third).await;
    })
    .await;
}

/// A pod of the team's own that says of itself that it is a backup's, and that it is done.
#[tokio::test]
async fn a_pod_that_says_it_is_a_backups_makes_no_backup() {
    played(Server::Postgres, async |scene| {
        let own = scene.team.make_usable("own", json!({"deletionPolicy": "Delete"})).await;
        let before = password(&scene.admin.secret(&own).await);
        let holder = scene.admin.hold_up(&own).await;
        let backup = scene.team.back_up("b", &own, json!({})).await;
        let running = scene.team.backing_up(&backup).await;
        let name = running.status.unwrap().upload.unwrap().job_name.unwrap();
        let job = scene.team.api::<Job>().get(&name).await.unwrap();
        let digest = "0".repeat(64);
        let report = json!({"outcome": "done", "parts": 1, "bytes": 1, "sha256": digest, "partsDigest": digest,
            "dumpedBytes": 1, "toolVersion": "none"})
        .to_string();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "posing", "labels": {"db-operator.dev/backup": backup},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.uid()}]},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "dump", "image": "docker.io/library/postgres:17",
                "imagePullPolicy": "Never", "command": ["sh", "-c", format!("printf '%s' '{report}' > /dev/termination-log")]}]},
        }))
        .unwrap();
        scene.team.api::<Pod>().create(&PostParams::default(), &pod).await.unwrap();
        eventually("the pod ended", BACKED_UP, async || {
            let pod = scene.team.api::<Pod>().get_opt("posing").await.unwrap();
            match pod.and_then(|pod| pod.status?.phase) {
                Some(phase) if phase == "Running" || phase == "Pending" => Err(phase),
                _ => Ok(()),
            }
        })
        .await;
        holder.close().await;
        // It may spoil its own backup; it cannot make one of what was not uploaded.
        let ended = |backup: &Backup| backup.state().is_some_and(BackupState::is_terminal);
        let done = scene.team.backup_until(&backup, "ended", BACKED_UP, ended).await;
        let status = done.status.unwrap();
        if let Some(stored) = status.stored_bytes {
            assert!(stored > 1 && status.sha256.as_deref() != Some(&digest), "{stored}");
        }
        assert_eq!(password(&scene.admin.secret(&own).await), before);
    })
    .await;
}
