//! The Database that a Restore restores, as the cache shows it or as it is.

use std::sync::Arc;

use kube::Api;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use super::Context;
use crate::api::restore::Destined;
use crate::api::{Database, Restore};
use crate::client::lenient::Readable;
use crate::controller::Error;

/// The Database of a restore, as the cache shows it, or else as it is; `None` if there is none, or it restores none. Client required then.
pub(super) async fn find(context: &Context, restore: &Restore) -> Result<Option<Database>, Error> {
    let shown = cached(context, restore);
    if let Some(database) = shown.and_then(|guarded| guarded.0.as_ref().ok().cloned()) {
        return Ok(Some(database));
    }
    let Some((namespace, name)) = restore.database_key() else {
        return Ok(None);
    };
    let databases: Api<Database> = Api::namespaced(context.client.clone(), &namespace);
    databases
        .get_opt(name)
        .await
        .map_err(Error::api("read the Database"))
}

/// The Database of a restore, as the cache shows it.
#[must_use]
pub(super) fn cached(context: &Context, restore: &Restore) -> Option<Arc<Readable<Database>>> {
    let (namespace, name) = restore.database_key()?;
    let key = ObjectRef::new(name).within(&namespace);
    context.cache.databases.get(&key)
}

/// Whether a Database's status says that it is this restore's turn, or was.
#[must_use]
pub(super) fn is_named(database: &Database, restore: &Restore) -> bool {
    let named = database
        .status
        .as_ref()
        .and_then(|status| status.restore.as_ref());
    named.is_some_and(|named| {
        named.name == restore.name_any() && Some(&named.uid) == restore.metadata.uid.as_ref()
    })
}

/// Whether a running restore's Database is going or gone, or another object of its name by now.
#[must_use]
pub(super) fn is_gone(database: Option<&Database>, uid: Option<&str>) -> bool {
    database.is_none_or(|database| {
        database.metadata.deletion_timestamp.is_some()
            || uid.is_some_and(|uid| is_another(database, uid))
    })
}

/// Whether this is another object than the one with this UID.
#[must_use]
pub(super) fn is_another(database: &Database, uid: &str) -> bool {
    database.metadata.uid.as_deref() != Some(uid)
}

/// The instance that a restore is on, as far as that is known: the one that it was begun on, its Database's, or that of
/// a test.
#[must_use]
pub(super) fn instance(context: &Context, restore: &Restore) -> String {
    let target = restore.status.as_ref().and_then(|s| s.target.as_ref());
    let begun_on = target.map(|target| target.instance.clone());
    let asked_for = || match restore.spec.destined() {
        Destined::Database(_) => {
            let guarded = cached(context, restore)?;
            Some(guarded.ok()?.spec.instance_ref.name.clone())
        }
        Destined::Test(instance) => Some(instance.to_owned()),
        Destined::Nowhere => None,
    };
    begun_on.or_else(asked_for).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_turn_is_a_name_and_a_uid() {
        let restore: Restore = serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": "team", "uid": "u"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
        }))
        .unwrap();
        let database = |named: serde_json::Value| -> Database {
            serde_json::from_value(json!({
                "metadata": {"name": "orders", "uid": "d"}, "spec": {"instanceRef": {"name": "i"}},
                "status": {"state": "CREATED", "restore": named},
            }))
            .unwrap()
        };
        assert!(is_named(
            &database(json!({"name": "r", "uid": "u"})),
            &restore
        ));
        for other in [
            json!({"name": "r", "uid": "v"}),
            json!({"name": "s", "uid": "u"}),
            serde_json::Value::Null,
        ] {
            assert!(!is_named(&database(other), &restore));
        }
        let mut of = database(serde_json::Value::Null);
        assert!(!is_gone(Some(&of), Some("d")) && is_gone(Some(&of), Some("e")));
        of.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
        );
        assert!(is_gone(Some(&of), Some("d")) && is_gone(None, None));
    }
}
