//! What a Backup is a backup of.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::Context;
use crate::api::{Backup, Database};
use crate::client::lenient::{Readable, Unreadable};
use crate::controller::Error;

/// What stands behind `spec.databaseRef`.
pub(super) enum Resolved {
    /// A Database, and whether this is the backup before its deletion.
    Known(Box<Database>, BackupKind),
    /// There is no such Database.
    Missing,
    /// It names another namespace where that is not accepted.
    Foreign,
}

/// Whether a backup is the one before its Database's deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BackupKind {
    /// An application team's own.
    Ordinary,
    /// The operator's, in its own namespace.
    Final,
}

impl BackupKind {
    /// The kind of a Backup; `None` if it may not name its Database ([`Backup::database_key`]). Only a final one names a
    /// namespace. `operators` is the operator's own.
    #[must_use]
    pub(super) fn of(backup: &Backup, operators: &str) -> Option<Self> {
        let names_one = backup.spec.database_ref.namespace.is_some();
        let kind = if names_one {
            Self::Final
        } else {
            Self::Ordinary
        };
        backup.database_key(operators).map(|_| kind)
    }
}

/// How well a Database must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As the cache shows it; asked for where the cache has none.
    Cached,
    /// As it is: what was just written may not be in the cache yet.
    Fresh,
}

/// Looks for the Database. Client required where the cache does not have it.
pub(super) async fn resolve(
    context: &Context,
    backup: &Backup,
    freshness: Freshness,
) -> Result<Resolved, Error> {
    let operators = &context.namespace;
    let key = backup.database_key(operators);
    let Some(((namespace, name), kind)) = key.zip(BackupKind::of(backup, operators)) else {
        return Ok(Resolved::Foreign);
    };
    if freshness == Freshness::Cached {
        let shown = cached(context, backup);
        if let Some(database) = shown.and_then(|guarded| guarded.0.as_ref().ok().cloned()) {
            return Ok(Resolved::Known(Box::new(database), kind));
        }
    }
    let databases: Api<Database> = Api::namespaced(context.client.clone(), namespace);
    let found = databases
        .get_opt(name)
        .await
        .map_err(Error::api("read the Database"))?;
    Ok(found.map_or(Resolved::Missing, |database| {
        Resolved::Known(Box::new(database), kind)
    }))
}

/// Whether two Backups are of the same Database, and may name it. `operators` is the operator's own namespace.
#[must_use]
pub(super) fn is_same(one: &Backup, other: &Backup, operators: &str) -> bool {
    let key = one.database_key(operators);
    key.is_some() && other.database_key(operators) == key
}

/// Whether a Database's status says that it is this backup's turn.
#[must_use]
pub(super) fn is_named(database: &Database, backup: &Backup, is_final: bool) -> bool {
    let Some(status) = &database.status else {
        return false;
    };
    if is_final {
        // The name holds the Database's UID and the attempt: no other one has it.
        status
            .final_backup
            .as_ref()
            .is_some_and(|named| named.name == backup.name_any() && !named.completed)
            && database.metadata.deletion_timestamp.is_some()
    } else {
        status.backup.as_ref().is_some_and(|named| {
            named.name == backup.name_any() && Some(&named.uid) == backup.metadata.uid.as_ref()
        })
    }
}

/// The Database of a backup, as the cache shows it; `None` also if the backup may not name it.
#[must_use]
pub(super) fn cached(context: &Context, backup: &Backup) -> Option<Arc<Readable<Database>>> {
    let (namespace, name) = backup.database_key(&context.namespace)?;
    let key = ObjectRef::new(name).within(namespace);
    context.cache.databases.get(&key)
}

/// Whether the Database names this backup, as far as the cache shows.
#[must_use]
pub(super) fn shows_named(context: &Context, backup: &Backup) -> bool {
    let is_final = backup.spec.database_ref.namespace.is_some();
    cached(context, backup).is_some_and(|guarded| {
        let database = guarded.0.as_ref();
        database.is_ok_and(|database| is_named(database, backup, is_final))
    })
}

/// The instance that a backup is of, as far as that is known: the one that it was begun on, or its Database's.
#[must_use]
pub(super) fn instance(context: &Context, backup: &Backup) -> String {
    let source = backup.status.as_ref().and_then(|s| s.source.as_ref());
    let begun_on = source.map(|source| source.instance.clone());
    let of_database = || {
        let guarded = cached(context, backup)?;
        let database = guarded.ok()?;
        Some(database.spec.instance_ref.name.clone())
    };
    begun_on.or_else(of_database).unwrap_or_default()
}

/// Backups as the cache shows them: shared with it, not copied.
pub(super) struct Backups(Vec<Arc<Readable<Backup>>>);

/// All Backups that the cache shows.
#[must_use]
pub(super) fn all(context: &Context) -> Backups {
    Backups(context.cache.backups.state())
}

impl Backups {
    /// Each of them that can be read.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Backup> {
        self.0.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// Each of them that cannot be read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = &Unreadable> {
        self.0
            .iter()
            .filter_map(|guarded| guarded.0.as_ref().err().map(AsRef::as_ref))
    }

    /// The others of the same Database. `operators` is the operator's own namespace.
    pub(super) fn siblings(&self, of: &Backup, operators: &str) -> impl Iterator<Item = &Backup> {
        self.iter().filter(move |other| {
            is_same(of, other, operators) && other.metadata.uid != of.metadata.uid
        })
    }
}

/// The name of a backup's Secret with the database's user and password, in the Backup's namespace.
#[must_use]
pub(super) fn credentials(backup: &Backup, kind: BackupKind) -> String {
    match kind {
        BackupKind::Ordinary => backup.spec.database_ref.name.clone(),
        BackupKind::Final => backup.name_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::database::{ActiveBackup, FinalBackup};
    use crate::api::references::DatabaseRef;
    use crate::api::{BackupSpec, DatabaseStatus};

    fn backup(own: &str, asked: Option<&str>) -> Backup {
        let mut backup = Backup::new(
            "b",
            BackupSpec::new(DatabaseRef {
                name: "orders".to_owned(),
                namespace: asked.map(ToOwned::to_owned),
            }),
        );
        backup.metadata.namespace = Some(own.to_owned());
        backup
    }

    #[test]
    fn another_namespace_counts_only_in_the_operators_own() {
        for (own, asked, expected) in [
            ("team-a", None, Some(BackupKind::Ordinary)),
            ("team-a", Some("team-a"), None),
            ("team-a", Some("team-b"), None),
            ("team-a", Some("operator"), None),
            ("operator", Some("team-a"), Some(BackupKind::Final)),
            ("operator", None, Some(BackupKind::Ordinary)),
        ] {
            let found = BackupKind::of(&backup(own, asked), "operator");
            assert_eq!(found, expected, "{own} {asked:?}");
        }
    }

    #[test]
    fn a_final_backup_has_credentials_of_its_own() {
        let ordinary = backup("team-a", None);
        assert_eq!(credentials(&ordinary, BackupKind::Ordinary), "orders");
        let last = backup("operator", Some("team-a"));
        assert_eq!(credentials(&last, BackupKind::Final), "b");
        assert!(is_same(&ordinary, &last, "operator"));
        let foreign = backup("team-b", Some("team-a"));
        assert!(!is_same(&ordinary, &foreign, "operator"));
        assert!(!is_same(&foreign, &foreign, "operator"));
    }

    #[test]
    fn a_turn_is_a_name_and_a_uid_or_the_name_of_a_final_backup() {
        let mut backup = Backup::new(
            "b",
            BackupSpec::new(DatabaseRef {
                name: "orders".to_owned(),
                namespace: None,
            }),
        );
        backup.metadata.uid = Some("u".to_owned());
        let mut database: Database = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}},
        }))
        .unwrap();
        assert!(!is_named(&database, &backup, false));
        let named = |uid: &str| DatabaseStatus {
            backup: Some(ActiveBackup {
                name: "b".to_owned(),
                uid: uid.to_owned(),
            }),
            ..DatabaseStatus::default()
        };
        database.status = Some(named("v"));
        assert!(!is_named(&database, &backup, false));
        database.status = Some(named("u"));
        assert!(is_named(&database, &backup, false));
        assert!(!is_named(&database, &backup, true));

        database.status = Some(DatabaseStatus {
            final_backup: Some(FinalBackup {
                name: "b".to_owned(),
                attempt: 1,
                completed: false,
                retry_at: None,
            }),
            ..DatabaseStatus::default()
        });
        assert!(
            !is_named(&database, &backup, true),
            "it is not being deleted"
        );
        database.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
        );
        assert!(is_named(&database, &backup, true));
        assert!(!is_named(&database, &backup, false));
    }
}
