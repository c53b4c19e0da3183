//! A time that Go reads and we do not, in an object of each kind that is watched or read.

use std::panic::resume_unwind;

use db_operator::api::RECONCILE_REQUESTED_AT;
use e2e::testing::{Fixture, SOON, Server, catch, eventually, with_fixture};
use serde_json::{Value, json};

use crate::raw::{self, Kind, asked, date};
use crate::{TOO_LATE, bystander};

#[tokio::test(flavor = "multi_thread")]
async fn a_date_hides_no_object_from_any_leader() {
    in_team(async |fixture, admin, team| {
        let own = team
            .make_usable("dated", json!({"deletionPolicy": "Delete"}))
            .await;
        let waiting = team.back_up("waiting", "nowhere", json!({})).await;
        let labels = json!({"db-operator.dev/backup": waiting});
        let container = json!([{"name": "dump", "image": "nowhere/nothing"}]);
        let made = [
            (Kind::Job, json!({"metadata": {"name": "j", "labels": labels}, "spec": {
                "suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": container}}}})),
            (Kind::Pod, json!({"metadata": {"name": "p", "labels": labels}, "spec": {
                "nodeSelector": {"example.com/nowhere": "true"}, "containers": container}})),
            (Kind::Event, json!({"metadata": {"name": "e"}, "lastTimestamp": TOO_LATE,
                "involvedObject": {"kind": "Database", "name": own, "namespace": team.namespace}})),
        ];
        let mut paths = vec![
            at(team, Kind::Database, &own),
            at(team, Kind::Secret, &own),
            at(team, Kind::Backup, &waiting),
        ];
        for (kind, object) in &made {
            asked(team, "POST", &kind.path(&team.namespace), object).await;
            paths.push(at(team, *kind, object["metadata"]["name"].as_str().unwrap()));
        }
        for path in &paths {
            date(team, path).await;
        }
        date(admin, &format!("/api/v1/namespaces/{}", admin.namespace)).await;

        // The object is read, its Secret too, and the answers to what is written to them.
        is_answered(team, &own, "before").await;
        bystander::makes_another(fixture, "before").await;
        fixture.kill_the_leader().await;
        bystander::makes_another(fixture, "after").await;
        is_answered(team, &own, "after").await;
        is_ready(fixture).await;

        // A Secret that is written again, over what was dated; a deletion.
        asked(team, "DELETE", &at(team, Kind::Secret, &own), &Value::Null).await;
        is_answered(team, &own, "again").await;
        date(team, &at(team, Kind::Secret, &own)).await;
        asked(team, "DELETE", &at(team, Kind::Database, &own), &Value::Null).await;
        eventually("the dated Database is gone", SOON, async || {
            match team.ask("GET", &at(team, Kind::Database, &own), &Value::Null).await {
                (404, _) => Ok(()),
                (_, text) => Err(text),
            }
        })
        .await;
        fixture.both_replicas_are_ready().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_finished_though_its_work_is_dated() {
    in_team(async |_, admin, team| {
        let own = team
            .make_usable("dumped", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = admin.hold_up(&own).await;
        let backup = team.back_up("dumped", &own, json!({})).await;
        let running = team.backing_up(&backup).await;
        let job = running.status.unwrap().upload.unwrap().job_name.unwrap();
        date(team, &at(team, Kind::Job, &job)).await;
        date(team, &at(team, Kind::Secret, &job)).await;
        let pods = format!(
            "{}?labelSelector=job-name%3D{job}",
            Kind::Pod.path(&team.namespace)
        );
        let pods = asked(team, "GET", &pods, &Value::Null).await;
        let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
        date(team, &at(team, Kind::Pod, pod)).await;
        date(team, &at(team, Kind::Backup, &backup)).await;
        holder.close().await;
        eventually(
            "the dated Backup is COMPLETED",
            e2e::testing::BACKED_UP,
            async || {
                let now = asked(team, "GET", &at(team, Kind::Backup, &backup), &Value::Null).await;
                let status = &now["status"];
                if status["state"] == "COMPLETED" {
                    Ok(())
                } else {
                    Err(status.to_string())
                }
            },
        )
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_cannot_be_read_is_named_and_goes_on_when_it_can() {
    in_team(async |fixture, admin, team| {
        let own = team
            .make_usable("odd", json!({"deletionPolicy": "Delete"}))
            .await;
        let path = format!("{}/status", at(team, Kind::Database, &own));
        // An operator of another version may write what this one does not know.
        let last = json!({"name": "b", "finishedAt": TOO_LATE, "destination": "s3://nowhere"});
        asked(
            admin,
            "PATCH",
            &path,
            &json!({"status": {"lastBackup": last}}),
        )
        .await;
        let event = admin.told(&own, "Unreadable: ").await;
        assert!(event.contains("its status cannot be read"), "{event}");
        let (_, metrics) = fixture.leader_says("metrics").await;
        let count = "db_operator_unreadable_objects{kind=\"Database\"} 1";
        assert!(metrics.contains(count), "{metrics}");
        bystander::makes_another(fixture, "beside").await;

        // Nothing is made or taken over anew: it is the same, and goes on.
        let secret = admin.secret(&own).await;
        asked(
            admin,
            "PATCH",
            &path,
            &json!({"status": {"lastBackup": null}}),
        )
        .await;
        is_answered(team, &own, "again").await;
        assert_eq!(admin.secret(&own).await, secret);
        let (_, metrics) = fixture.leader_says("metrics").await;
        let count = "db_operator_unreadable_objects{kind=\"Database\"} 0";
        assert!(metrics.contains(count), "{metrics}");
    })
    .await;
}

/// A bystander's place, and a team's as the administrator and as the team see it. Nothing of the team's is left.
async fn in_team(test: impl AsyncFn(&Fixture, &Fixture, &Fixture)) {
    with_fixture(Server::Postgres, async |fixture| {
        let admin = fixture.neighbour().await;
        let team = admin.as_team().await;
        let result = catch(test(fixture, &admin, &team)).await;
        let cleared = catch(raw::clear(&admin)).await;
        if let Err(panic) = result.and(cleared) {
            resume_unwind(panic);
        }
    })
    .await;
}

fn at(fixture: &Fixture, kind: Kind, name: &str) -> String {
    format!("{}/{name}", kind.path(&fixture.namespace))
}

async fn is_ready(fixture: &Fixture) {
    eventually("the leader is ready", SOON, async || {
        match fixture.leader_says("readyz").await {
            (200, _) => Ok(()),
            (code, text) => Err(format!("{code} {text}")),
        }
    })
    .await;
}

/// Asks for a look at a Database that no typed client reads, and waits until it was taken.
async fn is_answered(team: &Fixture, database: &str, value: &str) {
    let path = at(team, Kind::Database, database);
    let annotation = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: value}}});
    asked(team, "PATCH", &path, &annotation).await;
    eventually(&format!("{database} is answered"), SOON, async || {
        let now = asked(team, "GET", &path, &Value::Null).await;
        let status = &now["status"];
        if status["handled"][RECONCILE_REQUESTED_AT] == value {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await;
}
