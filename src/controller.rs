//! What the controllers of all kinds have in common: a kind's module says what one reconcile does,
//! this one says when, how many at a time, and what follows from a failure.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kube::core::{DeserializeGuard, DynamicObject};
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::backoff::{self, Key};
pub use crate::context::Context;
use crate::error::Error;
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

    /// Brings the world one step closer to what this object says.
    fn reconcile(&self, context: &Context) -> impl Future<Output = Result<Action, Error>> + Send;
}

/// Objects that are read at a time at the beginning. With all that is not kept they are ten times as large, and memory that
/// was needed once is not given back.
const PAGE: u32 = 100;

/// The controller of a kind, with concurrency and limits set; what else it watches is added to it.
///
/// Objects are watched behind a guard, so that one that cannot be read does not stop the others.
#[must_use]
pub fn watching<K: Reconcile>(context: &Context) -> Controller<DeserializeGuard<K>> {
    let (store, writer) = reflector::store();
    let api: Api<DeserializeGuard<K>> = Api::all(context.client.clone());
    let objects = watcher(api, watcher::Config::default().page_size(PAGE))
        .modify(forget_managers)
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
    controller: Controller<DeserializeGuard<K>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    context.health.reading(K::KIND);
    let objects = controller.store();
    let health = context.health.clone();
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
            read = objects.wait_until_ready() => {
                if read.is_ok() {
                    health.read(K::KIND);
                }
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = results => {}
        () = stopped_before_reading => {}
    }
}

/// One reconcile, counted and with a span for its log lines.
async fn reconcile_one<K: Reconcile>(
    guarded: Arc<DeserializeGuard<K>>,
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
        let object = match &guarded.0 {
            Ok(object) => object,
            Err(invalid) => {
                tracing::error!(error = %invalid, "the object cannot be read: is its CustomResourceDefinition of this version?");
                return Ok(Action::await_change());
            }
        };
        let started = Instant::now();
        let key = key::<K>(guarded.as_ref());
        let too_soon = || context.failures.rest(&key, started).map(Action::requeue);
        let (result, looked) = match object.not_yet(&context).or_else(too_soon) {
            Some(action) => (Ok(action), false),
            None => (object.reconcile(&context).await, true),
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

/// When to look again at an object that failed.
fn on_error<K: Reconcile>(
    object: &DeserializeGuard<K>,
    error: &Error,
    context: &Context,
) -> Action {
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
        }
        controller::Error::ReconcilerFailed(error, object) => {
            context
                .failure_log
                .failed(&key_of::<K>(object), error.reason(), error);
        }
        controller::Error::QueueError(error) => {
            tracing::warn!(kind = K::KIND, error = %watch_failure(error), "cannot watch, trying again");
        }
        controller::Error::RunnerError(error) => {
            tracing::warn!(kind = K::KIND, %error, "the queue failed, trying again");
        }
    }
}

/// The API server's own words where it has spoken, and what to do about the usual cause.
fn watch_failure(error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => return error.to_string(),
    };
    let hint = match status.code {
        404 => " (are the CustomResourceDefinitions installed? kubectl apply -k kustomize/crds)",
        403 => " (compare the operator's ClusterRole with kustomize/base/rbac.yaml)",
        _ => "",
    };
    format!("{}{hint}", status.message)
}
