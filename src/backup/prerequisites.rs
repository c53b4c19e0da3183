//! All that a backup needs from outside before it begins, or what is in the way: looked at before its turn is taken, so
//! that what an instance lacks costs no backup, and again when it starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};

use super::Pass;
use super::blocked::Blocked;
use super::contents::{self, Kept};
use super::database_ref::{self, BackupKind};
use super::plan::Plan;
use super::server_version::ServerVersion;
use super::transition::Begun;
use crate::agent::protocol::task::{Flavour, Source, Task, signed_within};
use crate::api::backup::Source as SourceStatus;
use crate::api::backup::Upload;
use crate::api::destination::BackupJob;
use crate::api::job_pod::TOOL_MEMORY;
use crate::api::references::ConfigMapKeyRef;
use crate::api::{Backup, BackupReason, Database, DatabaseInstance};
use crate::blocking::compute;
use crate::controller::Error;
use crate::job::time_limit::TimeLimits;
use crate::job::{self, JobError, Order, Owner};
use crate::provider::{Inventory, Names};
use crate::server::tenancy::Tenancy;
use crate::server::{Server, names};
use crate::store;
use crate::store::Destination;

/// Parts that are uploaded at the same time.
const UPLOADS: u32 = 4;
/// Of zstd: a lower one is no faster and stores a quarter more, a higher one is slower and hardly stores less
/// (doc/figures.md).
const COMPRESSION_LEVEL: i32 = 1;

/// All that a backup needs from outside.
pub(super) struct Prerequisites {
    /// What is backed up.
    pub database: Database,
    /// Its SQL names.
    pub names: Names,
    /// The server that it is on.
    pub server: Arc<Server>,
    /// Where it goes.
    pub destination: Destination,
    kind: BackupKind,
    instance: Arc<DatabaseInstance>,
    template: Option<String>,
    operator_image: String,
}

/// Gathers all that a backup of this Database needs, or says what is missing. Client required.
pub(super) async fn gather(
    pass: &Pass<'_>,
    database: Database,
    kind: BackupKind,
) -> Result<Arc<Prerequisites>, Blocked> {
    let context = pass.context;
    let name = database.spec.instance_ref.name.clone();
    let tenancy = Tenancy::read(
        &context.instances,
        &context.client,
        &context.failure_log,
        &name,
        &database.namespace().unwrap_or_default(),
    )
    .await?;
    let (instance, server) = tenancy.server_for(database.holder())?;
    let Some(settings) = &instance.spec.backup else {
        let message = format!(
            "the instance {name} has no spec.backup: the platform team says there where backups go"
        );
        return Err(Blocked::new(BackupReason::NoDestination, message));
    };
    let destination = context
        .destinations
        .open(&context.client, &context.namespace, &name, settings)
        .await?;
    let reference = settings
        .job
        .as_ref()
        .and_then(|job| job.template_ref.as_ref());
    let template = match reference {
        Some(reference) => Some(read_template(pass, reference).await?),
        None => None,
    };
    let operator_image = context
        .image
        .get(&context.client, &context.namespace)
        .await?
        .ok_or_else(|| {
            let message = "the operator does not know its own image: it does not run in a pod, so start it with --image";
            Blocked::new(BackupReason::JobRefused, message)
        })?;
    let names = names(&database)
        .map_err(|error| Blocked::new(BackupReason::DumpFailed, error.to_string()))?;
    Ok(Arc::new(Prerequisites {
        database,
        names,
        server,
        destination,
        kind,
        instance: Arc::clone(&instance),
        template,
        operator_image,
    }))
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
            "there is no ConfigMap {} with the key {} in namespace {namespace} (spec.backup.job.templateRef of the instance)",
            reference.name, reference.key
        );
        Blocked::new(BackupReason::InvalidTemplate, message)
    })
}

impl Prerequisites {
    /// Which dump tool.
    pub(super) fn flavour(&self) -> Flavour {
        self.server.flavour()
    }

    /// What is persisted of a backup that begins now.
    pub(super) fn begun(&self, pass: &Pass<'_>, started: Timestamp, inventory: Inventory) -> Begun {
        let warnings = contents::merged(&inventory.warnings, &[]);
        let mut upload = self.upload(pass, started);
        let kept = Kept {
            series: self.server.version().series.clone(),
            user: self.names.role.to_string(),
            contents: inventory,
        };
        upload.inventory = kept.write();
        Begun {
            destination: self.destination.store.destination(&upload.key),
            upload,
            source: self.source(),
            warnings,
        }
    }

    /// Where a backup that begins now goes.
    fn upload(&self, pass: &Pass<'_>, started: Timestamp) -> Upload {
        let s3 = &self.destination.s3;
        let key = store::key(
            s3.prefix.as_deref(),
            &pass.context.cluster_id,
            &self.database.namespace().unwrap_or_default(),
            &self.database.name_any(),
            started,
            &pass.object.name_any(),
            &pass.uid(),
            self.flavour(),
        );
        Upload {
            bucket: s3.bucket.clone(),
            key,
            upload_id: None,
            job_name: None,
            job_uid: None,
            parts: None,
            parts_digest: None,
            inventory: None,
        }
    }

    /// What is backed up, for the status.
    fn source(&self) -> SourceStatus {
        let server = ServerVersion {
            flavour: self.flavour(),
            version: self.server.version().full.clone(),
        };
        SourceStatus {
            instance: self.instance.name_any(),
            database: self.names.database.to_string(),
            server_version: server.to_string(),
            database_uid: self.database.uid().unwrap_or_default(),
        }
    }

    /// What object metadata tells of it.
    pub(super) fn metadata(&self, pass: &Pass<'_>) -> BTreeMap<String, String> {
        let pairs = [
            (store::UID_METADATA, pass.uid()),
            (
                "backup",
                format!("{}/{}", pass.namespace(), pass.object.name_any()),
            ),
            ("database", self.names.database.to_string()),
        ];
        // A header holds no more than visible ASCII.
        pairs
            .into_iter()
            .filter(|(_, value)| value.chars().all(|c| c.is_ascii_graphic()))
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// What the pod is asked to do.
    pub(super) fn task(&self, pass: &Pass<'_>, plan: &Plan) -> Task {
        let spec = &self.instance.spec;
        let stall = self.limits(&pass.object).stall.time;
        let seconds = |time: SignedDuration| u64::try_from(time.as_secs()).unwrap_or_default();
        Task {
            source: Source {
                flavour: self.flavour(),
                series: self.server.version().series.clone(),
                server_version: self.server.version().full.clone(),
                host: spec.host.clone(),
                port: self.port(),
                tls: spec.tls.mode.as_str().to_owned(),
                database: self.names.database.to_string(),
            },
            destination: pass.next_status().destination.unwrap_or_default(),
            estimated_bytes: plan.dumped,
            part_sizes: plan.schedule.clone(),
            uploads: UPLOADS,
            compression_level: COMPRESSION_LEVEL,
            stall_seconds: seconds(stall),
            sign_seconds: seconds(signed_within(stall)),
            has_broken_views: plan.has_broken_views,
            endless_events: plan.endless_events.clone(),
        }
    }

    /// Memory that the pod needs with these parts, in bytes.
    pub(super) fn memory(&self, plan: &Plan) -> u64 {
        self.tool_memory() + plan.schedule.memory(UPLOADS)
    }

    /// Memory of it that is the dump tool's, in bytes.
    fn tool_memory(&self) -> u64 {
        let settings = self.settings();
        settings.map_or(TOOL_MEMORY, BackupJob::effective_tool_memory)
    }

    /// A template that is broken is known before anything is begun.
    pub(super) async fn check_template(self: &Arc<Self>, pass: &Pass<'_>) -> Result<(), Blocked> {
        self.job(pass, self.tool_memory()).await.map(|_| ())
    }

    /// The Job. Its template is somebody else's, and may be long.
    pub(super) async fn job(
        self: &Arc<Self>,
        pass: &Pass<'_>,
        memory_bytes: u64,
    ) -> Result<Job, Blocked> {
        let (prerequisites, backup) = (Arc::clone(self), pass.object.clone());
        let keep_seconds = pass.context.keep_seconds;
        let now = Timestamp::now();
        compute(move || prerequisites.build(&backup, memory_bytes, keep_seconds, now))
            .await
            .map_err(|error| Blocked::new(BackupReason::InvalidTemplate, error.to_string()))
    }

    fn build(
        &self,
        backup: &Backup,
        memory_bytes: u64,
        keep_seconds: u32,
        now: Timestamp,
    ) -> Result<Job, JobError> {
        let limits = self.limits(backup);
        let started_at = backup.status.as_ref().and_then(|status| status.started_at);
        let spec = &self.instance.spec;
        let version = self.server.version();
        let owner = Owner::of_backup(backup);
        let order = Order {
            owner: &owner,
            database_name: self.names.database.as_str(),
            user: self.names.role.as_str(),
            flavour: self.flavour(),
            series: &version.series,
            server_version: &version.full,
            host: &spec.host,
            port: self.port(),
            tls: spec.tls.mode.as_str(),
            location: backup
                .status
                .as_ref()
                .and_then(|status| status.destination.as_deref())
                .unwrap_or_default(),
            operator_image: &self.operator_image,
            credentials_secret: &database_ref::credentials(backup, self.kind),
            limits,
            time_left: time_left(limits.deadline.time, started_at, now),
            memory_bytes,
            jobs: 1,
            keep_seconds,
            settings: self.settings(),
            template: self.template.as_deref(),
        };
        job::build(&order)
    }

    /// Of the instance that was looked at: before the beginning no status names one.
    fn limits(&self, backup: &Backup) -> TimeLimits {
        TimeLimits::of(backup, self.instance.spec.backup.as_ref())
    }

    /// What the instance sets of Jobs.
    fn settings(&self) -> Option<&BackupJob> {
        self.instance.spec.backup.as_ref()?.job.as_ref()
    }

    fn port(&self) -> u16 {
        u16::try_from(self.instance.spec.effective_port()).unwrap_or_default()
    }
}

/// What is left of a deadline that runs from the backup's start: a second attempt has less of it than the first.
fn time_left(
    deadline: SignedDuration,
    started_at: Option<Timestamp>,
    now: Timestamp,
) -> SignedDuration {
    let gone = started_at.map_or(SignedDuration::ZERO, |at| now.duration_since(at));
    deadline.saturating_sub(gone.max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_runs_from_the_start_of_the_backup() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let deadline = SignedDuration::from_secs(3_600);
        let left = |started_at, now| time_left(deadline, started_at, at(now)).as_secs();
        assert_eq!(left(None, 5_000), 3_600);
        assert_eq!(left(Some(at(1_000)), 1_000), 3_600);
        assert_eq!(left(Some(at(1_000)), 1_150), 3_450);
        assert_eq!(left(Some(at(1_000)), 900), 3_600, "a clock that went back");
    }
}
