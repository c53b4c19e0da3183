//! The Jobs of backups before a real API server: it accepts each as it is written, and Pod Security's level `restricted`
//! accepts its pod, whatever the template asked for.
//!
//! Nothing is kept: all objects are created with a dry run, in a namespace that goes with the test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod support;

use std::time::Duration;

use db_operator::agent::protocol::task::Flavour;
use db_operator::api::Backup;
use db_operator::api::destination::BackupJob;
use db_operator::job::time_limit::TimeLimits;
use db_operator::job::{self, Order, Owner};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, Pod, ResourceQuota, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Client};
use serde_json::{Value, json};
use support::namespace::in_namespace;
use support::{client, eventually};

/// How long a new namespace may take to have its service account, without which no pod is accepted.
const READY: Duration = Duration::from_mins(1);

const POSTGRESQL: &str = include_str!("../../templates/postgresql/backup.yaml.hbs");

/// Templates that ask for more than a backup's pod gets: what they say instead of what the operator's own says.
const HOSTILE: [(&str, &str); 9] = [
    (
        "enableServiceLinks: false",
        "hostNetwork: true\n      hostPID: true\n      hostIPC: true\n      shareProcessNamespace: true",
    ),
    ("enableServiceLinks: false", "serviceAccountName: admin"),
    (
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
    ),
    (
        "runAsNonRoot: true\n        runAsUser: 65532",
        "runAsNonRoot: false\n        runAsUser: 0",
    ),
    ("type: RuntimeDefault", "type: Unconfined"),
    (
        "        fsGroup: 65532",
        "        sysctls: [{name: kernel.msgmax, value: \"1\"}]\n        seLinuxOptions: {type: spc_t, user: system_u}",
    ),
    (
        "capabilities: {drop: [ALL]}",
        "capabilities: {add: [SYS_ADMIN]}\n            privileged: true\n            procMount: Unmasked",
    ),
    (
        "      containers:\n",
        "      containers:\n        - name: sidecar\n          image: other\n          ports: [{containerPort: 80, hostPort: 80}]\n\
         \x20         securityContext: {privileged: true, runAsUser: 0, seccompProfile: {type: Unconfined}}\n\
         \x20         livenessProbe: {httpGet: {port: 80, host: example.org}}\n",
    ),
    (
        "      containers:\n",
        "        - name: mesh\n          image: other\n          restartPolicy: Always\n\
         \x20         securityContext: {allowPrivilegeEscalation: true, capabilities: {add: [NET_ADMIN]}}\n      containers:\n",
    ),
];

fn backup(namespace: &str) -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "nightly", "namespace": namespace, "uid": "0f1e2d3c-aaaa-bbbb-cccc-000000000000"},
        "spec": {"databaseRef": {"name": "orders"}},
    }))
    .unwrap()
}

fn build(namespace: &str, flavour: Flavour, template: Option<&str>) -> Job {
    build_with(namespace, flavour, template, None)
}

fn build_with(
    namespace: &str,
    flavour: Flavour,
    template: Option<&str>,
    settings: Option<&BackupJob>,
) -> Job {
    let backup = backup(namespace);
    job::build(&Order {
        owner: &Owner::of_backup(&backup),
        database_name: "Größe $(HOME) \"{{x}}\"",
        user: "orders",
        flavour,
        series: "1",
        server_version: "1.2",
        host: "db.databases.svc",
        port: 5432,
        tls: "verify-full",
        location: "s3://backups/prod/Größe.dump.zst",
        operator_image: "db-operator.dev/db-operator:1",
        credentials_secret: "orders",
        limits: TimeLimits::of(&backup, None),
        time_left: TimeLimits::of(&backup, None).deadline.time,
        // No power of two: this is how the API server writes it, too.
        memory_bytes: 268_435_457,
        jobs: 1,
        keep_seconds: 86_400,
        settings,
        template,
    })
    .unwrap()
}

struct Corner {
    jobs: Api<Job>,
    pods: Api<Pod>,
}

/// Keeps nothing.
fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

impl Corner {
    /// In a namespace that enforces `restricted`.
    async fn restricted(client: &Client, namespace: &str) -> Self {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let labels = json!({"metadata": {"labels": {
            "pod-security.kubernetes.io/enforce": "restricted",
            "pod-security.kubernetes.io/enforce-version": "latest",
        }}});
        namespaces
            .patch(namespace, &PatchParams::default(), &Patch::Merge(&labels))
            .await
            .unwrap();
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        eventually("the service account 'default'", READY, async || {
            accounts.get_opt("default").await.unwrap()
        })
        .await;
        Self {
            jobs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
        }
    }

    /// The pod that the Job controller would make of a Job.
    async fn admit_pod(&self, job: &Job) -> Result<Pod, kube::Error> {
        let template = job.spec.clone().unwrap().template;
        let pod = Pod {
            metadata: ObjectMeta {
                generate_name: Some("backup-".to_owned()),
                ..template.metadata.unwrap()
            },
            spec: template.spec,
            status: None,
        };
        self.pods.create(&dry_run(), &pod).await
    }
}

/// All that was sent is there in what the API server would keep: it understood every field.
fn assert_kept(sent: &Value, kept: &Value, path: &str) {
    match (sent, kept) {
        (Value::Object(sent), Value::Object(kept)) => {
            for (key, value) in sent {
                let path = format!("{path}.{key}");
                let kept = kept
                    .get(key)
                    .unwrap_or_else(|| panic!("{path} was dropped"));
                assert_kept(value, kept, &path);
            }
        }
        (Value::Array(sent), Value::Array(kept)) => {
            assert_eq!(sent.len(), kept.len(), "{path}");
            for (index, (sent, kept)) in sent.iter().zip(kept).enumerate() {
                assert_kept(sent, kept, &format!("{path}[{index}]"));
            }
        }
        _ => assert_eq!(sent, kept, "{path}"),
    }
}

#[tokio::test]
async fn the_job_of_each_engine_is_accepted_where_pods_are_restricted() {
    let client = client().await;
    in_namespace(&client, "e2e-backup-job", async |namespace| {
        let corner = Corner::restricted(&client, namespace).await;
        for flavour in [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb] {
            let job = build(namespace, flavour, None);
            let kept = corner.jobs.create(&dry_run(), &job).await.unwrap();
            let sent = serde_json::to_value(&job).unwrap();
            assert_kept(&sent, &serde_json::to_value(&kept).unwrap(), "");
            let pod = corner.admit_pod(&job).await.unwrap();
            let volumes = pod.spec.unwrap().volumes.unwrap();
            assert_eq!(volumes.len(), 4, "a token was mounted: {volumes:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_template_gets_a_pod_refused_or_more_rights() {
    let client = client().await;
    in_namespace(&client, "e2e-backup-job", async |namespace| {
        let corner = Corner::restricted(&client, namespace).await;
        for (old, new) in HOSTILE {
            assert!(POSTGRESQL.contains(old), "{old}");
            let template = POSTGRESQL.replace(old, new);
            let job = build(namespace, Flavour::Postgresql, Some(&template));
            if let Err(error) = corner.jobs.create(&dry_run(), &job).await {
                panic!("{new}: {error}");
            }
            if let Err(error) = corner.admit_pod(&job).await {
                panic!("{new}: {error}");
            }
        }

        // Were something missing, this namespace would say so.
        let mut job = build(namespace, Flavour::Postgresql, None);
        let pod = job.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
        pod.security_context.as_mut().unwrap().seccomp_profile = None;
        let error = corner.admit_pod(&job).await.unwrap_err().to_string();
        assert!(
            error.contains("violates PodSecurity \"restricted:latest\""),
            "{error}"
        );
    })
    .await;
}

/// A namespace whose quota asks for limits of each container, and whose containers have a least size: settings of the
/// instance are enough to get in, without a template.
#[tokio::test]
async fn resources_that_an_instance_sets_get_a_pod_past_a_quota() {
    let client = client().await;
    in_namespace(&client, "e2e-backup-job", async |namespace| {
        let corner = Corner::restricted(&client, namespace).await;
        let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), namespace);
        let quota = json!({"metadata": {"name": "all"}, "spec": {"hard": {"limits.cpu": "4", "limits.memory": "4Gi"}}});
        let quota = serde_json::from_value(quota).unwrap();
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        eventually("the quota counts", READY, async || {
            let found = quotas.get("all").await.unwrap();
            found.status.and_then(|status| status.hard)
        })
        .await;
        let ranges: Api<LimitRange> = Api::namespaced(client.clone(), namespace);
        let least = json!({"metadata": {"name": "least"}, "spec": {"limits": [
            {"type": "Container", "min": {"cpu": "50m", "memory": "128Mi"}}]}});
        let least = serde_json::from_value(least).unwrap();
        ranges.create(&PostParams::default(), &least).await.unwrap();

        for flavour in [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb] {
            let plain = build(namespace, flavour, None);
            let refused = corner.admit_pod(&plain).await.unwrap_err().to_string();
            assert!(refused.contains("limits.cpu") || refused.contains("minimum"), "{refused}");
            let settings = json!({
                "resources": {"requests": {"cpu": "100m", "memory": "300Mi"}, "limits": {"cpu": "1", "memory": "512Mi"}},
                "nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"operator": "Exists"}],
            });
            let settings: BackupJob = serde_json::from_value(settings).unwrap();
            let job = build_with(namespace, flavour, None, Some(&settings));
            let kept = corner.jobs.create(&dry_run(), &job).await.unwrap();
            let sent = serde_json::to_value(&job).unwrap();
            assert_kept(&sent, &serde_json::to_value(&kept).unwrap(), "");
            corner.admit_pod(&job).await.unwrap();
        }
    })
    .await;
}
