//! Which namespaces may use an instance.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt};

use crate::api::DatabaseInstance;
use crate::client::ApiError;
use crate::telemetry::failures::FailureLog;

/// Whether an instance accepts Databases from a namespace. Client required where it selects namespaces by label.
pub(crate) async fn is_allowed(
    client: &Client,
    failure_log: &FailureLog,
    instance: &DatabaseInstance,
    namespace: &str,
) -> Result<bool, ApiError> {
    let allowed = &instance.spec.allowed_namespaces;
    let labels = if allowed.selector.is_some() {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let found = namespaces
            .get_metadata_opt(namespace)
            .await
            .map_err(ApiError::of("read the namespace"))?;
        found
            .map(|namespace| namespace.labels().clone())
            .unwrap_or_default()
    } else {
        BTreeMap::new()
    };
    Ok(allowed.allows(namespace, &labels).unwrap_or_else(|error| {
        let about = ("NamespaceSelector", String::new(), instance.name_any());
        let why = format!("spec.allowedNamespaces cannot be read, so it allows nothing: {error}");
        failure_log.failed(&about, "InvalidSelector", &why);
        false
    }))
}
