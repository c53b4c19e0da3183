//! Backups of what is another namespace's, final backups, and work made beforehand under the names of a backup's own.

use std::collections::BTreeMap;
use std::time::Duration;

use db_operator::api::{Backup, BackupState, DATABASE_LABEL, DATABASE_NAMESPACE_LABEL};
use e2e::servers::OPERATOR_NAMESPACE;
use e2e::testing::{BACKED_UP, Fixture, Server, eventually, password};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::scene::{played, played_on_every_server};

/// How soon a backup begins, whatever another team does.
const BEGUN_WITHIN: Duration = Duration::from_secs(30);

/// Makes a Backup as it stands.
async fn write(team: &Fixture, metadata: Value, reference: Value) {
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
        let uid = Fixture::uid(&scene.rival.databases().get(&scene.owner).await.unwrap());
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

/// What a backup's pod would say of an upload that nobody made.
fn forged_report() -> String {
    let digest = "0".repeat(64);
    json!({"outcome": "done", "parts": 1, "bytes": 24, "sha256": digest, "partsDigest": digest,
        "dumpedBytes": 24, "toolVersion": "none"})
    .to_string()
}

/// A container that leaves a report as its last words.
fn reporting() -> Value {
    let script = format!("printf '%s' '{}' > /dev/termination-log", forged_report());
    json!({"name": "dump", "image": "docker.io/library/postgres:17", "imagePullPolicy": "Never",
        "command": ["sh", "-c", script]})
}

/// A Job of the team's own in the place of a backup's: with its name, its label, its owner, and a report.
fn own_job(name: &str, backup: &Backup) -> Job {
    let labels = json!({"db-operator.dev/backup": backup.name_any()});
    let owner = json!({"apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup", "name": backup.name_any(),
        "uid": backup.uid(), "controller": true});
    serde_json::from_value(json!({
        "metadata": {"name": name, "labels": labels, "ownerReferences": [owner]},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [reporting()],
        }}},
    }))
    .unwrap()
}

/// The name of a backup's Job is known before the Job is there, if it has to wait. What stands there by then does not
/// count, and goes.
#[tokio::test]
async fn work_made_beforehand_is_replaced() {
    played(Server::Postgres, async |scene| {
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = scene.admin.hold_up(&own).await;
        let first = scene.team.back_up("first", &own, json!({})).await;
        scene.team.backing_up(&first).await;
        let second = scene.team.back_up("second", &own, json!({})).await;
        let waiting = scene.team.backups().get(&second).await.unwrap();
        let name = format!("backup-{}", Fixture::uid(&waiting));
        let jobs = scene.team.api::<Job>();
        let made = jobs
            .create(&PostParams::default(), &own_job(&name, &waiting))
            .await
            .unwrap();
        let labels = BTreeMap::from([("db-operator.dev/backup", &second)]);
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels},
            "stringData": {"errand.json": "{}", "store-ca.crt": "mine"}}))
            .unwrap();
        scene
            .team
            .secrets()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
        // Its report is there before the backup's turn comes.
        eventually(
            "the Job that was made beforehand is complete",
            BACKED_UP,
            async || {
                let found = jobs.get(&name).await.unwrap();
                match found.status.and_then(|status| status.succeeded) {
                    Some(1) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            },
        )
        .await;
        holder.close().await;

        scene.team.completed(&first).await;
        let done = scene.team.completed(&second).await.status.unwrap();
        assert!(
            done.stored_bytes > Some(24) && done.sha256 != Some("0".repeat(64)),
            "{done:?}"
        );
        let job_uid = done.upload.unwrap().job_uid;
        assert_ne!(job_uid, made.uid());
        assert_eq!(jobs.get(&name).await.unwrap().uid(), job_uid);
        // The pods of the other one went with it, and what was in the Secret.
        eventually("only the operator's pod is left", BACKED_UP, async || {
            let pods = scene
                .team
                .api::<Pod>()
                .list(&ListParams::default())
                .await
                .unwrap();
            let others: Vec<_> = pods
                .iter()
                .filter(|pod| {
                    pod.owner_references()
                        .iter()
                        .any(|owner| Some(&owner.uid) == made.uid().as_ref())
                })
                .map(ResourceExt::name_any)
                .collect();
            if others.is_empty() {
                Ok(())
            } else {
                Err(others.join(", "))
            }
        })
        .await;
        let left = scene.team.secrets().get(&name).await.unwrap().data.unwrap();
        assert!(
            !left.values().any(|value| value.0 == b"mine"),
            "{:?}",
            left.keys()
        );

        // With another one in its place at the same moment again and again, it comes to its end all the same.
        let third = scene.team.back_up("third", &own, json!({})).await;
        scene.team.completed(&third).await;
    })
    .await;
}

/// Backups that wait behind a lock for as long as they may hold one place of an instance, and keep nobody waiting.
#[tokio::test]
async fn backups_that_hold_their_slots_keep_no_other_namespace_waiting() {
    played(Server::Postgres, async |scene| {
        let instance = scene.rival.make_instance("slots", json!({})).await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let quiet = scene.rival.make_usable("quiet", spec.clone()).await;
        let mut holders = Vec::new();
        let mut flood = Vec::new();
        for name in ["a", "b"] {
            let own = scene.team.make_usable(name, spec.clone()).await;
            holders.push(scene.admin.hold_up(&own).await);
            let limits = json!({"deadlineSeconds": 604_800, "stallSeconds": 86_400});
            flood.push(scene.team.back_up(name, &own, limits).await);
        }
        scene.team.backing_up(&flood[0]).await;
        let message = scene
            .team
            .waits(&flood[1], "Reconciling", "WaitingForTurn")
            .await;
        assert!(message.contains(&instance), "{message}");

        let backup = scene.rival.back_up("quiet", &quiet, json!({})).await;
        let begun = |backup: &Backup| backup.state().is_some();
        scene
            .rival
            .backup_until(&backup, "begun", BEGUN_WITHIN, begun)
            .await;
        scene.rival.completed(&backup).await;
        // The place is kept for the next one, too.
        scene
            .team
            .waits(&flood[1], "Reconciling", "WaitingForTurn")
            .await;
        for holder in holders {
            holder.close().await;
        }
        for backup in &flood {
            scene.team.completed(backup).await;
        }
    })
    .await;
}

/// What the platform allows counts where a team asks for more, and the message says so.
#[tokio::test]
async fn the_instances_limit_ends_a_backup_that_asks_for_more() {
    played(Server::Postgres, async |scene| {
        let shared = scene
            .rival
            .instances()
            .get(scene.rival.server.instance())
            .await
            .unwrap();
        let mut backup = serde_json::to_value(shared.spec.backup).unwrap();
        backup["job"]["maxStallSeconds"] = json!(30);
        let instance = scene
            .rival
            .make_instance("limits", json!({"backup": backup}))
            .await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let own = scene.team.make_usable("own", spec).await;
        let holder = scene.admin.hold_up(&own).await;
        let backup = scene
            .team
            .back_up(
                "b",
                &own,
                json!({"deadlineSeconds": 604_800, "stallSeconds": 86_400}),
            )
            .await;
        let failure = scene.team.failed(&backup, BACKED_UP).await;
        assert_eq!(failure.reason, "NoProgress", "{}", failure.message);
        for words in [
            "LOCK TABLE public.locked",
            "maxStallSeconds of the instance (30 s)",
        ] {
            assert!(failure.message.contains(words), "{}", failure.message);
        }
        holder.close().await;
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
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "posing", "labels": {"db-operator.dev/backup": backup},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job.uid()}]},
            "spec": {"restartPolicy": "Never", "containers": [reporting()]},
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
        // It is no pod of the Job's: nothing of it counts.
        let status = scene.team.completed(&backup).await.status.unwrap();
        assert!(status.stored_bytes > Some(24) && status.sha256 != Some("0".repeat(64)), "{status:?}");
        assert_eq!(password(&scene.admin.secret(&own).await), before);
    })
    .await;
}
