//! A transient error after bytes were sent: another Job, with an upload of its own, inside the same backup.

use db_operator::api::Backup;
use e2e::testing::{Server, condition, with_fixture};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use serde_json::{Value, json};

use db_operator::api::BACKUP_LABEL;

use crate::case::{Ground, LIMIT};
use crate::template;

const MIB: u64 = 1 << 20;

/// Fails in the first Job, which is known by its pod's name, when more was sent than a part holds.
const FAILS_ONCE: &str = "case $(cat /etc/hostname) in *-2-?????) exec pg_dump \"$@\";; esac
pg_dump \"$@\" | head -c 40000000
echo 'pg_dump: error: query failed: ERROR:  deadlock detected' >&2
exit 1";

#[tokio::test]
async fn what_is_transient_gets_another_job_inside_the_same_backup() {
    with_fixture(Server::Postgres, async |fixture| {
        let ground = &Ground::new(fixture).await;
        let job = ground.tool("again", "pg_dump", FAILS_ONCE).await;
        let case = ground.case("again", 64 * MIB, job, Value::Null).await;
        let backup = case.back_up(json!({})).await;

        let waits = |found: &Backup| {
            let status = found.status.clone().unwrap_or_default();
            condition(&status.conditions, "Ready").is_some_and(|ready| {
                ready
                    .message
                    .starts_with("attempt 1 of 3 failed with a transient error")
            })
        };
        fixture
            .backup_until(&backup, "waits for its second attempt", LIMIT, waits)
            .await;
        let first = case.read(&backup).await;
        let status = case.completes(&backup).await;
        assert_eq!(status.attempts, Some(2));
        let last = case.read(&backup).await;
        let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        for (attempt, name) in [
            (1, db_operator::job::name(&first)),
            (2, db_operator::job::name(&last)),
        ] {
            let found = jobs.get_opt(&name).await.unwrap();
            assert!(
                found.is_some(),
                "the Job of attempt {attempt} is kept for its log"
            );
        }
        assert_ne!(
            db_operator::job::name(&first),
            db_operator::job::name(&last)
        );

        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let mine = ListParams::default().labels(&format!("{BACKUP_LABEL}={backup}"));
        let mut logs = String::new();
        for pod in pods.list(&mine).await.unwrap().items {
            let name = pod.metadata.name.unwrap();
            let of_dump = LogParams {
                container: Some("dump".to_owned()),
                ..LogParams::default()
            };
            logs += &pods.logs(&name, &of_dump).await.unwrap();
        }
        assert!(
            logs.contains("deadlock detected") && logs.contains("done: the store has"),
            "{logs}"
        );
        template::clear(fixture).await;
    })
    .await;
}
