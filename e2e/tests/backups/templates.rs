//! A platform team's own template of the Job.

use e2e::clone_root;
use e2e::cluster::Cluster;
use e2e::command;
use e2e::testing::{Fixture, Server, is_ready, on_every_server, with_fixture};
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
async fn with_template(fixture: &Fixture, template: &str) -> (String, String) {
    let map = fixture.job_template("template", template).await;
    let mut backup = fixture.shared_destination().await;
    backup["job"] = json!({"templateRef": {"name": map, "key": "job"}});
    let instance = fixture.make_instance("i", json!({"backup": backup})).await;
    let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
    (fixture.make_usable("orders", spec).await, instance)
}

async fn log(fixture: &Fixture, job: &str) -> String {
    let mut logs = Cluster::main().kubectl();
    logs.args([
        "logs",
        "--namespace",
        &fixture.namespace,
        "--container=dump",
    ]);
    logs.arg(format!("job/{job}"));
    tokio::task::spawn_blocking(move || command::output(&mut logs))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn it_adds_a_sidecar_a_toleration_and_a_flag() {
    on_every_server(async |fixture| {
        fixture.restrict().await;
        let template = own(fixture.server);
        let template = replace(
            &template,
            "      containers:\n",
            "        - name: beside\n          image: {{json image}}\n          restartPolicy: Always\n          \
             command: [sleep, infinity]\n      tolerations: [{key: batch, operator: Exists}]\n      containers:\n",
        );
        let flag = "            - --no-tablespaces\n";
        let (before, added) = if fixture.server.is_postgres() {
            ("            - --no-password\n", "--no-comments")
        } else {
            (flag, "--skip-add-locks")
        };
        let template = replace(
            &template,
            before,
            &format!("{before}            - {added}\n"),
        );
        let (name, _) = with_template(fixture, &template).await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let backup = fixture.completed(&backup).await;

        let job = backup.status.unwrap().upload.unwrap().job_name.unwrap();
        let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
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
        let arguments = pod["containers"][0]["command"].to_string();
        assert!(arguments.contains(added), "{arguments}");
        let log = log(fixture, &job).await;
        assert!(log.contains("done: the store has"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_broken_one_is_named_with_its_line_and_stops_nothing_else() {
    with_fixture(Server::Postgres, async |fixture| {
        let good = own(fixture.server);
        let broken = replace(&good, "{{json deadlineSeconds}}", "{{json deadlineSecond}}");
        let line = good
            .lines()
            .position(|line| line.contains("{{json deadlineSeconds}}"));
        let (name, instance) = with_template(fixture, &broken).await;
        let backup = fixture.back_up("a", &name, json!({})).await;
        let message = fixture.waits(&backup, "Stalled", "InvalidTemplate").await;
        let line = format!("line {}", line.unwrap() + 1);
        for part in [line.as_str(), "deadlineSecond"] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
        let other = fixture
            .make_usable("other", json!({"deletionPolicy": "Delete"}))
            .await;
        let other = fixture.back_up("other", &other, json!({})).await;
        fixture.completed(&other).await;

        let gone = json!({"backup": {"job": {"templateRef": {"key": "no-such-key"}}}});
        fixture.patch_instance(&instance, gone).await;
        let says_so = |message: &str| message.contains("no-such-key");
        fixture
            .backup_until(
                &backup,
                "the key is missed",
                e2e::testing::NEXT_LOOK,
                |backup| {
                    let conditions = &backup.status.as_ref().unwrap().conditions;
                    conditions.iter().any(|it| says_so(&it.message))
                },
            )
            .await;
        fixture.job_template("template", &good).await;
        let back = json!({"backup": {"job": {"templateRef": {"key": "job"}}}});
        fixture.patch_instance(&instance, back).await;
        fixture.completed(&backup).await;
    })
    .await;
}
