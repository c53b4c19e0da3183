//! The slot that a restore needs, among all that run on its instance or wait for one.

use kube::ResourceExt;

use super::blocked::Blocked;
use super::{Context, Pass, database_ref};
use crate::api::{DatabaseState, Restore, RestoreReason, RestoreState};
use crate::queue::line_of_database::restore_waits;
use crate::queue::slot_order::Neighbours;
use crate::queue::slots::{Candidate, Limits, Slots};

/// Whether there is a slot for a restore that may begin now; none is taken.
pub(super) fn check_free(pass: &Pass<'_>, instance: &str, most: i32) -> Result<(), Blocked> {
    ask(pass, instance, most, Slots::is_free)
}

/// Takes the slot of a restore that begins.
pub(super) fn take(pass: &Pass<'_>, instance: &str, most: i32) -> Result<(), Blocked> {
    ask(pass, instance, most, Slots::take)
}

fn ask(
    pass: &Pass<'_>,
    instance: &str,
    most: i32,
    question: impl Fn(&Slots, &Candidate, Vec<Candidate>, Limits, &Neighbours) -> bool,
) -> Result<(), Blocked> {
    let context = pass.context;
    let limits = Limits {
        overall: usize::MAX,
        per_instance: usize::try_from(most).unwrap_or(1),
    };
    let wants = candidate(&pass.object, instance.to_owned(), false);
    let known = candidates(context);
    if question(
        &context.slots,
        &wants,
        known,
        limits,
        &Neighbours::default(),
    ) {
        return Ok(());
    }
    let message = format!(
        "{most} restores run on instance {instance} (its spec.restore.maxConcurrent), or others are first: of the \
         namespaces that wait, the one with the fewest running restores"
    );
    Err(Blocked::new(RestoreReason::WaitingForTurn, message))
}

/// All Restores that run, or that wait for nothing but a slot and their turn.
fn candidates(context: &Context) -> Vec<Candidate> {
    let all = context.cache.restores.state();
    let known = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    known
        .filter_map(|restore| {
            let asks = || {
                let uid = restore.uid().unwrap_or_default();
                restore_waits(restore)
                    && context.queues.turns.asks(&uid)
                    && may_be_named(context, restore)
            };
            let active = restore.is_active();
            (active || asks()).then(|| {
                let instance = database_ref::instance(context, restore);
                candidate(restore, instance, active)
            })
        })
        .collect()
}

/// Whether nothing else of its Database has its turn: who waits behind a backup or another restore keeps no slot from others.
/// A test waits behind nothing of a Database.
fn may_be_named(context: &Context, restore: &Restore) -> bool {
    if restore.is_test() {
        return true;
    }
    let shown = database_ref::cached(context, restore);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    database.is_some_and(|database| {
        let status = database.status.as_ref();
        let named = status.and_then(|status| status.restore.as_ref());
        let is_over = named.is_none_or(|it| it.state.is_some_and(RestoreState::is_terminal));
        let lets_in =
            database.state() == Some(DatabaseState::Created) || database.begins_with(restore);
        lets_in && (is_over || database_ref::is_named(database, restore))
    })
}

fn candidate(restore: &Restore, instance: String, active: bool) -> Candidate {
    Candidate {
        uid: restore.uid().unwrap_or_default(),
        namespace: restore.namespace().unwrap_or_default(),
        instance,
        created: restore.creation_timestamp().map(|time| time.0),
        name: restore.name_any(),
        active,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::controller::fakes::{self, Asked, Objects, api_server};
    use crate::job::image::OwnImage;

    fn restore(name: &str, database: &str) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "team", "uid": name},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": database}},
        })
    }

    /// The Restores that compete for a slot while a Database is like this, and another one is idle.
    fn compete(status: &Value) -> Vec<String> {
        let database = |name: &str, status: &Value| {
            json!({
                "metadata": {"name": name, "namespace": "team", "uid": name},
                "spec": {"instanceRef": {"name": "main"}}, "status": status,
            })
        };
        let objects = Objects {
            databases: vec![
                database("orders", status),
                database("idle", &json!({"state": "CREATED"})),
            ],
            restores: vec![
                restore("one", "orders"),
                restore("two", "idle"),
                restore("silent", "idle"),
            ],
            ..Objects::default()
        };
        let shared = fakes::context(api_server(&Asked::default(), [].into()), objects);
        let image = OwnImage::new(Some("operator:1".to_owned()), None);
        let context = Context::new(Arc::new(shared), 60, image);
        for asks in ["one", "two"] {
            context.queues.turns.ask(asks);
        }
        let mut known: Vec<_> = candidates(&context).into_iter().map(|it| it.name).collect();
        known.sort();
        known
    }

    #[tokio::test]
    async fn who_waits_behind_others_of_its_database_keeps_no_slot_from_anybody() {
        let named = |name: &str, state: Value| json!({"state": "CREATED", "restore": {"name": name, "uid": name, "state": state}});
        for status in [
            json!({"state": "BACKUP_REQUESTED", "backup": {"name": "b", "uid": "b"}}),
            json!({"state": "BACKUP_IN_PROGRESS", "backup": {"name": "b", "uid": "b"}}),
            named("other", json!("LOADING")),
            named("other", Value::Null),
        ] {
            assert_eq!(compete(&status), ["two"], "{status}");
        }
        for status in [
            json!({"state": "CREATED"}),
            named("other", json!("COMPLETED")),
            named("one", Value::Null),
        ] {
            assert_eq!(compete(&status), ["one", "two"], "{status}");
        }
    }
}
