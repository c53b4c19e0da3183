//! The loop of a pass over an instance: observe, then do what follows, report, and tell the databases.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::inspect::inspect;
use super::observe::{Observation, observe};
use super::pass::Pass;
use super::release::release;
use super::state::{self, Act, Basis, Next};
use super::transition::{self, Conclusion};
use crate::api::{DatabaseInstance, InstanceReason, Report};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::{self, Acted, Context, Error, Outcome, Reconcile};
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
        let outcome = reconcile(context, self).await?;
        Ok(outcome.action(context.resync))
    }
}

/// One pass: does what follows from what was observed, until nothing does.
async fn reconcile(context: &Arc<Context>, instance: &DatabaseInstance) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, instance, ());
    let Some(mut seen) = observe(&pass.view()).await? else {
        return Ok(Outcome::Again(UNREAD_REST));
    };
    loop {
        let acted = match state::next(&seen.facts) {
            Next::Act(act) => perform(&mut pass, act, &mut seen).await?,
            Next::Rest(basis) => Acted::Ends(conclude(&mut pass, &seen, basis).await?),
        };
        match acted {
            Acted::Done => {}
            // What is in the way of an instance is what its conditions say of the server.
            Acted::Blocked(never) => match never.reason {},
            Acted::Ends(outcome) => return Ok(outcome),
        }
    }
}

/// Does what follows; what it finds is noted in `seen`.
async fn perform(
    pass: &mut Pass<'_>,
    act: Act,
    seen: &mut Observation,
) -> Result<Acted<Infallible>, Error> {
    match act {
        Act::AddFinalizer => {
            pass.add_finalizer().await?;
            seen.facts.finalizer = true;
            Ok(Acted::Done)
        }
        Act::Inspect => {
            inspect(pass, seen).await;
            Ok(Acted::Done)
        }
        Act::Release => {
            release(pass).await?;
            Ok(Acted::Ends(Outcome::Over))
        }
    }
}

/// Ends a pass: reports, and tells the databases what concerns them.
async fn conclude(pass: &mut Pass<'_>, seen: &Observation, basis: Basis) -> Result<Outcome, Error> {
    let context = pass.context;
    let conclusion = transition::conclude(&pass.object, &context.cluster_id, seen, basis);
    let (reason, message) = conclusion.finding.clone();
    let report = Report::new(reason, message);
    pass.report(conclusion.status.clone(), &report).await?;
    publish(pass, availability(seen, &conclusion));
    let again = match reason {
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
        | InstanceReason::UnsuitableSettings
        | InstanceReason::IdentityChanged
        | InstanceReason::ClaimsUnusable => SOON,
    };
    Ok(Outcome::Again(backoff::spread_evenly(
        again,
        rand::random(),
    )))
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
        object: Arc::new(pass.object.clone()),
        availability,
    };
    if context.instances.put(&name, entry) {
        for database in context.cache.databases_on(&name) {
            context.triggers.databases.send(&database);
        }
        context.triggers.waiting_backups.notify_one();
        context.triggers.waiting_restores.notify_one();
    }
}
