//! The controller of instances: reach the server, look at it, tell the databases.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::runtime::controller::{Action, Controller};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::dependents::Dependents;
use super::status;
use crate::api::instance::DatabaseInstanceStatus;
use crate::api::{ACKNOWLEDGE_IDENTITY, DatabaseInstance, FINALIZER, InstanceReason, Report};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::status::{When, write};
use crate::controller::trigger::Surveyed;
use crate::controller::{self, Context, Error, Reconcile, finalizer};
use crate::metrics::Metrics;
use crate::provider::{Inspection, Provider, ProviderError};
use crate::server::breaker::Breaker;
use crate::server::refusal::SpecFingerprint;
use crate::server::registry::{Availability, Entry};
use crate::server::{self, Finding, Server, ServerError, access};

/// Writes the status of a `DatabaseInstance`.
const MANAGER: &str = "db-operator-instance";
/// How often the Secrets are read and the Databases counted again.
const GLANCE: Duration = Duration::from_secs(30);
/// How soon an instance that does not answer is looked at again; its breaker, and what it refused, say whether it is asked.
const SOON: Duration = Duration::from_secs(2);
/// How soon it is looked again whether the Databases were read by now.
const UNREAD_REST: Duration = Duration::from_millis(250);

/// Looks after all instances until `stop`.
pub async fn run(
    controller: Controller<Readable<DatabaseInstance>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let controller = controller.reconcile_on(context.triggers.instances.stream());
    controller::run(controller, Arc::new(Arc::clone(&context)), stop).await;
    context.connections.close().await;
}

impl Reconcile for DatabaseInstance {
    const KIND: &'static str = "DatabaseInstance";

    type Context = Arc<Context>;

    async fn reconcile(&self, context: &Arc<Context>) -> Result<Action, Error> {
        let Some(databases) = context.cache.all_databases() else {
            // Nobody knows yet who refers to it.
            return Ok(Action::requeue(UNREAD_REST));
        };
        let dependents = Dependents::of(&self.name_any(), &databases);
        let mut next = self.status.clone().unwrap_or_default();
        next.cluster_id = Some(context.cluster_id.clone());
        next.databases = Some(i64::try_from(dependents.count()).unwrap_or(i64::MAX));

        if self.meta().deletion_timestamp.is_some() && dependents.is_empty() {
            context.connections.forget(&self.name_any()).await;
            context.instances.remove(&self.name_any());
            context.metrics.forget_instance(&self.name_any());
            finalizer::remove(&Api::all(context.client.clone()), self).await?;
            return Ok(Action::await_change());
        }
        let object = finalizer_added(&context.client, self).await?;

        let (availability, finding) = look(self, context, &mut next).await?;
        let finding = if self.meta().deletion_timestamp.is_some() {
            dependents.finding()
        } else {
            finding
        };
        let again = match finding.0 {
            InstanceReason::Connected | InstanceReason::Suspended => GLANCE.min(context.resync),
            _ => SOON,
        };
        report(&object, context, next, finding).await?;

        let entry = Entry {
            object: Arc::new(object),
            availability,
        };
        if context.instances.put(&self.name_any(), entry) {
            for database in context.cache.databases_on(&self.name_any()) {
                context.triggers.databases.send(&database);
            }
            context.triggers.waiting_backups.notify_one();
        }
        Ok(Action::requeue(backoff::spread_evenly(
            again,
            rand::random(),
        )))
    }
}

/// Looks at the server, if it is time to, and says whether it may be used. Client and server required.
async fn look(
    instance: &DatabaseInstance,
    context: &Context,
    status: &mut DatabaseInstanceStatus,
) -> Result<(Availability, Finding), Error> {
    let unusable = |(reason, message): Finding| {
        (
            Availability::Unusable {
                reason,
                message: message.clone(),
            },
            (reason, message),
        )
    };
    let name = instance.name_any();
    if instance.spec.suspend {
        let message =
            "spec.suspend is true: nothing is looked at or changed on this server".to_owned();
        return Ok(unusable((InstanceReason::Suspended, message)));
    }
    let access = match access::read(&context.client, &context.namespace, instance).await? {
        Ok(access) => access,
        Err(incomplete) => return Ok(unusable((incomplete.reason, incomplete.message))),
    };
    let ca = access.ca.clone();
    let (provider, breaker) = context
        .connections
        .open(&name, access, context.fence())
        .await;

    // While its databases use it again, the conditions may still say otherwise.
    let settled = matches!(
        current_finding(instance).0,
        InstanceReason::Connected | InstanceReason::InUse
    );
    let requested = requested(instance, status);
    if settled && let Some(server) = context.connections.fresh(&name, context.resync, requested) {
        return Ok((Availability::Usable(server), current_finding(instance)));
    }
    let (fingerprint, now) = (SpecFingerprint::of(instance), Instant::now());
    if let Some(said) = context.connections.refusal(&name, &fingerprint, now) {
        return Ok(unusable(said));
    }
    let acknowledged = instance
        .annotations()
        .get(ACKNOWLEDGE_IDENTITY)
        .map(String::as_str);
    provider.expect(status::expected(acknowledged, status));
    match inspect(&name, provider.as_ref(), &breaker, &context.metrics).await {
        Ok(found) => {
            handled(instance, status);
            let finding = status::of_inspection(&found, acknowledged, status);
            context.connections.note(&name, &finding, fingerprint, now);
            // What was acknowledged is known by now, or waits for the next look.
            provider.expect(status::expected(None, status));
            if finding.0 != InstanceReason::Connected {
                context.connections.withdraw(&name);
                return Ok(unusable(finding));
            }
            let server = context
                .connections
                .hand_out(&name, &found, ca, &context.metrics);
            survey(&name, Arc::clone(&server), context).await;
            Ok((Availability::Usable(server), finding))
        }
        Err(ServerError::Failed { source, .. }) => {
            if source.ends_process() {
                context.end_superseded(&source);
            }
            let finding = status::of_failure(&source);
            context.connections.note(&name, &finding, fingerprint, now);
            Ok(unusable(finding))
        }
        Err(ServerError::Paused { .. }) => Ok(unusable(match current_finding(instance) {
            (InstanceReason::Connected | InstanceReason::Checking, _) => (
                InstanceReason::Unreachable,
                "its databases found that the server does not answer; it is asked again soon"
                    .to_owned(),
            ),
            // What was said when it was asked last still holds.
            said => said,
        })),
    }
}

async fn inspect(
    name: &str,
    provider: &dyn Provider,
    breaker: &Mutex<Breaker>,
    metrics: &Metrics,
) -> Result<Inspection, ServerError> {
    fn question(provider: &dyn Provider) -> BoxFuture<'_, Result<Inspection, ProviderError>> {
        provider.inspect()
    }
    server::ask(name, provider, breaker, metrics, "inspect", question).await
}

/// One catalog query for all databases of a server; their controller looks at those that differ from it one by one.
async fn survey(instance: &str, server: Arc<Server>, context: &Context) {
    let about = ("Survey", String::new(), instance.to_owned());
    match server.take_survey().await {
        Ok(survey) => {
            context.failure_log.worked(&about);
            context.triggers.surveys.send(Surveyed {
                instance: instance.to_owned(),
                server,
                survey,
            });
        }
        // The databases ask for themselves then.
        Err(error) => {
            let error = Error::Server(error);
            context.failure_log.failed(&about, error.reason(), &error);
        }
    }
}

async fn report(
    instance: &DatabaseInstance,
    context: &Context,
    mut next: DatabaseInstanceStatus,
    (reason, message): Finding,
) -> Result<(), Error> {
    let generation = instance.metadata.generation;
    next.observed_generation = generation;
    Report::new(reason, message).record(&mut next.conditions, generation, Timestamp::now());
    write(
        &Api::all(context.client.clone()),
        MANAGER,
        instance,
        &next,
        When::Unchanged,
    )
    .await?;
    Ok(())
}

/// An instance cannot go while Databases refer to it; its finalizer is what keeps it.
async fn finalizer_added(
    client: &Client,
    instance: &DatabaseInstance,
) -> Result<DatabaseInstance, Error> {
    if instance.meta().deletion_timestamp.is_some()
        || instance.finalizers().iter().any(|name| name == FINALIZER)
    {
        return Ok(instance.clone());
    }
    Ok(finalizer::add(&Api::all(client.clone()), instance).await?)
}

/// Whether somebody asked for a look that was not taken yet.
fn requested(instance: &DatabaseInstance, status: &DatabaseInstanceStatus) -> bool {
    status.observed_generation != instance.metadata.generation
        || [crate::api::RECONCILE_REQUESTED_AT, ACKNOWLEDGE_IDENTITY]
            .into_iter()
            .any(|key| {
                instance
                    .annotations()
                    .get(key)
                    .is_some_and(|value| status.handled.get(key) != Some(value))
            })
}

fn handled(instance: &DatabaseInstance, status: &mut DatabaseInstanceStatus) {
    for key in [crate::api::RECONCILE_REQUESTED_AT, ACKNOWLEDGE_IDENTITY] {
        if let Some(value) = instance.annotations().get(key) {
            status.handled.insert(key.to_owned(), value.clone());
        }
    }
}

/// What the conditions say now.
fn current_finding(instance: &DatabaseInstance) -> Finding {
    use crate::api::Reason;
    let ready = instance
        .status
        .iter()
        .flat_map(|status| &status.conditions)
        .find(|condition| condition.type_ == crate::api::conditions::READY);
    let reason = ready.and_then(|ready| {
        InstanceReason::ALL
            .iter()
            .find(|reason| reason.as_str() == ready.reason)
    });
    match (ready, reason) {
        (Some(ready), Some(reason)) => (*reason, ready.message.clone()),
        (_, _) => (
            InstanceReason::Checking,
            "the server is being looked at".to_owned(),
        ),
    }
}
