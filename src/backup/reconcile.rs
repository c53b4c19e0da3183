//! The loop of a pass over a Backup: observe, then take every step that follows, and do what the last state asks for.

use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::observe::{Found, Observation, observe};
use super::pending::Ready;
use super::remembered::About;
use super::schedule::{self, Begun};
use super::state::{self, Act, Cause, Next, Step};
use super::transition::{self, Entering};
use super::{
    Context, Pass, cleanup, commit, contents, database_ref, follow, pending, slot, start, status,
    sweep, wake,
};
use crate::api::conditions::whole_seconds;
use crate::api::{Backup, BackupReason, BackupState, Report};
use crate::client::lenient::Readable;
use crate::controller::{self, Acted, Error, Outcome, Reconcile};
use crate::job::watch;
use crate::queue::Queues;
use crate::queue::pass_queue::{PassQueue, Want};

/// Looks after all backups until `stop`.
pub async fn run(
    controller: Controller<Readable<Backup>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let known = Arc::clone(&context);
    let invalidate = move |uid: &str| known.revisit.invalidate(uid);
    let woken = invalidate.clone();
    let triggers = context
        .triggers
        .backups
        .stream()
        .inspect(move |object| woken(object.extra.uid.as_deref().unwrap_or_default()));
    let controller = controller.reconcile_on(triggers);
    let controller = watch::attach(controller, &context.watches, &context.work, invalidate);
    let sweeping = sweep::run(Arc::clone(&context), stop.clone());
    let waking = wake::waiting_when_told(Arc::clone(&context));
    let running = async { tokio::join!(controller::run(controller, context, stop), sweeping) };
    tokio::select! {
        ((), ()) = running => {}
        never = waking => match never {},
    }
}

impl Reconcile for Backup {
    const KIND: &'static str = "Backup";

    type Context = Context;

    fn not_yet(&self, context: &Context) -> Option<Action> {
        schedule::not_yet(context, self)
    }

    fn queue(queues: &Queues) -> Option<&PassQueue> {
        Some(&queues.backups)
    }

    /// A final backup is its Database's namespace's, although it is in the operator's.
    fn want(&self, context: &Context) -> Want {
        let of_database = self.database_key(&context.namespace);
        let namespace = of_database.map(|(namespace, _)| namespace.to_owned());
        Want {
            tenant: namespace
                .or_else(|| self.namespace())
                .unwrap_or_default()
                .into(),
            instance: database_ref::instance(context, self).into(),
            urgent: false,
        }
    }

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let mut begun = schedule::begin(context, self);
        let result = reconcile(context, self, &mut begun).await;
        schedule::end(context, self, begun, result)
    }
}

/// One pass: takes every step that follows, and does what the last state asks for.
async fn reconcile(
    context: &Context,
    backup: &Backup,
    begun: &mut Begun,
) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, backup, ());
    pass.restore_finalizer(backup.is_active()).await?;
    let mut seen = observe(&pass).await?;
    if let Some(blocked) = seen.unknown.take() {
        return status::stop(&mut pass, blocked).await;
    }
    pending::note(&pass, &seen);
    loop {
        let acted = match state::next(pass.state(), &seen.facts()) {
            Next::Step(step) => persist(&mut pass, step, &mut seen, begun).await?,
            Next::Act(act) => perform(&mut pass, act, &mut seen).await?,
            Next::Rest => Acted::Ends(status::rest(&mut pass, &mut seen).await?),
        };
        match acted {
            Acted::Done => {}
            Acted::Blocked(why) => return status::stop(&mut pass, why).await,
            Acted::Ends(outcome) => return Ok(outcome),
        }
    }
}

/// Does what a state asks for; what it finds is noted in `seen`.
async fn perform(
    pass: &mut Pass<'_>,
    act: Act,
    seen: &mut Observation,
) -> Result<Acted<BackupReason>, Error> {
    Ok(match act {
        Act::Start => start::perform(pass, seen).await,
        Act::Follow => follow::perform(pass, seen).await,
        Act::Commit => commit::perform(pass, seen).await,
        Act::CleanUp => cleanup::perform(pass, seen).await?,
        Act::Release => {
            pass.remove_finalizer().await?;
            status::bring_up_to_date(pass).await?;
            Acted::Ends(Outcome::Over)
        }
    })
}

/// Persists the state that follows, with all that belongs to it. From now on the pass is about that state.
async fn persist(
    pass: &mut Pass<'_>,
    step: Step,
    seen: &mut Observation,
    begun: &mut Begun,
) -> Result<Acted<BackupReason>, Error> {
    let Some(to) = step.to else {
        pass.remove_finalizer().await?;
        return Ok(Acted::Ends(Outcome::Over));
    };
    if let (BackupState::Starting, Some(ready)) = (to, &seen.ready)
        && let Err(blocked) = slot::take(pass, &ready.wants)
    {
        return Ok(Acted::Ends(status::wait(pass, Some(blocked)).await?));
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let context = pass.context;
    if step.because == Cause::TriedAgain {
        // Nobody will know the former Job any more. What was seen of it says nothing of the next, and must be gone also if
        // the answer to the write below is lost.
        cleanup::stop_job(pass).await?;
        context.remembered.forget(&pass.uid());
        context.windows.forget(&pass.uid());
    }
    let entered = enter(pass, to, step.because, seen).await;
    if entered.is_err() && to == BackupState::Starting {
        context.slots.give_back(&pass.uid());
    }
    entered?;
    begun.about = About::of(&pass.object);
    if step.because == Cause::TriedAgain {
        seen.found = Found::NotRunning;
    }
    if to.is_terminal() {
        context.windows.forget(&pass.uid());
        context.slots.give_back(&pass.uid());
        wake::waiting(context);
    }
    wake::database(context, &pass.object);
    Ok(Acted::Done)
}

async fn enter(
    pass: &mut Pass<'_>,
    to: BackupState,
    because: Cause,
    seen: &mut Observation,
) -> Result<(), Error> {
    if to == BackupState::Starting {
        let at = pass.state();
        pass.add_finalizer().await?;
        if pass.state() != at || pass.is_deleting() {
            return Err(Error::changed("begin the backup"));
        }
    }
    let now = whole_seconds(Timestamp::now());
    let entering = entering(pass, to, because, seen, now);
    let next = transition::status(pass.next_status(), &entering, now);
    let (reason, message) = status::entering(&next, &entering);
    pass.report(next, &Report::new(reason, message.clone()))
        .await?;
    status::record_end(pass, reason, message).await;
    Ok(())
}

/// What is known of a Backup that enters a state.
fn entering(
    pass: &Pass<'_>,
    to: BackupState,
    because: Cause,
    seen: &mut Observation,
    now: Timestamp,
) -> Entering {
    match to {
        BackupState::Starting => match &seen.found {
            Found::Passing(failure) => Entering::StartingAgain(failure.clone()),
            Found::NotRunning
            | Found::Running(_)
            | Found::Reported(_, _)
            | Found::Committed(_)
            | Found::Failed(_) => {
                let ready = seen.ready.take();
                let begun = |ready: Ready| ready.prerequisites.begun(pass, now, ready.inventory);
                Entering::Starting(ready.map(|ready| Box::new(begun(ready))))
            }
        },
        BackupState::BackingUp => Entering::BackingUp {
            job_name: pass.job_name(),
            job_uid: match &seen.found {
                Found::Running(uid) => Some(uid.clone()),
                Found::NotRunning
                | Found::Reported(_, _)
                | Found::Committed(_)
                | Found::Passing(_)
                | Found::Failed(_) => None,
            },
        },
        BackupState::Completed => Entering::Completed(match seen.found {
            Found::Committed(committed) => Some(committed),
            Found::NotRunning
            | Found::Running(_)
            | Found::Reported(_, _)
            | Found::Passing(_)
            | Found::Failed(_) => None,
        }),
        BackupState::Failed => {
            let failure = transition::failure(because, &seen.found);
            Entering::Failed(contents::explained(failure, pass.status()))
        }
    }
}
