//! Passwords and keys are where they belong, and nowhere else.

use db_operator::api::destination::{ACCESS_KEY_ID_KEY, SECRET_ACCESS_KEY_KEY};
use db_operator::api::{Backup, BackupState};
use e2e::cluster::Cluster;
use e2e::testing::{BACKED_UP, Fixture, canary, eventually, on_every_server, password};
use e2e::{command, servers};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use serde_json::json;

async fn operators_secret(fixture: &Fixture, name: &str, key: &str) -> String {
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), servers::OPERATOR_NAMESPACE);
    let data = secrets.get(name).await.unwrap().data.unwrap();
    String::from_utf8(data[key].0.clone()).unwrap()
}

/// What a backup's pod logged.
async fn log(backup: &Backup) -> String {
    let mut logs = Cluster::main().kubectl();
    let job = backup.status.clone().unwrap().upload.unwrap().job_name;
    logs.args(["logs", "--all-containers", "--namespace"]);
    logs.args([
        &backup.namespace().unwrap(),
        &format!("job/{}", job.unwrap()),
    ]);
    tokio::task::spawn_blocking(move || command::output(&mut logs))
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn no_password_and_no_key_shows_anywhere() {
    on_every_server(async |fixture| {
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "BackupBeforeDelete"}))
            .await;
        let own = password(&fixture.secret(&name).await);
        let backup = fixture.back_up("a", &name, json!({})).await;
        let backup = fixture.completed(&backup).await;

        // The final backup is held up for a look at its Secret.
        let holder = fixture.hold_up(&name).await;
        fixture.delete(&name).await;
        let last = eventually("the final backup runs", BACKED_UP, async || {
            let mut finals = fixture.final_backups(&name).await;
            let last = finals.pop().ok_or_else(|| "there is none".to_owned())?;
            if last.state() == Some(BackupState::BackingUp) {
                Ok(last)
            } else {
                Err(format!("{:?}", last.status))
            }
        })
        .await;
        let fresh = operators_secret(fixture, &last.name_any(), "password").await;
        assert_ne!(fresh, own);
        holder.close().await;
        fixture.gone_after_a_backup(&name).await;

        let mut shown = canary::shown(fixture).await;
        for backup in [&backup, &last] {
            let log = log(backup).await;
            assert!(log.contains("SHA-256"), "{log}");
            shown += &log;
        }
        // Whoever has a signature can write to the store.
        assert!(!shown.contains("X-Amz-Signature"), "{shown}");
        let key = operators_secret(fixture, "backups-s3", SECRET_ACCESS_KEY_KEY).await;
        let id = operators_secret(fixture, "backups-s3", ACCESS_KEY_ID_KEY).await;
        let secrets = [
            ("tenant's", own),
            ("final backup's", fresh),
            ("store's", key),
            ("id of the store's", id),
        ];
        let instance = fixture.server.instance();
        tokio::task::spawn_blocking(move || {
            canary::shows_nowhere(instance, &name, &shown, &secrets);
        })
        .await
        .unwrap();
    })
    .await;
}
