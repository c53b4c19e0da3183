//! What is enforced on a template's Job: a template can add to it, but not weaken it.
//!
//! What has one right value is set to it, whatever the template says; what would be a different pod without it (a
//! volume of the node, a token) is refused with a sentence.
//!
//! What the instance sets in `spec.backup.job` counts more than a template (`settings.rs`), and less than what is enforced.
//!
//! All fields are named, so that a new one of Kubernetes has to be judged before this compiles.

mod container;
mod security;
mod settings;
mod volume;

use std::collections::BTreeMap;

use super::{Kind, Order, Refusal};
use crate::api::{DATABASE_LABEL, DATABASE_NAMESPACE_LABEL};
use container::{INSTALL, Place};
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Where the pod is, in the Job.
const POD: &str = "spec.template.spec";
/// Long enough to stop the dump tool and to say so. It is also how long a pod stays that is asked to end in its first
/// milliseconds: the kernel drops the signals that a container's first process does not listen to yet.
const GRACE_SECONDS: i64 = 15;
/// Annotations that once took a container's AppArmor profile away.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The Job as it is created.
pub(super) fn lay_over(job: Job, order: &Order<'_>) -> Result<Job, Refusal> {
    let spec = job.spec.unwrap_or_default();
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(order.owner.job_name()),
            namespace: order.owner.namespace.clone(),
            // A Job is not there without its owner: what it uploads or loads belongs to nothing else.
            owner_references: order.owner.reference().map(|owner| vec![owner]),
            ..labelled(job.metadata, order)
        },
        spec: Some(job_spec(spec, order)?),
        status: None,
    })
}

/// The labels and annotations of the template with ours over them, and nothing else of its metadata.
fn labelled(asked: ObjectMeta, order: &Order<'_>) -> ObjectMeta {
    let mut annotations = asked.annotations.unwrap_or_default();
    annotations.retain(|key, _| !key.starts_with(APP_ARMOR_ANNOTATION));
    let mut labels = asked.labels.unwrap_or_default();
    labels.extend(own_labels(order));
    ObjectMeta {
        labels: Some(labels),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    }
}

fn own_labels(order: &Order<'_>) -> BTreeMap<String, String> {
    let owner = order.owner;
    let noun = owner.kind.noun();
    let mut labels: BTreeMap<String, String> = [
        // Not `db-operator`: in the operator's own namespace, its Service and its budget select that.
        ("app.kubernetes.io/name", format!("db-operator-{noun}")),
        ("app.kubernetes.io/component", noun.to_owned()),
        ("app.kubernetes.io/managed-by", "db-operator".to_owned()),
        (owner.kind.label(), owner.name.clone()),
        (DATABASE_LABEL, owner.database.clone()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    if let Some(namespace) = &owner.database_namespace {
        labels.insert(DATABASE_NAMESPACE_LABEL.to_owned(), namespace.clone());
    }
    labels
}

/// One pod, once, for so long.
fn job_spec(asked: JobSpec, order: &Order<'_>) -> Result<JobSpec, Refusal> {
    let JobSpec {
        active_deadline_seconds: _,
        backoff_limit: _,
        backoff_limit_per_index: _,
        completion_mode: _,
        completions: _,
        managed_by: _,
        manual_selector: _,
        max_failed_indexes: _,
        parallelism: _,
        pod_failure_policy: _,
        pod_replacement_policy: _,
        selector: _,
        success_policy: _,
        suspend: _,
        template,
        ttl_seconds_after_finished: _,
    } = asked;
    Ok(JobSpec {
        active_deadline_seconds: Some(order.time_left.as_secs().max(1)),
        backoff_limit: Some(0),
        completions: Some(1),
        parallelism: Some(1),
        template: PodTemplateSpec {
            metadata: Some(labelled(template.metadata.unwrap_or_default(), order)),
            spec: Some(pod(
                settings::of_pod(template.spec.unwrap_or_default(), order.settings),
                order,
            )?),
        },
        ttl_seconds_after_finished: Some(i32::try_from(order.keep_seconds).unwrap_or(i32::MAX)),
        ..JobSpec::default()
    })
}

fn pod(asked: PodSpec, order: &Order<'_>) -> Result<PodSpec, Refusal> {
    let PodSpec {
        active_deadline_seconds: _,
        affinity,
        automount_service_account_token: _,
        containers,
        dns_config,
        dns_policy,
        enable_service_links: _,
        ephemeral_containers: _,
        host_aliases,
        host_ipc: _,
        host_network: _,
        host_pid: _,
        host_users,
        hostname,
        hostname_override,
        image_pull_secrets,
        init_containers,
        node_name,
        node_selector,
        // On Windows, Pod Security asks for less.
        os: _,
        // Of the runtime class, and written by the API server.
        overhead: _,
        preemption_policy,
        priority,
        priority_class_name,
        readiness_gates,
        resource_claims,
        // A limit for all containers could be less than what ours need.
        resources: _,
        restart_policy: _,
        runtime_class_name,
        scheduler_name,
        // A backup and a restore wait for their turn before their Job is created, and then for nothing.
        scheduling_gates: _,
        security_context,
        service_account: _,
        service_account_name: _,
        set_hostname_as_fqdn,
        share_process_namespace: _,
        subdomain,
        termination_grace_period_seconds: _,
        tolerations,
        topology_spread_constraints,
        volumes,
        workload_ref: _,
    } = asked;
    Ok(PodSpec {
        affinity,
        automount_service_account_token: Some(false),
        containers: beside(containers, order)?,
        dns_config,
        dns_policy,
        enable_service_links: Some(false),
        host_aliases,
        // A user namespace of its own, where the template wants that; never the host's on purpose.
        host_users: host_users.filter(|&of_host| !of_host),
        hostname,
        hostname_override,
        image_pull_secrets,
        init_containers: Some(before(init_containers.unwrap_or_default(), order)?),
        node_name,
        node_selector,
        preemption_policy,
        priority,
        priority_class_name,
        readiness_gates,
        resource_claims,
        restart_policy: Some("Never".to_owned()),
        runtime_class_name,
        scheduler_name,
        security_context: Some(security::of_pod(security_context.unwrap_or_default())),
        set_hostname_as_fqdn,
        subdomain,
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        tolerations,
        topology_spread_constraints,
        volumes: Some(volume::of_pod(volumes.unwrap_or_default(), order, POD)?),
        ..PodSpec::default()
    })
}

/// The containers of the pod, of which one owns the tool.
fn beside(asked: Vec<Container>, order: &Order<'_>) -> Result<Vec<Container>, Refusal> {
    let kind = order.owner.kind;
    let main = kind.container();
    if !asked.iter().any(|container| container.name == main) {
        return Err(Refusal::new(
            format!("{POD}.containers"),
            format!("there is no container {main}: one of this name has to run the {main} tool"),
        ));
    }
    // Whose Job it is can be told by its main container.
    let other = Kind::Backup.container();
    if let Some(index) = asked.iter().position(|c| c.name == other && main != other) {
        return Err(Refusal::new(
            format!("{POD}.containers[{index}].name"),
            format!("a container {other} is that of a backup: give yours another name"),
        ));
    }
    asked
        .into_iter()
        .enumerate()
        .map(|(index, container)| {
            let path = format!("{POD}.containers[{index}]");
            if container.name == main {
                container::main(container, order, &path)
            } else {
                container::other(container, Place::Beside, order, &path)
            }
        })
        .collect()
}

/// The init containers, of which the first installs our binary.
fn before(asked: Vec<Container>, order: &Order<'_>) -> Result<Vec<Container>, Refusal> {
    let mut install = None;
    let mut others = Vec::new();
    for (index, container) in asked.into_iter().enumerate() {
        if container.name == INSTALL {
            install = Some(container);
        } else {
            let path = format!("{POD}.initContainers[{index}]");
            others.push(container::other(container, Place::Init, order, &path)?);
        }
    }
    others.insert(0, container::install(install, order));
    Ok(others)
}
