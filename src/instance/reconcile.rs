//! The loop of an instance: reach its server, inspect it, and tell the databases.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::inspect::inspect;
use super::observe::{Observation, observe};
use super::pass::Pass;
use super::release::release;
use super::state::{self, Basis, Next};
use super::transition::{self, Conclusion};
use crate::api::{DatabaseInstance, InstanceReason};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::{self, Context, Error, Reconcile};
use crate::server::registry::{Availability, Entry};

/// How often the Secrets are read and the Databases counted again.
const REFRESH: Duration = Duration::from_secs(30);
/// How soon an instance that cannot be used is looked at again; its breaker, and what it refused, decide whether it is
/// asked then.
const SOON: Duration = Duration::from_secs(2);
/// How soon it is looked again whether the Databases have been read.
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
        let mut pass = Pass::begin(context, self);
        let Some(mut seen) = observe(&pass).await? else {
            return Ok(Action::requeue(UNREAD_REST));
        };
        loop {
            match state::next(&seen.facts) {
                Next::Release => {
                    release(&pass).await?;
                    return Ok(Action::await_change());
                }
                Next::AddFinalizer => {
                    pass.add_finalizer().await?;
                    seen.facts.finalizer = true;
                }
                Next::Inspect => inspect(&pass, &mut seen).await,
                Next::Rest(basis) => return conclude(&mut pass, &seen, basis).await,
            }
        }
    }
}

/// Ends a pass: writes the status, and tells the databases what concerns them.
async fn conclude(pass: &mut Pass<'_>, seen: &Observation, basis: Basis) -> Result<Action, Error> {
    let context = pass.context;
    let now = Timestamp::now();
    let conclusion = transition::conclude(&pass.instance, &context.cluster_id, seen, basis, now);
    pass.report(&conclusion.status).await?;
    publish(pass, availability(seen, &conclusion));
    let again = match conclusion.finding.0 {
        InstanceReason::Connected | InstanceReason::Suspended => REFRESH.min(context.resync),
        InstanceReason::Checking
        | InstanceReason::Unreachable
        | InstanceReason::ReadOnly
        | InstanceReason::TooManyConnections
        | InstanceReason::InUse
        | InstanceReason::CredentialsMissing
        | InstanceReason::LoginFailed
        | InstanceReason::TlsFailed
        | InstanceReason::TlsRequired
        | InstanceReason::UnsupportedVersion
        | InstanceReason::MissingPrivileges
        | InstanceReason::IdentityChanged
        | InstanceReason::ClaimsUnusable => SOON,
    };
    let again = backoff::spread_evenly(again, rand::random());
    Ok(Action::requeue(again))
}

/// Whether databases may use the server.
fn availability(seen: &Observation, conclusion: &Conclusion) -> Availability {
    let (reason, message) = &conclusion.server;
    match &seen.known.fresh {
        Some(server) if *reason == InstanceReason::Connected => {
            Availability::Usable(Arc::clone(server))
        }
        Some(_) | None => Availability::Unusable {
            reason: *reason,
            message: message.clone(),
        },
    }
}

/// Notes what is known of the instance, and wakes its databases and the backups that wait, if that concerns them.
fn publish(pass: &Pass<'_>, availability: Availability) {
    let (context, name) = (pass.context, pass.name());
    let entry = Entry {
        object: Arc::new(pass.instance.clone()),
        availability,
    };
    if context.instances.put(&name, entry) {
        for database in context.cache.databases_on(&name) {
            context.triggers.databases.send(&database);
        }
        context.triggers.waiting_backups.notify_one();
    }
}
