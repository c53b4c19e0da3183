//! What the controllers of all kinds have in common: a kind's module says what one reconcile does,
//! this one says when, how many at a time, and what follows from a failure.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kube::core::DynamicObject;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::backoff::{self, Key};
use crate::client::lenient::Readable;
pub use crate::context::Context;
use crate::context::until_read;
use crate::error::Error;
use crate::queue::caller::Caller;
use crate::queue::turns::{Key as Waiting, Place, Turns, Want};
use crate::watch;
use crate::watchdog;

/// A kind that has a controller.
pub trait Reconcile:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// The kind, as metrics and logs name it.
    const KIND: &'static str;

    /// When an object is to be looked at, if not now. Asked first; what it answers is no success, so that the failures
    /// before it still count.
    fn not_yet(&self, _context: &Context) -> Option<Action> {
        None
    }

    /// Where passes wait for their turn; none for a kind that namespaces do not share.
    fn turns(_context: &Context) -> Option<&Turns> {
        None
    }

    /// For whom a pass over this object is.
    fn want(&self, _context: &Context) -> Want {
        Want::default()
    }

    /// Brings the world one step closer to what this object says.
    fn reconcile(&self, context: &Context) -> impl Future<Output = Result<Action, Error>> + Send;
}

/// The controller of a kind, with concurrency and limits set; what else it watches is added to it.
#[must_use]
pub fn watching<K: Reconcile>(context: &Context) -> Controller<Readable<K>> {
    let (store, writer) = reflector::store();
    let objects = watch::objects::<K>(context, K::KIND, watcher::Config::default())
        .reflect(writer)
        .applied_objects();
    let controller = Controller::for_stream(objects, store);
    let config = controller::Config::default();
    match K::turns(context) {
        // Nobody waits in here: whose turn it is, is decided there.
        Some(turns) => controller.with_config(config.concurrency(0)).reconcile_on(
            turns
                .calls()
                .map(|called| ObjectRef::new(&called.name).within(&called.namespace)),
        ),
        None => controller.with_config(config.concurrency(context.concurrency)),
    }
}

/// Runs a controller until `stop`; what has begun by then is finished.
pub async fn run<K: Reconcile>(
    controller: Controller<Readable<K>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let objects = controller.store();
    let results = controller
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            reconcile_one,
            |object, error, context| on_error(&object, error, &context),
            Arc::clone(&context),
        )
        .for_each(|result| {
            if let Err(error) = result {
                report::<K>(&error, &context);
            }
            std::future::ready(())
        });
    // A controller that has not read its objects yet waits for them before it stops, however long that
    // takes. It has begun nothing, so it is not waited for.
    let stopped_before_reading = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = until_read(&objects) => std::future::pending::<()>().await,
        }
    };
    tokio::select! {
        () = results => {}
        () = stopped_before_reading => {}
    }
}

/// One reconcile, counted and with a span for its log lines.
async fn reconcile_one<K: Reconcile>(
    guarded: Arc<Readable<K>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let span = tracing::info_span!(
        "reconcile",
        kind = K::KIND,
        namespace = guarded.namespace().unwrap_or_default(),
        name = guarded.name_any()
    );
    let metrics = context.metrics.clone();
    let log = span.clone();
    let pass = async {
        // Whoever was called and does not need its place gives it to the next.
        let called = called::<K>(&context, guarded.as_ref());
        let Some(object) = guarded.ok() else {
            // Its watch has said so.
            return Ok(Action::await_change());
        };
        let started = Instant::now();
        let key = key::<K>(guarded.as_ref());
        let too_soon = || context.failures.rest(&key, started).map(Action::requeue);
        let (result, looked) = match object.not_yet(&context).or_else(too_soon) {
            Some(action) => (Ok(action), false),
            None => match turn(object, &context, called) {
                // The call that follows is a reconcile of its own.
                Err(Waits) => (Ok(Action::await_change()), false),
                Ok(place) => (pass(object, &context, place).await, true),
            },
        };
        let failure = result.as_ref().err().map(Error::reason);
        context
            .metrics
            .reconciled(K::KIND, started.elapsed(), failure);
        if looked && result.is_ok() {
            context.failures.worked(&key);
            context.failure_log.worked(&key);
        }
        result
    };
    watchdog::watched(pass.instrument(span), |longest| {
        metrics.polled(K::KIND, longest);
        if longest > watchdog::LIMIT {
            log.in_scope(|| tracing::warn!(?longest, "a reconcile held a thread for too long"));
        }
    })
    .await
}

/// A place for a pass over this object has to be waited for. Nothing else is done about it meanwhile.
struct Waits;

/// The place that an object was called to.
fn called<K: Reconcile>(context: &Context, object: &impl ResourceExt) -> Option<Place> {
    K::turns(context)?.come(&waiting(object.namespace(), &object.name_any()))
}

fn waiting(namespace: Option<String>, name: &str) -> Waiting {
    Waiting {
        namespace: namespace.unwrap_or_default().into(),
        name: name.into(),
    }
}

/// The right to begin a pass; no place is needed where nobody shares them.
fn turn<K: Reconcile>(
    object: &K,
    context: &Context,
    called: Option<Place>,
) -> Result<Option<Place>, Waits> {
    let Some(turns) = K::turns(context) else {
        return Ok(None);
    };
    if called.is_some() {
        return Ok(called);
    }
    let key = waiting(object.namespace(), &object.name_any());
    turns.ask(&key, object.want(context)).map(Some).ok_or(Waits)
}

/// One pass, at its place and for its namespace. In memory of its own: what waits needs none.
async fn pass<K: Reconcile>(
    object: &K,
    context: &Context,
    place: Option<Place>,
) -> Result<Action, Error> {
    let Some(_place) = place else {
        return Box::pin(object.reconcile(context)).await;
    };
    let Want {
        tenant, instance, ..
    } = object.want(context);
    let suspects = &context.queues.suspects;
    let suspect = suspects.has(&instance, &tenant, Instant::now());
    let caller = Arc::new(Caller::new(Arc::clone(&tenant), suspect));
    let work = Box::pin(object.reconcile(context));
    let result = Arc::clone(&caller).scope(work).await;
    let failure = result.as_ref().err();
    let server_is_slow = failure.is_some_and(Error::is_of_server);
    if failure.is_some_and(Error::has_waited) || (caller.held_long() && !server_is_slow) {
        suspects.note(&instance, &tenant, Instant::now());
    }
    result
}

/// When to look again at an object that failed.
fn on_error<K: Reconcile>(object: &Readable<K>, error: &Error, context: &Context) -> Action {
    let failures = context.failures.failed(key::<K>(object));
    if error.is_retryable() {
        Action::requeue(backoff::delay(failures, rand::random()))
    } else {
        context.at_resync()
    }
}

/// Under which key failures of an object are counted.
pub fn key<K: Reconcile>(object: &impl ResourceExt) -> Key {
    (
        K::KIND,
        object.namespace().unwrap_or_default(),
        object.name_any(),
    )
}

/// The same of an object that is only named.
fn key_of<K: Reconcile>(object: &ObjectRef<DynamicObject>) -> Key {
    (
        K::KIND,
        object.namespace.clone().unwrap_or_default(),
        object.name.clone(),
    )
}

/// Logs what a controller could not do.
fn report<K: Reconcile>(error: &controller::Error<Error, watcher::Error>, context: &Context) {
    match error {
        // It was deleted between being queued and being looked at.
        controller::Error::ObjectNotFound(object) => {
            let key = key_of::<K>(object);
            context.failures.forget(&key);
            context.failure_log.forget(&key);
            let gone = waiting(object.namespace.clone(), &object.name);
            drop(K::turns(context).and_then(|turns| turns.come(&gone)));
        }
        controller::Error::ReconcilerFailed(error, object) => {
            context
                .failure_log
                .failed(&key_of::<K>(object), error.reason(), error);
        }
        controller::Error::QueueError(error) => {
            tracing::warn!(kind = K::KIND, %error, "cannot watch, trying again");
        }
        controller::Error::RunnerError(error) => {
            tracing::warn!(kind = K::KIND, %error, "the queue failed, trying again");
        }
    }
}
