//! Who is woken by a Backup: its Database, and the Backups that wait.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;

use super::{Context, database_ref};
use crate::api::Backup;
use crate::client::lenient::Readable;
use crate::queue::line_of_database::{is_older, waits};

/// Has the Database of a Backup looked at.
pub fn database(context: &Context, backup: &Backup) {
    let key = ObjectRef::new(&backup.spec.database_ref.name)
        .within(&backup.database_namespace().unwrap_or_default());
    let known = context.cache.databases.get(&key);
    if let Some(database) = known {
        context.triggers.databases.send(&database);
    }
}

/// A slot is free, or another backup of a Database is next: whoever may begin looks. Those behind have nothing to look for.
pub fn waiting(context: &Context) {
    let all = context.cache.backups.state();
    let named = all.iter().map(AsRef::as_ref).filter(|guarded| {
        let backup = guarded.0.as_ref();
        backup.is_ok_and(|backup| waits(backup) && database_ref::shows_named(context, backup))
    });
    for guarded in first_of_each(&all).chain(named) {
        context.triggers.backups.send(guarded);
    }
}

/// Has those that wait looked at whenever an instance may be used again.
pub async fn waiting_when_told(context: Arc<Context>) -> Infallible {
    loop {
        context.triggers.waiting_backups.notified().await;
        waiting(&context);
    }
}

/// The backup of each Database that waits longest, and all final ones: a Database has few, and asks for one by its name.
fn first_of_each(all: &[Arc<Readable<Backup>>]) -> impl Iterator<Item = &Readable<Backup>> {
    let mut first = HashMap::new();
    for guarded in all {
        let Ok(backup) = &guarded.0 else { continue };
        if !waits(backup) {
            continue;
        }
        let reference = &backup.spec.database_ref;
        let named = reference.namespace.as_deref();
        let which = (
            backup.metadata.namespace.as_deref(),
            reference.name.as_str(),
            named.map(|_| backup.metadata.name.as_deref()),
        );
        let known = first.entry(which).or_insert((backup, guarded.as_ref()));
        if is_older(backup, known.0) {
            *known = (backup, guarded.as_ref());
        }
    }
    first.into_values().map(|(_, guarded)| guarded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::ResourceExt;
    use serde_json::{Value, json};

    fn backup(name: &str, database: &Value, created: &str, state: &Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "n", "creationTimestamp": created},
            "spec": {"databaseRef": database}, "status": {"state": state},
        })
    }

    #[test]
    fn of_many_that_wait_only_the_first_of_each_database_is_woken() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        let orders = json!({"name": "orders"});
        let of = |namespace| json!({"name": "orders", "namespace": namespace});
        let all: Vec<Arc<Readable<Backup>>> = [
            backup("c", &orders, late, &Value::Null),
            backup("b", &orders, early, &Value::Null),
            backup("runs", &orders, early, &json!("BACKING_UP")),
            backup("other", &json!({"name": "other"}), late, &Value::Null),
            backup("final-1", &of("x"), early, &Value::Null),
            backup("final-2", &of("y"), late, &Value::Null),
        ]
        .into_iter()
        .map(|object| Arc::new(serde_json::from_value(object).unwrap()))
        .collect();
        let mut woken: Vec<_> = first_of_each(&all).map(ResourceExt::name_any).collect();
        woken.sort();
        assert_eq!(woken, ["b", "final-1", "final-2", "other"]);
    }
}
