//! Leading the operator, or a backup, to a host of the team's choosing: whoever listens there would be shown a password.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use e2e::cluster::Settings;
use e2e::testing::{Server, password};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::net::TcpListener;

use crate::scene::{played, played_on_every_server};

/// A host of the team's own, which counts who comes.
struct Trap {
    host: String,
    port: u16,
    came: Arc<AtomicUsize>,
}

impl Trap {
    /// Where pods and the operator in the cluster reach it.
    async fn set() -> Self {
        let host = Settings::main().host_address();
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let came = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&came);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            host: host.to_string(),
            port,
            came,
        }
    }

    /// Everything in a Secret that says where to log in.
    fn data(&self) -> serde_json::Value {
        let (host, port) = (&self.host, self.port.to_string());
        let uri = format!("postgresql://u:p@{host}:{port}/x?sslmode=disable");
        json!({"host": host, "port": port, "uri": uri, "jdbc-url": format!("jdbc:{uri}"), "sslmode": "disable",
            "username": "postgres", "database": "db_operator", "type": "postgresql", "ca.crt": ""})
    }

    fn nobody_came(&self) {
        assert_eq!(self.came.load(Ordering::Relaxed), 0);
    }
}

#[tokio::test]
async fn its_secret_says_where_an_application_logs_in_and_nobody_else() {
    played_on_every_server(async |scene| {
        let trap = Trap::set().await;
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "BackupBeforeDelete"}))
            .await;
        let before = scene.team.secret(&own).await;
        let edit = Patch::Merge(json!({"stringData": trap.data()}));
        let secrets = scene.team.secrets();
        secrets
            .patch(&own, &PatchParams::default(), &edit)
            .await
            .unwrap();
        let backup = scene.team.back_up("b", &own, json!({})).await;
        scene.team.completed(&backup).await;
        scene.team.ask_for_a_look(&own, "1").await;
        scene.team.usable(&own).await;
        assert_eq!(scene.team.secret(&own).await, before);

        // Once more, and for a deletion with a final backup.
        secrets
            .patch(&own, &PatchParams::default(), &edit)
            .await
            .unwrap();
        scene.team.delete(&own).await;
        scene.admin.gone_after_a_backup(&own).await;
        trap.nobody_came();
    })
    .await;
}

#[tokio::test]
async fn a_secret_made_beforehand_leads_nowhere() {
    played(Server::Postgres, async |scene| {
        let trap = Trap::set().await;
        let mut data = trap.data();
        data["password"] = "chosen".into();
        // It is offered to the Database, as one that was restored would be.
        let name = scene.team.name("own");
        let foreign = scene.team.name("foreign");
        scene
            .team
            .make_secret(&foreign, json!({}), data.clone())
            .await;
        let secret: Secret = serde_json::from_value(json!({"stringData": data, "metadata": {
            "name": name, "labels": {"db-operator.dev/adopt": "true"}}}))
        .unwrap();
        scene
            .team
            .secrets()
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();

        scene
            .team
            .make("foreign", json!({"deletionPolicy": "Delete"}))
            .await;
        scene.team.stalled(&foreign, "SecretNotOurs").await;
        scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let found = scene.team.secret(&name).await;
        assert_eq!(
            (found["username"].as_str(), password(&found).as_str()),
            (name.as_str(), "chosen")
        );
        assert!(found["host"].starts_with("postgres."), "{}", found["host"]);
        let backup = scene.team.back_up("b", &name, json!({})).await;
        scene.team.completed(&backup).await;
        trap.nobody_came();
    })
    .await;
}

/// What the Job was created with stays: image, command, mounts and rights.
#[tokio::test]
async fn a_backups_job_cannot_be_made_another_one() {
    played(Server::Postgres, async |scene| {
        let own = scene
            .team
            .make_usable("own", json!({"deletionPolicy": "Delete"}))
            .await;
        let holder = scene.admin.hold_up(&own).await;
        let backup = scene.team.back_up("b", &own, json!({})).await;
        let running = scene.team.backing_up(&backup).await;
        let job = running.status.unwrap().upload.unwrap().job_name.unwrap();
        let jobs = scene.team.api::<Job>();
        for change in [
            json!({"containers": [{"name": "dump", "image": "evil"}]}),
            json!({"serviceAccountName": "team"}),
            json!({"hostNetwork": true}),
        ] {
            let patch = Patch::Strategic(json!({"spec": {"template": {"spec": change}}}));
            let refused = jobs
                .patch(&job, &PatchParams::default(), &patch)
                .await
                .unwrap_err();
            assert!(
                matches!(&refused, kube::Error::Api(status) if status.code == 422),
                "{refused}"
            );
        }
        holder.close().await;
        scene.team.completed(&backup).await;
    })
    .await;
}
