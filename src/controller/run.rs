//! Runs the controller of a kind: when an object is looked at, and what follows from a failure.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::fairness::{self, Waits};
use super::{Error, Reconcile, key, watchdog};
use crate::backoff::{self, Key};
use crate::client::lenient::Readable;
use crate::queue::Queues;
use crate::watch::{Watches, until_read};

/// The controller of a kind, with concurrency and limits set; what else it watches is added to it.
#[must_use]
pub fn watching<K: Reconcile>(watches: &Watches, queues: &Queues) -> Controller<Readable<K>> {
    let (store, writer) = reflector::store();
    let objects = watches
        .objects::<K>(K::KIND, watcher::Config::default())
        .reflect(writer)
        .applied_objects();
    let controller = Controller::for_stream(objects, store);
    let config = controller::Config::default();
    match K::turns(queues) {
        // Nobody waits in here: whose turn it is, is decided there.
        Some(turns) => controller.with_config(config.concurrency(0)).reconcile_on(
            turns
                .calls()
                .map(|called| ObjectRef::new(&called.name).within(&called.namespace)),
        ),
        None => controller.with_config(config.concurrency(queues.concurrency)),
    }
}

/// Runs a controller until `stop`; what has begun by then is finished.
pub async fn run<K: Reconcile>(
    controller: Controller<Readable<K>>,
    context: Arc<K::Context>,
    stop: CancellationToken,
) {
    let objects = controller.store();
    let results = controller
        .graceful_shutdown_on(stop.clone().cancelled_owned())
        .run(
            reconcile_one::<K>,
            |object, error, context| on_error::<K>(&object, error, &context),
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
    context: Arc<K::Context>,
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
        let called = fairness::called::<K>(&context, guarded.as_ref());
        let Some(object) = guarded.ok() else {
            // Its watch has said so.
            return Ok(Action::await_change());
        };
        let started = Instant::now();
        let key = key::<K>(guarded.as_ref());
        let too_soon = || context.failures.rest(&key, started).map(Action::requeue);
        let (result, looked) = match object.not_yet(&context).or_else(too_soon) {
            Some(action) => (Ok(action), false),
            None => match fairness::turn::<K>(object, &context, called) {
                // The call that follows is a reconcile of its own.
                Err(Waits) => (Ok(Action::await_change()), false),
                Ok(place) => (fairness::pass::<K>(object, &context, place).await, true),
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

/// When to look again at an object that failed.
fn on_error<K: Reconcile>(object: &Readable<K>, error: &Error, context: &K::Context) -> Action {
    let failures = context.failures.failed(key::<K>(object));
    if error.is_retryable() {
        Action::requeue(backoff::delay(failures, rand::random()))
    } else {
        context.at_resync()
    }
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
fn report<K: Reconcile>(error: &controller::Error<Error, watcher::Error>, context: &K::Context) {
    match error {
        // It was deleted between being queued and being looked at.
        controller::Error::ObjectNotFound(object) => {
            let key = key_of::<K>(object);
            context.failures.forget(&key);
            context.failure_log.forget(&key);
            let gone = fairness::waiting(object.namespace.clone(), &object.name);
            drop(K::turns(&context.queues).and_then(|turns| turns.come(&gone)));
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
