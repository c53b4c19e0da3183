//! Whose turn it is among the namespaces: a pass over an object of a shared kind needs a place.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::controller::Action;

use super::{Error, Reconcile};
use crate::queue::caller::Caller;
use crate::queue::turns::Key as Waiting;
use crate::queue::turns::{Place, Want};

/// A place for a pass over this object has to be waited for. Nothing else is done about it meanwhile.
pub struct Waits;

/// The place that an object was called to.
pub fn called<K: Reconcile>(context: &K::Context, object: &impl ResourceExt) -> Option<Place> {
    K::turns(&context.queues)?.come(&waiting(object.namespace(), &object.name_any()))
}

pub fn waiting(namespace: Option<String>, name: &str) -> Waiting {
    Waiting {
        namespace: namespace.unwrap_or_default().into(),
        name: name.into(),
    }
}

/// The right to begin a pass; no place is needed where nobody shares them.
pub fn turn<K: Reconcile>(
    object: &K,
    context: &K::Context,
    called: Option<Place>,
) -> Result<Option<Place>, Waits> {
    let Some(turns) = K::turns(&context.queues) else {
        return Ok(None);
    };
    if called.is_some() {
        return Ok(called);
    }
    let key = waiting(object.namespace(), &object.name_any());
    turns.ask(&key, object.want(context)).map(Some).ok_or(Waits)
}

/// One pass, at its place and for its namespace. In memory of its own: what waits needs none.
pub async fn pass<K: Reconcile>(
    object: &K,
    context: &K::Context,
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
