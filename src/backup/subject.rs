//! What a Backup is a backup of.

use std::sync::Arc;

use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, ResourceExt};

use crate::api::{Backup, Database};
use crate::client::lenient::{Readable, Unreadable};
use crate::controller::Context;
use crate::error::Error;

/// What stands behind `spec.databaseRef`.
pub enum Subject {
    /// A Database, and whether this is the backup before its deletion.
    Known(Box<Database>, Finality),
    /// There is no such Database.
    Missing,
    /// It names another namespace where that is not accepted.
    Foreign,
}

/// Whether a backup is the one before its Database's deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// An application team's own.
    Ordinary,
    /// The operator's, in its own namespace.
    Final,
}

impl Finality {
    /// What `spec.databaseRef.namespace` says, in the light of where the Backup is: another namespace is honoured only
    /// in the operator's own.
    #[must_use]
    pub fn of(backup: &Backup, operators: &str) -> Option<Self> {
        let own = backup.namespace().unwrap_or_default();
        match backup.spec.database_ref.namespace.as_deref() {
            None => Some(Self::Ordinary),
            Some(_) if own == operators => Some(Self::Final),
            Some(_) => None,
        }
    }
}

/// How well a Database must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// As the cache shows it; asked for where the cache has none.
    Cached,
    /// As it is: what was just written may not be in the cache yet.
    Fresh,
}

/// Looks for the Database. Client required where the cache does not have it.
pub async fn find(context: &Context, backup: &Backup, sight: Sight) -> Result<Subject, Error> {
    let Some(finality) = Finality::of(backup, &context.namespace) else {
        return Ok(Subject::Foreign);
    };
    let namespace = backup.database_namespace().unwrap_or_default();
    let name = &backup.spec.database_ref.name;
    if sight == Sight::Cached {
        let key = ObjectRef::new(name).within(&namespace);
        let cached = context.databases.get().and_then(|store| store.get(&key));
        if let Some(database) = cached.and_then(|guarded| guarded.0.as_ref().ok().cloned()) {
            return Ok(Subject::Known(Box::new(database), finality));
        }
    }
    let databases: Api<Database> = Api::namespaced(context.client.clone(), &namespace);
    let found = databases
        .get_opt(name)
        .await
        .map_err(Error::api("read the Database"))?;
    Ok(found.map_or(Subject::Missing, |database| {
        Subject::Known(Box::new(database), finality)
    }))
}

/// Whether two Backups are of the same Database, as far as their references say.
#[must_use]
pub fn is_same(one: &Backup, other: &Backup) -> bool {
    one.spec.database_ref.name == other.spec.database_ref.name
        && one.database_namespace() == other.database_namespace()
}

/// Backups as the cache shows them: shared with it, not copied.
pub struct Backups(Vec<Arc<Readable<Backup>>>);

/// All Backups that the cache shows.
#[must_use]
pub fn all(context: &Context) -> Backups {
    Backups(context.backups.get().map(Store::state).unwrap_or_default())
}

impl Backups {
    /// Each of them that can be read.
    pub fn iter(&self) -> impl Iterator<Item = &Backup> {
        self.0.iter().filter_map(|guarded| guarded.0.as_ref().ok())
    }

    /// Each of them that cannot be read.
    pub fn unreadable(&self) -> impl Iterator<Item = &Unreadable> {
        self.0
            .iter()
            .filter_map(|guarded| guarded.0.as_ref().err().map(AsRef::as_ref))
    }

    /// The others of the same Database. None of them is one that names a namespace where that is not accepted; `operators`
    /// is the operator's own.
    pub fn siblings(&self, of: &Backup, operators: &str) -> impl Iterator<Item = &Backup> {
        self.iter().filter(move |other| {
            is_same(of, other)
                && other.metadata.uid != of.metadata.uid
                && Finality::of(other, operators).is_some()
        })
    }
}

/// The name of a backup's Secret with the database's user and password, in the Backup's namespace.
#[must_use]
pub fn credentials(backup: &Backup, finality: Finality) -> String {
    match finality {
        Finality::Ordinary => backup.spec.database_ref.name.clone(),
        Finality::Final => backup.name_any(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::BackupSpec;
    use crate::api::references::DatabaseRef;

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
            ("team-a", None, Some(Finality::Ordinary)),
            ("team-a", Some("team-a"), None),
            ("team-a", Some("team-b"), None),
            ("team-a", Some("operator"), None),
            ("operator", Some("team-a"), Some(Finality::Final)),
            ("operator", None, Some(Finality::Ordinary)),
        ] {
            let found = Finality::of(&backup(own, asked), "operator");
            assert_eq!(found, expected, "{own} {asked:?}");
        }
    }

    #[test]
    fn a_final_backup_has_credentials_of_its_own() {
        let ordinary = backup("team-a", None);
        assert_eq!(credentials(&ordinary, Finality::Ordinary), "orders");
        let last = backup("operator", Some("team-a"));
        assert_eq!(credentials(&last, Finality::Final), "b");
        assert!(is_same(&ordinary, &last));
    }
}
