//! Who is woken by a Restore: its Database, and the Restores that wait. And what of Restores that are gone is forgotten.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use tokio::time::sleep;

use super::{Context, database_ref};
use crate::api::Restore;
use crate::queue::line_of_database::restore_waits;
use crate::watch::read;

/// How often what is remembered of Restores that are gone is forgotten.
const INTERVAL: Duration = Duration::from_mins(15);

/// Has the Database of a Restore looked at.
pub(super) fn database(context: &Context, restore: &Restore) {
    if let Some(database) = database_ref::cached(context, restore) {
        context.triggers.databases.send(&database);
    }
}

/// A slot is free, or another restore of a Database is next: all that wait look. There are few.
pub(super) fn waiting(context: &Context) {
    for guarded in context.cache.restores.state() {
        if guarded.0.as_ref().is_ok_and(restore_waits) {
            context.triggers.restores.send(&guarded);
        }
    }
}

/// Has those that wait looked at whenever an instance may be used again, and forgets those that are gone.
pub(super) async fn waiting_when_told(context: Arc<Context>) -> Infallible {
    loop {
        tokio::select! {
            () = context.triggers.waiting_restores.notified() => waiting(&context),
            () = sleep(INTERVAL) => forget_the_gone(&context),
        }
    }
}

fn forget_the_gone(context: &Context) {
    if read(&context.cache.restores).is_none() {
        return;
    }
    let all = context.cache.restores.state();
    let known = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    let uids = known.clone().filter_map(ResourceExt::uid).collect();
    let namespaces = known.filter_map(ResourceExt::namespace).collect();
    context.revisit.keep_only(&uids);
    context.remembered.keep_only(&uids, Instant::now());
    context.queues.turns.keep_only(&uids);
    context.slots.keep_only(&uids, &namespaces);
}
