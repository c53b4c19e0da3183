//! Access to the API server as the operator's service account would have it, limited to a namespace.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

/// May hold the lease of one namespace, and nothing else: what a process does beyond that is refused.
pub(crate) struct Access {
    namespace: String,
    token: String,
}

impl Access {
    /// A service account that may use leases.
    pub(crate) async fn to_leases(client: &Client, namespace: &str) -> Self {
        let access = Self::to_nothing(client, namespace).await;
        let roles: Api<Role> = Api::namespaced(client.clone(), namespace);
        let role = serde_json::from_value(json!({
            "metadata": {"name": "leader"},
            "rules": [{
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "create", "patch"],
            }],
        }));
        roles
            .create(&PostParams::default(), &role.unwrap())
            .await
            .unwrap();
        let bindings: Api<RoleBinding> = Api::namespaced(client.clone(), namespace);
        let binding = serde_json::from_value(json!({
            "metadata": {"name": "leader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leader"},
            "subjects": [{"kind": "ServiceAccount", "name": "operator", "namespace": namespace}],
        }));
        bindings
            .create(&PostParams::default(), &binding.unwrap())
            .await
            .unwrap();
        access
    }

    /// A service account without any role.
    pub(crate) async fn to_nothing(client: &Client, namespace: &str) -> Self {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        let account = serde_json::from_value(json!({"metadata": {"name": "operator"}}));
        accounts
            .create(&PostParams::default(), &account.unwrap())
            .await
            .unwrap();
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: Vec::new(),
                expiration_seconds: Some(3600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request("operator", &PostParams::default(), &request)
            .await
            .unwrap();
        Self {
            namespace: namespace.to_owned(),
            token: answer.status.unwrap().token,
        }
    }

    /// Nobody: a token that the API server does not know.
    pub(crate) fn unknown(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            token: "unknown".to_owned(),
        }
    }

    /// Writes a kubeconfig, optionally with the API server behind a proxy.
    pub(crate) fn kubeconfig(
        &self,
        folder: &Path,
        name: &str,
        proxy: Option<SocketAddr>,
    ) -> PathBuf {
        let mut cluster = current_cluster();
        if let Some(proxy) = proxy {
            let server = cluster["server"].as_str().unwrap().to_owned();
            let host = host_and_port(&server).0;
            cluster["tls-server-name"] = json!(host);
            cluster["server"] = json!(format!("https://{proxy}"));
        }
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": self.token}}],
            "contexts": [{"name": "x", "context": {
                "cluster": "c", "user": "u", "namespace": self.namespace}}],
            "current-context": "x",
        });
        let path = folder.join(format!("{name}.kubeconfig"));
        // JSON is YAML.
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }
}

/// The address of the API server that `KUBECONFIG` names.
pub(crate) async fn api_server() -> SocketAddr {
    let config = Config::infer().await.unwrap();
    let (host, port) = host_and_port(&config.cluster_url.to_string());
    let mut addresses = tokio::net::lookup_host((host, port)).await.unwrap();
    addresses.next().unwrap()
}

/// The entry of the current context's cluster.
fn current_cluster() -> Value {
    let config = Kubeconfig::read().expect("KUBECONFIG names a file");
    let context = config.current_context.unwrap();
    let context = config.contexts.iter().find(|c| c.name == context).unwrap();
    let cluster = &context.context.as_ref().unwrap().cluster;
    let cluster = config.clusters.iter().find(|c| &c.name == cluster).unwrap();
    serde_json::to_value(&cluster.cluster).unwrap()
}

fn host_and_port(url: &str) -> (String, u16) {
    let rest = url.strip_prefix("https://").expect("an https URL");
    let authority = rest.split('/').next().unwrap();
    match authority.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().unwrap()),
        None => (authority.to_owned(), 443),
    }
}
