//! What an observation of an instance may use. Everything in here reads: what is handed a [`View`] alone changes nothing.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;

use crate::api::{Database, DatabaseInstance, Restore};
use crate::client::lenient::Readable;
use crate::controller::{Context, Error};
use crate::server::access::{self, Access, Incomplete};
use crate::server::connections::Known;
use crate::server::refusal::SpecFingerprint;

/// An instance, and ways to read what is known of it. Its fields are private, because a client can write, too.
pub(super) struct View<'a> {
    context: &'a Context,
    instance: &'a DatabaseInstance,
}

impl<'a> View<'a> {
    /// What may be read for this instance.
    pub(super) fn new(context: &'a Context, instance: &'a DatabaseInstance) -> Self {
        Self { context, instance }
    }

    /// The object.
    pub(super) fn instance(&self) -> &'a DatabaseInstance {
        self.instance
    }

    /// Every Database, as the cache has it; `None` until they have been read.
    pub(super) fn databases(&self) -> Option<Vec<Arc<Readable<Database>>>> {
        self.context.cache.all_databases()
    }

    /// Every Restore, as the cache has it; `None` until they have been read.
    pub(super) fn restores(&self) -> Option<Vec<Arc<Readable<Restore>>>> {
        self.context.cache.all_restores()
    }

    /// How the server is reached, or what is missing for that. Client required.
    pub(super) async fn access(&self) -> Result<Result<Access, Incomplete>, Error> {
        let Context {
            client, namespace, ..
        } = self.context;
        Ok(access::read(client, namespace, self.instance).await?)
    }

    /// What is known of the server that is reached like this, without asking it.
    pub(super) fn known(&self, access: &Access) -> Known {
        self.context.connections.known(
            &self.instance.name_any(),
            access,
            &SpecFingerprint::of(self.instance),
            self.context.resync,
            Instant::now(),
        )
    }
}
