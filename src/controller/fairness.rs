//! Whose turn it is among the namespaces: a pass over an object of a shared kind needs a slot.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{Error, Reconcile};
use crate::queue::caller::Caller;
use crate::queue::pass_queue::Key as Waiting;
use crate::queue::pass_queue::{PassSlot, Want};

/// A slot for a pass over this object has to be waited for. Nothing else is done about it meanwhile.
pub(super) struct Waits;

/// The slot that an object was called to.
pub(super) fn called<K: Reconcile>(
    context: &K::Context,
    object: &impl ResourceExt,
) -> Option<PassSlot> {
    K::queue(&context.queues)?.accept(&waiting(object.namespace(), &object.name_any()))
}

pub(super) fn waiting(namespace: Option<String>, name: &str) -> Waiting {
    Waiting {
        namespace: namespace.unwrap_or_default().into(),
        name: name.into(),
    }
}

/// The right to begin a pass; no slot is needed where namespaces share none.
pub(super) fn slot<K: Reconcile>(
    object: &K,
    context: &K::Context,
    called: Option<PassSlot>,
) -> Result<Option<PassSlot>, Waits> {
    let Some(queue) = K::queue(&context.queues) else {
        return Ok(None);
    };
    if called.is_some() {
        return Ok(called);
    }
    let key = waiting(object.namespace(), &object.name_any());
    queue.ask(&key, object.want(context)).map(Some).ok_or(Waits)
}

/// One pass, in its slot and for its namespace. In memory of its own: what waits needs none.
pub(super) async fn pass<K: Reconcile>(
    object: &K,
    context: &K::Context,
    slot: Option<PassSlot>,
) -> Result<Action, Error> {
    let Some(_slot) = slot else {
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
