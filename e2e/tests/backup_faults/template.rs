//! Templates whose dump tool is a script: it says that it is the vendor's tool, and does something else.

use e2e::testing::Fixture;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::case::Ground;

const POSTGRESQL: &str = include_str!("../../../templates/postgresql/backup.yaml.hbs");
const MYSQL: &str = include_str!("../../../templates/mysql/backup.yaml.hbs");

impl Ground<'_> {
    /// What an instance says of a tool that does this; `"$@"` are the vendor's tool's arguments. `tool` is that one.
    pub(crate) async fn tool(&self, name: &str, tool: &str, does: &str) -> Value {
        let fixture = self.fixture;
        let script = format!(
            "#!/bin/sh\nif [ \"$1\" = --version ]; then exec {tool} --version; fi\n{does}\n"
        );
        let config = fixture.name(&format!("{name}-tool"));
        let own: Api<ConfigMap> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        write(&own, &config, "tool", &script).await;

        let mounts = "          volumeMounts:\n            - {name: bin, mountPath: /db-operator/bin, readOnly: true}\n";
        let mounts_too = format!("{mounts}            - {{name: script, mountPath: /script}}\n");
        let volumes = "      volumes:\n";
        let volumes_too = format!(
            "{volumes}        - {{name: script, configMap: {{name: {config}, defaultMode: 0o555}}}}\n"
        );
        let word = format!("            - {tool}\n");
        self.template(
            name,
            &[
                (mounts, &mounts_too),
                (volumes, &volumes_too),
                (&word, "            - /script/tool\n"),
            ],
        )
        .await
    }

    /// What an instance says of the operator's own template with these words in the place of those.
    pub(crate) async fn template(&self, name: &str, changes: &[(&str, &str)]) -> Value {
        let fixture = self.fixture;
        let own = if fixture.server.is_postgres() {
            POSTGRESQL
        } else {
            MYSQL
        };
        let mut text = own.to_owned();
        for (old, new) in changes {
            assert!(text.contains(old), "{old}");
            text = text.replace(old, new);
        }
        let config = fixture.name(&format!("{name}-template"));
        let operators: Api<ConfigMap> =
            Api::namespaced(fixture.client.clone(), e2e::servers::OPERATOR_NAMESPACE);
        write(&operators, &config, "job", &text).await;
        json!({"templateRef": {"name": config, "key": "job"}})
    }
}

async fn write(api: &Api<ConfigMap>, name: &str, key: &str, text: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}});
    api.patch(
        name,
        &PatchParams::apply("e2e").force(),
        &Patch::Apply(object),
    )
    .await
    .unwrap();
}

/// Takes away the templates of a test, which are in the operator's namespace.
pub(crate) async fn clear(fixture: &Fixture) {
    let operators: Api<ConfigMap> =
        Api::namespaced(fixture.client.clone(), e2e::servers::OPERATOR_NAMESPACE);
    for config in operators
        .list(&kube::api::ListParams::default())
        .await
        .unwrap()
    {
        let name = config.metadata.name.unwrap_or_default();
        if name.starts_with(&fixture.prefix) {
            let _ = operators
                .delete(&name, &kube::api::DeleteParams::default())
                .await;
        }
    }
}
