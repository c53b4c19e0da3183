//! What a template cannot change.

use super::*;

/// What is written in our template, and what a hostile one says there.
const UNCHANGED: &[(&str, &str)] = &[
    ("  name: {{json name}}", "  name: other"),
    ("  name: {{json name}}", "  generateName: other-"),
    (
        "  namespace: {{json namespace}}",
        "  namespace: kube-system",
    ),
    (
        "  annotations:\n",
        "  finalizers: [x/y]\n  ownerReferences: [{apiVersion: v1, kind: Pod, name: x, uid: y}]\n  annotations:\n",
    ),
    (
        "  annotations:\n",
        "  labels: {app.kubernetes.io/name: db-operator, db-operator.dev/backup: x}\n  annotations:\n",
    ),
    (
        "        kubectl.kubernetes.io",
        "        container.apparmor.security.beta.kubernetes.io/dump: unconfined\n        kubectl.kubernetes.io",
    ),
    ("  backoffLimit: 0\n", "  backoffLimit: 6\n"),
    ("  backoffLimit: 0\n", "  suspend: true\n"),
    (
        "  backoffLimit: 0\n",
        "  manualSelector: true\n  selector: {matchLabels: {a: b}}\n",
    ),
    ("  backoffLimit: 0\n", "  managedBy: example.org/other\n"),
    (
        "  backoffLimit: 0\n",
        "  completionMode: Indexed\n  backoffLimitPerIndex: 1\n  maxFailedIndexes: 1\n",
    ),
    ("  backoffLimit: 0\n", "  podReplacementPolicy: Failed\n"),
    (
        "  backoffLimit: 0\n",
        "  podFailurePolicy: {rules: [{action: Ignore, onPodConditions: []}]}\n",
    ),
    (
        "  backoffLimit: 0\n",
        "  successPolicy: {rules: [{succeededCount: 1}]}\n",
    ),
    (
        "  completions: 1\n  parallelism: 1\n",
        "  completions: 2\n  parallelism: 2\n",
    ),
    ("  activeDeadlineSeconds: {{json deadlineSeconds}}\n", ""),
    (
        "  activeDeadlineSeconds: {{json deadlineSeconds}}\n",
        "  activeDeadlineSeconds: 1\n",
    ),
    (
        "  ttlSecondsAfterFinished: {{json keepSeconds}}\n",
        "  ttlSecondsAfterFinished: 0\n",
    ),
    ("restartPolicy: Never", "restartPolicy: OnFailure"),
    (
        "automountServiceAccountToken: false",
        "automountServiceAccountToken: true",
    ),
    (
        "enableServiceLinks: false",
        "serviceAccountName: admin\n      serviceAccount: admin",
    ),
    (
        "enableServiceLinks: false",
        "hostNetwork: true\n      hostPID: true\n      hostIPC: true\n      hostUsers: true",
    ),
    ("enableServiceLinks: false", "shareProcessNamespace: true"),
    ("enableServiceLinks: false", "activeDeadlineSeconds: 1"),
    ("enableServiceLinks: false", "os: {name: windows}"),
    (
        "enableServiceLinks: false",
        "resources: {limits: {memory: 1Mi}}",
    ),
    (
        "enableServiceLinks: false",
        "schedulingGates: [{name: x/y}]",
    ),
    ("enableServiceLinks: false", "overhead: {cpu: 1}"),
    (
        "enableServiceLinks: false",
        "ephemeralContainers: [{name: x, image: y}]",
    ),
    (
        "terminationGracePeriodSeconds: 15",
        "terminationGracePeriodSeconds: 0",
    ),
    (
        "        runAsNonRoot: true\n        runAsUser: 65532\n        runAsGroup: 65532\n        fsGroup: 65532\n",
        "        runAsNonRoot: false\n        runAsUser: 0\n        runAsGroup: 0\n        fsGroup: 0\n",
    ),
    (
        "          type: RuntimeDefault\n",
        "          type: Unconfined\n",
    ),
    (
        "        seccompProfile:\n          type: RuntimeDefault\n",
        "",
    ),
    (
        "        fsGroup: 65532\n",
        "        sysctls: [{name: kernel.shm_rmid_forced, value: \"0\"}]\n        windowsOptions: {hostProcess: true}\n",
    ),
    (
        "        fsGroup: 65532\n",
        "        appArmorProfile: {type: Unconfined}\n",
    ),
    ("{{json operatorImage}}", "other"),
    (
        "args: [\"install\", \"/db-operator/bin\"]",
        "command: [sh, -c, id]",
    ),
    (
        "args: [\"install\", \"/db-operator/bin\"]",
        "args: [crds]\n          env: [{name: A, value: b}]\n          restartPolicy: Always",
    ),
    (
        "            - {name: bin, mountPath: /db-operator/bin}\n",
        "            - {name: credentials, mountPath: /c}\n",
    ),
    (
        "allowPrivilegeEscalation: false",
        "allowPrivilegeEscalation: true",
    ),
    ("allowPrivilegeEscalation: false", "privileged: true"),
    (
        "capabilities: {drop: [ALL]}",
        "capabilities: {add: [SYS_ADMIN]}",
    ),
    ("capabilities: {drop: [ALL]}", "procMount: Unmasked"),
    (
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
    ),
    (
        "terminationMessagePath: /dev/termination-log",
        "terminationMessagePath: /x",
    ),
    (
        "terminationMessagePolicy: File",
        "terminationMessagePolicy: FallbackToLogsOnError",
    ),
    ("          image: {{json image}}\n", ""),
    (
        "              memory: {{json memoryBytes}}\n          securityContext",
        "              memory: 1Mi\n          securityContext",
    ),
    (
        "            - {name: errand, mountPath: /db-operator/errand, readOnly: true}\n",
        "",
    ),
    (
        "            - {name: errand, mountPath: /db-operator/errand, readOnly: true}\n",
        "            - {name: errand, mountPath: /elsewhere}\n",
    ),
    (
        "secret: {secretName: {{json credentialsSecret}}, defaultMode: 0o440}",
        "hostPath: {path: /etc}",
    ),
    (
        "secret: {secretName: {{json credentialsSecret}}, defaultMode: 0o440}",
        "secret: {secretName: other, defaultMode: 0o444}",
    ),
    ("emptyDir: {medium: Memory, sizeLimit: 1Mi}", "emptyDir: {}"),
];

/// What has one right value has it: the Job is the same as without these lines.
#[test]
fn what_is_laid_over_wins() {
    let plain = plain();
    for (old, new) in UNCHANGED.iter().copied() {
        let job = with(&[(old, new)]).unwrap_or_else(|error| panic!("{new}: {error}"));
        assert_eq!(job, plain, "{new}");
    }
}

#[test]
fn the_dump_runs_once_and_undisturbed() {
    let job = with_dump(
        "          restartPolicy: Always\n          restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]\n\
         \x20         lifecycle: {postStart: {exec: {command: [sh]}}}\n          livenessProbe: {exec: {command: [sh]}}\n\
         \x20         startupProbe: {tcpSocket: {port: 1}}\n          readinessProbe: {tcpSocket: {port: 1}}\n\
         \x20         stdin: true\n          tty: true\n          volumeDevices: [{name: x, devicePath: /dev/x}]\n",
    );
    assert_eq!(job.unwrap(), plain());
}

#[test]
fn a_container_beside_it_has_the_same_rights() {
    let job = with_sidecar(
        "          restartPolicy: Always\n          ports: [{containerPort: 80, hostPort: 80, hostIP: 1.2.3.4}]\n\
         \x20         securityContext: {privileged: true, runAsUser: 0, runAsNonRoot: false, capabilities: {add: [NET_RAW]},\n\
         \x20           seccompProfile: {type: Unconfined}, appArmorProfile: {type: Unconfined}, procMount: Unmasked,\n\
         \x20           seLinuxOptions: {type: spc_t, user: system_u, role: r, level: l}, allowPrivilegeEscalation: true}\n\
         \x20         livenessProbe: {httpGet: {port: 80, host: example.org}}\n\
         \x20         lifecycle: {postStart: {tcpSocket: {port: 80, host: example.org}}}\n",
    )
    .unwrap();
    let sidecar = serde_json::to_value(container(&job, "sidecar")).unwrap();
    assert_eq!(
        sidecar,
        json!({
            "name": "sidecar", "image": "other", "ports": [{"containerPort": 80}],
            "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": true,
                "seLinuxOptions": {"level": "l"},
            },
            "livenessProbe": {"httpGet": {"port": 80}},
            "lifecycle": {"postStart": {"tcpSocket": {"port": 80}}},
        })
    );
}
