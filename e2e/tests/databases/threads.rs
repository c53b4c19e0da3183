//! No pass holds a thread that all of them share, whatever the owner of an object has written.

use e2e::testing::{Polls, on_every_server};
use kube::api::{Patch, PatchParams};
use serde_json::{Map, Value, json};

/// Keys of a Secret's template, and the characters of each, as many as the API takes.
const KEYS: usize = 8;
const TEMPLATE: usize = 8192;
/// Tags: a template may have 256, and may become 64 KiB.
const TAGS: usize = 240;
/// Other keys of a Secret, and their characters: about as much as the API server stores.
const OTHERS: usize = 4;
const OTHER: usize = 200_000;
/// As many bytes as MySQL checks.
const PASSWORD: usize = 255;

/// Much that costs time for each character: names to look up, and text to copy.
fn templates() -> Value {
    let mut text = "{{uriencode password}}".repeat(TAGS);
    text.push_str(&"x".repeat(TEMPLATE - text.len()));
    // What comes out has to fit into a Secret.
    let keys = (0..KEYS).map(|key| {
        let text = if key == 0 {
            text.clone()
        } else {
            "x".repeat(TEMPLATE)
        };
        (format!("K{key}"), json!(text))
    });
    keys.collect::<Map<_, _>>().into()
}

#[tokio::test]
async fn the_largest_secret_and_template_hold_no_thread() {
    on_every_server(async |fixture| {
        let before = Polls::of_the_leader(&fixture.client).await;
        let name = fixture.name("large");
        let mut data = Map::new();
        data.insert("password".to_owned(), json!("p".repeat(PASSWORD)));
        for other in 0..OTHERS {
            data.insert(format!("other{other}"), json!("x".repeat(OTHER)));
        }
        let adopt = json!({"db-operator.dev/adopt": "true"});
        fixture.make_secret(&name, adopt, data.into()).await;
        fixture.make_usable("large", json!({})).await;
        let template = json!({"spec": {"secretTemplate": {"data": templates()}}});
        fixture.patch(&name, template).await;
        fixture.usable(&name).await;
        let edit = Patch::Merge(json!({"stringData": {"password": "q".repeat(PASSWORD)}}));
        fixture
            .secrets()
            .patch(&name, &PatchParams::default(), &edit)
            .await
            .unwrap();
        fixture.ask_for_a_look(&name, "1").await;
        fixture.usable(&name).await;

        let after = Polls::of_the_leader(&fixture.client).await;
        assert!(after.passes > before.passes, "{before:?}, {after:?}");
        assert_eq!(after.long, before.long, "{before:?}, {after:?}");
    })
    .await;
}
