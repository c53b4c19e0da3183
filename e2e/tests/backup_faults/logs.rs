//! What failed stays to be read: the Job, its pod and the pod's log, as long as a Job that is done is kept.

use e2e::testing::{Server, eventually, with_fixture};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use db_operator::api::BACKUP_LABEL;

use crate::case::{Case, Ground, LIMIT, all, process};
use crate::template;

const MIB: u64 = 1 << 20;
/// The least that `--keep-jobs` may be, in seconds.
const KEPT: i32 = 300;

/// A tool that does this, and what of its log has to be there afterwards.
struct Ending {
    name: &'static str,
    does: &'static str,
    limits: Value,
    reason: &'static str,
    log: &'static str,
}

async fn by_tool(ground: &Ground<'_>, ending: Ending) {
    let job = ground.tool(ending.name, "pg_dump", ending.does).await;
    let case = ground.case(ending.name, MIB, job, Value::Null).await;
    let backup = case.back_up(ending.limits).await;
    case.failed(&backup, ending.reason, &[]).await;
    keeps_its_log(&case, &backup, ending.log).await;
}

/// A program that is no dump tool and ends at once.
async fn no_tool(ground: &Ground<'_>) {
    let change = [("            - pg_dump\n", "            - /bin/false\n")];
    let job = ground.template("false", &change).await;
    let case = ground.case("false", MIB, job, Value::Null).await;
    let backup = case.back_up(json!({})).await;
    case.failed(&backup, "ToolMismatch", &[]).await;
    keeps_its_log(&case, &backup, "failed (ToolMismatch)").await;
    is_gone_when_its_time_is_over(&case, &backup).await;
}

/// Killed on the node while the dump waits for a lock: the tool, or the process that looks after it.
async fn killed(ground: &Ground<'_>, name: &str, what: &str, reason: &str, log: &str) {
    let case = ground.case(name, MIB, Value::Null, Value::Null).await;
    let holder = case.hold().await;
    let backup = case.back_up(json!({})).await;
    let pod = case.pod(&backup).await;
    process(&pod, "pg_dump").await;
    process(&pod, what).await.kill().unwrap();
    case.failed(&backup, reason, &[]).await;
    keeps_its_log(&case, &backup, log).await;
    holder.close().await;
}

/// After everything was cleaned up: the finalizer is the note of that.
async fn keeps_its_log(case: &Case<'_>, backup: &str, log: &str) {
    let fixture = case.ground.fixture;
    let cleaned = |found: &db_operator::api::Backup| found.finalizers().is_empty();
    let found = fixture
        .backup_until(backup, "cleaned up", LIMIT, cleaned)
        .await;
    let job = eventually(&format!("{backup}: its Job is done"), LIMIT, async || {
        let job = case.job(&found).await.ok_or("it is gone")?;
        let status = job
            .status
            .as_ref()
            .and_then(|status| status.conditions.clone());
        let failed = status
            .into_iter()
            .flatten()
            .any(|c| c.type_ == "Failed" && c.status == "True");
        if failed {
            Ok(job)
        } else {
            Err(format!("{:?}", job.status))
        }
    })
    .await;
    assert_eq!(job.metadata.deletion_timestamp, None, "{backup}");
    let kept = job.spec.unwrap().ttl_seconds_after_finished.unwrap();
    assert!(kept >= KEPT, "{backup}: {kept}");
    let pods = pods_of(case, backup).await;
    let [pod] = pods.as_slice() else {
        panic!("{backup}: {} pods", pods.len())
    };
    assert_eq!(pod.metadata.deletion_timestamp, None, "{backup}");
    let api: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let of_dump = LogParams {
        container: Some("dump".to_owned()),
        ..LogParams::default()
    };
    let said = api.logs(&pod.name_any(), &of_dump).await.unwrap();
    assert!(said.contains(log), "{backup}: no {log:?} in {said}");
}

/// As if the time that `--keep-jobs` sets had gone by.
async fn is_gone_when_its_time_is_over(case: &Case<'_>, backup: &str) {
    let fixture = case.ground.fixture;
    let found = case.read(backup).await;
    let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let over = json!({"spec": {"ttlSecondsAfterFinished": 0}});
    let name = db_operator::job::name(&found);
    jobs.patch(&name, &PatchParams::default(), &Patch::Merge(over))
        .await
        .unwrap();
    eventually(
        &format!("{backup}: its Job and pod are gone"),
        LIMIT,
        async || {
            let left = pods_of(case, backup).await.len();
            match (case.job(&found).await, left) {
                (None, 0) => Ok(()),
                (job, left) => Err(format!("{left} pods, {:?}", job.map(|job| job.status))),
            }
        },
    )
    .await;
}

async fn pods_of(case: &Case<'_>, backup: &str) -> Vec<Pod> {
    let fixture = case.ground.fixture;
    let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
    let mine = ListParams::default().labels(&format!("{BACKUP_LABEL}={backup}"));
    pods.list(&mine).await.unwrap().items
}

#[tokio::test]
async fn the_log_of_what_failed_is_kept() {
    with_fixture(Server::Postgres, async |fixture| {
        let ground = &Ground::new(fixture).await;
        let ending = |name, does, reason, log| Ending {
            name,
            does,
            limits: json!({}),
            reason,
            log,
        };
        let error = ending(
            "error",
            "pg_dump --no-such-option",
            "DumpFailed",
            "no-such-option",
        );
        let half = ending(
            "half",
            "pg_dump \"$@\" | head -c 200000",
            "DumpIncomplete",
            "failed (DumpIncomplete)",
        );
        let memory = ending(
            "memory",
            "tail /dev/zero",
            "OutOfMemory",
            "the tool is pg_dump",
        );
        let stalls = Ending {
            limits: json!({"stallSeconds": 30}),
            ..ending("stalls", "sleep 300", "NoProgress", "failed (NoProgress)")
        };
        all(vec![
            Box::pin(by_tool(ground, error)),
            Box::pin(by_tool(ground, half)),
            Box::pin(by_tool(ground, memory)),
            Box::pin(by_tool(ground, stalls)),
            Box::pin(no_tool(ground)),
            Box::pin(killed(
                ground,
                "tool",
                "pg_dump",
                "DumpFailed",
                "killed by signal 9",
            )),
            Box::pin(killed(
                ground,
                "agent",
                "db-operator",
                "Killed",
                "the tool is pg_dump",
            )),
        ])
        .await;
        template::clear(fixture).await;
    })
    .await;
}
