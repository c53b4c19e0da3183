//! One pass over an instance: what it holds, and how it writes.

use kube::{Api, ResourceExt};

use crate::api::DatabaseInstance;
use crate::api::instance::DatabaseInstanceStatus;
use crate::controller::status::{When, write};
use crate::controller::{Context, Error, finalizer};

/// Writes the status of a `DatabaseInstance`.
const MANAGER: &str = "db-operator-instance";

/// A `DatabaseInstance` in the course of a pass.
pub struct Pass<'a> {
    /// What every pass can use.
    pub context: &'a Context,
    /// The object as it was read, or as it was last written.
    pub instance: DatabaseInstance,
}

impl<'a> Pass<'a> {
    /// Begins a pass.
    pub fn begin(context: &'a Context, instance: &DatabaseInstance) -> Self {
        Self {
            context,
            instance: instance.clone(),
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.instance.name_any()
    }

    /// Its status; an empty one if it has none.
    pub fn status(&self) -> DatabaseInstanceStatus {
        self.instance.status.clone().unwrap_or_default()
    }

    /// All objects of its kind.
    pub fn api(&self) -> Api<DatabaseInstance> {
        Api::all(self.context.client.clone())
    }

    /// Puts the finalizer on: an instance cannot go while Databases refer to it.
    pub async fn add_finalizer(&mut self) -> Result<(), Error> {
        self.instance = finalizer::add(&self.api(), &self.instance).await?;
        Ok(())
    }

    /// Writes the status; nothing where nothing changed.
    pub async fn report(&mut self, next: &DatabaseInstanceStatus) -> Result<(), Error> {
        let written = write(&self.api(), MANAGER, &self.instance, next, When::Unchanged).await?;
        if let Some(written) = written {
            self.instance = written;
        }
        Ok(())
    }
}
