//! Names and templates that try to be more than text, and extensions that would be more than a database's owner.

use std::collections::BTreeMap;

use e2e::testing::Server;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::scene::{played, played_on_every_server};

/// Each is a database's name on PostgreSQL and MariaDB; what follows the test's prefix.
const HOSTILE: [&str; 4] = [
    // Handlebars, in the Job's template.
    "{{json image}}{{{x}}}{{#if}}",
    // YAML, and Kubernetes' own expansion in `args`.
    "\": [&a *a] | > - #$(HOME)$$(X)",
    // SQL, in every dialect.
    "'; DROP ROLE x; --`\"/*!50000*/\\",
    // A shell, a URI, a path.
    "$(id)`id`;&&|?@:/../%00 é",
];

#[tokio::test]
async fn a_hostile_name_is_a_name() {
    played_on_every_server(async |scene| {
        // MySQL's users have 32 characters.
        let names = HOSTILE.map(|name| format!("{}{name}", scene.team.prefix));
        let made = names.iter().enumerate().map(async |(number, sql)| {
            let spec = json!({"name": sql, "user": scene.team.name(&format!("h{number}")), "deletionPolicy": "Delete",
                "secretTemplate": {"data": {"NAME": "{{database}}"}}});
            let name = scene.team.make_usable(&format!("h{number}"), spec).await;
            let secret = scene.team.secret(&name).await;
            assert_eq!((&secret["database"], &secret["NAME"]), (sql, sql));
            let mut session = scene.log_in(&secret).await.unwrap();
            session.run("CREATE TABLE t (x INT)").await.unwrap();
            session.close().await;
            let backup = scene.team.back_up(&format!("h{number}"), &name, json!({})).await;
            scene.team.completed(&backup).await;
        });
        futures::future::join_all(made).await;
        // The same pod as for any name.
        let jobs: Api<Job> = scene.team.api();
        let jobs = jobs.list(&ListParams::default()).await.unwrap().items;
        assert_eq!(jobs.len(), HOSTILE.len());
        let shape = |job: &Job| {
            let pod = job.spec.clone().unwrap().template.spec.unwrap();
            let words = |container: &k8s_openapi::api::core::v1::Container| {
                (container.name.clone(), container.image.clone(), container.args.clone().map(|args| args.len()))
            };
            let all = pod.containers.iter().chain(pod.init_containers.iter().flatten());
            (all.map(words).collect::<Vec<_>>(), pod.volumes.map(|all| all.len()), pod.service_account_name, pod.security_context)
        };
        assert!(jobs.iter().all(|job| shape(job) == shape(&jobs[0])), "{jobs:?}");
    })
    .await;
}

/// What a `secretTemplate` cannot be; each with a word of what is said about it.
fn hostile_templates() -> Vec<(String, &'static str)> {
    vec![
        ("{{> other}}".to_owned(), ""),
        ("{{#each this}}{{this}}{{/each}}".to_owned(), "each"),
        ("{{#with this}}{{password}}{{/with}}".to_owned(), ""),
        ("{{lookup this \"../env\"}}".to_owned(), ""),
        ("{{log password}}".to_owned(), "log"),
        ("{{exec \"id\"}}".to_owned(), "exec"),
        ("{{env.PATH}}".to_owned(), "env"),
        ("{{@root.admin}}".to_owned(), ""),
        ("{{#*inline \"a\"}}{{> a}}{{/inline}}{{> a}}".to_owned(), ""),
        ("{{#if username}}".repeat(500), "complex"),
        (format!("{{{{uriencode {}", "(".repeat(2000)), "complex"),
        ("{{uri}}".repeat(250) + &"x".repeat(64 * 1024), ""),
        ("{{".to_owned(), ""),
    ]
}

#[tokio::test]
async fn a_hostile_template_is_said_to_be_one_and_shows_nothing() {
    played(Server::Postgres, async |scene| {
        let attempts = hostile_templates().into_iter().enumerate().map(async |(number, (template, word))| {
            let name = scene.team.name(&format!("t{number}"));
            let object = json!({"metadata": {"name": name}, "spec": {"instanceRef": {"name": "postgres"},
                "deletionPolicy": "Delete", "secretTemplate": {"data": {"X": template}}}});
            let object = serde_json::from_value(object).unwrap();
            match scene.team.databases().create(&PostParams::default(), &object).await {
                Err(kube::Error::Api(status)) if status.code == 422 => return,
                made => drop(made.unwrap()),
            }
            let what = &template[..template.len().min(60)];
            let message = scene.team.stalled(&name, "InvalidTemplate").await;
            assert!(message.contains("secretTemplate.data[X]") && message.contains(word), "{what}: {message}");
            assert!(message.len() < 2000 && !message.contains("postgresql://"), "{what}: {message}");
            assert!(scene.team.secrets().get_opt(&name).await.unwrap().is_none(), "{what}");
        });
        futures::future::join_all(attempts).await;
        let left = scene.rival.server.names(&scene.rival.client, &scene.team.name("t")).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// Labels and annotations of a Secret do not make it something that the operator, or Kubernetes, trusts.
#[tokio::test]
async fn a_secrets_metadata_is_not_the_operators() {
    played(Server::Postgres, async |scene| {
        for (what, key) in [("labels", "db-operator.dev/database"), ("labels", "db-operator.dev/adopt"), ("annotations", "db-operator.dev/release")] {
            let object = json!({"metadata": {"name": "x"}, "spec": {"instanceRef": {"name": "postgres"},
                "secretTemplate": {what: {key: "true"}}}});
            let object = serde_json::from_value(object).unwrap();
            let refused = scene.team.databases().create(&PostParams::default(), &object).await.unwrap_err();
            assert!(refused.to_string().contains("are reserved for the operator"), "{refused}");
        }
        let labels = BTreeMap::from([("app.kubernetes.io/managed-by", "somebody")]);
        let name = scene.team.make_usable("own", json!({"deletionPolicy": "Delete", "secretTemplate": {"labels": labels}})).await;
        let secret = scene.team.secrets().get(&name).await.unwrap();
        assert_eq!(secret.metadata.labels.unwrap()["app.kubernetes.io/managed-by"], "db-operator");
        assert_eq!(secret.type_.as_deref(), Some("servicebinding.io/postgresql"));
    })
    .await;
}

#[tokio::test]
async fn an_extension_that_is_not_trusted_is_not_made() {
    played(Server::Postgres, async |scene| {
        let mut root = scene.rival.server.root(&scene.rival.client).await;
        let untrusted = "SELECT name::text FROM pg_available_extension_versions v JOIN pg_available_extensions e USING (name) \
            WHERE v.version = e.default_version AND superuser AND NOT trusted ORDER BY 1";
        let untrusted = root.column(untrusted).await.unwrap();
        root.close().await;
        for expected in ["file_fdw", "dblink", "postgres_fdw", "pg_read_server_files"] {
            // The last one is no extension, and would be a surprise.
            assert_eq!(untrusted.iter().any(|it| it == expected), expected != "pg_read_server_files", "{untrusted:?}");
        }
        let attempts = untrusted.iter().enumerate().map(async |(number, extension)| {
            let spec = json!({"deletionPolicy": "Delete", "postgresql": {"extensions": [{"name": extension}]}});
            let name = scene.team.make(&format!("e{number}"), spec).await;
            let message = scene.team.stalled(&name, "Unsupported").await;
            assert!(message.contains(extension) && message.contains("allowedExtensions"), "{message}");
        });
        futures::future::join_all(attempts).await;
        for name in ["../../x", "x\"; DROP ROLE y; --", "x'y", "pg trgm"] {
            let object: Value = json!({"metadata": {"name": "x"}, "spec": {"instanceRef": {"name": "postgres"},
                "postgresql": {"extensions": [{"name": name}]}}});
            let object = serde_json::from_value(object).unwrap();
            let refused = scene.team.databases().create(&PostParams::default(), &object).await.unwrap_err();
            assert!(refused.to_string().contains("the name of an extension"), "{refused}");
        }
    })
    .await;
}
