//! The Secret that the final backup logs in with, in the operator's namespace: the tenant's may be gone already.
//!
//! The Secret comes first, then the user's password follows it. A Secret that is there is used as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::core::ObjectMeta;
use secrecy::SecretString;

use crate::api::{Database, DatabaseInstance, DatabaseReason};
use crate::controller::Error;
use crate::credentials::{self, keys, raw, secret};
use crate::database::blocked::Blocked;
use crate::database::drift::own_claim;
use crate::database::pass::Pass;
use crate::database::{final_backup, spec};
use crate::provider::{Desired, Login};
use crate::server::{Server, ServerError};

/// Makes the Secret of the final backup `name`, and logging in with it work. Server required.
pub async fn provision(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Arc<Server>,
    name: &str,
) -> Result<(), Blocked> {
    let desired = spec::desired(&pass.database, &instance.spec)
        .map_err(|error| Blocked::new(DatabaseReason::Unsupported, error.to_string()))?;
    let observed = server.observe(&desired.names, None).await?;
    if observed.database.is_none()
        || own_claim(&pass.claimant(), &desired.names, &observed).is_none()
    {
        // Another pass decides what follows from that. Here nothing is made, and nobody else's password is set.
        let doing = "ask for the final backup";
        return Err(Error::changed(doing).into());
    }
    let api: Api<Secret> = Api::namespaced(pass.context.client.clone(), &pass.context.namespace);
    let current = raw::read(&api, name, "read the final backup's Secret").await?;
    if current
        .as_ref()
        .is_some_and(|found| !is_of(&found.metadata.labels, &pass.database, name))
    {
        let message = format!(
            "the Secret {name} in namespace {} is not of this Database: remove it, so that the final backup's can be made",
            pass.context.namespace
        );
        return Err(Blocked::new(DatabaseReason::InTheWay, message));
    }
    // It is the operator's own: what is no password is none that was generated.
    let known = secret::password(current.as_ref(), server.flavour());
    let known = known.ok().and_then(Result::ok);
    let fresh = known.is_none();
    let password = known.unwrap_or_else(credentials::generate);
    let mut wanted = wanted(pass, instance, server, name, &password)?;
    wanted.metadata.resource_version = current
        .as_ref()
        .and_then(|current| current.metadata.resource_version.clone());
    secret::apply(&api, &wanted, current).await?;
    log_in(server, &desired, &password, fresh).await
}

/// Whether a Secret with these labels was made for this final backup.
pub fn is_of(labels: &BTreeMap<String, String>, database: &Database, backup: &str) -> bool {
    final_backup::labels(database, backup)
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}

/// What the Secret holds: the same keys as the tenant's.
fn wanted(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    name: &str,
    password: &SecretString,
) -> Result<Secret, Blocked> {
    let connection = spec::connection(&pass.database, instance, server, password.clone());
    let keys = keys::render(&connection, &BTreeMap::new())
        .map_err(|error| Blocked::new(DatabaseReason::InvalidTemplate, error.to_string()))?;
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(pass.context.namespace.clone()),
            labels: Some(final_backup::labels(&pass.database, name)),
            ..ObjectMeta::default()
        },
        type_: Some(secret::secret_type(server.flavour())),
        data: Some(secret::data(keys)),
        ..Secret::default()
    })
}

/// Logs in as the backup will. The password is set where the server cannot have it, or does not.
async fn log_in(
    server: &Arc<Server>,
    desired: &Desired,
    password: &SecretString,
    fresh: bool,
) -> Result<(), Blocked> {
    if fresh {
        set_password(server, desired, password).await?;
    }
    let login = || server.ask("login", |provider| provider.login(&desired.names, password));
    let mut answer = login().await?;
    if let Login::Refused(_) | Login::NoDatabase(_) = answer {
        set_password(server, desired, password).await?;
        server
            .ask("ensure_database", |provider| {
                provider.ensure_database(desired)
            })
            .await?;
        answer = login().await?;
    }
    match answer {
        Login::Accepted | Login::AtConnectionLimit => Ok(()),
        Login::Refused(detail) | Login::NoDatabase(detail) | Login::Unusable(detail) => {
            let user = desired.names.role.to_string();
            let message =
                format!("logging in as {user} for the final backup does not work: {detail}");
            Err(Blocked::retried(
                DatabaseReason::LoginFailed,
                message,
                Error::LoginFailed { user },
            ))
        }
    }
}

/// Sets the password; a user that may not log in may again.
async fn set_password(
    server: &Arc<Server>,
    desired: &Desired,
    password: &SecretString,
) -> Result<(), ServerError> {
    let verifier = credentials::verifier(server, password).await;
    server
        .ask("ensure_role", |provider| {
            provider.ensure_role(desired, Some(&verifier))
        })
        .await?;
    Ok(())
}
