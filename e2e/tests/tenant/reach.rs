//! Other namespaces, instances, rights and statuses through the API server; other databases through SQL.

use db_operator::api::{Backup, Database};
use e2e::servers::OPERATOR_NAMESPACE;
use e2e::testing::{Server, condition};
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::scene::{Scene, played, played_on_every_server};

const GROUP: &str = "/apis/db-operator.dev/v1alpha1";

/// Requests that are not the team's to make: each with its body.
fn forbidden(scene: &Scene<'_>) -> Vec<(&'static str, String, Value)> {
    let (rival, owner) = (&scene.rival.namespace, &scene.owner);
    let own = &scene.team.namespace;
    let core = |namespace: &str, rest: &str| format!("/api/v1/namespaces/{namespace}/{rest}");
    let ours = |namespace: &str, rest: &str| format!("{GROUP}/namespaces/{namespace}/{rest}");
    let instance = format!(
        "{GROUP}/databaseinstances/{}",
        scene.rival.server.instance()
    );
    let read = Value::Null;
    let backup = json!({"apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "theirs"}, "spec": {"databaseRef": {"name": owner}}});
    let dropped = json!({"spec": {"deletionPolicy": "Delete"}});
    let mut all = vec![
        ("GET", ours(rival, "databases"), read.clone()),
        ("PATCH", ours(rival, &format!("databases/{owner}")), dropped),
        (
            "DELETE",
            ours(rival, &format!("databases/{owner}")),
            read.clone(),
        ),
        ("POST", ours(rival, "backups"), backup.clone()),
        (
            "GET",
            core(rival, &format!("secrets/{owner}")),
            read.clone(),
        ),
        ("GET", core(rival, "pods"), read.clone()),
        // The instances: whom they let in, and where the operator logs in with its password.
        (
            "PATCH",
            instance.clone(),
            json!({"spec": {"allowedNamespaces": {"all": true}}}),
        ),
        (
            "PATCH",
            instance.clone(),
            json!({"spec": {"host": "203.0.113.1"}}),
        ),
        ("PATCH", format!("{instance}/status"), json!({"status": {}})),
        ("DELETE", instance, read.clone()),
        ("POST", format!("{GROUP}/databaseinstances"), json!({})),
        // Labels of a namespace decide who may use an instance.
        (
            "PATCH",
            format!("/api/v1/namespaces/{own}"),
            json!({"metadata": {"labels": {"team": "rival"}}}),
        ),
        // What the operator believes.
        (
            "PATCH",
            ours(own, "databases/x/status"),
            json!({"status": {}}),
        ),
        (
            "PATCH",
            ours(own, "backups/x/status"),
            json!({"status": {}}),
        ),
        (
            "GET",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
            read.clone(),
        ),
    ];
    // The operator's own namespace: administrators' passwords, store's keys, final backups, the lease, itself.
    for rest in [
        "secrets",
        "secrets/postgres-admin",
        "secrets/backups-s3",
        "configmaps",
        "pods",
        "pods/x/log",
        "events",
    ] {
        all.push(("GET", core(OPERATOR_NAMESPACE, rest), read.clone()));
    }
    all.push(("POST", ours(OPERATOR_NAMESPACE, "backups"), backup));
    all.push(("GET", ours(OPERATOR_NAMESPACE, "backups"), read.clone()));
    for group in [
        "coordination.k8s.io/v1/namespaces/*/leases/db-operator",
        "apps/v1/namespaces/*/deployments/db-operator",
    ] {
        let path = group.replace('*', OPERATOR_NAMESPACE);
        all.push((
            "PATCH",
            format!("/apis/{path}"),
            json!({"metadata": {"labels": {"x": "y"}}}),
        ));
    }
    let account = core(OPERATOR_NAMESPACE, "serviceaccounts/db-operator/token");
    all.push(("POST", account, json!({"spec": {}})));
    all
}

#[tokio::test]
async fn nothing_outside_its_namespace_and_no_status_in_it() {
    played(Server::Postgres, async |scene| {
        for (method, path, body) in forbidden(scene) {
            let (status, words) = scene.team.ask(method, &path, &body).await;
            assert_eq!(status, 403, "{method} {path}: {words}");
            assert!(words.contains(" cannot "), "{method} {path}: {words}");
        }
        // Nor as somebody else.
        let (status, words) = scene.team.ask("GET", "/api/v1/nodes", &Value::Null).await;
        assert_eq!(status, 403, "{words}");
    })
    .await;
}

/// A status that comes along with an object is not taken.
#[tokio::test]
async fn an_object_cannot_say_how_far_it_is() {
    played(Server::Postgres, async |scene| {
        let own = scene.team.make_usable("own", json!({"deletionPolicy": "Delete"})).await;
        let theirs = scene.rival.databases().get(&scene.owner).await.unwrap().status;
        let mut forged: Database = serde_json::from_value(json!({
            "metadata": {"name": scene.team.name("forged")},
            "spec": {"instanceRef": {"name": scene.rival.server.instance()}, "name": scene.owner, "deletionPolicy": "Delete"},
        }))
        .unwrap();
        forged.status = theirs;
        let made = scene.team.databases().create(&PostParams::default(), &forged).await.unwrap();
        assert!(made.status.is_none(), "{made:?}");
        scene.team.stalled(&scene.team.name("forged"), "ClaimedByAnother").await;

        let upload = json!({"bucket": "backups", "key": format!("postgres/{}", scene.owner), "uploadId": "x", "jobName": "x"});
        let forged: Backup = serde_json::from_value(json!({
            "metadata": {"name": scene.team.name("b"), "finalizers": ["db-operator.dev/finalizer"]},
            "spec": {"databaseRef": {"name": own}},
            "status": {"state": "COMPLETED", "upload": upload},
        }))
        .unwrap();
        let made = scene.team.backups().create(&PostParams::default(), &forged).await.unwrap();
        assert!(made.status.is_none(), "{made:?}");
        let done = scene.team.completed(&scene.team.name("b")).await.status.unwrap();
        assert!(done.upload.unwrap().key.contains(&scene.team.namespace));
    })
    .await;
}

#[tokio::test]
async fn its_login_opens_no_other_database() {
    played_on_every_server(async |scene| {
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        scene.is_no_way_in(&own).await;
        let secret = scene.team.secret(&own).await;
        let mut there = secret.clone();
        there.insert("database".to_owned(), "db_operator".to_owned());
        assert!(
            scene.log_in(&there).await.is_err(),
            "it logs in to the operator's database"
        );
        let mut session = scene.log_in(&secret).await.unwrap();
        let (user, admin) = (scene.rival.server.user(&own), "dboperator_admin");
        let rises = if scene.rival.server.is_postgres() {
            vec![
                format!("ALTER ROLE {user} CREATEROLE"),
                format!("ALTER ROLE {user} SUPERUSER"),
                format!("GRANT {admin} TO {user}"),
                format!("SET ROLE {admin}"),
                format!("SET ROLE \"{}\"", scene.owner),
                "CREATE DATABASE risen".to_owned(),
                "CREATE ROLE risen".to_owned(),
                "COPY (SELECT 1) TO PROGRAM 'true'".to_owned(),
                "SELECT pg_read_file('/etc/passwd')".to_owned(),
                "SELECT rolpassword FROM pg_authid".to_owned(),
            ]
        } else {
            vec![
                format!("GRANT ALL ON *.* TO {user}"),
                "CREATE DATABASE risen".to_owned(),
                "CREATE USER risen".to_owned(),
                "SELECT * FROM mysql.user".to_owned(),
                "SELECT * FROM db_operator.claims".to_owned(),
                "SET GLOBAL max_connections = 1".to_owned(),
                "SELECT 1 INTO OUTFILE '/tmp/x'".to_owned(),
            ]
        };
        for statement in rises {
            assert!(session.run(&statement).await.is_err(), "{statement}");
        }
        session.close().await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_does_not_allow_it_makes_nothing_for_it() {
    played_on_every_server(async |scene| {
        let rivals = json!({"allowedNamespaces": {"names": [scene.rival.namespace]}});
        let instance = scene.admin.make_instance("i", rivals).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let name = scene.team.make("barred", spec).await;
        let message = scene.team.stalled(&name, "NamespaceNotAllowed").await;
        assert!(message.contains(&instance), "{message}");
        assert!(scene.team.secrets().get_opt(&name).await.unwrap().is_none());
        let left = scene.rival.server.names(&scene.rival.client, &name).await;
        assert!(left.is_empty(), "{left:?}");

        // Allowed in at one instance, it does not move to the other.
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let path = format!(
            "{GROUP}/namespaces/{}/databases/{own}",
            scene.team.namespace
        );
        let change = json!({"spec": {"instanceRef": {"name": instance}}});
        let (status, words) = scene.team.ask("PATCH", &path, &change).await;
        assert!(
            status == 422 && words.contains("instanceRef cannot be changed"),
            "{status} {words}"
        );
        let found = scene
            .team
            .databases()
            .get(&own)
            .await
            .unwrap()
            .status
            .unwrap();
        assert!(condition(&found.conditions, "Stalled").is_none());
    })
    .await;
}
