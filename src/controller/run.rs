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
    match K::queue(queues) {
        // Nobody waits in here: whose turn it is, is decided there.
        Some(queue) => controller.with_config(config.concurrency(0)).reconcile_on(
            queue
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
        // Whoever was called and does not need its slot gives it to the next.
        let called = fairness::called::<K>(&context, guarded.as_ref());
        let Some(object) = guarded.ok() else {
            // Its watch has said so.
            return Ok(Action::await_change());
        };
        let started = Instant::now();
        let key = key::<K>(guarded.as_ref());
        let too_soon = || context.failures.rest(&key, started).map(Action::requeue);
        // What the cache does not show yet announces itself.
        let old = context.written.wait(object.meta(), started);
        let old = old.map(Action::requeue);
        let not_yet = old.or_else(|| object.not_yet(&context));
        let (result, looked) = match not_yet.or_else(too_soon) {
            Some(action) => (Ok(action), false),
            None => match fairness::slot::<K>(object, &context, called) {
                // The call that follows is a reconcile of its own.
                Err(Waits) => (Ok(Action::await_change()), false),
                Ok(slot) => (fairness::pass::<K>(object, &context, slot).await, true),
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
            drop(K::queue(&context.queues).and_then(|queue| queue.accept(&gone)));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use kube::Resource as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::DatabaseInstance;
    use crate::controller::Context;
    use crate::controller::fakes::{Asked, Objects, api_server, context};

    fn instance(version: &str) -> Readable<DatabaseInstance> {
        let object = json!({
            "metadata": {"name": "main", "uid": "i", "resourceVersion": version, "finalizers": [crate::api::FINALIZER]},
            "spec": {"provider": "postgresql", "host": "db", "adminSecretRef": {"name": "admin"},
                     "allowedNamespaces": {"all": true}},
        });
        Readable(Ok(
            serde_json::from_value::<DatabaseInstance>(object).unwrap()
        ))
    }

    fn cluster(asked: &Asked, objects: BTreeMap<String, Value>) -> Arc<Context> {
        Arc::new(context(api_server(asked, objects), Objects::default()))
    }

    #[tokio::test]
    async fn no_pass_begins_on_a_copy_that_is_older_than_what_this_process_wrote() {
        let asked = Asked::default();
        let context = cluster(&asked, BTreeMap::new());
        let written = instance("7");
        context.written.note(written.meta(), Instant::now());
        let reconcile = |version| {
            let (object, context) = (Arc::new(instance(version)), Arc::clone(&context));
            reconcile_one::<DatabaseInstance>(object, Arc::new(context))
        };
        // The cache is behind: nothing is done, and nothing is wrong.
        let action = reconcile("5").await.unwrap();
        assert_ne!(action, Action::await_change());
        assert_eq!(asked.count(), 0);
        let key = key::<DatabaseInstance>(&written);
        assert_eq!(context.failures.count(&key), 0);
        // It has caught up: the pass reads what it needs.
        let _ = reconcile("7").await;
        assert_ne!(asked.count(), 0);
    }

    #[tokio::test]
    async fn what_a_pass_writes_is_waited_for() {
        let written = |version: &str| {
            let mut object = serde_json::to_value(instance("5").0.unwrap()).unwrap();
            object["metadata"]["resourceVersion"] = json!(version);
            object
        };
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            // A finalizer, then a status.
            let version = if request.uri().path().ends_with("/status") {
                "7"
            } else {
                "6"
            };
            let body = kube::client::Body::from(written(version).to_string().into_bytes());
            std::future::ready(http::Response::builder().body(body))
        });
        let client = kube::Client::new(service, "operator");
        let context = Arc::new(context(client, Objects::default()));
        let mut object = instance("5").0.unwrap();
        object.finalizers_mut().clear();
        let mut pass = crate::controller::Pass::begin(&context, &object, ());
        let waits = |version| {
            let shown = instance(version);
            context.written.wait(shown.meta(), Instant::now())
        };
        assert_eq!(waits("5"), None::<Duration>);
        pass.add_finalizer().await.unwrap();
        assert!(waits("5").is_some());
        let mut next = pass.next_status();
        next.version = Some("17.6".to_owned());
        pass.persist(next).await.unwrap();
        assert!(waits("6").is_some());
        assert_eq!(waits("7"), None);
    }
}
