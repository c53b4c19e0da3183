//! What all of this does together: our own templates, hostile ones, and values that try to be more than values.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn backup() -> Backup {
    serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "nightly", "namespace": "team-a", "uid": "0f1e2d3c-aaaa-bbbb-cccc-000000000000"},
        "spec": {"databaseRef": {"name": "orders"}, "deadlineSeconds": 3600, "stallSeconds": 300},
    }))
    .unwrap()
}

fn order(backup: &Backup, flavour: Flavour) -> Order<'_> {
    Order {
        backup,
        database_name: "Orders",
        user: "orders",
        flavour,
        series: match flavour {
            Flavour::Postgresql => "17",
            Flavour::Mysql => "9.7",
            Flavour::Mariadb => "11.8",
        },
        server_version: "17.6",
        host: "db.databases.svc",
        port: 5432,
        tls: "verify-full",
        destination: "s3://backups/prod/orders.dump.zst",
        image: None,
        operator_image: "registry.example/db-operator:0.1.0",
        credentials_secret: "orders",
        memory_bytes: 268_435_456,
        keep_seconds: 86_400,
        template: None,
    }
}

const FLAVOURS: [Flavour; 3] = [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb];

/// Builds from our own PostgreSQL template with some text of it replaced.
fn with(changes: &[(&str, &str)]) -> Result<Job, JobError> {
    let mut template = POSTGRESQL.to_owned();
    for (old, new) in changes {
        assert!(template.contains(old), "{old}");
        template = template.replacen(old, new, 1);
    }
    let backup = backup();
    build(&Order {
        template: Some(&template),
        ..order(&backup, Flavour::Postgresql)
    })
}

/// Builds with some YAML added to the pod.
fn with_pod(yaml: &str) -> Result<Job, JobError> {
    with(&[("      enableServiceLinks: false\n", yaml)])
}

/// Builds with some YAML added to the container that dumps.
fn with_dump(yaml: &str) -> Result<Job, JobError> {
    let start = "        - name: dump\n";
    with(&[(start, &format!("{start}{yaml}"))])
}

/// Builds with another container beside the one that dumps.
fn with_sidecar(yaml: &str) -> Result<Job, JobError> {
    let start = "      containers:\n";
    with(&[(
        start,
        &format!("{start}        - name: sidecar\n          image: other\n{yaml}"),
    )])
}

fn pod(job: &Job) -> &PodSpec {
    job.spec.as_ref().unwrap().template.spec.as_ref().unwrap()
}

fn container<'a>(job: &'a Job, name: &str) -> &'a Container {
    let pod = pod(job);
    let mut all = pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten());
    all.find(|container| container.name == name).unwrap()
}

fn plain() -> Job {
    with(&[]).unwrap()
}

#[test]
fn our_templates_say_what_runs() {
    let backup = backup();
    for flavour in FLAVOURS {
        let order = order(&backup, flavour);
        let template = if flavour == Flavour::Postgresql {
            POSTGRESQL
        } else {
            MYSQL
        };
        let yaml = template::render_yaml(template, &context::values(&order)).unwrap();
        let written = parse::job(&yaml).unwrap();
        let mut built = build(&order).unwrap();

        let owner = built.metadata.owner_references.take().unwrap();
        assert_eq!(
            (owner[0].kind.as_str(), owner[0].controller),
            ("Backup", Some(true))
        );
        for metadata in [
            &mut built.metadata,
            built
                .spec
                .as_mut()
                .unwrap()
                .template
                .metadata
                .as_mut()
                .unwrap(),
        ] {
            let labels = metadata.labels.take().unwrap();
            assert_eq!(labels["db-operator.dev/backup"], "nightly");
            assert_eq!(labels["db-operator.dev/database"], "orders");
            assert_eq!(labels["app.kubernetes.io/managed-by"], "db-operator");
            assert_ne!(labels["app.kubernetes.io/name"], "db-operator");
        }
        assert_eq!(built, written, "{flavour:?}");
    }
}

#[test]
fn each_engine_has_its_own_command() {
    let backup = backup();
    let command = |flavour| {
        let job = build(&order(&backup, flavour)).unwrap();
        let dump = container(&job, CONTAINER);
        let command = dump.command.clone().unwrap();
        assert_eq!(command[..3], ["/db-operator/bin/db-operator", "dump", "--"]);
        (dump.image.clone().unwrap(), command[3..].join(" "))
    };
    assert_eq!(
        command(Flavour::Postgresql),
        (
            "docker.io/library/postgres:17".to_owned(),
            "pg_dump --format=custom --compress=0 --no-password".to_owned()
        )
    );
    let common = "--defaults-extra-file=/db-operator/work/client.cnf --default-character-set=utf8mb4 \
        --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces";
    assert_eq!(
        command(Flavour::Mariadb),
        (
            "docker.io/library/mariadb:11.8".to_owned(),
            format!("mariadb-dump {common} -- Orders")
        )
    );
    assert_eq!(
        command(Flavour::Mysql),
        (
            "docker.io/library/mysql:9.7".to_owned(),
            format!(
                "mysqldump {common} --set-gtid-purged=OFF --loose-skip-masking-policies -- Orders"
            )
        )
    );
}

#[test]
fn an_instances_image_is_used() {
    let backup = backup();
    let job = build(&Order {
        image: Some("registry.example/postgres:17"),
        ..order(&backup, Flavour::Postgresql)
    });
    assert_eq!(
        container(&job.unwrap(), CONTAINER).image.as_deref(),
        Some("registry.example/postgres:17")
    );
}

#[test]
fn a_final_backup_says_where_its_database_was() {
    let mut backup = backup();
    backup.spec.database_ref.namespace = Some("team-b".to_owned());
    let job = build(&order(&backup, Flavour::Postgresql)).unwrap();
    assert_eq!(job.metadata.namespace.as_deref(), Some("team-a"));
    assert_eq!(
        job.metadata.labels.unwrap()["db-operator.dev/database-namespace"],
        "team-b"
    );
}

/// What a template is there for.
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

    let dump = container(&job, CONTAINER);
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

/// What has one right value has it: the Job is the same as without these lines.
#[test]
fn what_is_laid_over_wins() {
    let unchanged = [
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
            "terminationGracePeriodSeconds: 30",
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
    let plain = plain();
    for (old, new) in unchanged {
        let job = with(&[(old, new)]).unwrap_or_else(|error| panic!("{new}: {error}"));
        assert_eq!(job, plain, "{new}");
    }
}

#[test]
fn a_memory_limit_is_at_least_ours() {
    let limit = "              memory: {{json memoryBytes}}\n            limits:\n              memory: {{json memoryBytes}}\n";
    let limit_of = |yaml: &str| {
        let job = with(&[(limit, yaml)]).unwrap();
        let resources = container(&job, CONTAINER).resources.clone().unwrap();
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

/// What would be another pod without it is refused, with the line and what to do.
#[test]
fn what_a_backups_pod_cannot_have_is_refused() {
    let ours = name(&backup());
    let volume = |yaml: &str| {
        with(&[(
            "      volumes:\n",
            &format!("      volumes:\n        - {{name: own, {yaml}}}\n"),
        )])
    };
    let cases = [
        (
            volume("hostPath: {path: /}"),
            "volumes[0].hostPath",
            "one of configMap",
        ),
        (
            volume("nfs: {server: a, path: /}"),
            "volumes[0].nfs",
            "one of configMap",
        ),
        (
            volume("secret: {secretName: orders}"),
            "volumes[0].secret",
            "only the container dump",
        ),
        (
            volume(&format!("secret: {{secretName: {ours}}}")),
            "volumes[0].secret",
            "only the container dump",
        ),
        (
            volume("projected: {sources: [{secret: {name: orders}}]}"),
            "sources[0].secret",
            "only the container dump",
        ),
        (
            volume(
                "projected: {sources: [{configMap: {name: a}}, {serviceAccountToken: {path: t}}]}",
            ),
            "sources[1]",
            "no identity",
        ),
        (
            volume("projected: {sources: [{podCertificate: {keyType: ED25519, signerName: a/b}}]}"),
            "sources[0]",
            "no identity",
        ),
        (
            with_sidecar("          volumeMounts: [{name: credentials, mountPath: /c}]\n"),
            "containers[0].volumeMounts[0].name",
            "for the container dump alone",
        ),
        (
            with_sidecar("          volumeMounts: [{name: bin, mountPath: /c}]\n"),
            "containers[0].volumeMounts[0].name",
            "for the container dump alone",
        ),
        (
            with_sidecar("          envFrom: [{secretRef: {name: orders}}]\n"),
            "containers[0].envFrom[0].secretRef",
            "only the container dump",
        ),
        (
            with_sidecar(
                "          env: [{name: A, valueFrom: {secretKeyRef: {name: orders, key: password}}}]\n",
            ),
            "env[0].valueFrom.secretKeyRef",
            "only the container dump",
        ),
        (
            with_dump(
                "          env: [{name: A, valueFrom: {secretKeyRef: {name: orders, key: password}}}]\n",
            ),
            "env[0].valueFrom.secretKeyRef",
            "only the container dump",
        ),
        (
            with(&[(
                "- {name: work, mountPath: /db-operator/work}",
                "- {name: own, mountPath: /db-operator/../db-operator/bin}",
            )]),
            "mountPath",
            "choose another path",
        ),
        (
            with(&[(
                "- {name: work, mountPath: /db-operator/work}",
                "- {name: own, mountPath: //db-operator/./errand}",
            )]),
            "mountPath",
            "choose another path",
        ),
        (
            with(&[(
                "- {name: work, mountPath: /db-operator/work}",
                "- {name: own, mountPath: /}",
            )]),
            "mountPath",
            "choose another path",
        ),
        (
            with(&[("- name: dump\n", "- name: dumper\n")]),
            "spec.template.spec.containers",
            "there is none",
        ),
        (
            with(&[(
                "            - /db-operator/bin/db-operator\n            - dump\n            - \"--\"\n",
                "",
            )]),
            "containers[0].command",
            "begins with /db-operator/bin",
        ),
        (
            with(&[(
                "            - dump\n            - \"--\"\n",
                "            - run\n            - \"--\"\n",
            )]),
            "containers[0].command",
            "goes on with the dump tool",
        ),
        (
            with(&[(
                "            - pg_dump\n            - --format=custom\n            - --compress=0\n            - --no-password\n",
                "",
            )]),
            "containers[0].command",
            "goes on with the dump tool",
        ),
        (
            with(&[("          command:\n", "          args:\n")]),
            "containers[0].command",
            "begins with",
        ),
    ];
    for (built, path, says) in cases {
        let error = built.unwrap_err();
        assert!(
            matches!(&error, JobError::NotAccepted { line, .. } if *line > 10),
            "{error}"
        );
        let error = error.to_string();
        assert!(
            error.contains(path) && error.contains(says),
            "{path}: {error}"
        );
    }
}

#[test]
fn errors_say_the_line() {
    let line_of = |built: Result<Job, JobError>| match built.unwrap_err() {
        JobError::Template(TemplateError::Syntax { line, reason, .. }) => {
            (line, String::new(), reason)
        }
        JobError::Template(other) => panic!("{other}"),
        JobError::NotAJob { line, text, reason }
        | JobError::NotAccepted {
            line, text, reason, ..
        } => (line, text, reason),
    };
    // The line of a template, where the template is wrong.
    let (line, _, reason) = line_of(with(&[("{{json name}}", "{{json nam}}")]));
    assert!(
        line == 6 && reason.contains("unknown name 'nam'"),
        "{line}: {reason}"
    );
    let (line, _, _) = line_of(with(&[("{{json name}}", "{{json name")]));
    assert!((6..=7).contains(&line), "{line}");

    // The line that it became, where that is not a Job.
    for (old, new, text, says) in [
        (
            "kind: Job",
            "kind: Pod",
            "kind: Pod",
            "kind: Job are expected",
        ),
        (
            "apiVersion: batch/v1\n",
            "",
            "kind: Job",
            "apiVersion: batch/v1",
        ),
        (
            "backoffLimit: 0",
            "backoffLimit: none",
            "backoffLimit: none",
            "invalid type",
        ),
        (
            "backoffLimit: 0",
            "backofLimit: 0",
            "backofLimit: 0",
            "there is no field spec.backofLimit",
        ),
        ("cpu: 100m", "cpu: [1]", "cpu: [1]", "invalid type"),
        (
            "completions: 1\n",
            "backoffLimit: 1\n",
            "backoffLimit",
            "duplicate",
        ),
        (
            "- {name: bin, mountPath: /db-operator/bin}",
            "- {name: bin, mountpath: /x, mountPath: /y}",
            "mountpath: /x",
            "volumeMounts[0].mountpath",
        ),
        (
            "            - pg_dump",
            "           - pg_dump",
            "",
            "expected key",
        ),
        (
            "      restartPolicy: Never",
            "      restartPolicy: Never\n---",
            "",
            "more than one document",
        ),
    ] {
        let (line, shown, reason) = line_of(with(&[(old, new)]));
        assert!(
            line >= 1 && reason.contains(says) && shown.contains(text),
            "{new}: {line} {shown}: {reason}"
        );
        if !text.is_empty() && text == new {
            let rendered_line = POSTGRESQL.lines().position(|l| l.contains(old)).unwrap();
            // The comment at the top is two lines, and goes.
            assert!(
                rendered_line.abs_diff(line) <= 2,
                "{new}: {line} of {rendered_line}"
            );
        }
    }
    let (line, text, _) = line_of(with(&[(
        "      volumes:\n",
        "      volumes:\n        - name: own\n          hostPath:\n            path: /\n",
    )]));
    assert!(line > 10 && text == "hostPath:", "{line}: {text}");
    line_of(with(&[(
        "apiVersion: batch/v1\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    )]));
}

#[test]
fn nothing_of_yaml_is_left_to_chance() {
    // A field with nothing below is as good as not written, and numbers may be numbers.
    with_pod("      nodeSelector:\n      tolerations:\n").unwrap();
    with(&[("cpu: 100m", "cpu: 0.1")]).unwrap();
    with(&[("cpu: 100m", "cpu: 1")]).unwrap();
}

/// Each value in the documentation, and each line of the documentation a value.
#[test]
fn the_context_is_documented() {
    let page = include_str!("../../../doc/how-to/job-templates.md");
    let documented: BTreeSet<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(name, _)| name)
        .collect();
    let backup = backup();
    let values = context::values(&order(&backup, Flavour::Postgresql));
    let given: BTreeSet<&str> = values
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(documented, given);
}

/// How Kubernetes reads `$(NAME)` and `$$` in a command.
fn expanded(argument: &str) -> String {
    let mut out = String::new();
    let mut rest = argument.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '$' && rest.peek() == Some(&'$') {
            rest.next();
        } else {
            assert!(
                c != '$' || rest.peek() != Some(&'('),
                "a variable would be read: {argument}"
            );
        }
        out.push(c);
    }
    out
}

proptest! {
    /// Whatever a name is made of, it is that name in the Job, and nothing else of the Job changes.
    #[test]
    fn names_are_data(
        database in r#"([a-z$('"\\{}:#&*!|>%@` \[\],-]|\{\{|\$\(|é|😀|\u{2028}|\u{85}){1,30}"#,
        host in any::<String>(),
        destination in any::<String>(),
    ) {
        let backup = backup();
        for flavour in [Flavour::Mysql, Flavour::Mariadb] {
            let plain = build(&order(&backup, flavour)).unwrap();
            let built = build(&Order {
                database_name: &database, host: &host, destination: &destination, tls: &host, user: &host, server_version: &host,
                ..order(&backup, flavour)
            }).unwrap();
            let command = container(&built, CONTAINER).command.clone().unwrap();
            prop_assert_eq!(expanded(command.last().unwrap()), database.clone());
            let annotations = built.metadata.annotations.clone().unwrap();
            prop_assert_eq!(&annotations["db-operator.dev/destination"], &destination);

            let mut normal: Value = serde_json::to_value(&built).unwrap();
            normal["metadata"]["annotations"]["db-operator.dev/destination"] = json!("s3://backups/prod/orders.dump.zst");
            let last = command.len() - 1;
            normal["spec"]["template"]["spec"]["containers"][0]["command"][last] = json!("Orders");
            prop_assert_eq!(normal, serde_json::to_value(&plain).unwrap());
        }
    }
}
