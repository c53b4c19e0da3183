//! The Secret: lost, edited, asked for in another form, somebody else's.

use db_operator::api::RECONCILE_REQUESTED_AT;
use e2e::testing::{Bed, Server, Session, in_bed, is_ready, on_every_server, password};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

/// Whatever a person may think of, and what means something in SQL, URIs, shells, templates and JSON.
const ODD_PASSWORD: &str = "p@ss/w:rd%#?&=+ '\"\\`$1{{x}}é✓;--";

async fn works(bed: &Bed, name: &str) {
    let secret = bed.secret(name).await;
    let session = Session::open(&bed.client, &secret).await;
    session.unwrap().close().await;
}

#[tokio::test]
async fn a_secret_that_was_deleted_is_made_again_and_the_user_follows() {
    on_every_server(async |bed| {
        let name = bed.make_usable("orders", json!({})).await;
        let before = password(&bed.secret(&name).await);
        bed.delete_secret(&name).await;
        bed.ask_for_a_look(&name, "1").await;
        bed.usable(&name).await;
        let after = bed.secret(&name).await;
        assert_ne!(password(&after), before);
        works(bed, &name).await;
        let old = after.into_iter().chain([("password".to_owned(), before)]);
        assert!(Session::open(&bed.client, &old.collect()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_password_that_was_edited_is_followed_whatever_it_is() {
    on_every_server(async |bed| {
        let template = json!({"data": {"URL": "x://{{uriencode password}}"}});
        let name = bed.make_usable("orders", json!({"secretTemplate": template})).await;
        let before = bed.secret(&name).await;
        let edit = Patch::Merge(json!({"stringData": {"password": ODD_PASSWORD}}));
        bed.secrets().patch(&name, &PatchParams::default(), &edit).await.unwrap();
        bed.ask_for_a_look(&name, "1").await;
        bed.usable(&name).await;
        let after = bed.secret(&name).await;
        assert_eq!(password(&after), ODD_PASSWORD);
        assert_eq!(after["URL"], "x://p%40ss%2Fw%3Ard%25%23%3F%26%3D%2B%20%27%22%5C%60%241%7B%7Bx%7D%7D%C3%A9%E2%9C%93%3B--");
        assert_ne!(after["uri"], before["uri"]);
        works(bed, &name).await;
        bed.told(&name, "PasswordSet").await;
        assert!(Session::open(&bed.client, &before).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_changed_template_is_rendered_and_a_broken_one_names_what_is_wrong() {
    on_every_server(async |bed| {
        let of = |data| json!({"spec": {"secretTemplate": {"data": data}}});
        let name = bed
            .make_usable(
                "orders",
                json!({"secretTemplate": {"data": {"A": "{{host}}"}}}),
            )
            .await;
        let before = bed.secret(&name).await;
        bed.patch(&name, of(json!({"A": null, "B": "{{port}}"})))
            .await;
        bed.usable(&name).await;
        let after = bed.secret(&name).await;
        assert_eq!(after.get("A"), None);
        assert_eq!(after["B"], after["port"]);
        assert_eq!(password(&after), password(&before));

        bed.patch(&name, of(json!({"BROKEN": "{{pasword}}"}))).await;
        let message = bed.stalled(&name, "InvalidTemplate").await;
        assert!(
            message.contains("BROKEN") && message.contains("'pasword'"),
            "{message}"
        );
        // What worked still does.
        assert_eq!(bed.secret(&name).await, after);
        works(bed, &name).await;
        bed.patch(&name, of(json!({"BROKEN": null}))).await;
        bed.usable(&name).await;

        let new = json!({"secretTemplate": {"data": {"BROKEN": "{{#if}}"}}});
        let new = bed.make("new", new).await;
        let message = bed.stalled(&new, "InvalidTemplate").await;
        assert!(message.contains("BROKEN"), "{message}");
        let left = bed.server.names(&bed.client, &new).await;
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

#[tokio::test]
async fn somebody_elses_secret_is_not_overwritten_unless_it_is_offered() {
    on_every_server(async |bed| {
        let name = bed.name("orders");
        let theirs = json!({"password": "theirs-and-long-enough", "other": "value"});
        bed.make_secret(&name, json!({}), theirs).await;
        bed.make("orders", json!({})).await;
        bed.stalled(&name, "SecretNotOurs").await;
        let secret = bed.secrets().get(&name).await.unwrap();
        assert!(secret.owner_references().is_empty());
        assert_eq!(bed.secret(&name).await.len(), 2);
        let left = bed.server.names(&bed.client, &name).await;
        assert!(left.is_empty(), "{left:?}");

        let offer = json!({"metadata": {"labels": {"db-operator.dev/adopt": "true"}}});
        bed.secrets()
            .patch(&name, &PatchParams::default(), &Patch::Merge(offer))
            .await
            .unwrap();
        bed.annotate(&name, "db-operator.dev/reconcile-requested-at", "1")
            .await;
        bed.usable(&name).await;
        let secret = bed.secret(&name).await;
        assert_eq!(password(&secret), "theirs-and-long-enough");
        works(bed, &name).await;
    })
    .await;
}

#[tokio::test]
async fn a_password_that_no_client_can_log_in_with_is_not_called_ready() {
    in_bed(Server::Postgres, async |bed| {
        let name = bed.make_usable("orders", json!({})).await;
        let before = password(&bed.secret(&name).await);
        let edit = |password: String| Patch::Merge(json!({"stringData": {"password": password}}));
        let params = PatchParams::default();
        let broken = edit(format!("{before}\n"));
        bed.secrets().patch(&name, &params, &broken).await.unwrap();
        bed.annotate(&name, RECONCILE_REQUESTED_AT, "1").await;
        let message = bed.reconciling(&name, "LoginFailed").await;
        assert!(message.contains("U+000A"), "{message}");
        assert!(!is_ready(&bed.databases().get(&name).await.unwrap()));

        let mended = edit(before);
        bed.secrets().patch(&name, &params, &mended).await.unwrap();
        bed.ask_for_a_look(&name, "2").await;
        bed.usable(&name).await;
        works(bed, &name).await;
    })
    .await;
}
