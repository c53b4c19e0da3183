//! The loop of a pass over a Backup: observe, then take every step that follows, and do what the last state asks for; and
//! when a Backup is looked at.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::database_ref::BackupKind;
use super::observe::{Found, Observation, observe};
use super::remembered::About;
use super::state::{self, Act, Cause, Step};
use super::transition::{self, Entering};
use super::{
    Context, Pass, cleanup, commit, database_ref, follow, pending, slot, start, status, sweep, wake,
};
use crate::api::conditions::whole_seconds;
use crate::api::{Backup, BackupReason, BackupState, FINALIZER, Report};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::cache::Cache;
use crate::controller::{self, Acted, Error, Outcome, Reconcile, finalizer};
use crate::job::watch;
use crate::queue::Queues;
use crate::queue::turns::{Turns, Want};
use crate::watch::read;

/// A backup that failed to be looked at is not looked at sooner than this, whatever wakes it.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// How long a backup is not looked at that waited for somebody's lock: longer each time.
const DEAF: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

/// A backup whose instance is about to be looked at is not looked at before.
const UNSEEN_REST: Duration = Duration::from_secs(1);

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
        if context.remembered.is_news(self) {
            // Its Database reads the same cache.
            wake::database(context, self);
        }
        if let Some(rest) = rest(context, self, Instant::now()) {
            return Some(Action::requeue(rest));
        }
        (!is_ready(context) || is_instance_unseen(context, self))
            .then(|| Action::requeue(UNSEEN_REST))
    }

    fn turns(queues: &Queues) -> Option<&Turns> {
        Some(&queues.backups)
    }

    /// A final backup is its Database's namespace's, although it is in the operator's.
    fn want(&self, context: &Context) -> Want {
        let namespace = match BackupKind::of(self, &context.namespace) {
            Some(BackupKind::Final) => self.database_namespace(),
            Some(BackupKind::Ordinary) | None => self.namespace(),
        };
        Want {
            tenant: namespace.unwrap_or_default().into(),
            instance: database_ref::instance(context, self).into(),
            urgent: false,
        }
    }

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let uid = self.uid().unwrap_or_default();
        let revisit = &context.revisit;
        let began = Instant::now();
        let begun = revisit.begin(&uid);
        let result = reconcile(context, self).await;
        let resync = backoff::spread_evenly(context.resync, rand::random());
        let note = |due| revisit.note(&uid, About::of(self), due, begun);
        match &result {
            Ok(outcome) => match outcome.rest(resync) {
                // One that runs is woken by its own progress, too; one that waits by what it waits for alone.
                Some(rest) if self.is_active() => note(Instant::now() + rest),
                Some(_) => revisit.forget(&uid),
                None => {
                    revisit.forget(&uid);
                    if self.state().is_some_and(BackupState::is_terminal) {
                        context.remembered.forget(&uid);
                    }
                }
            },
            // Who waited for somebody's lock held a place for nothing, and stays away for a while.
            Err(error) if error.has_waited() => {
                let failures = context.failures.count(&controller::key::<Self>(self));
                let rest = backoff::delay_within(DEAF, failures.saturating_add(1), rand::random());
                note(Instant::now() + rest);
            }
            Err(_) => note(began + SHORTEST_REST),
        }
        Ok(result?.action(resync))
    }
}

/// How long nothing has to be done about a Backup that was not touched since: what its own status says is no reason.
fn rest(context: &Context, backup: &Backup, now: Instant) -> Option<Duration> {
    if finalizer::is_lost(&backup.metadata, backup.is_active()) {
        return None;
    }
    let uid = backup.metadata.uid.as_ref()?;
    context.revisit.rest(uid, &About::of(backup), now)
}

/// Whether the instance of a backup that began was not looked at yet since this process leads: then its store is not
/// known, and that is no reason to give the backup up.
fn is_instance_unseen(context: &Context, backup: &Backup) -> bool {
    let status = backup.status.as_ref();
    let ended = backup.state().is_some_and(BackupState::is_terminal)
        && !backup.finalizers().iter().any(|name| name == FINALIZER);
    status
        .and_then(|status| status.source.as_ref())
        .is_some_and(|source| !ended && context.is_unseen(&source.instance))
}

/// Whether all Databases and Backups are known, and all Jobs and pods: before that nothing can be said about turns and
/// slots, nor about what became of a backup.
fn is_ready(context: &Context) -> bool {
    let Cache {
        databases, backups, ..
    } = &context.cache;
    read(databases).is_some() && read(backups).is_some() && context.work.is_ready()
}

/// One pass: takes every step that follows, and does what the last state asks for.
async fn reconcile(context: &Context, backup: &Backup) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, backup, ());
    pass.restore_finalizer(backup.is_active()).await?;
    let mut seen = observe(&pass).await?;
    if let Some(blocked) = seen.unknown.take() {
        return status::stop(&mut pass, blocked).await;
    }
    pending::note(&pass, &seen);
    loop {
        let (at, facts) = (pass.state(), seen.facts());
        let acted = match state::next(at, &facts) {
            Some(step) => persist(&mut pass, step, &mut seen).await?,
            None => act(&mut pass, state::act(at, &facts), &mut seen).await?,
        };
        match acted {
            Acted::Done => {}
            Acted::Blocked(why) => return status::stop(&mut pass, why).await,
            Acted::Ends(outcome) => return Ok(outcome),
        }
    }
}

/// Does what a state asks for; what it finds is noted in `seen`.
async fn act(
    pass: &mut Pass<'_>,
    act: Act,
    seen: &mut Observation,
) -> Result<Acted<BackupReason>, Error> {
    Ok(match act {
        Act::Watch => {
            let waits = seen.waits.take().map(|waits| waits.blocked);
            Acted::Ends(status::wait(pass, waits).await?)
        }
        Act::Start => start::perform(pass, seen).await,
        Act::Follow => follow::perform(pass, seen).await,
        Act::Commit => commit::perform(pass, seen).await,
        Act::CleanUp => cleanup::perform(pass, seen).await?,
        Act::Release => {
            pass.remove_finalizer().await?;
            Acted::Ends(Outcome::Over)
        }
    })
}

/// Persists the state that follows, with all that belongs to it.
async fn persist(
    pass: &mut Pass<'_>,
    step: Step,
    seen: &mut Observation,
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
    let entered = enter(pass, to, step.because, seen).await;
    if entered.is_err() && to == BackupState::Starting {
        context.slots.give_back(&pass.uid());
    }
    entered?;
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
        BackupState::Starting => {
            let ready = seen.ready.take();
            Entering::Starting(ready.map(|ready| Box::new(ready.prerequisites.begun(pass, now))))
        }
        BackupState::BackingUp => Entering::BackingUp {
            job_name: pass.job_name(),
            job_uid: match &seen.found {
                Found::Running(uid) => Some(uid.clone()),
                Found::NotRunning
                | Found::Reported(_, _)
                | Found::Committed(_)
                | Found::Failed(_) => None,
            },
        },
        BackupState::Completed => Entering::Completed(match seen.found {
            Found::Committed(committed) => Some(committed),
            Found::NotRunning | Found::Running(_) | Found::Reported(_, _) | Found::Failed(_) => {
                None
            }
        }),
        BackupState::Failed => Entering::Failed(transition::failure(because, &seen.found)),
    }
}
