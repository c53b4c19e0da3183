//! An instance as one namespace may use it: the only place that says whether a Database has a server, and which.

use std::sync::Arc;

use kube::Client;

use super::Server;
use super::permission;
use super::registry::{Entry, Instances};
use super::resolve::{self, Unusable};
use crate::api::DatabaseInstance;
use crate::client::ApiError;
use crate::telemetry::failures::FailureLog;

/// An instance as one namespace may use it.
#[derive(Clone)]
pub struct Tenancy {
    instance: String,
    namespace: String,
    entry: Option<Entry>,
    allowed: bool,
}

impl Tenancy {
    /// Looks the instance up. Client required only where it selects namespaces by label.
    pub async fn read(
        instances: &Instances,
        client: &Client,
        failure_log: &FailureLog,
        instance: &str,
        namespace: &str,
    ) -> Result<Self, ApiError> {
        let entry = instances.get(instance);
        let allowed = match &entry {
            Some(entry) => {
                permission::is_allowed(client, failure_log, &entry.object, namespace).await?
            }
            None => false,
        };
        Ok(Self {
            instance: instance.to_owned(),
            namespace: namespace.to_owned(),
            entry,
            allowed,
        })
    }

    /// What is known of the instance; `None` if it does not exist, or has not been looked at yet.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Whether the instance is known and does not accept this namespace. An instance that is not known forbids nothing.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.entry.is_some() && !self.allowed
    }

    /// The server, for a Database of this namespace that is held by the server `holder`, if by any.
    pub fn server_for(
        &self,
        holder: Option<&str>,
    ) -> Result<(Arc<DatabaseInstance>, Arc<Server>), Unusable> {
        let entry = resolve::find(&self.instance, self.entry.as_ref())?;
        let server =
            resolve::resolve(&self.instance, entry, &self.namespace, self.allowed, holder)?;
        Ok((Arc::clone(&entry.object), server))
    }

    /// The server `holder`, whether or not this namespace may use it: for removing what the operator made there for it.
    pub fn server_that_holds(
        &self,
        holder: &str,
    ) -> Result<(Arc<DatabaseInstance>, Arc<Server>), Unusable> {
        let entry = resolve::find(&self.instance, self.entry.as_ref())?;
        let server = resolve::resolve(&self.instance, entry, &self.namespace, true, Some(holder))?;
        Ok((Arc::clone(&entry.object), server))
    }

    /// The server, whether or not this namespace may use it: for giving up what is held there.
    pub fn server(&self) -> Result<&Server, Unusable> {
        let entry = resolve::find(&self.instance, self.entry.as_ref())?;
        Ok(resolve::usable(&self.instance, entry)?)
    }
}
