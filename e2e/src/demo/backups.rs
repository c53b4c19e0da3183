//! Backups of Databases with real rows, from the object that asks for one to the object in the store.

use super::transcript::Step;

/// One object asks for one backup.
const BACKUPS: &str = r"kubectl apply -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Backup
metadata: {name: orders-today, namespace: team-a}
spec: {databaseRef: {name: orders}}
---
apiVersion: db-operator.dev/v1alpha1
kind: Backup
metadata: {name: invoices-today, namespace: team-a}
spec: {databaseRef: {name: invoices}}
---
apiVersion: db-operator.dev/v1alpha1
kind: Backup
metadata: {name: wiki-today, namespace: team-a}
spec: {databaseRef: {name: wiki}}
YAML";

/// What an earlier demo left would be in the way: a pod and a Backup cannot be changed.
pub(super) const CLEARED: &str = "kubectl delete pod/login -n team-a --ignore-not-found && \
     kubectl delete backups orders-today invoices-today wiki-today -n team-a --ignore-not-found && \
     kubectl delete database rival orders-copy -n team-a --ignore-not-found";

/// Three backups, and what is left of each.
pub(super) const MADE: [Step; 6] = [
    Step(
        "A backup is an object, too; here one of each Database",
        BACKUPS,
    ),
    Step(
        "Each runs as a Job in the team's namespace; anyone may follow its log",
        "until kubectl logs --follow -n team-a -l db-operator.dev/backup=orders-today -c dump 2>/dev/null | grep .; do sleep 1; done",
    ),
    Step(
        "The operator compares what arrived with what was sent, and only then is there an object",
        "kubectl wait --for=condition=Ready -n team-a --timeout=120s backup/orders-today backup/invoices-today backup/wiki-today && kubectl get backups -n team-a",
    ),
    Step(
        "All of it in the status",
        "kubectl get backup orders-today -n team-a -o yaml | sed -n '/^status:/,$p'",
    ),
    Step(
        "The store of this demo keeps objects as files; beside each is a manifest",
        r"kubectl exec -n databases deployment/s3 -- find /var/lib/s3/backups -path '*/team-a/*-today-*' -type f -printf '%10s %P\n'",
    ),
    Step(
        "",
        "backup=/var/lib/s3/$(kubectl get backup orders-today -n team-a -o jsonpath='{.status.destination}' | cut -c6-)\n\
         kubectl exec -n databases deployment/s3 -- cat $backup.json",
    ),
];
