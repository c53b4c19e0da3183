//! A platform team's own template of the Job.

use e2e::clone_root;
use e2e::cluster::Cluster;
use e2e::command;
use e2e::testing::{Bed, Server, in_bed, is_ready, on_every_server};
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use serde_json::{Value, json};

fn own(server: Server) -> String {
    let provider = if server.is_postgres() {
        "postgresql"
    } else {
        "mysql"
    };
    let path = format!("templates/{provider}/backup.yaml.hbs");
    std::fs::read_to_string(clone_root().join(path)).unwrap()
}

fn replace(text: &str, what: &str, with: &str) -> String {
    assert!(text.contains(what), "{what}");
    text.replacen(what, with, 1)
}

/// A Database on an instance of its own with this template. Returns the names of both.
async fn with_template(bed: &Bed, template: &str) -> (String, String) {
    let map = bed.job_template("template", template).await;
    let mut backup = bed.shared_destination().await;
    backup["job"] = json!({"templateRef": {"name": map, "key": "job"}});
    let instance = bed.make_instance("i", json!({"backup": backup})).await;
    let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
    (bed.make_usable("orders", spec).await, instance)
}

async fn log(bed: &Bed, job: &str) -> String {
    let mut logs = Cluster::main().kubectl();
    logs.args(["logs", "--namespace", &bed.namespace, "--container=dump"]);
    logs.arg(format!("job/{job}"));
    tokio::task::spawn_blocking(move || command::output(&mut logs))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn it_adds_a_sidecar_a_toleration_and_a_flag() {
    on_every_server(async |bed| {
        bed.restrict().await;
        let template = own(bed.server);
        let template = replace(
            &template,
            "      containers:\n",
            "        - name: beside\n          image: {{json image}}\n          restartPolicy: Always\n          \
             command: [sleep, infinity]\n      tolerations: [{key: batch, operator: Exists}]\n      containers:\n",
        );
        let flag = "            - --no-tablespaces\n";
        let (before, added) = if bed.server.is_postgres() {
            ("            - --no-password\n", "--verbose")
        } else {
            (flag, "--verbose")
        };
        let template = replace(
            &template,
            before,
            &format!("{before}            - {added}\n"),
        );
        let (name, _) = with_template(bed, &template).await;
        let backup = bed.back_up("a", &name, json!({})).await;
        let backup = bed.completed(&backup).await;

        let job = backup.status.unwrap().upload.unwrap().job_name.unwrap();
        let jobs: Api<Job> = Api::namespaced(bed.client.clone(), &bed.namespace);
        let made = serde_json::to_value(jobs.get(&job).await.unwrap()).unwrap();
        let pod = &made["spec"]["template"]["spec"];
        assert_eq!(pod["tolerations"][0]["key"], "batch", "{pod}");
        let names = |containers: &Value| -> Vec<String> {
            let containers = containers.as_array().unwrap().iter();
            let names = containers.map(|it| it["name"].as_str().unwrap().to_owned());
            names.collect()
        };
        assert_eq!(names(&pod["initContainers"]), ["install", "beside"]);
        assert_eq!(names(&pod["containers"]), ["dump"]);
        // What it says goes to our log.
        let log = log(bed, &job).await;
        let said = if bed.server.is_postgres() {
            "pg_dump: "
        } else {
            "-- "
        };
        assert!(log.contains(said), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_broken_one_is_named_with_its_line_and_stops_nothing_else() {
    in_bed(Server::Postgres, async |bed| {
        let good = own(bed.server);
        let broken = replace(&good, "{{json deadlineSeconds}}", "{{json deadlineSecond}}");
        let line = good
            .lines()
            .position(|line| line.contains("{{json deadlineSeconds}}"));
        let (name, instance) = with_template(bed, &broken).await;
        let backup = bed.back_up("a", &name, json!({})).await;
        let message = bed.waits(&backup, "Stalled", "InvalidTemplate").await;
        let line = format!("line {}", line.unwrap() + 1);
        for part in [line.as_str(), "deadlineSecond"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(is_ready(&bed.databases().get(&name).await.unwrap()));
        let other = bed
            .make_usable("other", json!({"deletionPolicy": "Delete"}))
            .await;
        let other = bed.back_up("other", &other, json!({})).await;
        bed.completed(&other).await;

        let gone = json!({"backup": {"job": {"templateRef": {"key": "no-such-key"}}}});
        bed.patch_instance(&instance, gone).await;
        let says_so = |message: &str| message.contains("no-such-key");
        bed.backup_until(
            &backup,
            "the key is missed",
            e2e::testing::NEXT_LOOK,
            |backup| {
                let conditions = &backup.status.as_ref().unwrap().conditions;
                conditions.iter().any(|it| says_so(&it.message))
            },
        )
        .await;
        bed.job_template("template", &good).await;
        let back = json!({"backup": {"job": {"templateRef": {"key": "job"}}}});
        bed.patch_instance(&instance, back).await;
        bed.completed(&backup).await;
    })
    .await;
}
