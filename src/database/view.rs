//! What an observation of a Database may use. Everything in here reads: what is handed a [`View`] alone changes nothing.

use std::sync::Arc;

use kube::{Api, ResourceExt};

use super::backups::cached;
use super::{Context, drift, restores};
use crate::api::database::DatabaseStatus;
use crate::api::{Backup, Database, Restore};
use crate::client::lenient::Readable;
use crate::controller::Error;
use crate::provider::{Claimant, Names, Observed};
use crate::server::tenancy::Tenancy;

/// A Database, what is known of it, and ways to read more. Its fields are private, because a client can write, too.
pub(super) struct View<'a> {
    context: &'a Context,
    database: &'a Database,
    tenancy: &'a Tenancy,
}

impl<'a> View<'a> {
    /// What may be read for this Database.
    pub(super) fn new(context: &'a Context, database: &'a Database, tenancy: &'a Tenancy) -> Self {
        Self {
            context,
            database,
            tenancy,
        }
    }

    /// The object.
    pub(super) fn database(&self) -> &'a Database {
        self.database
    }

    /// Its status, if it has one.
    pub(super) fn status(&self) -> Option<&'a DatabaseStatus> {
        self.database.status.as_ref()
    }

    /// Its namespace.
    pub(super) fn namespace(&self) -> String {
        self.database.namespace().unwrap_or_default()
    }

    /// The operator's own namespace, where final backups are made.
    pub(super) fn home(&self) -> &'a str {
        &self.context.namespace
    }

    /// Whether its instance is known and does not accept its namespace.
    pub(super) fn is_forbidden(&self) -> bool {
        self.tenancy.is_forbidden()
    }

    /// Whether nothing can have been made for this object anywhere: its instance does not exist, and no claim is known.
    /// (An instance that was used cannot go while a Database refers to it.)
    pub(super) fn made_nothing(&self) -> bool {
        let name = &self.database.spec.instance_ref.name;
        self.tenancy.entry().is_none()
            && self.status().is_none_or(|status| status.claim.is_none())
            && matches!(self.context.cache.instance(name), Ok(None))
    }

    /// In whose name its claims are made.
    pub(super) fn claimant(&self) -> Claimant {
        drift::claimant(self.database, &self.context.cluster_id)
    }

    /// What stands on its server under these names; `None` if the server could not be asked. Server required.
    pub(super) async fn on_server(&self, names: &Names) -> Option<Observed> {
        let (_, server) = self.tenancy.server_for(self.database.holder()).ok()?;
        server.observe(names, None).await.ok()
    }

    /// Every Backup, as the cache has it.
    pub(super) fn cached_backups(&self) -> Vec<Arc<Readable<Backup>>> {
        self.context.cache.backups.state()
    }

    /// A Restore of this UID beside the Database, as the cache has it or else as it is now; `None` if it is absent. Client
    /// required then.
    pub(super) async fn find_restore(
        &self,
        name: &str,
        uid: &str,
    ) -> Result<Option<Restore>, Error> {
        let same = |restore: &Restore| restore.metadata.uid.as_deref() == Some(uid);
        let cache = &self.context.cache;
        if let Some(found) = restores::cached(cache, self.database, name).filter(same) {
            return Ok(Some(found));
        }
        let api: Api<Restore> = Api::namespaced(self.context.client.clone(), &self.namespace());
        let found = api.get_opt(name).await;
        Ok(found.map_err(Error::api("read the Restore"))?.filter(same))
    }

    /// A Backup as it is now. Client required.
    pub(super) async fn read_backup(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Backup>, Error> {
        let api: Api<Backup> = Api::namespaced(self.context.client.clone(), namespace);
        api.get_opt(name)
            .await
            .map_err(Error::api("read the Backup"))
    }

    /// A Backup, as the cache has it or else as it is now; `None` if it is absent, or has another UID than this.
    pub(super) async fn find_backup(
        &self,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<Option<Backup>, Error> {
        let same = |backup: &Backup| uid.is_none() || backup.metadata.uid.as_deref() == uid;
        if let Some(found) = cached(&self.context.cache, namespace, name).filter(same) {
            return Ok(Some(found));
        }
        Ok(self.read_backup(namespace, name).await?.filter(same))
    }
}
