//! The values for a template. `doc/how-to/job-templates.md` has a line for each; a test keeps them equal.

use serde_json::{Value, json};

use super::{Kind, Order, default_image};

/// The values, by name.
pub(super) fn values(order: &Order<'_>) -> Value {
    let owner = order.owner;
    let mut values = json!({
        "name": owner.job_name(),
        "namespace": owner.namespace,
        "database": owner.database,
        "databaseName": order.database_name,
        "user": order.user,
        "flavour": order.flavour,
        "series": order.series,
        "serverVersion": order.server_version,
        "host": order.host,
        "port": order.port,
        "tls": order.tls,
        "image": image(order),
        "operatorImage": order.operator_image,
        "credentialsSecret": order.credentials_secret,
        "memoryBytes": order.memory_bytes,
        "deadlineSeconds": order.limits.deadline.time.as_secs(),
        "stallSeconds": order.limits.stall.time.as_secs(),
        "lockWaitSeconds": order.limits.lock_wait().as_secs(),
        "keepSeconds": order.keep_seconds,
    });
    match owner.kind {
        Kind::Backup => {
            values["backup"] = json!(owner.name);
            values["databaseNamespace"] = json!(
                owner
                    .database_namespace
                    .as_ref()
                    .or(owner.namespace.as_ref())
            );
            values["destination"] = json!(order.location);
        }
        Kind::Restore => {
            values["restore"] = json!(owner.name);
            values["source"] = json!(order.location);
            values["jobs"] = json!(order.jobs);
        }
    }
    values
}

/// The image with the tool: the instance's, or the vendor's.
pub(super) fn image(order: &Order<'_>) -> String {
    let asked = order.settings.and_then(|job| job.image.clone());
    asked.unwrap_or_else(|| default_image(order.flavour, order.series))
}
