//! What the instance sets of Jobs, without a template of its own.

use super::*;
use crate::api::destination::BackupJob;

fn built(settings: Value, template: Option<&str>) -> Job {
    let settings: BackupJob = serde_json::from_value(settings).unwrap();
    let owner = owner();
    build(&Order {
        settings: Some(&settings),
        template,
        ..order(&owner, Flavour::Postgresql)
    })
    .unwrap()
}

fn resources(job: &Job, name: &str) -> Value {
    serde_json::to_value(&container(job, name).resources).unwrap()
}

#[test]
fn settings_that_say_nothing_change_nothing() {
    assert_eq!(built(json!({}), None), plain());
    let limits =
        json!({"maxDeadlineSeconds": 60, "toolMemory": "1Gi", "resources": {"limits": {}}});
    assert_eq!(built(limits, None), plain());
}

#[test]
fn where_pods_run_is_set_beside_what_a_template_says() {
    let settings = json!({
        "nodeSelector": {"disk": "fast"}, "priorityClassName": "low", "runtimeClassName": "gvisor",
        "tolerations": [{"key": "backups", "operator": "Exists", "effect": "NoSchedule"}, {"key": "k", "value": "v"}],
    });
    let start = "      enableServiceLinks: false\n";
    let own = "      nodeSelector: {arch: arm, disk: slow}\n      tolerations: [{operator: Exists}]\n      priority: 7\n      preemptionPolicy: Never\n";
    let template = POSTGRESQL.replacen(start, &format!("{start}{own}"), 1);
    let job = built(settings, Some(&template));
    let pod = pod(&job);
    let labels = pod.node_selector.as_ref().unwrap();
    assert_eq!((&*labels["disk"], &*labels["arch"]), ("fast", "arm"));
    assert_eq!(pod.priority_class_name.as_deref(), Some("low"));
    assert_eq!(pod.priority, None);
    assert_eq!(pod.preemption_policy, None);
    assert_eq!(pod.runtime_class_name.as_deref(), Some("gvisor"));
    let tolerations = serde_json::to_value(&pod.tolerations).unwrap();
    assert_eq!(
        tolerations,
        json!([{"operator": "Exists"}, {"key": "backups", "operator": "Exists", "effect": "NoSchedule"},
            {"key": "k", "value": "v"}])
    );
}

/// A quota on `limits.cpu` wants one of every container.
#[test]
fn both_containers_of_ours_have_the_resources_that_are_set() {
    let job = built(json!({"resources": {"limits": {"cpu": "50m"}}}), None);
    assert_eq!(
        resources(&job, MAIN),
        json!({"requests": {"cpu": "50m", "memory": "268435456"}, "limits": {"cpu": "50m", "memory": "268435456"}})
    );
    assert_eq!(
        resources(&job, "install"),
        json!({"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "50m", "memory": "64Mi"}})
    );
    let set = json!({"resources": {
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}});
    let job = built(set, None);
    let expected = json!({
        "requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}});
    assert_eq!(resources(&job, MAIN), expected);
    assert_eq!(resources(&job, "install"), expected);
}

#[test]
fn what_is_set_does_not_get_a_pod_refused() {
    // No request is above its limit, whichever of them was set; and no limit is below what a backup needs.
    let job = built(json!({"resources": {"requests": {"memory": "1Gi"}}}), None);
    let memory = json!({"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}});
    assert_eq!(resources(&job, MAIN), memory);
    assert_eq!(resources(&job, "install")["limits"]["memory"], "1Gi");
    let small = built(json!({"resources": {"limits": {"memory": "4Mi"}}}), None);
    assert_eq!(resources(&small, "install")["limits"]["memory"], "67108864");
    let job = built(json!({"resources": {"limits": {"memory": "1Mi"}}}), None);
    let memory =
        json!({"requests": {"cpu": "100m", "memory": "1Mi"}, "limits": {"memory": "268435456"}});
    assert_eq!(resources(&job, MAIN), memory);
    // What a template adds is its own affair.
    let start = "      containers:\n";
    let sidecar = "        - name: sidecar\n          image: other\n          resources: {limits: {cpu: 1}}\n";
    let template = POSTGRESQL.replacen(start, &format!("{start}{sidecar}"), 1);
    let job = built(
        json!({"resources": {"limits": {"cpu": "2"}}}),
        Some(&template),
    );
    assert_eq!(resources(&job, "sidecar"), json!({"limits": {"cpu": "1"}}));
}
