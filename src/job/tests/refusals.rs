//! Templates that are refused, with the line at fault and what to do.

use super::*;

/// Where a hostile template says it.
enum At {
    /// A volume of the pod.
    Volume,
    /// A container beside the one that dumps.
    Sidecar,
    /// The container that dumps.
    Dump,
    /// In the place of this text.
    Text(&'static str),
}
use At::{Dump, Sidecar, Text, Volume};

const DUMP_ONLY: &str = "only the container dump";
const OURS_ALONE: &str = "for the container dump alone";
const FROM_SECRET: &str =
    "env: [{name: A, valueFrom: {secretKeyRef: {name: orders, key: password}}}]";
const COMMAND: &str =
    "            - /db-operator/bin/db-operator\n            - dump\n            - \"--\"\n";
const TOOL: &str = "            - pg_dump\n            - --format=custom\n            - --compress=0\n            - --no-password\n            \
    # In milliseconds. After waiting this long for a table's lock, the tool names the table and ends.\n            \
    - --lock-wait-timeout={{json lockWaitSeconds}}000\n            \
    # Names each table that it comes to. Of these lines the log has one every few seconds.\n            - --verbose\n";
const WORK: &str = "- {name: work, mountPath: /db-operator/work}";

/// Where, what, the field that is named, and what is said of it.
const REFUSED: &[(At, &str, &str, &str)] = &[
    (
        Volume,
        "hostPath: {path: /}",
        "volumes[0].hostPath",
        "one of configMap",
    ),
    (
        Volume,
        "nfs: {server: a, path: /}",
        "volumes[0].nfs",
        "one of configMap",
    ),
    (
        Volume,
        "secret: {secretName: orders}",
        "volumes[0].secret",
        DUMP_ONLY,
    ),
    (
        Volume,
        "secret: {secretName: backup-0f1e2d3c-aaaa-bbbb-cccc-000000000000}",
        "volumes[0].secret",
        DUMP_ONLY,
    ),
    (
        Volume,
        "projected: {sources: [{secret: {name: orders}}]}",
        "sources[0].secret",
        DUMP_ONLY,
    ),
    (
        Volume,
        "projected: {sources: [{configMap: {name: a}}, {serviceAccountToken: {path: t}}]}",
        "sources[1]",
        "no identity",
    ),
    (
        Volume,
        "projected: {sources: [{podCertificate: {keyType: ED25519, signerName: a/b}}]}",
        "sources[0]",
        "no identity",
    ),
    (
        Sidecar,
        "volumeMounts: [{name: credentials, mountPath: /c}]",
        "containers[0].volumeMounts[0].name",
        OURS_ALONE,
    ),
    (
        Sidecar,
        "volumeMounts: [{name: bin, mountPath: /c}]",
        "containers[0].volumeMounts[0].name",
        OURS_ALONE,
    ),
    (
        Sidecar,
        "envFrom: [{secretRef: {name: orders}}]",
        "containers[0].envFrom[0].secretRef",
        DUMP_ONLY,
    ),
    (
        Sidecar,
        FROM_SECRET,
        "env[0].valueFrom.secretKeyRef",
        DUMP_ONLY,
    ),
    (
        Dump,
        FROM_SECRET,
        "env[0].valueFrom.secretKeyRef",
        DUMP_ONLY,
    ),
    (
        Text(WORK),
        "- {name: own, mountPath: /db-operator/../db-operator/bin}",
        "mountPath",
        "choose another path",
    ),
    (
        Text(WORK),
        "- {name: own, mountPath: //db-operator/./errand}",
        "mountPath",
        "choose another path",
    ),
    (
        Text(WORK),
        "- {name: own, mountPath: /}",
        "mountPath",
        "choose another path",
    ),
    (
        Text("- name: dump\n"),
        "- name: dumper\n",
        "spec.template.spec.containers",
        "there is no container dump",
    ),
    (
        Text(COMMAND),
        "",
        "containers[0].command",
        "must begin with /db-operator/bin",
    ),
    (
        Text("            - dump\n"),
        "            - run\n",
        "containers[0].command",
        "followed by the dump tool",
    ),
    (
        Text(TOOL),
        "",
        "containers[0].command",
        "followed by the dump tool",
    ),
    (
        Text("          command:\n"),
        "          args:\n",
        "containers[0].command",
        "must begin with",
    ),
];

#[test]
fn what_a_backups_pod_cannot_have_is_refused() {
    for (at, yaml, path, says) in REFUSED {
        let built = match at {
            Volume => with(&[(
                "      volumes:\n",
                &format!("      volumes:\n        - {{name: own, {yaml}}}\n"),
            )]),
            Sidecar => with_sidecar(&format!("          {yaml}\n")),
            Dump => with_dump(&format!("          {yaml}\n")),
            Text(old) => with(&[(old, yaml)]),
        };
        let error = built.unwrap_err();
        assert!(
            matches!(&error, JobError::NotAccepted { line, .. } if *line > 10),
            "{error}"
        );
        let error = error.to_string();
        assert!(
            error.contains(path) && error.contains(says),
            "{yaml}: {error}"
        );
    }
}
