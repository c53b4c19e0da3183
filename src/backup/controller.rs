//! The controller of backups: when one is looked at.

use std::convert::Infallible;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::database_ref::BackupKind;
use super::pass::wake_database;
use super::reconcile::{Outcome, due, reconcile};
use super::{Context, pending, sweep};
use crate::api::{Backup, BackupState, FINALIZER};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::cache::Cache;
use crate::controller::{self, Error, Reconcile};
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
    let invalidate = move |uid: &str| known.memory.invalidate(uid);
    let woken = invalidate.clone();
    let triggers = context
        .triggers
        .backups
        .stream()
        .inspect(move |object| woken(object.extra.uid.as_deref().unwrap_or_default()));
    let controller = controller.reconcile_on(triggers);
    let controller = watch::attach(controller, &context.watches, &context.work, invalidate);
    let sweeping = sweep::run(Arc::clone(&context), stop.clone());
    let waking = wake_waiting(Arc::clone(&context));
    let running = async { tokio::join!(controller::run(controller, context, stop), sweeping) };
    tokio::select! {
        ((), ()) = running => {}
        never = waking => match never {},
    }
}

/// Has those that wait looked at whenever an instance may be used again.
async fn wake_waiting(context: Arc<Context>) -> Infallible {
    loop {
        context.triggers.waiting_backups.notified().await;
        pending::wake_others(&context);
    }
}

impl Reconcile for Backup {
    const KIND: &'static str = "Backup";

    type Context = Context;

    fn not_yet(&self, context: &Context) -> Option<Action> {
        let memory = &context.memory;
        if memory.is_news(self) {
            // Its Database reads the same cache.
            wake_database(context, self);
        }
        if let Some(rest) = memory.rest(self, Instant::now()) {
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
            instance: pending::instance(context, self).into(),
            urgent: false,
        }
    }

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let uid = self.uid().unwrap_or_default();
        let memory = &context.memory;
        let now = Instant::now();
        let asked = memory.asked(&uid);
        let result = reconcile(context, self).await;
        let resync = backoff::spread_evenly(context.resync, rand::random());
        match &result {
            Ok(end) => match due(*end, resync) {
                // One that waits is woken by what it waits for; one that runs, by its own progress, too.
                Some(due) if self.is_active() => memory.note(self, due, asked),
                None if self.state().is_some_and(BackupState::is_terminal) => memory.forget(&uid),
                Some(_) | None => memory.invalidate(&uid),
            },
            // Who waited for somebody's lock held a place for nothing, and stays away for a while.
            Err(error) if error.has_waited() => {
                let failures = context.failures.count(&controller::key::<Self>(self));
                let rest = backoff::delay_within(DEAF, failures.saturating_add(1), rand::random());
                memory.note(self, Instant::now() + rest, asked);
            }
            Err(_) => memory.note(self, now + SHORTEST_REST, asked),
        }
        Ok(match result? {
            Outcome::Again(rest) => Action::requeue(rest),
            Outcome::Waits => Action::requeue(resync),
            // An end is an end: only a deletion follows, and that is a change.
            Outcome::Over => Action::await_change(),
        })
    }
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
