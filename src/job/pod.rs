//! What a pod reports about itself, and what the API server reports about it.

use jiff::Timestamp;

use super::Kind;
use super::objects::{ContainerStatus, Pod, Terminated, Waiting};

/// Finds the container that owns the tool, by its name. No template has both names in one pod for a restore, and in a
/// backup's pod the first counts.
pub(super) fn find_main<T>(find: impl Fn(&str) -> Option<T>) -> Option<T> {
    find(Kind::Backup.container()).or_else(|| find(Kind::Restore.container()))
}

/// Whether the tool's container runs.
#[must_use]
pub fn is_running(pod: &Pod) -> bool {
    main_container(pod).and_then(running_since).is_some()
}

/// Whether nothing of the pod runs any more: its phase says so, or each of its containers does, which a kubelet tells
/// earlier.
#[must_use]
pub fn has_ended(pod: &Pod) -> bool {
    let mut containers = main_containers(pod).peekable();
    matches!(phase(pod), "Failed" | "Succeeded")
        || (containers.peek().is_some() && containers.all(|c| terminated(c).is_some()))
}

pub(super) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

pub(super) fn said_of(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    match (&status.reason, &status.message) {
        (Some(reason), Some(message)) => Some(format!("{reason} ({message})")),
        (Some(word), None) | (None, Some(word)) => Some(word.clone()),
        (None, None) => None,
    }
}

pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or("of the Job")
}

pub(super) fn created<K: kube::Resource>(object: &K) -> Option<Timestamp> {
    object.meta().creation_timestamp.as_ref().map(|time| time.0)
}

pub(super) fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    find_main(|name| main_containers(pod).find(|container| container.name == name))
}

pub(super) fn main_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
}

pub(super) fn init_containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status
        .iter()
        .flat_map(|status| status.init_container_statuses.iter().flatten())
}

pub(super) fn terminated(container: &ContainerStatus) -> Option<&Terminated> {
    container.state.as_ref()?.terminated.as_ref()
}

pub(super) fn waiting(container: &ContainerStatus) -> Option<&Waiting> {
    container.state.as_ref()?.waiting.as_ref()
}

pub(super) fn running_since(container: &ContainerStatus) -> Option<Timestamp> {
    let running = container.state.as_ref()?.running.as_ref()?;
    Some(running.started_at.as_ref().map_or(Timestamp::MIN, |t| t.0))
}

/// Since when a condition is true.
pub(super) fn true_since(pod: &Pod, condition: &str) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|c| c.type_ == condition && c.status == "True")?;
    found.last_transition_time.as_ref().map(|time| time.0)
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(phase: &str, states: &[Value]) -> Pod {
        let containers: Vec<_> = states
            .iter()
            .map(|state| json!({"name": "c", "state": state}))
            .collect();
        let status = json!({"phase": phase, "containerStatuses": containers});
        serde_json::from_value(json!({"status": status})).unwrap()
    }

    #[test]
    fn a_pod_has_ended_when_all_of_it_has_whatever_its_phase_says() {
        let ended = json!({"terminated": {"exitCode": 1}});
        let runs = json!({"running": {}});
        for (phase, states, expected) in [
            ("Failed", vec![], true),
            ("Succeeded", vec![], true),
            ("Running", vec![ended.clone()], true),
            ("Running", vec![ended.clone(), ended.clone()], true),
            ("Running", vec![ended, runs.clone()], false),
            ("Running", vec![runs], false),
            ("Pending", vec![], false),
        ] {
            assert_eq!(
                has_ended(&pod(phase, &states)),
                expected,
                "{phase} {states:?}"
            );
        }
    }
}
