//! What all of this does together: our own templates, hostile ones, and values that try to be more than values.

mod additions;
mod laid_over;
mod lines;
mod refusals;
mod restores;
mod settings;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::api::Backup;

fn backup() -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "nightly", "namespace": "team-a", "uid": "0f1e2d3c-aaaa-bbbb-cccc-000000000000"},
        "spec": {"databaseRef": {"name": "orders"}, "deadlineSeconds": 3600, "stallSeconds": 300},
    }))
    .unwrap()
}

const MAIN: &str = "dump";

fn owner() -> Owner {
    Owner::of_backup(&backup())
}

fn order(owner: &Owner, flavour: Flavour) -> Order<'_> {
    let limits = TimeLimits::of(&backup(), None);
    Order {
        owner,
        database_name: "Orders",
        user: "orders",
        flavour,
        series: match flavour {
            Flavour::Postgresql => "17",
            Flavour::Mysql => "9.7",
            Flavour::Mariadb => "11.8",
        },
        server_version: "17.6",
        host: "db.databases.svc",
        port: 5432,
        tls: "verify-full",
        location: "s3://backups/prod/orders.dump.zst",
        operator_image: "registry.example/db-operator:0.1.0",
        credentials_secret: "orders",
        limits,
        time_left: limits.deadline.time,
        memory_bytes: 268_435_456,
        jobs: 2,
        keep_seconds: 86_400,
        settings: None,
        template: None,
    }
}

const FLAVOURS: [Flavour; 3] = [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb];

/// Builds from our own PostgreSQL template with some text of it replaced.
fn with(changes: &[(&str, &str)]) -> Result<Job, JobError> {
    let mut template = POSTGRESQL.to_owned();
    for (old, new) in changes {
        assert!(template.contains(old), "{old}");
        template = template.replacen(old, new, 1);
    }
    let owner = owner();
    build(&Order {
        template: Some(&template),
        ..order(&owner, Flavour::Postgresql)
    })
}

/// Builds with some YAML added to the container that dumps.
fn with_dump(yaml: &str) -> Result<Job, JobError> {
    let start = "        - name: dump\n";
    with(&[(start, &format!("{start}{yaml}"))])
}

/// Builds with another container beside the one that dumps.
fn with_sidecar(yaml: &str) -> Result<Job, JobError> {
    let start = "      containers:\n";
    with(&[(
        start,
        &format!("{start}        - name: sidecar\n          image: other\n{yaml}"),
    )])
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn container<'a>(job: &'a Job, name: &str) -> &'a Container {
    let pod = pod(job);
    let mut all = pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten());
    all.find(|container| container.name == name).unwrap()
}

fn plain() -> Job {
    with(&[]).unwrap()
}

#[test]
fn our_templates_say_what_runs() {
    let owner = owner();
    for flavour in FLAVOURS {
        let order = order(&owner, flavour);
        let template = if flavour == Flavour::Postgresql {
            POSTGRESQL
        } else {
            MYSQL
        };
        let yaml = template::render_yaml(template, &values::values(&order)).unwrap();
        let written = parse::job(&yaml).unwrap();
        let mut built = build(&order).unwrap();

        let owner = built.metadata.owner_references.take().unwrap();
        assert_eq!(
            (owner[0].kind.as_str(), owner[0].controller),
            ("Backup", Some(true))
        );
        for metadata in [
            &mut built.metadata,
            built
                .spec
                .as_mut()
                .unwrap()
                .template
                .metadata
                .as_mut()
                .unwrap(),
        ] {
            let labels = metadata.labels.take().unwrap();
            assert_eq!(labels["db-operator.dev/backup"], "nightly");
            assert_eq!(labels["db-operator.dev/database"], "orders");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "db-operator");
            assert_ne!(labels["app.kubernetes.io/name"], "db-operator");
        }
        assert_eq!(built, written, "{flavour:?}");
    }
}

#[test]
fn what_the_instance_allows_is_what_the_job_has() {
    let owner = owner();
    let settings = json!({"s3": {"bucket": "b", "region": "r"}, "job": {"maxDeadlineSeconds": 120, "maxStallSeconds": 60}});
    let settings = serde_json::from_value(settings).unwrap();
    let order = Order {
        limits: TimeLimits::of(&backup(), Some(&settings)),
        time_left: SignedDuration::from_secs(120),
        ..order(&owner, Flavour::Postgresql)
    };
    let job = build(&order).unwrap();
    assert_eq!(
        job.spec.as_ref().unwrap().active_deadline_seconds,
        Some(120)
    );
    let command = container(&job, MAIN).command.as_ref().unwrap();
    assert!(
        command.contains(&"--lock-wait-timeout=54000".to_owned()),
        "{command:?}"
    );
}

#[test]
fn each_engine_has_its_own_command() {
    let owner = owner();
    let command = |flavour| {
        let job = build(&order(&owner, flavour)).unwrap();
        let dump = container(&job, MAIN);
        let command = dump.command.clone().unwrap();
        assert_eq!(command[..3], ["/db-operator/bin/db-operator", "dump", "--"]);
        (dump.image.clone().unwrap(), command[3..].join(" "))
    };
    assert_eq!(
        command(Flavour::Postgresql),
        (
            "docker.io/library/postgres:17".to_owned(),
            "pg_dump --format=custom --compress=0 --no-password --lock-wait-timeout=270000 --verbose"
                .to_owned()
        )
    );
    let common = "--defaults-extra-file=/db-operator/work/client.cnf --default-character-set=utf8mb4 \
        --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --verbose";
    assert_eq!(
        command(Flavour::Mariadb),
        (
            "docker.io/library/mariadb:11.8".to_owned(),
            format!("mariadb-dump {common} --loose-dump-history --skip-add-locks -- Orders")
        )
    );
    assert_eq!(
        command(Flavour::Mysql),
        (
            "docker.io/library/mysql:9.7".to_owned(),
            format!(
                "mysqldump {common} --column-statistics --set-gtid-purged=OFF --loose-init-command=SET SESSION lock_wait_timeout = 270 \
                 --loose-skip-masking-policies -- Orders"
            )
        )
    );
}

#[test]
fn an_instances_image_is_used() {
    let owner = owner();
    let settings = serde_json::from_value(json!({"image": "registry.example/postgres:17"}));
    let settings = settings.unwrap();
    let job = build(&Order {
        settings: Some(&settings),
        ..order(&owner, Flavour::Postgresql)
    });
    assert_eq!(
        container(&job.unwrap(), MAIN).image.as_deref(),
        Some("registry.example/postgres:17")
    );
}

#[test]
fn a_final_backup_says_where_its_database_was() {
    let mut backup = backup();
    backup.spec.database_ref.namespace = Some("team-b".to_owned());
    let job = build(&order(&Owner::of_backup(&backup), Flavour::Postgresql)).unwrap();
    assert_eq!(job.metadata.namespace.as_deref(), Some("team-a"));
    assert_eq!(
        job.metadata.labels.unwrap()["db-operator.dev/database-namespace"],
        "team-b"
    );
}

/// Each value in the documentation, and each line of the documentation a value.
#[test]
fn the_context_is_documented() {
    let page = include_str!("../../../doc/how-to/job-templates.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let owner = owner();
    let mut restore = owner.clone();
    restore.kind = Kind::Restore;
    let values = [&owner, &restore].map(|owner| values::values(&order(owner, Flavour::Postgresql)));
    let given: BTreeSet<&str> = values
        .iter()
        .flat_map(|values| values.as_object().unwrap().keys())
        .map(String::as_str)
        .collect();
    assert_eq!(documented, given);
}

/// How Kubernetes reads `$(NAME)` and `$$` in a command.
fn expanded(argument: &str) -> String {
    let mut out = String::new();
    let mut rest = argument.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '$' && rest.peek() == Some(&'$') {
            rest.next();
        } else {
            assert!(
                c != '$' || rest.peek() != Some(&'('),
                "a variable would be read: {argument}"
            );
        }
        out.push(c);
    }
    out
}

proptest! {
    /// Whatever a name is made of, it is that name in the Job, and nothing else of the Job changes.
    #[test]
    fn names_are_data(
        database in r#"([a-z$('"\\{}:#&*!|>%@` \[\],-]|\{\{|\$\(|é|😀|\u{2028}|\u{85}){1,30}"#,
        host in any::<String>(),
        destination in any::<String>(),
    ) {
        let owner = owner();
        for flavour in [Flavour::Mysql, Flavour::Mariadb] {
            let plain = build(&order(&owner, flavour)).unwrap();
            let built = build(&Order {
                database_name: &database, host: &host, location: &destination, tls: &host, user: &host, server_version: &host,
                ..order(&owner, flavour)
            }).unwrap();
            let command = container(&built, MAIN).command.clone().unwrap();
            prop_assert_eq!(expanded(command.last().unwrap()), database.clone());
            let annotations = built.metadata.annotations.clone().unwrap();
            prop_assert_eq!(&annotations["db-operator.dev/destination"], &destination);

            let mut normal: Value = serde_json::to_value(&built).unwrap();
            normal["metadata"]["annotations"]["db-operator.dev/destination"] = json!("s3://backups/prod/orders.dump.zst");
            let last = command.len() - 1;
            normal["spec"]["template"]["spec"]["containers"][0]["command"][last] = json!("Orders");
            prop_assert_eq!(normal, serde_json::to_value(&plain).unwrap());
        }
    }
}

#[test]
fn each_attempt_has_a_job_of_its_own() {
    let mut backup = backup();
    let uid = kube::ResourceExt::uid(&backup).unwrap();
    assert_eq!(
        Owner::of_backup(&backup).job_name(),
        format!("backup-{uid}")
    );
    for (attempts, expected) in [(1, format!("backup-{uid}")), (2, format!("backup-{uid}-2"))] {
        backup.status.get_or_insert_default().attempts = Some(attempts);
        let owner = Owner::of_backup(&backup);
        assert_eq!(owner.job_name(), expected);
        let job = build(&order(&owner, Flavour::Postgresql)).unwrap();
        let volumes = serde_json::to_value(pod(&job).volumes.as_ref().unwrap()).unwrap();
        assert_eq!(job.metadata.name, Some(expected.clone()));
        assert_eq!(volumes[1]["secret"]["secretName"], expected.as_str());
    }
}
