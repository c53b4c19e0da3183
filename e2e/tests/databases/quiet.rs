//! What the operator writes: little to the API server, and a password nowhere.

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::testing::{Session, audit, canary, on_every_server, password, unchanged};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Two resyncs of the overlay `development`.
const TWO_RESYNCS: Duration = Duration::from_secs(45);

#[tokio::test]
async fn at_most_four_writes_to_create_four_to_delete_and_none_in_between() {
    on_every_server(async |fixture| {
        let cluster = Cluster::main();
        let writes = || audit::writes(&cluster, &fixture.namespace);
        let name = fixture
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let created = writes();
        assert!(!created.is_empty() && created.len() <= 4, "{created:#?}");
        unchanged("the objects", TWO_RESYNCS, async || {
            let database = fixture.databases().get(&name).await.unwrap();
            let secret = fixture.secrets().get(&name).await.unwrap();
            [database.resource_version(), secret.resource_version()]
        })
        .await;
        assert_eq!(writes(), created);
        fixture.delete(&name).await;
        fixture.gone(&name).await;
        let all = writes();
        let deleted = &all[created.len()..];
        assert!(!deleted.is_empty() && deleted.len() <= 4, "{deleted:#?}");
    })
    .await;
}

#[tokio::test]
async fn no_password_shows_anywhere_but_in_its_secret() {
    on_every_server(async |fixture| {
        let planted = format!("pla@nted/{}:%&'\"", fixture.prefix);
        let spec = json!({
            "deletionPolicy": "Delete",
            "secretTemplate": {"data": {"URL": "x://{{uriencode password}}@{{host}}"}},
        });
        let name = fixture.make_usable("orders", spec).await;
        let first = password(&fixture.secret(&name).await);
        // Followed, lost and made again, broken, and deleted.
        let edit = Patch::Merge(json!({"stringData": {"password": planted}}));
        fixture
            .secrets()
            .patch(&name, &PatchParams::default(), &edit)
            .await
            .unwrap();
        fixture.ask_for_a_look(&name, "1").await;
        fixture.usable(&name).await;
        Session::open(&fixture.client, &fixture.secret(&name).await)
            .await
            .unwrap()
            .close()
            .await;
        fixture.delete_secret(&name).await;
        fixture.ask_for_a_look(&name, "2").await;
        fixture.usable(&name).await;
        let second = password(&fixture.secret(&name).await);
        let broken =
            json!({"spec": {"secretTemplate": {"data": {"BROKEN": "{{password.x}}{{pasword}}"}}}});
        fixture.patch(&name, broken).await;
        fixture.stalled(&name, "InvalidTemplate").await;
        let shown = canary::shown(fixture).await;
        fixture.delete(&name).await;
        fixture.gone(&name).await;

        let instance = fixture.server.instance();
        let passwords = [("first", first), ("planted", planted), ("second", second)];
        // Apart from the other servers' tests, whose logins would have to wait.
        tokio::task::spawn_blocking(move || {
            canary::shows_nowhere(instance, &name, &shown, &passwords);
        })
        .await
        .unwrap();
    })
    .await;
}
