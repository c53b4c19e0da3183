//! Who is woken by a Backup: its Database, the Backups that wait, and the Restores that wait for this one.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use kube::ResourceExt;

use super::{Context, database_ref};
use crate::api::{Backup, BackupState, Restore};
use crate::client::lenient::Readable;
use crate::queue::line_of_database::{is_older, restore_waits, waits};

/// Has the Database of a Backup looked at. A Backup that may not name a Database does not wake it either.
pub(super) fn database(context: &Context, backup: &Backup) {
    if let Some(database) = database_ref::cached(context, backup) {
        context.triggers.databases.send(&database);
    }
}

/// Has the Restores looked at that wait for this Backup to end. They restore mostly into another Database than its own, which
/// does not wake them.
pub(super) fn restores(context: &Context, backup: &Backup) {
    if !backup.state().is_some_and(BackupState::is_terminal) {
        return;
    }
    for guarded in context.cache.restores.state() {
        if guarded.0.as_ref().is_ok_and(|it| waits_for(it, backup)) {
            context.triggers.restores.send(&guarded);
        }
    }
}

/// Whether a Restore has not begun, and is to bring back this Backup.
fn waits_for(restore: &Restore, backup: &Backup) -> bool {
    let reference = restore.spec.source.backup_ref.as_ref();
    restore_waits(restore)
        && restore.metadata.namespace == backup.metadata.namespace
        && reference.is_some_and(|reference| reference.name == backup.name_any())
}

/// A slot is free, or another backup of a Database is next: whoever may begin looks. Those behind have nothing to look for.
pub(super) fn waiting(context: &Context) {
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
pub(super) async fn waiting_when_told(context: Arc<Context>) -> Infallible {
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
    use serde_json::{Value, json};

    fn backup(name: &str, database: &Value, created: &str, state: &Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "n", "creationTimestamp": created},
            "spec": {"databaseRef": database}, "status": {"state": state},
        })
    }

    #[test]
    fn a_backup_that_ended_wakes_the_restores_that_wait_for_it() {
        let backup: Backup = serde_json::from_value(backup(
            "nightly",
            &json!({"name": "orders"}),
            "2026-01-01T00:00:00Z",
            &json!("COMPLETED"),
        ))
        .unwrap();
        let waits = |namespace: &str, source: Value, state: Value| {
            let restore: Restore = serde_json::from_value(json!({
                "metadata": {"name": "back", "namespace": namespace},
                // Into another Database than the one that was backed up.
                "spec": {"source": source, "databaseRef": {"name": "copy"}}, "status": {"state": state},
            }))
            .unwrap();
            waits_for(&restore, &backup)
        };
        let of = |name: &str| json!({"backupRef": {"name": name}});
        assert!(waits("n", of("nightly"), Value::Null));
        assert!(!waits("n", of("nightly"), json!("LOADING")));
        assert!(!waits("n", of("other"), Value::Null));
        assert!(!waits("m", of("nightly"), Value::Null));
        let latest = json!({"latest": {"database": {"name": "orders"}}});
        assert!(!waits("n", latest, Value::Null));
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
