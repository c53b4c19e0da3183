//! The operator's own image, from which backup pods get its binary.

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::sync::OnceCell;

use crate::client::ApiError;

/// The name of the operator's container in its own pod; of several without that name it is the first.
const CONTAINER: &str = "db-operator";

/// The operator's own image, read once.
#[derive(Debug, Default)]
pub struct OwnImage {
    given: Option<String>,
    pod: Option<String>,
    found: OnceCell<String>,
}

impl OwnImage {
    /// `given` is `--image`; otherwise the image of this process's pod, which has the name `pod`, counts.
    #[must_use]
    pub fn new(given: Option<String>, pod: Option<String>) -> Self {
        Self {
            given,
            pod,
            found: OnceCell::new(),
        }
    }

    /// The image, where it is known; `None` outside a cluster. Client required the first time.
    pub async fn get(&self, client: &Client, namespace: &str) -> Result<Option<String>, ApiError> {
        if let Some(given) = &self.given {
            return Ok(Some(given.clone()));
        }
        let Some(pod) = &self.pod else {
            return Ok(None);
        };
        let read = || async {
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let pod = pods
                .get_opt(pod)
                .await
                .map_err(ApiError::of("read the operator's own pod"))?;
            // An empty word is kept for a pod that is none: it is not asked for again.
            Ok::<String, ApiError>(pod.as_ref().and_then(image).unwrap_or_default())
        };
        let found = self.found.get_or_try_init(read).await?;
        Ok((!found.is_empty()).then(|| found.clone()))
    }
}

fn image(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    containers
        .iter()
        .find(|container| container.name == CONTAINER)
        .or(containers.first())?
        .image
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_container_counts_and_not_what_was_injected_beside_it() {
        let pod = |names: &[&str]| -> Pod {
            let containers: Vec<_> = names
                .iter()
                .map(|name| serde_json::json!({"name": name, "image": format!("{name}:1")}))
                .collect();
            serde_json::from_value(serde_json::json!({"spec": {"containers": containers}})).unwrap()
        };
        assert_eq!(
            image(&pod(&["mesh", "db-operator"])).as_deref(),
            Some("db-operator:1")
        );
        assert_eq!(image(&pod(&["other"])).as_deref(), Some("other:1"));
    }
}
