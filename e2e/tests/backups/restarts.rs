//! A deletion with its final backup goes on where it was when the operator ended without a word.

use std::time::Duration;

use db_operator::api::{BackupState, DatabaseState};
use e2e::cluster::Cluster;
use e2e::testing::{BACKED_UP, Bed, SOON, Server, eventually, in_bed};
use e2e::{command, operator, servers};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;

/// The lease's time to live, and a busy machine.
const TAKEN_OVER: Duration = Duration::from_secs(40);

/// The lease that says who leads.
async fn lease(bed: &Bed) -> LeaseSpec {
    let leases: Api<Lease> = Api::namespaced(bed.client.clone(), servers::OPERATOR_NAMESPACE);
    leases
        .get(operator::DEPLOYMENT)
        .await
        .unwrap()
        .spec
        .unwrap()
}

/// Kills the process that leads, and waits until one leads again: another one, or the next of the same pod.
async fn kill_the_leader(bed: &Bed) {
    let leader = lease(bed).await.holder_identity.unwrap();
    let pods: Api<Pod> = Api::namespaced(bed.client.clone(), servers::OPERATOR_NAMESPACE);
    let status = pods.get(&leader).await.unwrap().status.unwrap();
    let id = status.container_statuses.unwrap()[0].container_id.clone();
    let id = id.unwrap();
    let mut kill = Cluster::main().ctr();
    kill.args(["tasks", "kill", "--signal", "SIGKILL"]);
    kill.arg(id.strip_prefix("containerd://").unwrap());
    command::output(&mut kill).unwrap();
    let killed = jiff::Timestamp::now();
    eventually("somebody leads", TAKEN_OVER, async || {
        let lease = lease(bed).await;
        let renewed = lease.renew_time.as_ref().is_some_and(|at| at.0 > killed);
        if renewed {
            Ok(())
        } else {
            Err(format!("{lease:?}"))
        }
    })
    .await;
}

async fn in_state(bed: &Bed, name: &str, state: DatabaseState) {
    bed.until(name, state.as_str(), BACKED_UP, |database| {
        database.state() == Some(state)
    })
    .await;
}

#[tokio::test]
async fn an_operator_that_is_killed_in_any_state_is_made_up_for() {
    let _alone = crate::OPERATORS.lock().await;
    in_bed(Server::Postgres, async |bed| {
        let broken = bed.instance_without_bucket("broken").await;
        let working = bed.make_instance("working", json!({})).await;
        let make = async |name: &str, instance: &str| {
            let spec =
                json!({"deletionPolicy": "BackupBeforeDelete", "instanceRef": {"name": instance}});
            bed.make_usable(name, spec).await
        };
        let requested = make("requested", &broken).await;
        let running = make("running", &working).await;
        let dropping = make("dropping", &working).await;

        // It owns something elsewhere, so it cannot be dropped.
        let elsewhere = bed.make_usable("elsewhere", json!({})).await;
        let mut root = bed.server.superuser(&bed.client, &elsewhere).await;
        let table = "CREATE TABLE public.left_behind (x INT)";
        root.run(table).await.unwrap();
        let owner = bed.server.user(&dropping);
        let owner = format!("ALTER TABLE public.left_behind OWNER TO {owner}");
        root.run(&owner).await.unwrap();
        let holder = bed.hold_up(&running).await;
        for name in [&requested, &running, &dropping] {
            bed.delete(name).await;
        }
        in_state(bed, &dropping, DatabaseState::DeletionInProgress).await;
        in_state(bed, &running, DatabaseState::BackupBeforeDeleteInProgress).await;
        bed.told(&requested, "FinalBackupFailed").await;
        in_state(bed, &requested, DatabaseState::BackupBeforeDeleteRequested).await;

        kill_the_leader(bed).await;
        let backup = bed.shared_destination().await;
        bed.patch_instance(&broken, json!({"backup": backup})).await;
        holder.close().await;
        root.run("DROP TABLE public.left_behind").await.unwrap();
        root.close().await;
        kill_the_leader(bed).await;
        for name in [&dropping, &running, &requested] {
            bed.gone_after_a_backup(name).await;
            let finals = bed.final_backups(name).await;
            let states: Vec<_> = finals.iter().filter_map(|backup| backup.state()).collect();
            let (last, before) = states.split_last().unwrap();
            assert_eq!(*last, BackupState::Completed);
            assert!(before.iter().all(|state| *state == BackupState::Failed));
            // Only the one whose store failed was tried again.
            assert_eq!(before.is_empty(), name != &requested, "{name}: {states:?}");
            bed.without_final_secret(name).await;
            let left = bed.server.names(&bed.client, name).await;
            assert!(left.is_empty(), "{left:?}");
        }
        eventually("both replicas are ready", SOON, async || {
            let pods: Api<Pod> = Api::namespaced(bed.client.clone(), servers::OPERATOR_NAMESPACE);
            let labels = format!("app.kubernetes.io/name={}", operator::DEPLOYMENT);
            let list = kube::api::ListParams::default().labels(&labels);
            let all = pods.list(&list).await.unwrap().items;
            let ready = |pod: &&Pod| {
                let statuses = pod
                    .status
                    .iter()
                    .flat_map(|it| it.container_statuses.iter().flatten());
                statuses
                    .into_iter()
                    .any(|it| it.ready && it.name == operator::DEPLOYMENT)
            };
            let ready = all.iter().filter(ready).count();
            if ready == 2 {
                Ok(())
            } else {
                Err(ready.to_string())
            }
        })
        .await;
    })
    .await;
}
