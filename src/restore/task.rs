//! The Job of a restore, and what its pod is asked to do.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

use super::Pass;
use super::blocked::Blocked;
use super::prerequisites::Prerequisites;
use super::source::Chosen;
use crate::agent::protocol::restore::{Level, Only, Origin, Query, RestoreTask, TableName, Target};
use crate::api::restore::{Accepted, CheckLevel, RestoreOnly};
use crate::api::{Restore, RestoreReason};
use crate::blocking::compute;
use crate::job::time_limit::TimeLimits;
use crate::job::{self, HasJobs, Kind, Order, Owner};
use crate::provider::restore::Scratch;

impl HasJobs for Restore {
    const KIND: Kind = Kind::Restore;
}

/// The owner of a Restore's Job. A Restore has one Job: one that failed is followed by another Restore. A test restores no
/// Database: its Job is labelled with the one that was backed up.
pub(super) fn owner(restore: &Restore) -> Owner {
    let source = restore.status.as_ref().and_then(|s| s.source.as_ref());
    let database = match restore.database_key() {
        Some((_, name)) => name,
        None => source.map_or("", |source| &source.database),
    };
    Owner::of(restore, database, None)
}

/// What a Job is made from that is not the Restore's own.
pub(super) struct Made<'a> {
    /// The server, and the platform's settings.
    pub prerequisites: &'a Prerequisites,
    /// The backup.
    pub chosen: &'a Chosen,
    /// The platform's template.
    pub template: Option<&'a str>,
    /// The image that the operator itself runs.
    pub operator_image: &'a str,
    /// How many indexes are built at the same time.
    pub jobs: u32,
}

/// The Job. Its template is somebody else's, and may be long. `user` is the login that it uses.
pub(super) async fn job(
    pass: &Pass<'_>,
    made: &Made<'_>,
    database: &str,
    user: &str,
    credentials: &str,
) -> Result<Job, Blocked> {
    let owner = owner(&pass.object);
    let (database, user, credentials) =
        (database.to_owned(), user.to_owned(), credentials.to_owned());
    let location = location(made.chosen);
    let prerequisites = made.prerequisites;
    let version = prerequisites.server.version().clone();
    let flavour = prerequisites.flavour();
    let spec = prerequisites.instance.spec.clone();
    let settings = prerequisites.job_settings();
    let limits = prerequisites.limits(pass);
    let started_at = pass.status().and_then(|status| status.started_at);
    let time_left = time_left(&limits, started_at, Timestamp::now());
    let keep_seconds = pass.context.keep_seconds;
    let (template, operator_image) = (
        made.template.map(str::to_owned),
        made.operator_image.to_owned(),
    );
    let jobs = made.jobs;
    let built = compute(move || {
        let order = Order {
            owner: &owner,
            database_name: &database,
            user: &user,
            flavour,
            series: &version.series,
            server_version: &version.full,
            host: &spec.host,
            port: u16::try_from(spec.effective_port()).unwrap_or_default(),
            tls: spec.tls.mode.as_str(),
            location: &location,
            operator_image: &operator_image,
            credentials_secret: &credentials,
            limits,
            time_left,
            memory_bytes: job::restore_memory(settings.effective_tool_memory()),
            jobs,
            keep_seconds,
            settings: Some(&settings),
            template: template.as_deref(),
        };
        job::build(&order)
    });
    built
        .await
        .map_err(|error| Blocked::new(RestoreReason::InvalidTemplate, error.to_string()))
}

/// What the pod is asked to do.
pub(super) fn task(pass: &Pass<'_>, made: &Made<'_>, scratch: &Scratch) -> RestoreTask {
    let spec = &made.prerequisites.instance.spec;
    let version = made.prerequisites.server.version();
    let manifest = &made.chosen.found.manifest;
    let asked = &pass.object.spec;
    let stall = made.prerequisites.limits(pass).stall.time;
    RestoreTask {
        target: Target {
            flavour: made.prerequisites.flavour(),
            series: version.series.clone(),
            server_version: version.full.clone(),
            host: spec.host.clone(),
            port: u16::try_from(spec.effective_port()).unwrap_or_default(),
            tls: spec.tls.mode.as_str().to_owned(),
            database: scratch.database.to_string(),
            owner: scratch.owner.to_string(),
        },
        source: Origin {
            flavour: manifest.source.flavour,
            tool_version: manifest.tool_version.clone(),
            database: manifest.source.database.clone(),
            user: manifest.source.user.clone(),
        },
        object: location(made.chosen),
        bytes: manifest.bytes,
        sha256: manifest.sha256.to_ascii_lowercase(),
        dumped_bytes: manifest.dumped_bytes,
        totals: totals(made.chosen),
        check: match asked.check.level {
            CheckLevel::None => Level::None,
            CheckLevel::Rows => Level::Rows,
            CheckLevel::Digest => Level::Digest,
        },
        queries: asked
            .check
            .queries
            .iter()
            .map(|query| Query {
                name: query.name.clone(),
                sql: query.sql.clone(),
            })
            .collect(),
        jobs: made.jobs,
        accepts_extension_data: asked.accept.contains(&Accepted::ExtensionData),
        roles: Vec::new(),
        only: asked.only.as_ref().map(only),
        events_stay_off: pass.object.is_test(),
        stall_seconds: u64::try_from(stall.as_secs()).unwrap_or_default(),
    }
}

/// What is loaded, if that is not all. Names that cannot be read were refused before.
fn only(only: &RestoreOnly) -> Only {
    let name = |(schema, name)| TableName { schema, name };
    Only {
        schemas: only.schemas.clone(),
        tables: only.table_names().flatten().map(name).collect(),
    }
}

/// What the manifest says of the contents.
fn totals(chosen: &Chosen) -> Option<crate::agent::protocol::contents::Totals> {
    chosen.found.manifest.totals.clone()
}

/// Where the object is, for people.
fn location(chosen: &Chosen) -> String {
    let store = &chosen.destination.store;
    store.destination(&chosen.found.key.key)
}

/// What is left of a deadline that runs from the restore's start.
fn time_left(limits: &TimeLimits, started_at: Option<Timestamp>, now: Timestamp) -> SignedDuration {
    let gone = started_at.map_or(SignedDuration::ZERO, |at| now.duration_since(at));
    let deadline = limits.deadline.time;
    deadline.saturating_sub(gone.max(SignedDuration::ZERO))
}

/// The name of the Secret with the login of a restore, which goes with its Job.
pub(super) fn credentials_name(restore: &Restore) -> String {
    format!("restore-{}-login", restore.uid().unwrap_or_default())
}
