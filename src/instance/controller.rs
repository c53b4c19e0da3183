//! The controller of instances.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Api;
use kube::runtime::controller::Action;
use tokio_util::sync::CancellationToken;

use crate::api::{DatabaseInstance, InstanceReason, Reason, Report};
use crate::controller::{self, Context, Reconcile};
use crate::error::Error;
use crate::status::{self, When};

/// Writes the status of a DatabaseInstance.
const MANAGER: &str = "db-operator-instance";

/// Looks after all instances until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let controller = controller::watching::<DatabaseInstance>(&context);
    controller::run(controller, context, stop).await;
}

impl Reconcile for DatabaseInstance {
    const KIND: &'static str = "DatabaseInstance";

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let generation = self.metadata.generation;
        let mut next = self.status.clone().unwrap_or_default();
        next.observed_generation = generation;
        let reason = InstanceReason::NotHandledYet;
        Report::new(reason, reason.meaning()).record(
            &mut next.conditions,
            generation,
            Timestamp::now(),
        );
        let api = Api::all(context.client.clone());
        status::write(&api, MANAGER, self, &next, When::Unchanged).await?;
        Ok(context.at_resync())
    }
}
