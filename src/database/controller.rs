//! The controller of databases: when one is looked at.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio_util::sync::CancellationToken;

use super::memory::{About, Note};
use super::turn::{self, Told};
use super::walk::{End, walk};
use crate::api::{Database, DatabaseState};
use crate::backoff;
use crate::client::lenient::Readable;
use crate::controller::{self, Context, Reconcile};
use crate::error::Error;
use crate::queue::turns::{Turns, Want};
use crate::watch;

/// An object whose instance is about to be looked at is not looked at before.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// Looks after all databases until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let controller = controller::watching::<Database>(&context);
    let store = controller.store();
    // Set once, before anything is read from it.
    let _ = context.databases.set(store.clone());
    let every = watcher::Config::default();
    let namespaces = watch::objects::<PartialObjectMeta<Namespace>>(&context, "Namespace", every);
    let known = Arc::clone(&context);
    let controller = controller
        .reconcile_on(context.database_triggers.stream())
        // A label of a namespace may give or take the permission to use an instance.
        .watches_stream(namespaces.touched_objects(), move |namespace| {
            judged_by_labels(&known, &store, &namespace.name_any())
        });
    controller::run(controller, context, stop).await;
}

/// The Databases of a namespace whose instances select namespaces by label. What is remembered of them does not count
/// any more.
fn judged_by_labels(
    context: &Context,
    store: &Store<Readable<Database>>,
    namespace: &str,
) -> Vec<ObjectRef<Readable<Database>>> {
    let databases = store.state();
    let judged = databases.iter().filter(|guarded| {
        guarded.namespace().as_deref() == Some(namespace)
            && guarded
                .0
                .as_ref()
                .is_ok_and(|database| selects_by_label(context, database))
    });
    judged
        .map(|guarded| {
            context.memory.suspect(&guarded.uid().unwrap_or_default());
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

    fn not_yet(&self, context: &Context) -> Option<Action> {
        let uid = self.uid().unwrap_or_default();
        let instance = &self.spec.instance_ref.name;
        if let Some(rest) = context.memory.gone(&uid, Instant::now()) {
            return Some(Action::requeue(rest));
        }
        if context.memory.is_news(&uid, Told::of(self)) {
            turn::tell(context, self);
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
        Some(Action::requeue(turn::rest(self, rest)))
    }

    fn turns(context: &Context) -> Option<&Turns> {
        Some(&context.queues.databases)
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
        let suspicions = context.memory.suspicions(&uid);
        let about = about(context, self);
        let now = Instant::now();
        let deep = context.memory.is_deep_due(&uid, now);
        let result = walk(context, self, deep, context.memory.settled(&uid)).await;

        let resync = backoff::spread_evenly(context.resync, rand::random());
        let (rest, looked_deep, anew) = match &result {
            Ok(End::Gone) => {
                context.memory.let_go(&uid, now);
                turn::tell(context, self);
                return Ok(Action::await_change());
            }
            Ok(End::Settled { deep, anew }) => (resync, *deep, *anew),
            Ok(End::Stalled) => (resync, false, true),
            Ok(End::Later(rest)) => (*rest, false, true),
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
            suspicions,
            rest,
            deep_due: looked_deep.then_some(next_deep),
            first_deep,
            anew,
            oldest: now.checked_sub(context.resync * 2).unwrap_or(now),
            deaf,
        };
        context.memory.note(&uid, note, Instant::now());
        result.map(|_| Action::requeue(turn::rest(self, rest)))
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
    About::of(database, instance.as_ref(), turn::digest(context, database))
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
