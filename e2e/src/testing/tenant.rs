//! A member of an application team: a real identity of the cluster with the rights that such a team gets.

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role, RoleBinding};
use kube::api::{ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};
use serde_json::{Value, json};

use super::{Fixture, SOON, eventually};
use crate::clone_root;

/// The identity's name, and its Role's.
const NAME: &str = "team";

/// What a platform team gives a team, besides what Kubernetes' own role `edit` has.
const ROLES: &str = "kustomize/components/tenant-roles/roles.yaml";

impl Fixture {
    /// The same place as a team sees it that may edit the test's namespace, and keep Databases and Backups there: all
    /// requests are in its name. It is made, with a token of its own.
    pub async fn as_team(&self) -> Self {
        self.create::<ServiceAccount>(json!({"metadata": {"name": NAME}}))
            .await;
        let text = std::fs::read_to_string(clone_root().join(ROLES)).unwrap();
        let shipped: Vec<ClusterRole> = serde_yaml_ng::Deserializer::from_str(&text)
            .map(|document| serde::Deserialize::deserialize(document).unwrap())
            .collect();
        let edit = shipped
            .into_iter()
            .find(|role| role.metadata.name.as_deref() == Some("db-operator-edit"))
            .unwrap();
        self.create::<Role>(json!({"metadata": {"name": NAME}, "rules": edit.rules}))
            .await;
        for (kind, role) in [("Role", NAME), ("ClusterRole", "edit")] {
            self.create::<RoleBinding>(json!({
                "metadata": {"name": role},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": self.namespace}],
            }))
            .await;
        }
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let asked = TokenRequest::default();
        let token = accounts
            .create_token_request(NAME, &PostParams::default(), &asked)
            .await
            .unwrap();
        let token = token.status.unwrap().token;
        let mut config = Config::infer().await.unwrap();
        config.auth_info = serde_json::from_value(json!({"token": token})).unwrap();
        let team = Self {
            client: Client::try_from(config).unwrap(),
            namespace: self.namespace.clone(),
            prefix: self.prefix.clone(),
            server: self.server,
        };
        // The API server's authorizer hears of a binding a moment later.
        eventually("the team may edit its namespace", SOON, async || {
            let refused = |error: kube::Error| error.to_string();
            let all = ListParams::default();
            team.secrets().list(&all).await.map_err(refused)?;
            team.databases().list(&all).await.map_err(refused)
        })
        .await;
        team
    }

    /// Objects of the test's namespace.
    #[must_use]
    pub fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes an object of the test's namespace.
    pub async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let object = serde_json::from_value(object).unwrap();
        let api: Api<K> = self.api();
        api.create(&PostParams::default(), &object).await.unwrap()
    }

    /// Asks the API server for anything. Returns the status it answers with, and its words.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, String) {
        let patch = "application/merge-patch+json";
        let kind = if method == "PATCH" {
            patch
        } else {
            "application/json"
        };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, kind);
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = request.body(body.into_bytes().into()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect_bytes().await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}
