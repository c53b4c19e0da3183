//! The controller of databases: when one is looked at.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;

use super::backups::{self, Told};
use super::reconcile::{Outcome, reconcile};
use super::revisit::{About, Note};
use super::{Context, drift};
use crate::api::{Database, DatabaseState};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::{self, Error, Reconcile};
use crate::queue::Queues;
use crate::queue::turns::{Turns, Want};

/// An object whose instance is about to be looked at is not looked at before.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// Looks after all databases until `stop`.
pub async fn run(
    controller: Controller<Readable<Database>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let known = Arc::clone(&context);
    let triggers = context.triggers.databases.stream().inspect(move |object| {
        let uid = object.extra.uid.as_deref().unwrap_or_default();
        known.memory.invalidate(uid);
    });
    let every = watcher::Config::default();
    let namespaces = context
        .watches
        .objects::<PartialObjectMeta<Namespace>>("Namespace", every);
    let known = Arc::clone(&context);
    let controller = controller
        .reconcile_on(triggers)
        // A label of a namespace may give or take the permission to use an instance.
        .watches_stream(namespaces.touched_objects(), move |namespace| {
            judged_by_labels(&known, &namespace.name_any())
        });
    let comparing = compare(Arc::clone(&context));
    tokio::select! {
        () = controller::run(controller, context, stop) => {}
        () = comparing => {}
    }
}

/// Has the Databases looked at that differ from what was found when their server was looked at as a whole.
async fn compare(context: Arc<Context>) {
    let mut surveys = context.triggers.surveys.stream();
    // The context holds the other end: this goes on for as long as the controller runs.
    while let Some(surveyed) = surveys.next().await {
        for guarded in context.cache.databases_on(&surveyed.instance) {
            let Ok(database) = &guarded.0 else { continue };
            if drift::is_suspected(database, &surveyed.survey, &context.cluster_id)
                || drift::has_password_moved(database, &surveyed.survey, &surveyed.server)
            {
                context.triggers.databases.send(&guarded);
            }
        }
    }
}

/// The Databases of a namespace whose instances select namespaces by label. What is remembered of them does not count
/// any more.
fn judged_by_labels(context: &Context, namespace: &str) -> Vec<ObjectRef<Readable<Database>>> {
    let databases = context.cache.databases.state();
    let judged = databases.iter().filter(|guarded| {
        guarded.namespace().as_deref() == Some(namespace)
            && guarded
                .0
                .as_ref()
                .is_ok_and(|database| selects_by_label(context, database))
    });
    judged
        .map(|guarded| {
            context
                .memory
                .invalidate(&guarded.uid().unwrap_or_default());
            ObjectRef::from_obj(guarded.as_ref())
        })
        .collect()
}

fn selects_by_label(context: &Context, database: &Database) -> bool {
    context
        .instances
        .get(&database.spec.instance_ref.name)
        .is_some_and(|entry| entry.object.spec.allowed_namespaces.selector.is_some())
}

impl Reconcile for Database {
    const KIND: &'static str = "Database";

    type Context = Context;

    fn not_yet(&self, context: &Context) -> Option<Action> {
        let uid = self.uid().unwrap_or_default();
        let instance = &self.spec.instance_ref.name;
        if let Some(rest) = context.memory.gone(&uid, Instant::now()) {
            return Some(Action::requeue(rest));
        }
        if context.memory.is_news(&uid, Told::of(self)) {
            backups::wake(context, self);
        }
        if context.is_unseen(instance) {
            // Its databases are looked at once it was.
            return Some(Action::requeue(UNSEEN_REST));
        }
        let now = Instant::now();
        let deleting = self.metadata.deletion_timestamp.is_some();
        if let Some(deaf) = context.memory.deaf(&uid, deleting, now) {
            return Some(Action::requeue(deaf));
        }
        let about = about(context, self);
        let rest = context.memory.rest(&uid, &about, now)?;
        Some(Action::requeue(backups::rest(self, rest)))
    }

    fn turns(queues: &Queues) -> Option<&Turns> {
        Some(&queues.databases)
    }

    fn want(&self, _context: &Context) -> Want {
        Want {
            tenant: self.namespace().unwrap_or_default().into(),
            instance: self.spec.instance_ref.name.as_str().into(),
            urgent: is_urgent(self),
        }
    }

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let uid = self.uid().unwrap_or_default();
        let invalidations = context.memory.invalidations(&uid);
        let about = about(context, self);
        let now = Instant::now();
        let deep = context.memory.is_deep_due(&uid, now);
        let result = reconcile(context, self, deep, context.memory.settled(&uid)).await;

        let resync = backoff::spread_evenly(context.resync, rand::random());
        let (rest, looked_deep, anew) = match &result {
            Ok(Outcome::Gone) => {
                context.memory.let_go(&uid, now);
                backups::wake(context, self);
                return Ok(Action::await_change());
            }
            Ok(Outcome::Settled { deep, anew }) => (resync, *deep, *anew),
            Ok(Outcome::Stalled) => (resync, false, true),
            Ok(Outcome::Later(rest)) => (*rest, false, true),
            Err(_) => (rest_after_failure(context, self), false, true),
        };
        let deaf = match &result {
            Err(error) if error.has_waited() => deaf_for(context, self),
            Ok(_) | Err(_) => Duration::ZERO,
        };
        let next_deep = now + context.deep_resync;
        // A process that just began does not look deeply at everything at once.
        let first_deep = now + context.deep_resync.mul_f64(rand::random());
        let note = Note {
            about,
            invalidations,
            rest,
            deep_due: looked_deep.then_some(next_deep),
            first_deep,
            anew,
            oldest: now.checked_sub(context.resync * 2).unwrap_or(now),
            deaf,
        };
        context.memory.note(&uid, note, Instant::now());
        result.map(|_| Action::requeue(backups::rest(self, rest)))
    }
}

/// Whether somebody waits for what a pass does: a new Database, a changed spec, a deletion.
fn is_urgent(database: &Database) -> bool {
    let status = database.status.as_ref();
    database.metadata.deletion_timestamp.is_some()
        || matches!(database.state(), None | Some(DatabaseState::Creating))
        || status.and_then(|status| status.observed_generation) != database.metadata.generation
}

/// What a pass would be about now.
fn about(context: &Context, database: &Database) -> About {
    let instance = context.instances.get(&database.spec.instance_ref.name);
    About::of(
        database,
        instance.as_ref(),
        backups::digest(context, database),
    )
}

/// Who waited for somebody's lock held a place for nothing. It stays away for longer each time, whatever is asked for.
const DEAF: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_mins(1);

fn deaf_for(context: &Context, database: &Database) -> Duration {
    let before = context
        .failures
        .count(&controller::key::<Database>(database));
    backoff::delay_within(DEAF, before.saturating_add(1), rand::random())
}

/// An object that failed is not looked at sooner than it is tried again, unless something that it depends on changes:
/// that its own condition was written wakes it, too.
fn rest_after_failure(context: &Context, database: &Database) -> Duration {
    let before = context
        .failures
        .count(&controller::key::<Database>(database));
    backoff::delay(before.saturating_add(1), 0.0)
}
