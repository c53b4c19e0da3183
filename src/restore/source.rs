//! Which backup a restore brings back: by the name of a Backup, the newest in a bucket (`newest.rs`), or one manifest. Reads
//! only.

use std::sync::Arc;

use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};

use super::Pass;
use super::blocked::Blocked;
use super::fits::Of;
use super::newest::newest;
use super::prerequisites::{Prerequisites, destination, tenancy};
use super::readable::readable;
use crate::api::restore::{BackupRef, ManifestRef, RestoredFrom};
use crate::api::{Backup, BackupState, DatabaseInstance, RestoreReason};
use crate::controller::Error;
use crate::server::resolve::Unusable;
use crate::store::{Destination, FoundBackup, KeyRefusal};

/// The backup that was chosen, and where it is.
pub(super) struct Chosen {
    /// The instance whose bucket it is in.
    pub instance: String,
    /// That bucket.
    pub destination: Destination,
    /// The backup.
    pub found: FoundBackup,
}

/// Chooses the backup. Server not required; client and store are.
pub(super) async fn choose(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
) -> Result<Chosen, Blocked> {
    let source = &pass.object.spec.source;
    if let Some(reference) = &source.backup_ref {
        of_backup(pass, reference).await
    } else if let Some(latest) = &source.latest {
        newest(pass, &prerequisites.instance, latest).await
    } else if let Some(reference) = &source.manifest {
        of_manifest(pass, reference).await
    } else {
        let message =
            "spec.source names no backup: make another Restore with backupRef, latest or manifest";
        Err(Blocked::new(RestoreReason::SourceRefused, message))
    }
}

/// The backup that was chosen before, as it is now: its manifest must not have changed.
pub(super) async fn again(pass: &Pass<'_>) -> Result<Chosen, Blocked> {
    let source = pass.source()?;
    let instance = allowed(pass, &source.instance).await?;
    let chosen = at(pass, &instance, &source.key, Some(&source.bucket)).await?;
    if chosen.found.manifest_sha256 != source.manifest_sha256 {
        let message = format!(
            "the manifest of {} is not the one that was chosen: it was changed since, so make another Restore",
            source.key
        );
        return Err(Blocked::new(RestoreReason::SourceRefused, message));
    }
    Ok(chosen)
}

async fn of_backup(pass: &Pass<'_>, reference: &BackupRef) -> Result<Chosen, Blocked> {
    let Some(backup) = find(pass, &reference.name).await? else {
        let message = format!(
            "there is no Backup {} in namespace {}",
            reference.name,
            pass.namespace()
        );
        return Err(Blocked::new(RestoreReason::WaitingForBackup, message));
    };
    let status = backup.status.as_ref();
    match backup.state() {
        Some(BackupState::Completed) => {}
        Some(BackupState::Failed) => {
            let message = format!(
                "the Backup {} failed: make another Restore of another backup",
                reference.name
            );
            return Err(Blocked::new(RestoreReason::BackupFailed, message));
        }
        None | Some(BackupState::Starting | BackupState::BackingUp) => {
            let message = format!("the Backup {} has not completed", reference.name);
            return Err(Blocked::new(RestoreReason::WaitingForBackup, message));
        }
    }
    let noted = status.and_then(|status| Some((status.source.as_ref()?, status.upload.as_ref()?)));
    let Some((source, upload)) = noted else {
        let message = format!(
            "the status of Backup {} does not say where its object is: name it by its manifest (spec.source.manifest)",
            reference.name
        );
        return Err(Blocked::new(RestoreReason::SourceRefused, message));
    };
    let instance = allowed(pass, &source.instance).await?;
    at(pass, &instance, &upload.key, Some(&upload.bucket)).await
}

/// A Backup beside the Restore, as the cache has it, or else as it is.
async fn find(pass: &Pass<'_>, name: &str) -> Result<Option<Backup>, Error> {
    let key = ObjectRef::new(name).within(&pass.namespace());
    let shown = pass.context.cache.backups.get(&key);
    if let Some(backup) = shown.and_then(|guarded| guarded.0.as_ref().ok().cloned()) {
        return Ok(Some(backup));
    }
    let backups: Api<Backup> = pass.beside();
    backups
        .get_opt(name)
        .await
        .map_err(Error::api("read the Backup"))
}

async fn of_manifest(pass: &Pass<'_>, reference: &ManifestRef) -> Result<Chosen, Blocked> {
    let instance = allowed(pass, &reference.instance).await?;
    let namespace = pass.namespace();
    let readable = readable(pass, &instance, &namespace);
    let key = readable
        .object_of_manifest(&reference.key)
        .map_err(|why| refused(&why))?;
    at(pass, &instance, &key.key, None).await
}

/// An instance that allows the restore's namespace. Its server need not answer.
async fn allowed(pass: &Pass<'_>, name: &str) -> Result<Arc<DatabaseInstance>, Blocked> {
    let tenancy = tenancy(pass, name).await?;
    let Some(entry) = tenancy.entry() else {
        let instance = name.to_owned();
        return Err(Unusable::NotFound { instance }.into());
    };
    if tenancy.is_forbidden() {
        let forbidden = Unusable::NotAllowed {
            instance: name.to_owned(),
            namespace: pass.namespace(),
        };
        return Err(forbidden.into());
    }
    Ok(Arc::clone(&entry.object))
}

/// The backup at a key of an instance's bucket, or of the one that the instance named when the backup was made.
async fn at(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    key: &str,
    bucket: Option<&str>,
) -> Result<Chosen, Blocked> {
    let mut former = instance.clone();
    if let (Some(backup), Some(bucket)) = (&mut former.spec.backup, bucket) {
        bucket.clone_into(&mut backup.s3.bucket);
    }
    let destination = destination(pass.context, &former).await?;
    let namespace = pass.namespace();
    let readable = readable(pass, instance, &namespace);
    let key = readable.object(key).map_err(|why| refused(&why))?;
    let found = destination.store.backup(&key, &key.namespace).await?;
    Ok(Chosen {
        instance: instance.name_any(),
        destination,
        found,
    })
}

fn refused(why: &KeyRefusal) -> Blocked {
    let message = format!("the key of the backup is not read: {why}");
    Blocked::new(RestoreReason::SourceRefused, message)
}

impl Chosen {
    /// What was dumped.
    pub(super) fn of(&self) -> Of<'_> {
        let source = &self.found.manifest.source;
        Of {
            flavour: source.flavour,
            series: source.series.as_deref(),
            version: &source.server_version,
        }
    }

    /// What the status remembers of it.
    pub(super) fn noted(&self) -> RestoredFrom {
        let manifest = &self.found.manifest;
        RestoredFrom {
            instance: self.instance.clone(),
            bucket: self.destination.s3.bucket.clone(),
            key: self.found.key.key.clone(),
            manifest_sha256: self.found.manifest_sha256.clone(),
            backup: manifest.backup.name.clone(),
            database: manifest.database_object.clone(),
            namespace: Some(self.found.key.namespace.clone()),
            cluster_id: Some(manifest.cluster_id.clone()),
            started_at: Some(manifest.started_at),
            server_version: format!(
                "{} {}",
                manifest.source.flavour, manifest.source.server_version
            ),
            bytes: i64::try_from(manifest.bytes).unwrap_or(i64::MAX),
        }
    }
}
