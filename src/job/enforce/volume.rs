//! Volumes: the four that a dump or a load needs, and which others a template may have.
//!
//! Only the container that dumps or loads sees the database's password and the signed requests. A template may mount what the
//! namespace has, other Secrets included, but those two by no way, and no token of a service account.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, EnvFromSource, EnvVar, ProjectedVolumeSource, SecretVolumeSource, Volume,
    VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::{Kind, Order, Refusal};
use crate::agent::protocol::task::paths;

const BIN: &str = "bin";
const ERRAND: &str = "errand";
const CREDENTIALS: &str = "credentials";
const WORK: &str = "work";
const OURS: [&str; 4] = [BIN, ERRAND, CREDENTIALS, WORK];

/// The folder that all of ours are mounted in.
const ROOT: &str = "/db-operator";
/// Read by the group alone, which is the pod's `fsGroup`.
const SECRET_MODE: i32 = 0o440;
/// A few small files.
const WORK_SIZE: &str = "1Mi";
/// The table of contents of an archive, too.
const RESTORE_WORK_SIZE: &str = "80Mi";
/// What Pod Security's level `restricted` lets a volume be.
const KINDS: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// The volumes of the pod: ours, and those of the template that it may have.
pub(super) fn of_pod(
    asked: Vec<Volume>,
    order: &Order<'_>,
    path: &str,
) -> Result<Vec<Volume>, Refusal> {
    let mut volumes = ours(order);
    for (index, volume) in asked.into_iter().enumerate() {
        if OURS.contains(&volume.name.as_str()) {
            continue;
        }
        check(&volume, order, &format!("{path}.volumes[{index}]"))?;
        volumes.push(volume);
    }
    Ok(volumes)
}

fn ours(order: &Order<'_>) -> Vec<Volume> {
    let volume = |name: &str| Volume {
        name: name.to_owned(),
        ..Volume::default()
    };
    let secret = |name: &str, secret: String| Volume {
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(SECRET_MODE),
            ..SecretVolumeSource::default()
        }),
        ..volume(name)
    };
    vec![
        Volume {
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..volume(BIN)
        },
        secret(ERRAND, order.owner.job_name()),
        secret(CREDENTIALS, order.credentials_secret.to_owned()),
        Volume {
            empty_dir: Some(EmptyDirVolumeSource {
                medium: Some("Memory".to_owned()),
                size_limit: Some(Quantity(work_size(order.owner.kind).to_owned())),
            }),
            ..volume(WORK)
        },
    ]
}

const fn work_size(kind: Kind) -> &'static str {
    match kind {
        Kind::Backup => WORK_SIZE,
        Kind::Restore => RESTORE_WORK_SIZE,
    }
}

fn check(volume: &Volume, order: &Order<'_>, path: &str) -> Result<(), Refusal> {
    let written = serde_json::to_value(volume).unwrap_or_default();
    let kinds = written
        .as_object()
        .into_iter()
        .flatten()
        .map(|(kind, _)| kind.as_str());
    for kind in kinds.filter(|&kind| kind != "name") {
        if !KINDS.contains(&kind) {
            let reason = format!(
                "a volume of a {}'s pod is one of {}: Pod Security's level restricted has no other",
                order.owner.kind.noun(),
                KINDS.join(", ")
            );
            return Err(Refusal::new(format!("{path}.{kind}"), reason));
        }
    }
    if let Some(secret) = volume
        .secret
        .as_ref()
        .and_then(|s| s.secret_name.as_deref())
    {
        check_secret(secret, order, &format!("{path}.secret"))?;
    }
    volume
        .projected
        .as_ref()
        .map_or(Ok(()), |projected| check_projected(projected, order, path))
}

fn check_projected(
    projected: &ProjectedVolumeSource,
    order: &Order<'_>,
    path: &str,
) -> Result<(), Refusal> {
    for (index, source) in projected.sources.iter().flatten().enumerate() {
        let path = format!("{path}.projected.sources[{index}]");
        // All sources are named, so that a new one has to be judged.
        let VolumeProjection {
            cluster_trust_bundle: _,
            config_map: _,
            downward_api: _,
            pod_certificate,
            secret,
            service_account_token,
        } = source;
        if pod_certificate.is_some() || service_account_token.is_some() {
            return Err(Refusal::new(
                path,
                format!(
                    "a {}'s pod has no identity in the cluster: remove the token or certificate",
                    order.owner.kind.noun()
                ),
            ));
        }
        if let Some(secret) = secret {
            check_secret(&secret.name, order, &format!("{path}.secret"))?;
        }
    }
    Ok(())
}

/// A Secret that a template mounts or reads is not one of the two that only the main container may see.
fn check_secret(secret: &str, order: &Order<'_>, path: &str) -> Result<(), Refusal> {
    if secret == order.credentials_secret || secret == order.owner.job_name() {
        return Err(Refusal::new(
            path,
            format!(
                "only the container {} sees the database's password and the signed requests, as files: remove this",
                order.owner.kind.container()
            ),
        ));
    }
    Ok(())
}

/// The same for environment variables, of any container.
pub(super) fn check_env(
    env: Option<&[EnvVar]>,
    env_from: Option<&[EnvFromSource]>,
    order: &Order<'_>,
    path: &str,
) -> Result<(), Refusal> {
    for (index, variable) in env.into_iter().flatten().enumerate() {
        let source = variable.value_from.as_ref();
        if let Some(key) = source.and_then(|source| source.secret_key_ref.as_ref()) {
            check_secret(
                &key.name,
                order,
                &format!("{path}.env[{index}].valueFrom.secretKeyRef"),
            )?;
        }
    }
    for (index, source) in env_from.into_iter().flatten().enumerate() {
        if let Some(secret) = &source.secret_ref {
            check_secret(
                &secret.name,
                order,
                &format!("{path}.envFrom[{index}].secretRef"),
            )?;
        }
    }
    Ok(())
}

/// The mounts of the container that dumps or loads: ours, and the template's own.
pub(super) fn mounts_of_main(
    asked: Option<Vec<VolumeMount>>,
    path: &str,
) -> Result<Vec<VolumeMount>, Refusal> {
    let mut mounts = vec![
        mount(BIN, paths::BIN, true),
        mount(ERRAND, paths::TASK, true),
        mount(CREDENTIALS, paths::CREDENTIALS, true),
        mount(WORK, paths::WORK, false),
    ];
    for (index, asked) in asked.into_iter().flatten().enumerate() {
        if OURS.contains(&asked.name.as_str()) {
            continue;
        }
        if hides(&asked.mount_path) {
            let reason =
                format!("nothing else is mounted at {ROOT} or over it: choose another path");
            return Err(Refusal::new(
                format!("{path}.volumeMounts[{index}].mountPath"),
                reason,
            ));
        }
        mounts.push(asked);
    }
    Ok(mounts)
}

/// What the container that installs our binary sees.
pub(super) fn mounts_of_install() -> Vec<VolumeMount> {
    vec![mount(BIN, paths::BIN, false)]
}

/// What any other container sees: nothing of ours.
pub(super) fn mounts_of_other(
    asked: Option<Vec<VolumeMount>>,
    order: &Order<'_>,
    path: &str,
) -> Result<Option<Vec<VolumeMount>>, Refusal> {
    let ours = |mount: &VolumeMount| OURS.contains(&mount.name.as_str());
    match asked.iter().flatten().position(ours) {
        None => Ok(asked),
        Some(index) => Err(Refusal::new(
            format!("{path}.volumeMounts[{index}].name"),
            format!(
                "the volumes bin, errand, credentials and work are for the container {} alone: give yours another name",
                order.owner.kind.container()
            ),
        )),
    }
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// Whether a mount here would lie over ours, or over the file that the result is written to.
fn hides(path: &str) -> bool {
    let steps: Vec<&str> = path
        .split('/')
        .filter(|step| !step.is_empty() && *step != ".")
        .collect();
    steps.contains(&"..")
        || matches!(steps.as_slice(), [] | ["db-operator", ..] | ["dev"])
        || steps == ["dev", "termination-log"]
}
