//! The controller of backups.

use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use crate::api::{Backup, BackupReason, Reason, Report};
use crate::controller::{self, Context, Reconcile};
use crate::error::Error;
use crate::status::{self, When};

/// Writes the status of a Backup.
const MANAGER: &str = "db-operator-backup";

/// Looks after all backups until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let controller = controller::watching::<Backup>(&context);
    // Set once, before anything is read from it.
    let _ = context.backups.set(controller.store());
    let controller = controller.reconcile_on(context.backup_triggers.stream());
    controller::run(controller, context, stop).await;
}

impl Reconcile for Backup {
    const KIND: &'static str = "Backup";

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let generation = self.metadata.generation;
        let mut next = self.status.clone().unwrap_or_default();
        next.observed_generation = generation;
        let reason = BackupReason::NotHandledYet;
        Report::new(reason, reason.meaning()).record(
            &mut next.conditions,
            generation,
            Timestamp::now(),
        );
        let api = Api::namespaced(
            context.client.clone(),
            &self.namespace().unwrap_or_default(),
        );
        status::write(&api, MANAGER, self, &next, When::Unchanged).await?;
        Ok(context.at_resync())
    }
}
