//! Where the backups of an instance's databases go, and how their Jobs are made: `spec.backup` of a `DatabaseInstance`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::job_pod::{JobResources, NodeSelector, TOOL_MEMORY, Toleration, bytes, label_value};
use super::references::{ConfigMapKeyRef, SecretKeyRef, SecretRef};
use super::shared::SharedBackups;

/// Key of the access key in the Secret of `credentialsSecretRef`.
pub const ACCESS_KEY_ID_KEY: &str = "AWS_ACCESS_KEY_ID";

/// Key of the secret key in the Secret of `credentialsSecretRef`.
pub const SECRET_ACCESS_KEY_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Key of the session token in the Secret of `credentialsSecretRef`; only temporary credentials have one.
pub const SESSION_TOKEN_KEY: &str = "AWS_SESSION_TOKEN";

/// Where backups go, and how their Jobs are created.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackupDestination {
    /// The bucket, in S3 or an S3-compatible store.
    pub s3: S3,

    /// How the Jobs are created. Default: by the server's kind and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<BackupJob>,

    /// Backups in this bucket that Restores of other namespaces may read: all that is in those databases, for whoever may
    /// write a Restore there. Not for mode `Replace`. At most 256. Default: none, so that each namespace reads its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub shared: Vec<SharedBackups>,
}

impl BackupDestination {
    /// What Restores of this namespace may read of others.
    pub fn shared_with(&self, namespace: &str) -> impl Iterator<Item = &SharedBackups> {
        let is_shared = move |shared: &&SharedBackups| shared.to.iter().any(|to| to == namespace);
        self.shared.iter().filter(is_shared)
    }
}

/// A bucket, and how to write to it.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kmsKeyId) || (has(self.serverSideEncryption) && self.serverSideEncryption in ['aws:kms', 'aws:kms:dsse'])")
        .message("kmsKeyId needs encryption with KMS: set serverSideEncryption: aws:kms, or remove kmsKeyId"),
    validation = Rule::new("!has(self.caSecretRef) || (has(self.endpoint) && self.endpoint.startsWith('https://'))")
        .message("caSecretRef needs an endpoint with TLS: set endpoint to the store's https:// address, or remove caSecretRef"),
    validation = Rule::new("has(self.endpoint) || has(self.region)")
        .message("set region (for AWS, for example eu-west-1), or the endpoint of another store, for example https://minio.storage.svc:9000")
)]
pub struct S3 {
    /// Name of the bucket, for example `backups`. It must exist.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')")
        .message("bucket must be the name of a bucket (lower case letters, digits, '-' and '.'), for example backups; a folder in it goes into prefix"))]
    pub bucket: String,

    /// What the keys of all objects start with, without leading or trailing slashes, for example `prod/databases`.
    /// Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[-A-Za-z0-9_.=]+(/[-A-Za-z0-9_.=]+)*$') && !self.matches('(^|/)[.][.]?(/|$)')")
        .message("prefix may contain only letters, digits, '-', '_', '.' and '=', with single slashes in between, for example prod/databases"))]
    pub prefix: Option<String>,

    /// The region that requests are signed for, for example `eu-west-1`. Required for AWS; with an endpoint the default
    /// is `us-east-1`, which most other stores expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("region may contain only lower case letters, digits and '-', for example eu-west-1"))]
    pub region: Option<String>,

    /// Address of a store other than AWS, with its scheme and port, without a path, for example
    /// `https://minio.storage.svc:9000`. With `http://`, dumps cross the network unencrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[-_.A-Za-z0-9]+(:[0-9]{1,5})?$') || self.matches('^https?://[[][0-9A-Fa-f:.]+[]](:[0-9]{1,5})?$')")
        .message("endpoint must be the store's address with scheme and port and without a path, for example https://minio.storage.svc:9000; the bucket goes into bucket"))]
    pub endpoint: Option<String>,

    /// True: the bucket is in the path (`https://store/bucket/key`), as most self-hosted stores need; false: in the host
    /// name. Default: false.
    #[serde(default)]
    pub path_style: bool,

    /// Secret in the operator's namespace with the keys `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary
    /// credentials, `AWS_SESSION_TOKEN`. Default: the operator's own identity (web identity, pod identity, instance
    /// profile). They never leave that namespace: backup Jobs get requests that are signed for one object only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,

    /// Key of a Secret in the operator's namespace that has the certificates, in PEM, to check the store's against.
    /// Default: publicly trusted authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,

    /// How the store encrypts objects: `AES256` (SSE-S3), `aws:kms` or `aws:kms:dsse`. Default: the bucket's setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<ServerSideEncryption>,

    /// Id or ARN of the KMS key. Default: the bucket's, or the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,

    /// The maximum number of parts that the store accepts for one upload. Default: 10000, which is S3's limit; some
    /// stores allow 1000.
    #[serde(default = "default_max_parts")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_parts: i32,

    /// True: all parts but the last have the same size, for stores that require it (Cloudflare R2). Default: false: parts
    /// grow if a dump turns out larger than estimated.
    #[serde(default)]
    pub equal_parts: bool,

    /// True: an existing object is never overwritten, by `If-None-Match`. False is for stores that do not support that
    /// header. Default: true.
    #[serde(default = "default_conditional_writes")]
    pub conditional_writes: bool,
}

fn default_max_parts() -> i32 {
    10_000
}

fn default_conditional_writes() -> bool {
    true
}

impl S3 {
    /// The region that requests are signed for.
    #[must_use]
    pub fn effective_region(&self) -> &str {
        self.region.as_deref().unwrap_or("us-east-1")
    }
}

/// How a store encrypts objects.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ServerSideEncryption {
    /// With the store's own keys.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of the key management service.
    #[serde(rename = "aws:kms")]
    Kms,
    /// Twice, with a key of the key management service.
    #[serde(rename = "aws:kms:dsse")]
    KmsDsse,
}

/// How long a backup may take at most, if the instance sets no limit: a day.
const MAX_DEADLINE_SECONDS: i64 = 86_400;

/// How long a backup may go without progress, if the instance sets no limit: an hour.
const MAX_STALL_SECONDS: i64 = 3_600;

/// How the Jobs of backups, or of restores, are created.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxStallSeconds) || !has(self.maxDeadlineSeconds) || self.maxStallSeconds <= self.maxDeadlineSeconds")
        .message("maxStallSeconds must not exceed maxDeadlineSeconds: lower it, for example 600")
)]
pub struct BackupJob {
    /// Image with the vendor's tools for dumps, for example `registry.example/postgres:17`. Default: the vendor's own image of the
    /// server's version, for example `docker.io/library/postgres:17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][-._:/@A-Za-z0-9]*$')")
        .message("image must be the name of a container image, without white space, for example registry.example/postgres:17"))]
    pub image: Option<String>,

    /// Key of a `ConfigMap` in the operator's namespace with a handlebars template of the Job, which replaces the
    /// operator's own. Those are in `templates/` in the project's repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<ConfigMapKeyRef>,

    /// The longest that a backup or restore may take, in seconds; the lower of this and its spec.deadlineSeconds applies. From
    /// 60 to 604800 (a week). Default: 86400 (a day).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604_800))]
    pub max_deadline_seconds: Option<i64>,

    /// The longest that a backup or restore may stand still, in seconds; the lower of this and its spec.stallSeconds
    /// applies. From 30 to 86400 (a day). Default: 3600 (an hour).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86_400))]
    pub max_stall_seconds: Option<i64>,

    /// Memory for the vendor's tool, which holds single rows whole and the catalog of a large schema: more than the largest
    /// row, twice that for MySQL and MariaDB. The limit of the container is this and what our own process needs. From `64Mi` to
    /// `64Gi`. Default: `256Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 7))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,4}Mi$') && int(self.replace('Mi', '')) >= 64 || self.matches('^[1-9][0-9]?Gi$') && int(self.replace('Gi', '')) <= 64")
        .message("toolMemory must be from 64Mi to 64Gi, for example 512Mi or 2Gi"))]
    pub tool_memory: Option<String>,

    /// Resource requests and limits of the containers `dump` (of a restore: `load`) and `install`. What is not set here is as
    /// in the template; a memory limit below what the work needs is raised. Set it where a `ResourceQuota` or a `LimitRange` asks for limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<JobResources>,

    /// Labels that a node must have to run the pods, in addition to those in the template. At most 16.
    #[serde(default, skip_serializing_if = "NodeSelector::is_empty")]
    #[schemars(extend("maxProperties" = 16, "additionalProperties" = label_value()))]
    #[x_kube(validation = Rule::new("self.all(key, size(key) <= 317 && key.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$'))")
        .message("a key of nodeSelector must be the key of a node's label, for example kubernetes.io/arch"))]
    pub node_selector: NodeSelector,

    /// Taints that the pods tolerate, in addition to those in the template. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,

    /// The `PriorityClass` of the pods. Default: the template's, or the cluster's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("priorityClassName must be the name of a PriorityClass, for example background"))]
    pub priority_class_name: Option<String>,

    /// The `RuntimeClass` of the pods. Default: the template's, or the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
        .message("runtimeClassName must be the name of a RuntimeClass, for example gvisor"))]
    pub runtime_class_name: Option<String>,
}

impl BackupJob {
    /// The longest that a backup may take, in seconds.
    #[must_use]
    pub fn effective_max_deadline_seconds(&self) -> i64 {
        self.max_deadline_seconds.unwrap_or(MAX_DEADLINE_SECONDS)
    }

    /// Memory for the dump tool, in bytes.
    #[must_use]
    pub fn effective_tool_memory(&self) -> u64 {
        let asked = self.tool_memory.as_deref().and_then(bytes);
        asked.unwrap_or(TOOL_MEMORY)
    }

    /// The longest that a backup may go without progress, in seconds.
    #[must_use]
    pub fn effective_max_stall_seconds(&self) -> i64 {
        self.max_stall_seconds.unwrap_or(MAX_STALL_SECONDS)
    }
}
