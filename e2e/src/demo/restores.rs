//! Restores: into a new Database, over one that was damaged, and back again.

use super::transcript::Step;

/// Each Restore is done once, so each demo makes its own: `generateName`.
const INTO_COPY: &str = r"kubectl create -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Database
metadata: {name: orders-copy, namespace: team-a}
spec: {instanceRef: {name: postgres}, deletionPolicy: Delete, postgresql: {extensions: [{name: pg_trgm}]}}
---
apiVersion: db-operator.dev/v1alpha1
kind: Restore
metadata: {generateName: orders-copy-, namespace: team-a, labels: {demo: copy}}
spec:
  source: {backupRef: {name: orders-today}}
  databaseRef: {name: orders-copy}
  check: {level: Digest}
YAML";

/// In the place of a database in use.
const REPLACE: &str = r"kubectl create -f - <<'YAML'
apiVersion: db-operator.dev/v1alpha1
kind: Restore
metadata: {generateName: orders-replaced-, namespace: team-a, labels: {demo: replace}}
spec:
  source: {latest: {database: {name: orders}}}
  databaseRef: {name: orders}
  mode: Replace
  confirm: orders
  check:
    queries: [{name: not-empty, sql: select count(*) > 1000 from orders}]
YAML";

/// Waits for the end of what was just asked for, whatever it is.
const REPLACED: &str = "kubectl wait --for=condition=Finished -n team-a --timeout=120s restore -l demo=replace && kubectl get restores -n team-a";

const UNDO: &str = "kubectl annotate restore -n team-a -l demo=replace db-operator.dev/undo-requested-at=\"$(date +%s)\"\n\
     kubectl wait --for=jsonpath='{.status.conditions[?(@.type==\"Ready\")].reason}'=Undone -n team-a --timeout=60s restore -l demo=replace";

/// The rows of a database, as its server has them.
macro_rules! rows {
    ($databases:literal) => {
        concat!(
            "kubectl exec -n databases deployment/postgres -- sh -c 'for database in ",
            $databases,
            r#"; do psql --host=/run/database --username=postgres --no-align --tuples-only --command="select current_database(), count(*), sum(hashtext(o::text)::numeric) from orders o" $database || exit 1; done'"#
        )
    };
}

/// What an earlier demo left is the same kind of thing; each of its Restores was done once.
pub(super) const CLEARED: &str = "kubectl delete restores -l demo -n team-a --ignore-not-found";

/// One into a new Database, one over a damaged one, and the way back.
pub(super) const MADE: [Step; 9] = [
    Step(
        "A Restore brings a backup back: here into a new Database, with a digest of all rows compared",
        INTO_COPY,
    ),
    Step(
        "It is a Job, too",
        "until kubectl logs --follow -n team-a -l db-operator.dev/database=orders-copy -c restore 2>/dev/null | grep .; do sleep 1; done",
    ),
    Step(
        "The application is let in once all is compared",
        "kubectl wait --for=condition=Finished -n team-a --timeout=120s restore -l demo=copy && kubectl get restores -n team-a",
    ),
    Step("The same rows", rows!("orders orders-copy")),
    Step(
        "Somebody deletes too much",
        r#"kubectl exec -n databases deployment/postgres -- psql --host=/run/database --username=postgres --command="delete from orders where id % 3 = 0" orders"#,
    ),
    Step(
        "On PostgreSQL a Restore may take the place of a database in use: it is loaded beside it, and the two change names",
        REPLACE,
    ),
    Step("", REPLACED),
    Step(
        "The status says how long nobody could log in, and what became of the former database",
        "kubectl get restore -l demo=replace -n team-a -o yaml | sed -n '/^  status:/,$p'",
    ),
    Step("All rows are back", rows!("orders")),
];

/// The way back, and forth again.
pub(super) const UNDONE: [Step; 5] = [
    Step(
        "What was replaced is kept for three days; until then this puts it back",
        UNDO,
    ),
    Step("As it was, without the deleted rows", rows!("orders")),
    Step(
        "It was right after all: a Restore is done once, so this is another one",
        "kubectl delete restores -l demo=replace -n team-a",
    ),
    Step("", REPLACE),
    Step("", REPLACED),
];
