//! Instances: what is wrong with one is said by itself; a changed password is followed; it goes when nothing needs it.

use std::collections::BTreeMap;

use db_operator::api::DatabaseInstance;
use e2e::cluster::Authority;
use e2e::servers::{NAMESPACE, OPERATOR_NAMESPACE};
use e2e::testing::{Fixture, SOON, Server, Session, condition, eventually, on_every_server};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};

/// The password of an account of a test's own.
const FIRST: &str = "first-Password-of-a-test-1'\"\\%";
const SECOND: &str = "second-Password-of-a-test-2`$&@/:";

async fn admin(fixture: &Fixture) -> BTreeMap<String, String> {
    let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
    let name = format!("{}-admin", fixture.server.instance());
    let data = secrets.get(&name).await.unwrap().data.unwrap().into_iter();
    data.map(|(key, value)| (key, String::from_utf8(value.0).unwrap()))
        .collect()
}

async fn status(fixture: &Fixture, name: &str) -> DatabaseInstance {
    fixture.instances().get(name).await.unwrap()
}

#[tokio::test]
async fn what_is_wrong_with_an_instance_is_said_and_mended_ones_are_used() {
    on_every_server(async |fixture| {
        let account = admin(fixture).await;
        let wrong = json!({"username": account["username"], "password": "wrong"});
        let wrong = fixture.operator_secret("wrong", wrong).await;
        let folder = std::env::temp_dir().join(&fixture.namespace);
        let other = Authority::open(&folder, "other").unwrap().certificate().unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let other = fixture.operator_secret("other-ca", json!({"ca.crt": other})).await;
        let services: Api<Service> = Api::namespaced(fixture.client.clone(), NAMESPACE);
        let service = services.get(fixture.server.instance()).await.unwrap();
        let address = service.spec.unwrap().cluster_ip.unwrap();

        let good = status(fixture, fixture.server.instance()).await.spec;
        let ca = json!({"secretRef": {"name": format!("{}-ca", fixture.server.instance()), "key": "ca.crt"}});
        let cases: [(&str, Value, &str, &str); 7] = [
            ("password", json!({"adminSecretRef": {"name": wrong}}), "LoginFailed", &account["username"]),
            ("nosecret", json!({"adminSecretRef": {"name": fixture.name("none")}}), "CredentialsMissing", &fixture.name("none")),
            ("host", json!({"host": "nowhere.databases.svc"}), "Unreachable", "nowhere.databases.svc"),
            ("port", json!({"port": 1}), "Unreachable", ":1"),
            ("ca", json!({"tls": {"mode": "verify-full", "ca": {"secretRef": {"name": other, "key": "ca.crt"}}}}), "TlsFailed", "certificate"),
            // A certificate has no address in it.
            ("name", json!({"host": address}), "TlsFailed", &address),
            ("noca", json!({"tls": {"mode": "verify-full"}}), "TlsFailed", ""),
        ];
        let mut names = Vec::new();
        for (name, change, ..) in &cases {
            names.push(fixture.make_instance(name, change.clone()).await);
        }
        for ((case, _, reason, says), name) in cases.iter().zip(&names) {
            let message = fixture.instance_is(name, reason).await;
            assert!(message.contains(says), "{case}: {message}");
            assert!(!message.contains("wrong\""), "{message}");
        }
        let using = json!({"instanceRef": {"name": names[0]}});
        let using = fixture.make("orders", using).await;
        let message = fixture.reconciling(&using, "InstanceNotReady").await;
        assert!(message.contains("LoginFailed"), "{message}");

        // The other ways to be right.
        let needs_tls = fixture.server == Server::Mysql;
        let plain = if needs_tls { ("TlsRequired", true) } else { ("Connected", false) };
        for (name, change, reason, encrypted) in [
            ("m1", json!({"host": address, "tls": {"mode": "verify-ca", "ca": ca}}), "Connected", true),
            ("m2", json!({"host": address, "tls": {"mode": "require"}}), "Connected", true),
            ("m3", json!({"tls": {"mode": "disable"}}), plain.0, plain.1),
        ] {
            let name = fixture.make_instance(name, change).await;
            fixture.instance_is(&name, reason).await;
            let found = status(fixture, &name).await.status.unwrap();
            if reason == "Connected" {
                assert_eq!(found.tls.unwrap().enabled, encrypted, "{name}");
                assert!(found.missing_privileges.is_empty() && found.version.is_some());
            } else {
                assert!(condition(&found.conditions, "Stalled").is_some());
            }
        }
        let mended = json!({"adminSecretRef": good.admin_secret_ref});
        fixture.patch_instance(&names[0], mended).await;
        fixture.instance_is(&names[0], "Connected").await;
        fixture.usable(&using).await;
    })
    .await;
}

/// Makes an account with the same rights as the administrator's.
async fn second_administrator(fixture: &Fixture, name: &str) -> String {
    let (user, quoted) = (fixture.server.user(name), FIRST.replace('\'', "''"));
    let mut root = fixture.server.root(&fixture.client).await;
    if fixture.server.is_postgres() {
        let sql = format!(
            "CREATE ROLE {user} LOGIN CREATEDB CREATEROLE IN ROLE dboperator_admin PASSWORD '{quoted}'"
        );
        root.run(&sql).await.unwrap();
    } else {
        let quoted = quoted.replace('\\', "\\\\");
        root.run(&format!("CREATE USER {user} IDENTIFIED BY '{quoted}'"))
            .await
            .unwrap();
        for grant in root
            .column("SHOW GRANTS FOR dboperator_admin@'%'")
            .await
            .unwrap()
        {
            let (rights, rest) = grant.split_once(" TO ").unwrap();
            let option = if rest.contains("GRANT OPTION") {
                " WITH GRANT OPTION"
            } else {
                ""
            };
            root.run(&format!("{rights} TO {user}{option}"))
                .await
                .unwrap();
        }
    }
    root.close().await;
    user
}

#[tokio::test]
async fn the_administrators_password_can_be_changed_while_the_operator_runs() {
    on_every_server(async |fixture| {
        let name = fixture.name("admin");
        let user = second_administrator(fixture, &name).await;
        let secret = json!({"username": name, "password": FIRST});
        let secret = fixture.operator_secret("credentials", secret).await;
        let instance = fixture.make_instance("i", json!({"adminSecretRef": {"name": secret}})).await;
        fixture.instance_is(&instance, "Connected").await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        fixture.make_usable("a", spec.clone()).await;

        let mut root = fixture.server.root(&fixture.client).await;
        let quoted = SECOND.replace('\'', "''");
        if fixture.server.is_postgres() {
            root.run(&format!("ALTER ROLE {user} PASSWORD '{quoted}'")).await.unwrap();
            let end = format!("SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE usename = '{name}'");
            root.column(&end).await.unwrap();
        } else {
            root.run(&format!("ALTER USER {user} IDENTIFIED BY '{quoted}'")).await.unwrap();
            let list = format!("SELECT CAST(id AS CHAR) FROM information_schema.processlist WHERE user = '{name}'");
            for id in root.column(&list).await.unwrap() {
                // It may have ended by itself.
                let _ = root.run(&format!("KILL {id}")).await;
            }
        }
        root.close().await;
        fixture.touch_instance(&instance).await;
        fixture.instance_is(&instance, "LoginFailed").await;
        let secret = json!({"username": name, "password": SECOND});
        fixture.operator_secret("credentials", secret).await;
        fixture.instance_is(&instance, "Connected").await;
        let next = fixture.make_usable("b", spec).await;
        Session::open(&fixture.client, &fixture.secret(&next).await).await.unwrap().close().await;
        fixture.gone_with_all().await;
    })
    .await;
}

#[tokio::test]
async fn an_instance_in_use_cannot_go_and_says_who_uses_it() {
    on_every_server(async |fixture| {
        let instance = fixture.make_instance("i", json!({})).await;
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete"});
        let mut names = Vec::new();
        for number in 0..7 {
            names.push(fixture.make(&number.to_string(), spec.clone()).await);
        }
        for name in &names {
            fixture.usable(name).await;
        }
        fixture
            .instances()
            .delete(&instance, &DeleteParams::default())
            .await
            .unwrap();
        let message = fixture.instance_is(&instance, "InUse").await;
        let first = format!("{}/{}", fixture.namespace, names[0]);
        assert!(
            message.contains("7 ") && message.contains(&first) && message.contains("2 more"),
            "{message}"
        );
        // Until then it is used as before.
        fixture
            .patch(&names[0], json!({"spec": {"connectionLimit": 9}}))
            .await;
        fixture.usable(&names[0]).await;
        for name in &names {
            fixture.delete(name).await;
        }
        eventually("the instance is gone", SOON, async || {
            let left = fixture.instances().get_opt(&instance).await.unwrap();
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.status)))
        })
        .await;
        let left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn a_namespace_goes_with_all_that_is_in_it_once_its_server_can_be_reached() {
    on_every_server(async |fixture| {
        let account = admin(fixture).await;
        let secret = fixture.operator_secret("credentials", json!(account)).await;
        let instance = fixture
            .make_instance("i", json!({"adminSecretRef": {"name": secret}}))
            .await;
        let mut names = Vec::new();
        for (name, policy) in [("a", "Delete"), ("b", "Delete"), ("c", "Retain")] {
            let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": policy});
            names.push(fixture.make_usable(name, spec).await);
        }
        // In the order that a person deletes things who does not think of us.
        let secrets: Api<Secret> = Api::namespaced(fixture.client.clone(), OPERATOR_NAMESPACE);
        secrets
            .delete(&secret, &DeleteParams::default())
            .await
            .unwrap();
        fixture
            .instances()
            .delete(&instance, &DeleteParams::default())
            .await
            .unwrap();
        fixture.touch_instance(&instance).await;
        eventually("the instance misses its Secret", SOON, async || {
            let found = status(fixture, &instance).await.status.unwrap_or_default();
            let ready = condition(&found.conditions, "Ready").cloned();
            // It says first what keeps it; its databases say what they miss.
            ready
                .filter(|ready| ready.reason != "Connected")
                .map(drop)
                .ok_or_else(|| "ready".to_owned())
        })
        .await;
        fixture.delete_namespace().await;
        let message = fixture.reconciling(&names[0], "InstanceNotReady").await;
        assert!(message.contains("CredentialsMissing"), "{message}");
        // What needs no server does not wait for one.
        fixture.gone(&names[2]).await;

        fixture.operator_secret("credentials", json!(account)).await;
        fixture.gone_with_all().await;
        let mut left = fixture.server.names(&fixture.client, &fixture.prefix).await;
        left.retain(|name| !name.ends_with(&names[2]));
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}
