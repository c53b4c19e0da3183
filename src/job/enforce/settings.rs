//! What the instance sets of a Job's pod in `spec.backup.job`: laid over what a template says, before what is enforced is
//! laid over both.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, ResourceRequirements, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::container::amount;
use crate::api::destination::BackupJob;
use crate::api::job_pod::{self, Amounts, JobResources, TaintEffect, TolerationOperator};

/// The pod with the instance's settings.
pub(super) fn of_pod(mut pod: PodSpec, settings: Option<&BackupJob>) -> PodSpec {
    let Some(settings) = settings else {
        return pod;
    };
    if !settings.node_selector.is_empty() {
        let labels = pod.node_selector.get_or_insert_default();
        labels.extend(settings.node_selector.clone());
    }
    if !settings.tolerations.is_empty() {
        let tolerations = pod.tolerations.get_or_insert_default();
        tolerations.extend(settings.tolerations.iter().map(toleration));
    }
    if let Some(name) = &settings.priority_class_name {
        pod.priority_class_name = Some(name.clone());
        // Both would have to be the class's own.
        pod.priority = None;
        pod.preemption_policy = None;
    }
    if let Some(name) = &settings.runtime_class_name {
        pod.runtime_class_name = Some(name.clone());
    }
    pod
}

/// The resources of a container of ours: what the instance sets, and the template's where it sets nothing. The container that
/// installs our program gets the same as the one that dumps: it has ended when that begins, so a pod needs no more for it,
/// and what limits containers from below lets both in.
pub(super) fn resources(
    asked: Option<ResourceRequirements>,
    settings: Option<&BackupJob>,
) -> Option<ResourceRequirements> {
    match settings.and_then(|settings| settings.resources.as_ref()) {
        Some(resources) => Some(laid_over(asked.unwrap_or_default(), resources)),
        None => asked,
    }
}

fn laid_over(mut own: ResourceRequirements, resources: &JobResources) -> ResourceRequirements {
    let (requests, limits) = (resources.requests.as_ref(), resources.limits.as_ref());
    lay_over(&mut own.requests, requests);
    lay_over(&mut own.limits, limits);
    // What only the template says gives way: no request is above its limit.
    for (name, limit) in named(limits) {
        let is_above = |request: &Quantity| amount(&request.0) > amount(limit);
        let request = own.requests.as_mut().and_then(|own| own.get_mut(name));
        if let Some(request) = request.filter(|request| is_above(request) && !has(requests, name)) {
            limit.clone_into(&mut request.0);
        }
    }
    for (name, request) in named(requests) {
        let is_below = |limit: &Quantity| amount(&limit.0) < amount(request);
        let limit = own.limits.as_mut().and_then(|own| own.get_mut(name));
        if let Some(limit) = limit.filter(|limit| is_below(limit) && !has(limits, name)) {
            request.clone_into(&mut limit.0);
        }
    }
    own
}

fn lay_over(own: &mut Option<BTreeMap<String, Quantity>>, amounts: Option<&Amounts>) {
    if amounts.is_some() {
        let set =
            named(amounts).map(|(name, amount)| (name.to_owned(), Quantity(amount.to_owned())));
        own.get_or_insert_default().extend(set);
    }
}

fn named(amounts: Option<&Amounts>) -> impl Iterator<Item = (&'static str, &str)> {
    amounts.into_iter().flat_map(Amounts::named)
}

fn has(amounts: Option<&Amounts>, name: &str) -> bool {
    named(amounts).any(|(set, _)| set == name)
}

fn toleration(asked: &job_pod::Toleration) -> Toleration {
    let operator = asked.operator.map(|operator| match operator {
        TolerationOperator::Equal => "Equal",
        TolerationOperator::Exists => "Exists",
    });
    let effect = asked.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    Toleration {
        key: asked.key.clone(),
        operator: operator.map(str::to_owned),
        value: asked.value.clone(),
        effect: effect.map(str::to_owned),
        toleration_seconds: None,
    }
}
