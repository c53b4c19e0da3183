//! What the controllers of all kinds have in common: a kind's module says what one reconcile does,
//! this one says when, how many at a time, and what follows from a failure.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::backoff::{self, Key};
use crate::client::lenient::Readable;
pub use crate::context::Context;
use crate::error::Error;
use crate::watch;

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
    Controller::for_stream(objects, store)
        .with_config(controller::Config::default().concurrency(context.concurrency))
}

/// Who set which field is nearly all of an object's memory, and nobody here asks for it.
pub fn forget_managers<K: Resource>(object: &mut K) {
    object.meta_mut().managed_fields = None;
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
            _ = objects.wait_until_ready() => std::future::pending::<()>().await,
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
    async {
        let Some(object) = guarded.ok() else {
            // Its watch has said so.
            return Ok(Action::await_change());
        };
        let started = Instant::now();
        let (result, looked) = match object.not_yet(&context) {
            Some(action) => (Ok(action), false),
            None => (object.reconcile(&context).await, true),
        };
        let failure = result.as_ref().err().map(Error::reason);
        context
            .metrics
            .reconciled(K::KIND, started.elapsed(), failure);
        if looked && result.is_ok() {
            context.failures.forget(&key::<K>(guarded.as_ref()));
        }
        result
    }
    .instrument(span)
    .await
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

/// Logs what a controller could not do.
fn report<K: Reconcile>(error: &controller::Error<Error, watcher::Error>, context: &Context) {
    match error {
        // It was deleted between being queued and being looked at.
        controller::Error::ObjectNotFound(object) => context.failures.forget(&(
            K::KIND,
            object.namespace.clone().unwrap_or_default(),
            object.name.clone(),
        )),
        controller::Error::ReconcilerFailed(error, object) => {
            tracing::warn!(kind = K::KIND, namespace = object.namespace, name = object.name, reason = error.reason(), %error, "failed, trying again");
        }
        controller::Error::QueueError(error) => {
            tracing::warn!(kind = K::KIND, %error, "cannot watch, trying again");
        }
        controller::Error::RunnerError(error) => {
            tracing::warn!(kind = K::KIND, %error, "the queue failed, trying again");
        }
    }
}
