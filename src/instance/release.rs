//! The act `Release`: nothing refers to an instance that is being deleted, so its connections are closed and it goes.

use super::pass::Pass;
use crate::controller::Error;

/// Forgets the server, and lets the object go.
pub(super) async fn release(pass: &Pass<'_>) -> Result<(), Error> {
    let (context, name) = (pass.context, pass.name());
    context.connections.forget(&name).await;
    context.instances.remove(&name);
    context.metrics.forget_instance(&name);
    pass.remove_finalizer().await
}
