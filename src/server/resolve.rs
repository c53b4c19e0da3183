//! Finds the server of an instance by name, or says why it may not be used. Pure.

use std::sync::Arc;

use super::Server;
use super::registry::{Availability, Entry};
use crate::api::{ACKNOWLEDGE_IDENTITY, InstanceReason, Reason};

/// Why the server of an instance may not be used for a Database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is no such instance, as far as this process knows.
    #[error("there is no DatabaseInstance {instance}, or it has not been looked at yet")]
    NotFound {
        /// The instance's name.
        instance: String,
    },
    /// It does not accept the Database's namespace.
    #[error(
        "the instance {instance} does not accept Databases from namespace {namespace} (its spec.allowedNamespaces)"
    )]
    NotAllowed {
        /// The instance's name.
        instance: String,
        /// The namespace.
        namespace: String,
    },
    /// The server cannot be used at the moment.
    #[error("instance {instance} is not ready ({}): {message}", reason.as_str())]
    NotReady {
        /// The instance's name.
        instance: String,
        /// What its conditions say.
        reason: InstanceReason,
        /// What its conditions say.
        message: String,
    },
    /// It is not the server that holds the Database.
    #[error(
        "instance {instance} leads to another server ({found}) than the one that holds this database ({expected}): if this \
         one is to be used, set the annotation {ACKNOWLEDGE_IDENTITY}={found} of the instance"
    )]
    Moved {
        /// The instance's name.
        instance: String,
        /// The server that it leads to.
        found: String,
        /// The server that holds the Database.
        expected: String,
    },
}

/// The instance, if it is known.
pub(crate) fn find<'a>(instance: &str, entry: Option<&'a Entry>) -> Result<&'a Entry, Unusable> {
    entry.ok_or_else(|| Unusable::NotFound {
        instance: instance.to_owned(),
    })
}

/// The server of an instance that accepts `namespace` (or does not: `allowed`), for a Database that is held by the server
/// `holder`, if by any.
pub(crate) fn resolve(
    instance: &str,
    entry: &Entry,
    namespace: &str,
    allowed: bool,
    holder: Option<&str>,
) -> Result<Arc<Server>, Unusable> {
    let instance = instance.to_owned();
    if !allowed {
        let namespace = namespace.to_owned();
        return Err(Unusable::NotAllowed {
            instance,
            namespace,
        });
    }
    let server = usable(&instance, entry)?;
    let found = server.identity();
    let acknowledged = entry.acknowledged() == Some(found);
    match holder {
        Some(expected) if expected != found && !acknowledged => Err(Unusable::Moved {
            instance,
            found: found.to_owned(),
            expected: expected.to_owned(),
        }),
        Some(_) | None => Ok(Arc::clone(server)),
    }
}

/// The server of an instance, whoever may use it.
pub(crate) fn usable<'a>(instance: &str, entry: &'a Entry) -> Result<&'a Arc<Server>, Unusable> {
    match &entry.availability {
        Availability::Usable(server) => Ok(server),
        Availability::Unusable { reason, message } => Err(Unusable::NotReady {
            instance: instance.to_owned(),
            reason: *reason,
            message: message.clone(),
        }),
    }
}
