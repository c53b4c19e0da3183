//! What a team does with Databases.

use super::transcript::Step;

/// A pod that logs in as an application would: from nothing but the Secret.
const LOGIN: &str = r#"kubectl apply -f - <<'YAML'
apiVersion: v1
kind: Pod
metadata: {name: login, namespace: team-a}
spec:
  restartPolicy: Never
  containers:
    - name: psql
      image: docker.io/library/postgres:17
      imagePullPolicy: IfNotPresent
      command: [sh, -c, 'psql "$(cat /orders/uri)" --command="select current_user, current_database(), ssl from pg_stat_ssl where pid = pg_backend_pid()"']
      env: [{name: PGSSLROOTCERT, value: /orders/ca.crt}]
      volumeMounts: [{name: orders, mountPath: /orders}]
  volumes: [{name: orders, secret: {secretName: orders}}]
YAML"#;

/// A second object that names the database of the first.
const RIVAL: &str = r"kubectl apply -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Database
metadata: {name: rival, namespace: team-a}
spec: {instanceRef: {name: postgres}, name: orders, deletionPolicy: Delete}
YAML";

/// From nothing to Databases in use.
pub(super) const MADE: [Step; 7] = [
    Step(
        "A team commits Databases; here one on each server",
        "kubectl create namespace team-a --dry-run=client -o yaml | kubectl apply -f - && kubectl apply -k kustomize/samples/overlays/production",
    ),
    Step(
        "Ready means that a login with the Secret's own values worked",
        "kubectl wait --for=condition=Ready database --all -n team-a --timeout=60s && kubectl get databases -n team-a",
    ),
    Step(
        "All that an application needs is in a Secret of the same name",
        "kubectl describe secret orders -n team-a | sed -n '/^Type/,$p'",
    ),
    Step("A pod logs in with it", LOGIN),
    Step(
        "",
        "kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/login -n team-a --timeout=60s && kubectl logs login -n team-a",
    ),
    Step("A rival names the same SQL database", RIVAL),
    Step(
        "",
        "kubectl wait --for=condition=Stalled database/rival -n team-a --timeout=30s && \
         kubectl get database rival -n team-a -o jsonpath='{.status.conditions[?(@.type==\"Stalled\")].message}{\"\\n\"}'",
    ),
];

/// The end of some of them, by their policies.
pub(super) const DELETED: [Step; 5] = [
    Step(
        "Deleting the rival touches nothing; invoices has the policy Delete, and is dropped",
        "kubectl delete database rival invoices -n team-a",
    ),
    Step(
        "wiki is to go, but not without a last backup",
        r#"kubectl patch database wiki -n team-a --type=merge --patch='{"spec":{"deletionPolicy":"BackupBeforeDelete"}}' && kubectl delete database wiki -n team-a"#,
    ),
    Step(
        "That backup is the operator's own, and stays when the whole namespace goes",
        "kubectl get backups -n db-operator-system -l db-operator.dev/database=wiki,db-operator.dev/database-namespace=team-a -o custom-columns=NAME:.metadata.name,STATE:.status.state,DESTINATION:.status.destination",
    ),
    Step(
        "MySQL has no such database any more",
        r#"kubectl exec -n databases deployment/mysql -- mysql --socket=/run/database/mysqld.sock --user=root --execute="select count(*) as wikis from information_schema.schemata where schema_name = 'wiki_production'""#,
    ),
    Step(
        "What happened, for someone with only kubectl",
        "kubectl get events -n team-a --field-selector involvedObject.kind=Database -o custom-columns=OBJECT:.involvedObject.name,REASON:.reason,MESSAGE:.message",
    ),
];
