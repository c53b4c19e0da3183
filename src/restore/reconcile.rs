//! The loop of a pass over a Restore: observe, then take every step that follows, and do what the last state asks for.

use std::sync::Arc;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::observe::{Found, Observation, observe};
use super::remembered::About;
use super::schedule::{self, Begun};
use super::state::{self, Act, Cause, Next, Step};
use super::transition::{self, Entering};
use super::{
    Context, Pass, cleanup, database_ref, follow, former, pending, prepare, slot, status, sweep,
    switch, trial, undo, wake,
};
use crate::api::conditions::whole_seconds;
use crate::api::{Report, Restore, RestoreReason, RestoreState};
use crate::client::lenient::Readable;
use crate::controller::{self, Acted, Error, Outcome, Reconcile};
use crate::job::watch;
use crate::queue::Queues;
use crate::queue::pass_queue::{PassQueue, Want};

/// Looks after all restores until `stop`.
pub async fn run(
    controller: Controller<Readable<Restore>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let known = Arc::clone(&context);
    let invalidate = move |uid: &str| known.revisit.invalidate(uid);
    let woken = invalidate.clone();
    let triggers = context
        .triggers
        .restores
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

impl Reconcile for Restore {
    const KIND: &'static str = "Restore";

    type Context = Context;

    fn not_yet(&self, context: &Context) -> Option<Action> {
        schedule::not_yet(context, self)
    }

    fn queue(queues: &Queues) -> Option<&PassQueue> {
        Some(&queues.restores)
    }

    fn want(&self, context: &Context) -> Want {
        Want {
            tenant: self.namespace().unwrap_or_default().into(),
            instance: database_ref::instance(context, self).into(),
            urgent: schedule::is_urgent(self),
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
    restore: &Restore,
    begun: &mut Begun,
) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, restore, ());
    pass.restore_finalizer(restore.is_active()).await?;
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
            Acted::Ends(outcome) => {
                begun.about = About::of(&pass.object);
                return Ok(outcome);
            }
        }
    }
}

/// Does what a state asks for; what it finds is noted in `seen`.
async fn perform(
    pass: &mut Pass<'_>,
    act: Act,
    seen: &mut Observation,
) -> Result<Acted<RestoreReason>, Error> {
    Ok(match act {
        Act::Prepare => prepare::perform(pass, seen).await,
        Act::Follow => follow::perform(pass, seen).await,
        Act::Switch => switch::perform(pass, seen).await,
        Act::CleanUp => cleanup::perform(pass, seen).await?,
        Act::Undo => {
            seen.undo = false;
            undo::perform(pass).await?
        }
        Act::DropFormer => {
            seen.former_due = false;
            former::perform(pass).await?
        }
        Act::Release => {
            pass.remove_finalizer().await?;
            trial::tell_who_waits(pass);
            Acted::Ends(status::over(pass))
        }
    })
}

/// Persists the state that follows, with all that belongs to it. From now on the pass is about that state.
async fn persist(
    pass: &mut Pass<'_>,
    step: Step,
    seen: &mut Observation,
    begun: &mut Begun,
) -> Result<Acted<RestoreReason>, Error> {
    let Some(to) = step.to else {
        pass.remove_finalizer().await?;
        // It may wait for that, to begin with another one or to go itself.
        wake::database(pass.context, &pass.object);
        trial::tell_who_waits(pass);
        return Ok(Acted::Ends(Outcome::Over));
    };
    if let (RestoreState::Preparing, Some(ready)) = (to, &seen.ready)
        && let Err(blocked) = slot::take(pass, &ready.begun.target.instance, ready.most)
    {
        return Ok(Acted::Ends(status::wait(pass, blocked).await?));
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let context = pass.context;
    let was = pass.state();
    let entered = enter(pass, to, step.because, seen).await;
    if entered.is_err() && to == RestoreState::Preparing {
        context.slots.give_back(&pass.uid());
    }
    entered?;
    begun.about = About::of(&pass.object);
    context.queues.turns.withdraw(&pass.uid());
    if to.is_terminal() {
        // One that was done before, or refused, made nothing.
        seen.cleaned = was.is_none();
        context.slots.give_back(&pass.uid());
        wake::waiting(context);
    }
    wake::database(context, &pass.object);
    Ok(Acted::Done)
}

async fn enter(
    pass: &mut Pass<'_>,
    to: RestoreState,
    because: Cause,
    seen: &mut Observation,
) -> Result<(), Error> {
    if to == RestoreState::Preparing {
        let at = pass.state();
        pass.add_finalizer().await?;
        if pass.state() != at || pass.is_deleting() {
            return Err(Error::changed("begin the restore"));
        }
    }
    let now = whole_seconds(Timestamp::now());
    let entering = entering(to, because, seen);
    let queries = pass.object.spec.check.queries.len();
    let keep = keep(pass);
    let next = transition::status(pass.next_status(), &entering, keep, queries, now);
    let (reason, message) = status::entering(&next, &entering);
    pass.report(next, &Report::new(reason, message.clone()))
        .await?;
    status::record_end(pass, reason, message).await;
    Ok(())
}

/// How long a database that is replaced is kept, as its instance allows now.
fn keep(pass: &Pass<'_>) -> SignedDuration {
    let name = database_ref::instance(pass.context, &pass.object);
    let settings = pass
        .context
        .instances
        .get(&name)
        .map(|entry| entry.object.spec.effective_restore());
    let most = settings.unwrap_or_default().effective_max_keep_replaced();
    pass.object.spec.effective_keep_replaced(most)
}

/// What is known of a Restore that enters a state.
fn entering(to: RestoreState, because: Cause, seen: &mut Observation) -> Entering {
    match to {
        RestoreState::Preparing => {
            let ready = seen.ready.take();
            Entering::Preparing(ready.map(|ready| Box::new(ready.begun)))
        }
        RestoreState::Loading => Entering::Loading(match &seen.found {
            Found::Loading(job) => job.clone(),
            Found::NotRunning
            | Found::Checking
            | Found::Loaded(_)
            | Found::Switched(_)
            | Found::DoneBefore(_)
            | Found::Failed(_) => None,
        }),
        RestoreState::Checking => Entering::Checking,
        RestoreState::Switching => Entering::Switching(match &seen.found {
            Found::Loaded(loaded) => Some(loaded.clone()),
            Found::NotRunning
            | Found::Loading(_)
            | Found::Checking
            | Found::Switched(_)
            | Found::DoneBefore(_)
            | Found::Failed(_) => None,
        }),
        RestoreState::Completed => match &seen.found {
            Found::DoneBefore(before) => Entering::DoneBefore(Some(before.clone())),
            Found::Switched(switched) => Entering::Completed(Some(switched.clone())),
            // Only a test ends with that.
            Found::Loaded(loaded) => Entering::Tested(Some(loaded.clone())),
            Found::NotRunning | Found::Loading(_) | Found::Checking | Found::Failed(_) => {
                Entering::Completed(None)
            }
        },
        RestoreState::Failed => Entering::Failed(transition::failure(because, &seen.found)),
    }
}
