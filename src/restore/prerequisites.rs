//! All that a restore needs from outside: its Database's server, and the platform's word on how its Job is made.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::blocked::Blocked;
use super::source::Chosen;
use super::{Context, Pass, fits, load};
use crate::agent::protocol::task::Flavour;
use crate::api::destination::BackupJob;
use crate::api::references::ConfigMapKeyRef;
use crate::api::restore::RestoreTarget;
use crate::api::{Database, DatabaseInstance, DatabaseInstanceSpec, RestoreReason, RestoreSpec};
use crate::controller::Error;
use crate::job::time_limit::TimeLimits;
use crate::provider::restore::Load;
use crate::provider::{Inventory, Names};
use crate::server::Server;
use crate::server::tenancy::Tenancy;
use crate::store::{Destination, Readable};

/// How long a pass waits for another one over the same database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The server of a restore, and what its instance says.
pub(super) struct Prerequisites {
    /// The Database; `None` if it is gone, and what is left is cleaned up, and for a test.
    pub database: Option<Database>,
    /// The instance.
    pub instance: Arc<DatabaseInstance>,
    /// Its server.
    pub server: Arc<Server>,
}

/// An instance as the restore's namespace may use it. Client required only where it selects namespaces by label.
pub(super) async fn tenancy(pass: &Pass<'_>, instance: &str) -> Result<Tenancy, Error> {
    let (context, namespace) = (pass.context, pass.namespace());
    let tenancy = Tenancy::read(
        &context.instances,
        &context.client,
        &context.failure_log,
        instance,
        &namespace,
    );
    Ok(tenancy.await?)
}

/// What a restore of this Database needs, or what is missing.
pub(super) async fn gather(pass: &Pass<'_>, database: Database) -> Result<Prerequisites, Blocked> {
    let name = &database.spec.instance_ref.name;
    let tenancy = tenancy(pass, name).await?;
    let (instance, server) = tenancy.server_for(database.holder())?;
    Ok(Prerequisites {
        database: Some(database),
        instance,
        server,
    })
}

/// What a test on this instance needs, or what is missing.
pub(super) async fn for_test(pass: &Pass<'_>, instance: &str) -> Result<Prerequisites, Blocked> {
    let tenancy = tenancy(pass, instance).await?;
    let (instance, server) = tenancy.server_for(None)?;
    Ok(Prerequisites {
        database: None,
        instance,
        server,
    })
}

/// The server that a test was begun on, for what it made there. That is the operator's own, and nobody else's: it goes
/// whether or not the namespace may still use the server.
pub(super) async fn tested_on(
    pass: &Pass<'_>,
    target: &RestoreTarget,
) -> Result<Prerequisites, Blocked> {
    let tenancy = tenancy(pass, &target.instance).await?;
    let (instance, server) = tenancy.server_that_holds(&target.server_identity)?;
    Ok(Prerequisites {
        database: None,
        instance,
        server,
    })
}

/// The server that a restore was begun on, for what is left to be done there. Its Database may be gone, but not its
/// namespace's permission: nothing is changed on a server without that.
pub(super) async fn begun_on(
    pass: &Pass<'_>,
    target: &RestoreTarget,
    database: Option<Database>,
) -> Result<Prerequisites, Blocked> {
    let tenancy = tenancy(pass, &target.instance).await?;
    let (instance, server) = tenancy.server_for(Some(&target.server_identity))?;
    Ok(Prerequisites {
        database,
        instance,
        server,
    })
}

impl Prerequisites {
    /// Which tool.
    pub(super) fn flavour(&self) -> Flavour {
        self.server.flavour()
    }

    /// Where a restore that begins now goes.
    pub(super) fn target(&self, database: &Database) -> RestoreTarget {
        RestoreTarget {
            instance: self.instance.name_any(),
            database: database.sql_name(),
            user: database.sql_user(),
            database_uid: database.uid().unwrap_or_default(),
            server_identity: self.server.identity().to_owned(),
            ..RestoreTarget::default()
        }
    }

    /// Where a test that begins now goes.
    pub(super) fn target_of_test(&self, names: &Names) -> RestoreTarget {
        RestoreTarget {
            instance: self.instance.name_any(),
            database: names.database.to_string(),
            user: names.role.to_string(),
            server_identity: self.server.identity().to_owned(),
            ..RestoreTarget::default()
        }
    }

    /// What the server is asked for. `inventory` is what the backup says of what comes with the database.
    pub(super) fn load(
        &self,
        pass: &Pass<'_>,
        target: &RestoreTarget,
        inventory: Option<&Inventory>,
    ) -> Result<Load, Blocked> {
        let load = load::load(
            &pass.object,
            &pass.context.cluster_id,
            target,
            self.database.as_ref(),
            &self.instance,
            inventory,
        );
        load.map_err(|error| Blocked::new(RestoreReason::Unsupported, error.to_string()))
    }

    /// Waits until no other pass works on the target.
    pub(super) async fn alone(&self, load: &Load) -> Result<OwnedMutexGuard<()>, Blocked> {
        let alone = self.server.alone(&load.target);
        timeout(LOCK_TIMEOUT, alone).await.map_err(|_| {
            let message = "the Database is worked on at this moment";
            Blocked::new(RestoreReason::WaitingForDatabase, message)
        })
    }

    /// Whether a backup is one that may be restored here, by its size.
    pub(super) fn check_bytes(&self, chosen: &Chosen) -> Result<(), Blocked> {
        let dumped_bytes = chosen.found.manifest.dumped_bytes;
        let settings = self.instance.spec.effective_restore();
        fits::bytes(dumped_bytes, &settings, &self.instance.name_any())
            .map_err(|failure| Blocked::new(failure.reason, failure.message))
    }

    /// How the Job is made.
    pub(super) fn job_settings(&self) -> BackupJob {
        job_settings(&self.instance.spec)
    }

    /// How long the restore may take, and stand still.
    pub(super) fn limits(&self, pass: &Pass<'_>) -> TimeLimits {
        limits(&pass.object.spec, &self.instance.spec)
    }

    /// The platform's template of the Job; `None`: the operator's own.
    pub(super) async fn template(&self, pass: &Pass<'_>) -> Result<Option<String>, Blocked> {
        match &self.job_settings().template_ref {
            Some(reference) => Ok(Some(read_template(pass, reference).await?)),
            None => Ok(None),
        }
    }
}

/// How the Jobs of restores are made on an instance.
fn job_settings(instance: &DatabaseInstanceSpec) -> BackupJob {
    let settings = instance.effective_restore();
    settings.effective_job(instance.backup.as_ref())
}

/// How long a restore may take and stand still on an instance.
pub(super) fn limits(restore: &RestoreSpec, instance: &DatabaseInstanceSpec) -> TimeLimits {
    let (deadline, stall) = (restore.deadline_seconds, restore.stall_seconds);
    TimeLimits::of_restore(deadline, stall, &job_settings(instance))
}

async fn read_template(pass: &Pass<'_>, reference: &ConfigMapKeyRef) -> Result<String, Blocked> {
    let namespace = &pass.context.namespace;
    let maps: Api<ConfigMap> = Api::namespaced(pass.context.client.clone(), namespace);
    let map = maps
        .get_opt(&reference.name)
        .await
        .map_err(Error::api("read the template of the Job"))?;
    let text = map.and_then(|map| map.data?.remove(&reference.key));
    text.ok_or_else(|| {
        let message = format!(
            "there is no ConfigMap {} with the key {} in namespace {namespace} (spec.restore.job.templateRef of the instance)",
            reference.name, reference.key
        );
        Blocked::new(RestoreReason::InvalidTemplate, message)
    })
}

/// The bucket of an instance. Client required, twice a minute at most.
pub(super) async fn destination(
    context: &Context,
    instance: &DatabaseInstance,
) -> Result<Destination, Blocked> {
    let name = instance.name_any();
    let Some(settings) = &instance.spec.backup else {
        let message = format!(
            "the instance {name} has no spec.backup: the platform team says there which bucket backups are in"
        );
        return Err(Blocked::new(RestoreReason::NoDestination, message));
    };
    let opened = context
        .destinations
        .open(&context.client, &context.namespace, &name, settings);
    Ok(opened.await?)
}

/// Whose keys a restore of this namespace may read in the bucket of an instance, as far as it needs nobody's word.
pub(super) fn readable<'a>(
    context: &'a Context,
    instance: &'a DatabaseInstance,
    namespace: &'a str,
) -> Readable<'a> {
    let prefix = instance.spec.backup.as_ref();
    let former = instance.spec.take_over_claims_from.iter();
    Readable {
        prefix: prefix.and_then(|backup| backup.s3.prefix.as_deref()),
        cluster_ids: std::iter::once(&context.cluster_id)
            .chain(former)
            .map(String::as_str)
            .collect(),
        namespace,
        shared: Vec::new(),
    }
}
