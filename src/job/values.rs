//! The values for a template. `doc/how-to/job-templates.md` has a line for each; a test keeps them equal.

use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Order, default_image, name};

/// The values, by name.
pub(super) fn values(order: &Order<'_>) -> Value {
    let spec = &order.backup.spec;
    json!({
        "name": name(order.backup),
        "namespace": order.backup.namespace(),
        "backup": order.backup.name_any(),
        "database": spec.database_ref.name,
        "databaseNamespace": order.backup.database_namespace(),
        "databaseName": order.database_name,
        "user": order.user,
        "flavour": order.flavour,
        "series": order.series,
        "serverVersion": order.server_version,
        "host": order.host,
        "port": order.port,
        "tls": order.tls,
        "destination": order.destination,
        "image": image(order),
        "operatorImage": order.operator_image,
        "credentialsSecret": order.credentials_secret,
        "memoryBytes": order.memory_bytes,
        "deadlineSeconds": order.limits.deadline.time.as_secs(),
        "stallSeconds": order.limits.stall.time.as_secs(),
        "lockWaitSeconds": order.limits.lock_wait().as_secs(),
        "keepSeconds": order.keep_seconds,
    })
}

/// The image with the dump tool: the instance's, or the vendor's.
pub(super) fn image(order: &Order<'_>) -> String {
    order.image.map_or_else(
        || default_image(order.flavour, order.series),
        ToOwned::to_owned,
    )
}
