//! The operator as it is installed: its pods, its probes, what it may do. It needs a cluster with a node, in which
//! `kustomize/overlays/development` was applied.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod support;

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use support::{client, eventually};

const NAMESPACE: &str = "db-operator-system";
const LIMIT: Duration = Duration::from_mins(1);

/// The pods of the Deployment, when all of them are ready.
async fn ready_pods(client: &Client) -> Vec<Pod> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    eventually("both replicas are ready", LIMIT, async || {
        let status = deployments.get("db-operator").await.unwrap().status?;
        (status.ready_replicas == Some(2) && status.replicas == Some(2)).then_some(())
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let labels = ListParams::default().labels("app.kubernetes.io/name=db-operator");
    pods.list(&labels).await.unwrap().items
}

/// A page of a pod, asked for through the API server.
async fn page(client: &Client, pod: &Pod, path: &str) -> String {
    let pods = kube::core::Request::new(format!("/api/v1/namespaces/{NAMESPACE}/pods"));
    let request = pods
        .get_subresource(
            &format!("proxy/{path}"),
            &format!("{}:8080", pod.name_any()),
        )
        .unwrap();
    client.request_text(request).await.unwrap()
}

#[tokio::test]
async fn both_replicas_are_ready_and_one_leads() {
    let client = client().await;
    let pods = ready_pods(&client).await;
    assert_eq!(pods.len(), 2);

    let leader = eventually("one of them holds the lease", LIMIT, async || {
        let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
        let holder = leases
            .get_opt("db-operator")
            .await
            .unwrap()?
            .spec?
            .holder_identity?;
        pods.iter()
            .map(ResourceExt::name_any)
            .find(|name| *name == holder)
    })
    .await;
    for pod in &pods {
        assert_eq!(page(&client, pod, "healthz").await, "ok\n");
        assert_eq!(page(&client, pod, "readyz").await, "ok\n");
        let metrics = page(&client, pod, "metrics").await;
        let expected = format!(
            "\ndb_operator_leader {}\n",
            u8::from(pod.name_any() == leader)
        );
        assert!(metrics.contains(&expected), "{metrics}");
        assert!(metrics.contains("\nprocess_resident_memory_bytes "));
    }
}

#[tokio::test]
async fn the_namespace_and_its_pods_are_restricted() {
    let client = client().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = namespaces.get(NAMESPACE).await.unwrap();
    assert_eq!(
        namespace.labels().get("pod-security.kubernetes.io/enforce"),
        Some(&"restricted".to_owned())
    );
    for pod in ready_pods(&client).await {
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.read_only_root_filesystem, Some(true));
        assert_eq!(security.allow_privilege_escalation, Some(false));
    }
}

/// What the service account may do and, above all, what it may not.
#[tokio::test]
async fn the_service_account_may_do_what_is_used_and_no_more() {
    let client = client().await;
    let core = "";
    for (allowed, verb, group, resource, namespace) in [
        (false, "list", core, "secrets", "default"),
        (false, "watch", core, "secrets", "default"),
        (false, "list", core, "secrets", NAMESPACE),
        (false, "watch", core, "secrets", NAMESPACE),
        (false, "list", core, "secrets", ""),
        (false, "deletecollection", core, "secrets", "default"),
        (false, "create", core, "pods", NAMESPACE),
        (false, "create", core, "pods/exec", NAMESPACE),
        (false, "create", core, "serviceaccounts/token", NAMESPACE),
        (false, "impersonate", core, "serviceaccounts", NAMESPACE),
        (false, "delete", core, "namespaces", ""),
        (false, "delete", "db-operator.dev", "databases", "default"),
        (false, "create", "db-operator.dev", "databases", "default"),
        (false, "update", "db-operator.dev", "databases", "default"),
        (false, "patch", "coordination.k8s.io", "leases", "default"),
        (
            false,
            "escalate",
            "rbac.authorization.k8s.io",
            "clusterroles",
            "",
        ),
        (true, "get", core, "secrets", "default"),
        (true, "create", core, "secrets", "default"),
        (true, "watch", "db-operator.dev", "databases", ""),
        (
            true,
            "patch",
            "db-operator.dev",
            "databases/status",
            "default",
        ),
        (true, "create", "events.k8s.io", "events", "default"),
        (true, "create", "coordination.k8s.io", "leases", NAMESPACE),
    ] {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let question = json!({"metadata": {}, "spec": {
            "user": format!("system:serviceaccount:{NAMESPACE}:db-operator"),
            "groups": ["system:serviceaccounts", "system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource,
                "subresource": subresource, "namespace": namespace,
            },
        }});
        let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
        let question = serde_json::from_value(question).unwrap();
        let answer = reviews
            .create(&PostParams::default(), &question)
            .await
            .unwrap();
        assert_eq!(
            answer.status.unwrap().allowed,
            allowed,
            "{verb} {group}/{resource}/{subresource} in \"{namespace}\""
        );
    }
}
