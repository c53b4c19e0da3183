//! What wakes the controller of Databases beside their own changes, and whom a Database wakes.

use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Controller;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};

use super::backups::is_of;
use super::{Context, drift, restores};
use crate::api::{BackupState, Database, DatabaseState, RestoreState};
use crate::client::lenient::Readable;

/// Adds to a controller what wakes it: the rest of the process, and the labels of namespaces.
pub(super) fn add_triggers(
    controller: Controller<Readable<Database>>,
    context: &Arc<Context>,
) -> Controller<Readable<Database>> {
    let known = Arc::clone(context);
    let triggers = context.triggers.databases.stream().inspect(move |object| {
        let uid = object.extra.uid.as_deref().unwrap_or_default();
        known.revisit.invalidate(uid);
    });
    let every = watcher::Config::default();
    let namespaces = context
        .watches
        .objects::<PartialObjectMeta<Namespace>>("Namespace", every);
    let known = Arc::clone(context);
    controller
        .reconcile_on(triggers)
        // A label of a namespace may give or take the permission to use an instance.
        .watches_stream(namespaces.touched_objects(), move |namespace| {
            selected_by_label(&known, &namespace.name_any())
        })
}

/// Wakes the Databases that differ from what a survey of their server found. Goes on for as long as the process leads.
pub(super) async fn compare(context: Arc<Context>) {
    let mut surveys = context.triggers.surveys.stream();
    // The context holds the other end: this goes on for as long as the controller runs.
    while let Some(surveyed) = surveys.next().await {
        for guarded in context.cache.databases_on(&surveyed.instance) {
            let Ok(database) = &guarded.0 else { continue };
            if drift::is_suspected(database, &surveyed.survey, &context.cluster_id)
                || drift::has_password_moved(database, &surveyed.survey, &surveyed.server)
            {
                context.triggers.databases.send(&guarded);
            }
        }
    }
}

/// The Databases of a namespace whose instances select namespaces by label. Each is due at once.
fn selected_by_label(context: &Context, namespace: &str) -> Vec<ObjectRef<Readable<Database>>> {
    let databases = context.cache.databases.state();
    let selected = databases.iter().filter(|guarded| {
        guarded.namespace().as_deref() == Some(namespace)
            && guarded
                .0
                .as_ref()
                .is_ok_and(|database| is_selected_by_label(context, database))
    });
    selected
        .map(|guarded| {
            let uid = guarded.uid().unwrap_or_default();
            context.revisit.invalidate(&uid);
            ObjectRef::from_obj(guarded.as_ref())
        })
        .collect()
}

fn is_selected_by_label(context: &Context, database: &Database) -> bool {
    context
        .instances
        .get(&database.spec.instance_ref.name)
        .is_some_and(|entry| entry.object.spec.allowed_namespaces.selector.is_some())
}

/// Wakes others that may have waited for the names of a Database that is gone, also on another instance that leads to the
/// same server.
pub(super) fn rivals(context: &Context, gone: &Database) {
    for other in context.cache.all_databases().unwrap_or_default() {
        let Ok(rival) = &other.0 else { continue };
        if is_rival(rival, gone) {
            context.triggers.databases.send(&other);
        }
    }
}

/// Whether another object names the same database or the same user.
fn is_rival(other: &Database, of: &Database) -> bool {
    other.uid() != of.uid()
        && (other.sql_name() == of.sql_name() || other.sql_user() == of.sql_user())
}

/// What the Backups and Restores of a Database depend on of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForBackups {
    state: Option<DatabaseState>,
    deleting: bool,
    suspended: bool,
    backup: Option<String>,
    final_backup: Option<String>,
    restore: Option<String>,
    former: Option<String>,
    begins_with: Option<String>,
}

impl Default for ForBackups {
    /// A Database that no Backup and no Restore has to hear of.
    fn default() -> Self {
        Self {
            state: Some(DatabaseState::Created),
            deleting: false,
            suspended: false,
            backup: None,
            final_backup: None,
            restore: None,
            former: None,
            begins_with: None,
        }
    }
}

impl ForBackups {
    /// What they depend on now.
    pub fn of(database: &Database) -> Self {
        let status = database.status.as_ref();
        Self {
            state: database.state(),
            deleting: database.metadata.deletion_timestamp.is_some(),
            suspended: database.spec.suspend,
            backup: status
                .and_then(|status| status.backup.as_ref())
                .map(|backup| backup.uid.clone()),
            final_backup: status
                .and_then(|status| status.final_backup.as_ref())
                .map(|last| last.name.clone()),
            restore: status
                .and_then(|status| status.restore.as_ref())
                .map(|named| named.uid.clone()),
            former: status
                .and_then(|status| status.former.as_ref())
                .map(|former| former.restore_uid.clone()),
            begins_with: status
                .and_then(|status| status.init.as_ref())
                .filter(|init| init.outcome.is_none())
                .and_then(|init| init.restore_uid.clone()),
        }
    }
}

/// Wakes all Backups and Restores of a Database that have not ended. To be called when the cache of Databases has what changed: a
/// Backup that is woken before would not find it there.
pub(super) fn backups(context: &Context, database: &Database) {
    for guarded in context.cache.backups.state() {
        let Ok(backup) = &guarded.0 else { continue };
        let ended = backup.state().is_some_and(BackupState::is_terminal);
        if !ended && is_of(backup, database, &context.namespace) {
            context.triggers.backups.send(&guarded);
        }
    }
    for guarded in context.cache.restores.state() {
        let Ok(restore) = &guarded.0 else { continue };
        // One that has ended hears of it for the database that it replaced, or for what it is still removing.
        let keeps = (restore.status.as_ref())
            .and_then(|status| status.target.as_ref())
            .is_some_and(|target| target.former.is_some());
        let ended = restore.state().is_some_and(RestoreState::is_terminal);
        let hears = !ended || keeps || restore.is_unclean();
        if hears && restores::is_of(restore, database) {
            context.triggers.restores.send(&guarded);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::remembered::Remembered;
    use super::*;
    use serde_json::{Value, json};

    fn database(name: &str, spec: &Value, status: &Value) -> Database {
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
            "metadata": {"name": name, "namespace": "team", "uid": name},
            "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn rivals_name_the_same_on_whatever_instance() {
        let named = |name: &str, instance: &str, names: Value| {
            let mut spec = names;
            spec["instanceRef"] = json!({"name": instance});
            database(name, &spec, &Value::Null)
        };
        let orders = named("orders", "a", json!({}));
        assert!(!is_rival(&orders, &orders));
        for (instance, names, expected) in [
            ("a", json!({"name": "orders"}), true),
            ("b", json!({"name": "orders", "user": "other"}), true),
            ("b", json!({"name": "other", "user": "orders"}), true),
            ("a", json!({}), false),
        ] {
            assert_eq!(is_rival(&named("x", instance, names), &orders), expected);
        }
    }

    #[test]
    fn backups_hear_of_what_is_new_to_them_and_only_of_that() {
        let remembered = Remembered::default();
        let spec = json!({"instanceRef": {"name": "main"}});
        let news = |status: Value| {
            let now = ForBackups::of(&database("orders", &spec, &status));
            remembered.is_news("u1", now)
        };
        let named =
            |uid: &str| json!({"state": "BACKUP_REQUESTED", "backup": {"name": "b", "uid": uid}});
        // A Database at rest is no news, the first time neither.
        assert!(!news(json!({"state": "CREATED"})));
        assert!(news(named("b1")));
        assert!(!news(named("b1")));
        assert!(news(named("b2")));
        assert!(news(json!({"state": "CREATED"})));
        assert!(!news(json!({"state": "CREATED", "observedGeneration": 2})));
        let mut suspended = database("orders", &spec, &json!({"state": "CREATED"}));
        suspended.spec.suspend = true;
        assert!(remembered.is_news("u1", ForBackups::of(&suspended)));
        assert!(news(json!({"state": "CREATED"})));
    }
}
