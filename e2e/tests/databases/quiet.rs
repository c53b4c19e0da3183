//! What the operator writes: little to the API server, and a password nowhere.

use std::time::Duration;

use e2e::cluster::Cluster;
use e2e::servers;
use e2e::testing::{Bed, Session, audit, on_every_server, password, unchanged};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Two resyncs of the overlay `development`.
const TWO_RESYNCS: Duration = Duration::from_secs(45);

#[tokio::test]
async fn at_most_four_writes_to_create_four_to_delete_and_none_in_between() {
    on_every_server(async |bed| {
        let cluster = Cluster::main();
        let writes = || audit::writes(&cluster, &bed.namespace);
        let name = bed
            .make_usable("orders", json!({"deletionPolicy": "Delete"}))
            .await;
        let created = writes();
        assert!(!created.is_empty() && created.len() <= 4, "{created:#?}");
        unchanged("the objects", TWO_RESYNCS, async || {
            let database = bed.databases().get(&name).await.unwrap();
            let secret = bed.secrets().get(&name).await.unwrap();
            [database.resource_version(), secret.resource_version()]
        })
        .await;
        assert_eq!(writes(), created);
        bed.delete(&name).await;
        bed.gone(&name).await;
        let all = writes();
        let deleted = &all[created.len()..];
        assert!(!deleted.is_empty() && deleted.len() <= 4, "{deleted:#?}");
    })
    .await;
}

/// The forms in which a password may show.
fn forms(password: &str) -> Vec<String> {
    let bytes = password.as_bytes();
    let percent: String = bytes
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let base64 = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap();
    let mut forms = vec![
        password.to_owned(),
        percent,
        base64.as_str().unwrap().to_owned(),
    ];
    forms.dedup();
    forms
}

/// Everything that the API shows of what happened in a namespace, without its Secrets.
async fn shown(bed: &Bed) -> String {
    let cluster = Cluster::main();
    let namespace = bed.namespace.clone();
    tokio::task::spawn_blocking(move || {
        let kinds = "databases,databaseinstances,events,pods,configmaps,jobs";
        let mut all = String::new();
        for namespace in [namespace.as_str(), servers::OPERATOR_NAMESPACE] {
            let mut get = cluster.kubectl();
            get.args(["get", kinds, "-o", "yaml", "-n", namespace]);
            all += &e2e::command::output(&mut get).unwrap();
        }
        all
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn no_password_shows_anywhere_but_in_its_secret() {
    on_every_server(async |bed| {
        let planted = format!("pla@nted/{}:%&'\"", bed.prefix);
        let spec = json!({
            "deletionPolicy": "Delete",
            "secretTemplate": {"data": {"URL": "x://{{uriencode password}}@{{host}}"}},
        });
        let name = bed.make_usable("orders", spec).await;
        let first = password(&bed.secret(&name).await);
        // Followed, lost and made again, broken, and deleted.
        let edit = Patch::Merge(json!({"stringData": {"password": planted}}));
        bed.secrets()
            .patch(&name, &PatchParams::default(), &edit)
            .await
            .unwrap();
        bed.ask_for_a_look(&name, "1").await;
        bed.usable(&name).await;
        Session::open(&bed.client, &bed.secret(&name).await)
            .await
            .unwrap()
            .close()
            .await;
        bed.delete_secret(&name).await;
        bed.ask_for_a_look(&name, "2").await;
        bed.usable(&name).await;
        let second = password(&bed.secret(&name).await);
        let broken =
            json!({"spec": {"secretTemplate": {"data": {"BROKEN": "{{password.x}}{{pasword}}"}}}});
        bed.patch(&name, broken).await;
        bed.stalled(&name, "InvalidTemplate").await;
        let shown = shown(bed).await;
        bed.delete(&name).await;
        bed.gone(&name).await;

        let cluster = Cluster::main();
        let log = audit::operator_log(&cluster);
        let requests = std::fs::read_to_string(cluster.audit_log()).unwrap();
        // They are about this test: what is not found is not there.
        for (place, text) in [("log", &log), ("objects", &shown), ("audit log", &requests)] {
            assert!(text.contains(&name), "{place}");
        }
        let instance = bed.server.instance();
        assert!(servers::statements_with(&cluster, instance, &name).unwrap() > 0);
        let mut admin = cluster.kubectl();
        admin.args([
            "get",
            "secret",
            &format!("{instance}-admin"),
            "-n",
            servers::NAMESPACE,
        ]);
        let admin = admin.args(["-o", "go-template={{.data.password | base64decode}}"]);
        let admin = e2e::command::output(admin).unwrap();
        for (which, password) in [
            ("first", &first),
            ("planted", &planted),
            ("second", &second),
            ("admin", &admin),
        ] {
            for form in forms(password) {
                for (place, text) in [("log", &log), ("objects", &shown), ("audit log", &requests)]
                {
                    assert!(
                        !text.contains(&form),
                        "the {which} password is in the {place}"
                    );
                }
                let lines = servers::statements_with(&cluster, instance, &form).unwrap();
                assert_eq!(lines, 0, "the {which} password is in the log of {instance}");
            }
        }
    })
    .await;
}
