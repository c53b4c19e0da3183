//! A namespace of a test's own, that goes with the test.

use e2e::testing::catch;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

/// Makes a namespace, runs `test` in it, and deletes it, whatever became of the test.
pub(crate) async fn in_namespace(client: &Client, name: &str, test: impl AsyncFnOnce(&str)) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted = serde_json::from_value(json!({
        "metadata": {
            "generateName": format!("{name}-"),
            "labels": {"db-operator.dev/e2e": "true"},
        },
    }))
    .unwrap();
    let made = namespaces
        .create(&PostParams::default(), &wanted)
        .await
        .unwrap();
    let name = made.name_any();

    let result = catch(test(&name)).await;
    namespaces
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}
