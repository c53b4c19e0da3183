//! Where the backups of an instance's databases go, and how their Jobs are made: `spec.backup` of a `DatabaseInstance`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::references::{ConfigMapKeyRef, SecretKeyRef, SecretRef};

/// Key of the access key in the Secret of `credentialsSecretRef`.
pub const ACCESS_KEY_ID_KEY: &str = "AWS_ACCESS_KEY_ID";

/// Key of the secret key in the Secret of `credentialsSecretRef`.
pub const SECRET_ACCESS_KEY_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// Key of the session token in the Secret of `credentialsSecretRef`; only temporary credentials have one.
pub const SESSION_TOKEN_KEY: &str = "AWS_SESSION_TOKEN";

/// Where backups go, and how their Jobs are made.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackupDestination {
    /// The bucket of an S3 service or of a store that speaks its protocol.
    pub s3: S3,

    /// How the Jobs are made. Default: by the server's kind and version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<BackupJob>,
}

/// A bucket, and how to write to it.
#[derive(KubeSchema, Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kmsKeyId) || (has(self.serverSideEncryption) && self.serverSideEncryption in ['aws:kms', 'aws:kms:dsse'])")
        .message("kmsKeyId is for encryption with KMS: set serverSideEncryption: aws:kms, or take kmsKeyId away"),
    validation = Rule::new("!has(self.caSecretRef) || (has(self.endpoint) && self.endpoint.startsWith('https://'))")
        .message("caSecretRef verifies a store of your own: set endpoint to its https:// address, or take caSecretRef away"),
    validation = Rule::new("has(self.endpoint) || has(self.region)")
        .message("write region (for AWS, for example eu-west-1), or the endpoint of another store, for example https://minio.storage.svc:9000")
)]
pub struct S3 {
    /// Name of the bucket, for example `backups`. It must exist.
    #[schemars(length(min = 3, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9][a-z0-9.-]*[a-z0-9]$')")
        .message("bucket is the bucket's name alone, lower case letters, digits, '-' and '.', for example backups; a folder in it goes into prefix"))]
    pub bucket: String,

    /// What the keys of all objects begin with, without slashes at its ends, for example `prod/databases`.
    /// Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[-A-Za-z0-9_.=]+(/[-A-Za-z0-9_.=]+)*$') && !self.matches('(^|/)[.][.]?(/|$)')")
        .message("prefix has letters, digits, '-', '_', '.' and '=', with single slashes between, for example prod/databases"))]
    pub prefix: Option<String>,

    /// The region that requests are signed for, for example `eu-west-1`. Needed for AWS; default with an endpoint:
    /// `us-east-1`, which most other stores expect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("region has lower case letters, digits and '-', for example eu-west-1"))]
    pub region: Option<String>,

    /// Address of a store other than AWS, with its scheme and port, without a path, for example
    /// `https://minio.storage.svc:9000`. With `http://` dumps cross the network in the clear.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^https?://[-_.A-Za-z0-9]+(:[0-9]{1,5})?$') || self.matches('^https?://[[][0-9A-Fa-f:.]+[]](:[0-9]{1,5})?$')")
        .message("endpoint is the store's address with scheme and port, without a path, for example https://minio.storage.svc:9000; the bucket goes into bucket"))]
    pub endpoint: Option<String>,

    /// True: the bucket is in the path (`https://store/bucket/key`), as most stores of one's own want it; false: in the
    /// host's name. Default: false.
    #[serde(default)]
    pub path_style: bool,

    /// Secret in the operator's namespace with the keys `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary
    /// credentials, `AWS_SESSION_TOKEN`. Default: the operator's own identity (web identity, pod identity, instance
    /// profile). They never leave that namespace: backup Jobs get requests that are signed for one object only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretRef>,

    /// Key of a Secret in the operator's namespace with the certificates, in PEM, that the store's is checked against.
    /// Default: the well-known authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,

    /// How the store encrypts objects: `AES256` (SSE-S3), `aws:kms` or `aws:kms:dsse`. Default: as the bucket says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_side_encryption: Option<ServerSideEncryption>,

    /// Id or ARN of the KMS key; default: the bucket's, or the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,

    /// The most parts of one upload that the store accepts. Default: 10000, which is S3's limit; some stores have 1000.
    #[serde(default = "default_max_parts")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_parts: i32,

    /// True: all parts but the last have one size, for stores that want that (Cloudflare R2). Default: false: parts
    /// grow when a dump turns out larger than estimated.
    #[serde(default)]
    pub equal_parts: bool,

    /// True: an object that exists is never overwritten, with `If-None-Match`. False for stores that do not know that
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

/// How long a backup may take at most, where the instance does not say: a day.
const MAX_DEADLINE_SECONDS: i64 = 86_400;

/// How long a backup may stand still at most, where the instance does not say: an hour.
const MAX_STALL_SECONDS: i64 = 3_600;

/// How the Jobs that make backups are made.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.maxStallSeconds) || !has(self.maxDeadlineSeconds) || self.maxStallSeconds <= self.maxDeadlineSeconds")
        .message("maxStallSeconds must not be more than maxDeadlineSeconds: make it smaller, for example 600")
)]
pub struct BackupJob {
    /// Image with the dump tool, for example `registry.example/postgres:17`. Default: the vendor's own image of the
    /// server's version, for example `docker.io/library/postgres:17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9][-._:/@A-Za-z0-9]*$')")
        .message("image is the name of a container image without white space, for example registry.example/postgres:17"))]
    pub image: Option<String>,

    /// Key of a `ConfigMap` in the operator's namespace with a handlebars template of the Job, in the place of the
    /// operator's own. `templates/` in the project's repository has those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<ConfigMapKeyRef>,

    /// The longest that a backup may take, in seconds, whatever its spec.deadlineSeconds says: the lower of both counts.
    /// From 60 to 604800 (a week). Default: 86400 (a day).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 604_800))]
    pub max_deadline_seconds: Option<i64>,

    /// The longest that a backup may dump and upload nothing, in seconds, whatever its spec.stallSeconds says: the lower
    /// of both counts. From 30 to 86400 (a day). Default: 3600 (an hour).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 86_400))]
    pub max_stall_seconds: Option<i64>,
}

impl BackupJob {
    /// The longest that a backup may take, in seconds.
    #[must_use]
    pub fn effective_max_deadline_seconds(&self) -> i64 {
        self.max_deadline_seconds.unwrap_or(MAX_DEADLINE_SECONDS)
    }

    /// The longest that a backup may dump and upload nothing, in seconds.
    #[must_use]
    pub fn effective_max_stall_seconds(&self) -> i64 {
        self.max_stall_seconds.unwrap_or(MAX_STALL_SECONDS)
    }
}
