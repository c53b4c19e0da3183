//! The objects of all kinds, as their controllers read them.

use std::sync::Arc;

use kube::Resource;
use kube::runtime::reflector::{ObjectRef, Store};

use super::Error;
use crate::api::{Backup, Database, DatabaseInstance, Restore};
use crate::client::lenient::Readable;
use crate::metrics::figures::Figures;
use crate::watch::read;

/// The objects of all kinds, as their controllers read them.
pub struct Cache {
    /// Every instance.
    pub instances: Store<Readable<DatabaseInstance>>,
    /// Every Database.
    pub databases: Store<Readable<Database>>,
    /// Every Backup.
    pub backups: Store<Readable<Backup>>,
    /// Every Restore.
    pub restores: Store<Readable<Restore>>,
}

impl Cache {
    /// Every Database, also those that cannot be read; `None` before they were read since this process leads.
    #[must_use]
    pub fn all_databases(&self) -> Option<Vec<Arc<Readable<Database>>>> {
        read(&self.databases).map(Store::state)
    }

    /// Every Restore, also those that cannot be read; `None` before they were read since this process leads.
    #[must_use]
    pub fn all_restores(&self) -> Option<Vec<Arc<Readable<Restore>>>> {
        read(&self.restores).map(Store::state)
    }

    /// The Databases that refer to an instance.
    #[must_use]
    pub fn databases_on(&self, instance: &str) -> Vec<Arc<Readable<Database>>> {
        let all = self.all_databases().unwrap_or_default();
        let refers = |guarded: &Arc<Readable<Database>>| {
            guarded
                .0
                .as_ref()
                .is_ok_and(|database| database.spec.instance_ref.name == instance)
        };
        all.into_iter().filter(refers).collect()
    }

    /// An instance, whether or not its server was looked at; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::NotRead`] shortly after the start, and for an object that cannot be read.
    pub fn instance(&self, name: &str) -> Result<Option<DatabaseInstance>, Error> {
        let store = read(&self.instances).ok_or(Error::NotRead)?;
        match store.get(&ObjectRef::new(name)).as_deref() {
            Some(Readable(Ok(instance))) => Ok(Some(instance.clone())),
            Some(Readable(Err(_))) => Err(Error::NotRead),
            None => Ok(None),
        }
    }

    /// What the objects add up to, for the metrics.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (instances, databases, backups, restores) = (
            self.instances.state(),
            self.databases.state(),
            self.backups.state(),
            self.restores.state(),
        );
        Figures::of(
            readable(&instances),
            readable(&databases),
            readable(&backups),
            readable(&restores),
        )
    }
}

fn readable<K>(objects: &[Arc<Readable<K>>]) -> impl Iterator<Item = &K> + Clone
where
    K: Resource<DynamicType = ()>,
{
    objects.iter().filter_map(|guarded| guarded.0.as_ref().ok())
}
