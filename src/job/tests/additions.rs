//! What a template may add.

use super::*;

#[test]
fn a_template_can_add() {
    let job = with(&[
        ("  annotations:\n", "  labels: {team: a}\n  annotations:\n    note: \"1\"\n"),
        (
            "      enableServiceLinks: false\n",
            "      nodeSelector: {disk: fast}\n      priorityClassName: low\n      imagePullSecrets: [{name: pull}]\n\
             \x20     tolerations: [{key: backups, operator: Exists}]\n      hostUsers: false\n",
        ),
        ("{{json image}}", "registry.example/tools:17\n          imagePullPolicy: Always"),
        ("            - --no-password\n", "            - --no-password\n            - --exclude-table-data=audit.*\n"),
        ("              cpu: 100m\n", "              cpu: 2\n"),
        ("              memory: {{json memoryBytes}}\n            limits:\n              memory: {{json memoryBytes}}\n",
         "              memory: 64Mi\n            limits:\n              cpu: 2\n              memory: 2Gi\n"),
        ("        runAsUser: 65532\n", "        runAsUser: 999\n"),
        ("      containers:\n", "        - {name: mesh, image: mesh, restartPolicy: Always, volumeMounts: [{name: own, mountPath: /x}]}\n      containers:\n"),
        ("      volumes:\n", "      volumes:\n        - {name: own, secret: {secretName: mesh-certificate}}\n"),
    ])
    .unwrap();
    assert_eq!(job.metadata.labels.as_ref().unwrap()["team"], "a");
    assert_eq!(job.metadata.annotations.as_ref().unwrap()["note"], "1");
    let pod = pod(&job);
    assert_eq!(pod.node_selector.as_ref().unwrap()["disk"], "fast");
    assert_eq!(pod.priority_class_name.as_deref(), Some("low"));
    assert_eq!(pod.image_pull_secrets.as_ref().unwrap()[0].name, "pull");
    assert_eq!(pod.tolerations.as_ref().unwrap().len(), 1);
    assert_eq!(pod.host_users, Some(false));
    assert_eq!(
        pod.security_context.as_ref().unwrap().run_as_user,
        Some(999)
    );
    assert_eq!(pod.volumes.as_ref().unwrap().len(), 5);

    let dump = container(&job, MAIN);
    assert_eq!(dump.image.as_deref(), Some("registry.example/tools:17"));
    assert_eq!(dump.image_pull_policy.as_deref(), Some("Always"));
    assert!(
        dump.command
            .as_ref()
            .unwrap()
            .contains(&"--exclude-table-data=audit.*".to_owned())
    );
    let resources = serde_json::to_value(&dump.resources).unwrap();
    assert_eq!(
        resources,
        json!({"requests": {"cpu": "2", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}})
    );

    let names: Vec<_> = pod
        .init_containers
        .iter()
        .flatten()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["install", "mesh"]);
    let mesh = container(&job, "mesh");
    assert_eq!(mesh.restart_policy.as_deref(), Some("Always"));
    assert_eq!(mesh.volume_mounts.as_ref().unwrap()[0].name, "own");
    assert_eq!(
        mesh.security_context
            .as_ref()
            .unwrap()
            .allow_privilege_escalation,
        Some(false)
    );
}

#[test]
fn a_memory_limit_is_at_least_ours() {
    let limit = "              memory: {{json memoryBytes}}\n            limits:\n              memory: {{json memoryBytes}}\n";
    let limit_of = |yaml: &str| {
        let job = with(&[(limit, yaml)]).unwrap();
        let resources = container(&job, MAIN).resources.clone().unwrap();
        resources.limits.unwrap()["memory"].0.clone()
    };
    for (asked, given) in [
        ("            limits: {memory: 1Mi}\n", "268435456"),
        ("            limits: {memory: soon}\n", "268435456"),
        ("            limits: {cpu: 1}\n", "268435456"),
        ("            limits: {memory: 0.5Gi}\n", "0.5Gi"),
        (
            "              memory: 1Gi\n            limits: {memory: 0.5Gi}\n",
            "1Gi",
        ),
    ] {
        assert_eq!(limit_of(asked), given, "{asked}");
    }
}
