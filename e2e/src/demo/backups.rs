//! Backups of Databases with real rows, from the object that asks for one to the restore.

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

/// Somewhere to restore into: another Database, and a pod with its Secret and PostgreSQL's own client.
const COPY: &str = r"kubectl apply -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Database
metadata: {name: orders-copy, namespace: team-a}
spec: {instanceRef: {name: postgres}, deletionPolicy: Delete, postgresql: {extensions: [{name: pg_trgm}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: restore, namespace: team-a}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: client
      image: docker.io/library/postgres:17
      imagePullPolicy: IfNotPresent
      command: [sleep, infinity]
      env:
        - {name: PGHOST, valueFrom: {secretKeyRef: {name: orders-copy, key: host}}}
        - {name: PGDATABASE, valueFrom: {secretKeyRef: {name: orders-copy, key: database}}}
        - {name: PGUSER, valueFrom: {secretKeyRef: {name: orders-copy, key: username}}}
        - {name: PGPASSWORD, valueFrom: {secretKeyRef: {name: orders-copy, key: password}}}
        - {name: PGSSLMODE, value: verify-full}
        - {name: PGSSLROOTCERT, value: /orders-copy/ca.crt}
      volumeMounts: [{name: orders-copy, mountPath: /orders-copy}]
  volumes: [{name: orders-copy, secret: {secretName: orders-copy}}]
YAML";

/// What an earlier demo left would be in the way: a pod and a Backup cannot be changed.
pub const CLEARED: &str = "kubectl delete pod/login pod/restore -n team-a --ignore-not-found && \
     kubectl delete backups orders-today invoices-today wiki-today -n team-a --ignore-not-found && \
     kubectl delete database rival orders-copy -n team-a --ignore-not-found";

/// Three backups, and what is left of each.
pub const MADE: [Step; 10] = [
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
    Step(
        "To restore, nothing of db-operator is needed. Somewhere to restore into, and a pod with PostgreSQL's own client",
        COPY,
    ),
    Step(
        "",
        "kubectl wait --for=condition=Ready database/orders-copy pod/restore -n team-a --timeout=60s",
    ),
    Step(
        "The two lines: fetch it, and load it",
        "backup=/var/lib/s3/$(kubectl get backup orders-today -n team-a -o jsonpath='{.status.destination}' | cut -c6-)\n\
         kubectl exec -n databases deployment/s3 -- cat $backup > target/orders.dump.zst\n\
         zstd -dc target/orders.dump.zst | kubectl exec -i -n team-a restore -- pg_restore --no-owner --no-privileges --exit-on-error --dbname=orders-copy",
    ),
    Step(
        "The same rows",
        r#"kubectl exec -n databases deployment/postgres -- sh -c 'for database in orders orders-copy; do psql --host=/run/database --username=postgres --no-align --tuples-only --command="select current_database(), count(*), sum(hashtext(o::text)::numeric) from orders o" $database || exit 1; done'"#,
    ),
];
