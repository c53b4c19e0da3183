//! The Secret: lost, edited, asked for in another form, somebody else's.

use db_operator::api::RECONCILE_REQUESTED_AT;
use e2e::testing::{Fixture, Server, Session, is_ready, on_every_server, password, with_fixture};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Whatever a person may think of, and what means something in SQL, URIs, shells, templates and JSON.
const ODD_PASSWORD: &str = "p@ss/w:rd%#?&=+ '\"\\`$1{{x}}é✓;--";

async fn works(fixture: &Fixture, name: &str) {
    let secret = fixture.secret(name).await;
    let session = Session::open(&fixture.client, &secret).await;
    session.unwrap().close().await;
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_made_again_and_the_user_follows() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = password(&fixture.secret(&name).await);
        fixture.delete_secret(&name).await;
        fixture.ask_for_a_look(&name, "1").await;
        fixture.usable(&name).await;
        let after = fixture.secret(&name).await;
        assert_ne!(password(&after), before);
        works(fixture, &name).await;
        let old = after.into_iter().chain([("password".to_owned(), before)]);
        assert!(
            Session::open(&fixture.client, &old.collect())
                .await
                .is_err()
        );
    })
    .await;
}

#[tokio::test]
async fn a_password_that_was_edited_is_followed_whatever_it_is() {
    on_every_server(async |fixture| {
        let template = json!({"data": {"URL": "x://{{uriencode password}}"}});
        let name = fixture.make_usable("orders", json!({"secretTemplate": template})).await;
        let before = fixture.secret(&name).await;
        let edit = Patch::Merge(json!({"stringData": {"password": ODD_PASSWORD}}));
        fixture.secrets().patch(&name, &PatchParams::default(), &edit).await.unwrap();
        fixture.ask_for_a_look(&name, "1").await;
        fixture.usable(&name).await;
        let after = fixture.secret(&name).await;
        assert_eq!(password(&after), ODD_PASSWORD);
        assert_eq!(after["URL"], "x://p%40ss%2Fw%3Ard%25%23%3F%26%3D%2B%20%27%22%5C%60%241%7B%7Bx%7D%7D%C3%A9%E2%9C%93%3B--");
        assert_ne!(after["uri"], before["uri"]);
        works(fixture, &name).await;
        fixture.told(&name, "PasswordSet").await;
        assert!(Session::open(&fixture.client, &before).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_changed_template_is_rendered_and_a_broken_one_names_what_is_wrong() {
    on_every_server(async |fixture| {
        let of = |data| json!({"spec": {"secretTemplate": {"data": data}}});
        let name = fixture
            .make_usable(
                "orders",
                json!({"secretTemplate": {"data": {"A": "{{host}}"}}}),
            )
            .await;
        let before = fixture.secret(&name).await;
        fixture
            .patch(&name, of(json!({"A": null, "B": "{{port}}"})))
            .await;
        fixture.usable(&name).await;
        let after = fixture.secret(&name).await;
        assert_eq!(after.get("A"), None);
        assert_eq!(after["B"], after["port"]);
        assert_eq!(password(&after), password(&before));

        fixture
            .patch(&name, of(json!({"BROKEN": "{{pasword}}"})))
            .await;
        let message = fixture.stalled(&name, "InvalidTemplate").await;
        assert!(
            message.contains("BROKEN") && message.contains("'pasword'"),
            "{message}"
        );
        // What worked still does.
        assert_eq!(fixture.secret(&name).await, after);
        works(fixture, &name).await;
        fixture.patch(&name, of(json!({"BROKEN": null}))).await;
        fixture.usable(&name).await;

        let new = json!({"secretTemplate": {"data": {"BROKEN": "{{#if}}"}}});
        let new = fixture.make("new", new).await;
        let message = fixture.stalled(&new, "InvalidTemplate").await;
        assert!(message.contains("BROKEN"), "{message}");
        let left = fixture.server.names(&fixture.client, &new).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// Also where nothing would be rendered, because the condition is false.
#[tokio::test]
async fn an_unknown_name_in_a_condition_is_refused_before_anything_is_made() {
    with_fixture(Server::Mariadb, async |fixture| {
        for (name, template) in [
            ("if", "{{#if pasword}}x{{/if}}"),
            ("inside", "{{#if ca}}{{else}}{{uriencode pasword}}{{/if}}"),
        ] {
            let spec = json!({"secretTemplate": {"data": {"URL": template}}});
            let name = fixture.make(name, spec).await;
            let message = fixture.stalled(&name, "InvalidTemplate").await;
            for part in ["URL", "line 1", "'pasword'", "jdbc-url", "version"] {
                assert!(message.contains(part), "{message}");
            }
            is_nowhere(fixture, &name).await;
        }
    })
    .await;
}

#[tokio::test]
async fn templates_know_the_servers_version_and_the_hosts_that_the_instance_names() {
    on_every_server(async |fixture| {
        let hosts = json!({"hosts": {"reader": "replica.databases.svc"}});
        let instance = fixture.make_instance("i", hosts).await;
        let template = json!({"data": {"READER": "{{version}} {{hosts.reader}}:{{port}}"}});
        let spec = json!({"instanceRef": {"name": instance}, "deletionPolicy": "Delete", "secretTemplate": template});
        let name = fixture.make_usable("orders", spec).await;
        let found = fixture.instances().get(&instance).await.unwrap();
        let version = found.status.unwrap().version.unwrap();
        let secret = fixture.secret(&name).await;
        let expected = format!("{version} replica.databases.svc:{}", secret["port"]);
        assert_eq!(secret["READER"], expected);

        // The Secret follows the instance.
        let other = json!({"hosts": {"reader": "other.databases.svc"}});
        fixture.patch_instance(&instance, other).await;
        e2e::testing::eventually("the Secret follows", e2e::testing::SOON, async || {
            let reader = fixture.secret(&name).await["READER"].clone();
            if reader.contains("other.databases.svc") {
                Ok(())
            } else {
                Err(reader)
            }
        })
        .await;
        fixture.patch_instance(&instance, json!({"hosts": null})).await;
        let message = fixture.stalled(&name, "InvalidTemplate").await;
        assert!(message.contains("'hosts.reader'"), "{message}");
        works(fixture, &name).await;
    })
    .await;
}

/// What cannot be written into the Secret keeps nobody from looking after the database.
#[tokio::test]
async fn a_database_with_a_broken_template_is_looked_after_all_the_same() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let broken = json!({"spec": {"secretTemplate": {"data": {"BROKEN": "{{pasword}}"}}}});
        fixture.patch(&name, broken).await;
        fixture.stalled(&name, "InvalidTemplate").await;
        let user = fixture.server.user(&name);
        let lock = if fixture.server.is_postgres() {
            format!("ALTER ROLE {user} NOLOGIN")
        } else {
            format!("ALTER USER {user} ACCOUNT LOCK")
        };
        let mut root = fixture.server.root(&fixture.client).await;
        root.run(&lock).await.unwrap();
        root.close().await;
        let secret = fixture.secret(&name).await;
        e2e::testing::eventually(
            "it can be used again",
            e2e::testing::NEXT_LOOK,
            async || {
                let session = Session::open(&fixture.client, &secret).await;
                session.map(drop).map_err(|error| error.to_string())
            },
        )
        .await;
        fixture.stalled(&name, "InvalidTemplate").await;
    })
    .await;
}

#[tokio::test]
async fn somebody_elses_secret_is_not_overwritten_unless_it_is_offered() {
    on_every_server(async |fixture| {
        let name = fixture.name("orders");
        let theirs = json!({"password": "theirs-and-long-enough", "other": "value"});
        fixture.make_secret(&name, json!({}), theirs).await;
        fixture.make("orders", json!({})).await;
        fixture.stalled(&name, "SecretNotOurs").await;
        let secret = fixture.secrets().get(&name).await.unwrap();
        assert!(secret.owner_references().is_empty());
        assert_eq!(fixture.secret(&name).await.len(), 2);
        let left = fixture.server.names(&fixture.client, &name).await;
        assert!(left.is_empty(), "{left:?}");

        let offer = json!({"metadata": {"labels": {"db-operator.dev/adopt": "true"}}});
        fixture
            .secrets()
            .patch(&name, &PatchParams::default(), &Patch::Merge(offer))
            .await
            .unwrap();
        fixture
            .annotate(&name, "db-operator.dev/reconcile-requested-at", "1")
            .await;
        fixture.usable(&name).await;
        let secret = fixture.secret(&name).await;
        assert_eq!(password(&secret), "theirs-and-long-enough");
        works(fixture, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_password_that_no_client_can_log_in_with_is_not_called_ready() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = password(&fixture.secret(&name).await);
        let edit = |password: String| Patch::Merge(json!({"stringData": {"password": password}}));
        let params = PatchParams::default();
        let broken = edit(format!("{before}\n"));
        fixture
            .secrets()
            .patch(&name, &params, &broken)
            .await
            .unwrap();
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        let message = fixture.stalled(&name, "PasswordUnusable").await;
        assert!(message.contains("U+000A"), "{message}");
        assert!(!is_ready(&fixture.databases().get(&name).await.unwrap()));

        let mended = edit(before);
        fixture
            .secrets()
            .patch(&name, &params, &mended)
            .await
            .unwrap();
        fixture.ask_for_a_look(&name, "2").await;
        fixture.usable(&name).await;
        works(fixture, &name).await;
    })
    .await;
}

/// Merges into a Secret of the test's namespace.
async fn edit(fixture: &Fixture, name: &str, patch: Value) {
    fixture
        .secrets()
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Nothing of this name is on the server: no claim, no user, no database.
async fn is_nowhere(fixture: &Fixture, name: &str) {
    let left = fixture.server.names(&fixture.client, name).await;
    assert!(left.is_empty(), "{left:?}");
}

/// What would take the hash function seconds is not hashed, and nothing is claimed for it. It is not looked at again by
/// itself; what is written in its place is.
#[tokio::test]
async fn a_password_that_is_too_long_is_refused_before_anything_is_claimed() {
    on_every_server(async |fixture| {
        let name = fixture.name("orders");
        let longest = if fixture.server.is_postgres() {
            1024
        } else {
            255
        };
        let offer = json!({"db-operator.dev/adopt": "true"});
        let long = "x".repeat(120_000);
        fixture
            .make_secret(&name, offer, json!({"password": long}))
            .await;
        fixture.make("orders", json!({})).await;
        let message = fixture.stalled(&name, "PasswordUnusable").await;
        let limit = format!("at most {longest}");
        assert!(
            message.contains(&limit) && message.contains("120000"),
            "{message}"
        );
        assert!(!message.contains("xxx"), "{message}");
        is_nowhere(fixture, &name).await;

        let wide = "ü".repeat(longest / 2 + 1);
        for (request, unusable) in ["\u{0}nul", wide.as_str()].into_iter().enumerate() {
            edit(
                fixture,
                &name,
                json!({"stringData": {"password": unusable}}),
            )
            .await;
            fixture
                .annotate(&name, RECONCILE_REQUESTED_AT, &format!("no {request}"))
                .await;
            let what = if unusable.starts_with('\0') {
                "NUL"
            } else {
                &limit
            };
            fixture
                .until(&name, what, e2e::testing::SOON, |database| {
                    serde_json::to_string(&database.status)
                        .unwrap()
                        .contains(what)
                })
                .await;
            is_nowhere(fixture, &name).await;
        }
        let usable = "y".repeat(longest);
        edit(fixture, &name, json!({"stringData": {"password": usable}})).await;
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "yes").await;
        fixture.usable(&name).await;
        assert_eq!(password(&fixture.secret(&name).await), usable);
        works(fixture, &name).await;
    })
    .await;
}

/// A Secret at its limits, of which the operator needs one key.
#[tokio::test]
async fn a_secret_that_is_full_of_something_else_is_used() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.name("orders");
        let offer = json!({"db-operator.dev/adopt": "true"});
        let data = json!({"password": "theirs-and-long-enough", "huge": "x".repeat(900_000)});
        fixture.make_secret(&name, offer, data).await;
        fixture.make_usable("orders", json!({})).await;
        let secret = fixture.secret(&name).await;
        assert_eq!(password(&secret), "theirs-and-long-enough");
        assert_eq!(secret["huge"].len(), 900_000);
        works(fixture, &name).await;
    })
    .await;
}

/// "Not text" is not "not there", and nothing is not "no Secret".
#[tokio::test]
async fn a_password_that_is_no_text_stays_and_an_empty_one_is_told() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = password(&fixture.secret(&name).await);
        // 0xff 0xfe, which is no UTF-8.
        edit(fixture, &name, json!({"data": {"password": "//4="}})).await;
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        let message = fixture.stalled(&name, "PasswordUnusable").await;
        assert!(message.contains("UTF-8"), "{message}");
        assert!(!is_ready(&fixture.databases().get(&name).await.unwrap()));
        let secret = fixture.secrets().get(&name).await.unwrap();
        assert_eq!(secret.data.unwrap()["password"].0, [0xff, 0xfe]);

        edit(fixture, &name, json!({"data": {"password": ""}})).await;
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "2").await;
        fixture.usable(&name).await;
        let told = fixture.told(&name, "PasswordSet").await;
        assert!(told.contains("was empty"), "{told}");
        let after = password(&fixture.secret(&name).await);
        assert!(!after.is_empty() && after != before);
        works(fixture, &name).await;
    })
    .await;
}

/// As Velero brings it back, and as `--cascade=orphan` leaves it.
#[tokio::test]
async fn a_secret_that_lost_its_owner_is_taken_back() {
    on_every_server(async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        let before = fixture.secret(&name).await;
        let orphan = DeleteParams {
            propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
            ..DeleteParams::default()
        };
        fixture.databases().delete(&name, &orphan).await.unwrap();
        fixture.gone(&name).await;
        edit(
            fixture,
            &name,
            json!({"metadata": {"ownerReferences": null}}),
        )
        .await;
        fixture.make_usable("orders", json!({})).await;
        assert_eq!(password(&fixture.secret(&name).await), password(&before));
        let secret = fixture.secrets().get(&name).await.unwrap();
        let database = fixture.databases().get(&name).await.unwrap();
        assert_eq!(
            secret.owner_references().first().map(|owner| &owner.uid),
            database.metadata.uid.as_ref()
        );
        works(fixture, &name).await;
    })
    .await;
}

/// A person has to act: it is said once, in the API server's words, and nothing is claimed meanwhile.
#[tokio::test]
async fn a_secret_that_the_api_server_refuses_is_said_and_leaves_no_claim() {
    on_every_server(async |fixture| {
        let quotas: Api<ResourceQuota> =
            Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let none = json!({"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "0"}}});
        let none = serde_json::from_value(none).unwrap();
        quotas.create(&PostParams::default(), &none).await.unwrap();
        e2e::testing::eventually("the quota counts", e2e::testing::SOON, async || {
            let quota = quotas.get("none").await.unwrap();
            let counts = quota.status.is_some_and(|status| status.hard.is_some());
            if counts {
                Ok(())
            } else {
                Err("not yet".to_owned())
            }
        })
        .await;
        let name = fixture.make("orders", json!({})).await;
        let message = fixture.stalled(&name, "SecretRefused").await;
        assert!(
            message.contains("exceeded quota") && !message.contains("rbac"),
            "{message}"
        );
        assert!(!is_ready(&fixture.databases().get(&name).await.unwrap()));
        is_nowhere(fixture, &name).await;

        quotas
            .delete("none", &DeleteParams::default())
            .await
            .unwrap();
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        fixture.usable(&name).await;
        works(fixture, &name).await;
    })
    .await;
}

#[tokio::test]
async fn an_immutable_secret_is_told_and_what_worked_still_does() {
    with_fixture(Server::Postgres, async |fixture| {
        let name = fixture.make_usable("orders", json!({})).await;
        edit(fixture, &name, json!({"immutable": true})).await;
        fixture.ask_for_a_look(&name, "1").await;
        fixture.usable(&name).await;
        let template = json!({"spec": {"secretTemplate": {"data": {"HOST": "{{host}}"}}}});
        fixture.patch(&name, template).await;
        let message = fixture.stalled(&name, "SecretRefused").await;
        assert!(message.contains("immutable"), "{message}");
        assert!(is_ready(&fixture.databases().get(&name).await.unwrap()));
        works(fixture, &name).await;
        fixture.delete_secret(&name).await;
        fixture.annotate(&name, RECONCILE_REQUESTED_AT, "2").await;
        fixture.usable(&name).await;
        assert!(fixture.secret(&name).await.contains_key("HOST"));
    })
    .await;
}

/// Also what copies Secrets elsewhere, by an annotation that is gone from the template.
#[tokio::test]
async fn labels_and_annotations_that_are_no_longer_asked_for_go() {
    with_fixture(Server::Postgres, async |fixture| {
        let template = json!({"labels": {"team": "a"}, "annotations": {"copy/to": "everywhere"}});
        let name = fixture
            .make_usable("orders", json!({"secretTemplate": template}))
            .await;
        edit(fixture, &name, json!({"metadata": {"labels": {"theirs": "x"}}})).await;
        let gone = json!({"spec": {"secretTemplate": {"labels": {"team": null}, "annotations": {"copy/to": null}}}});
        fixture.patch(&name, gone).await;
        fixture.usable(&name).await;
        let secret = fixture.secrets().get(&name).await.unwrap();
        assert!(!secret.labels().contains_key("team"));
        assert!(!secret.annotations().contains_key("copy/to"));
        assert_eq!(secret.labels()["theirs"], "x");
    })
    .await;
}

/// What the operator put on the Secret, and somebody took away by hand: back at the next look.
#[tokio::test]
async fn what_was_taken_off_the_secret_by_hand_comes_back() {
    with_fixture(Server::Mariadb, async |fixture| {
        let template = json!({
            "labels": {"team": "a"}, "annotations": {"copy/to": "b"}, "data": {"URL": "x://{{host}}"},
        });
        let name = fixture
            .make_usable("orders", json!({"secretTemplate": template}))
            .await;
        let before = fixture.secrets().get(&name).await.unwrap();
        let labels = before.labels().keys().map(|key| (key.clone(), Value::Null));
        let labels: serde_json::Map<String, Value> = labels.collect();
        for taken in [
            json!({"metadata": {"labels": labels, "annotations": {"copy/to": null}}}),
            json!({"metadata": {"ownerReferences": null}}),
            json!({"data": {"URL": null, "host": null, "uri": null}}),
        ] {
            edit(fixture, &name, taken.clone()).await;
            let what = format!("{taken} is back");
            e2e::testing::eventually(&what, e2e::testing::NEXT_LOOK, async || {
                let now = fixture.secrets().get(&name).await.unwrap();
                let same = now.labels() == before.labels()
                    && now.annotations() == before.annotations()
                    && now.owner_references() == before.owner_references()
                    && now.data == before.data;
                if same {
                    Ok(())
                } else {
                    Err(format!("{:?}", now.metadata))
                }
            })
            .await;
        }
        works(fixture, &name).await;
    })
    .await;
}
