//! A Job from a template: values → template → typed Job → the enforced parts on top; and its outcome.
//!
//! [`build`] is pure: no client, no clock, so the same [`Order`] is always the same Job.
//!
//! | file | its one job |
//! |---|---|
//! | `owner.rs` | the objects that have Jobs, and what their Jobs are called |
//! | `values.rs` | the values that a template is given |
//! | `parse.rs` | YAML → Job, with the line of what is wrong |
//! | `enforce/` | what a template cannot change: of the Job and its pod, of the containers, of their rights, of what they see; and what the instance sets |
//! | `secret.rs` | the Job's Secret: its task, and what was signed for it: a window of parts, or an object to read |
//! | `signed_parts.rs` | which signed parts a Job has, and when it needs others (pure) |
//! | `time_limit.rs` | how long a Job may take, and which field says so (pure) |
//! | `image.rs` | the operator's own image |
//! | `watch.rs`, `objects.rs`, `ended_pods.rs` | the Jobs and pods as watches show them; what is kept of them; what pods said that are gone |
//! | `manage.rs` | a Job is created, removed where it is in the way, or stopped |
//! | `pod.rs`, `pod_creation.rs` | what a pod reports about itself; why a pod is missing (both pure) |
//! | `progress.rs` | how far its dump or load is |
//! | `outcome/` | what became of it (pure) |

pub mod ended_pods;
mod enforce;
pub mod image;
pub mod manage;
pub mod objects;
pub mod outcome;
pub mod owner;
mod parse;
pub mod pod;
pub mod pod_creation;
pub mod progress;
pub mod secret;
pub mod signed_parts;
pub mod time_limit;
mod values;
pub mod watch;

use jiff::SignedDuration;
use k8s_openapi::api::batch::v1::Job;

use crate::agent::protocol::task::Flavour;
use crate::api::destination::BackupJob;
use crate::template::{self, TemplateError};
use time_limit::TimeLimits;

pub use owner::{HasJobs, Kind, Owner, name};

/// The templates that this operator brings along.
const POSTGRESQL: &str = include_str!("../../templates/postgresql/backup.yaml.hbs");
const MYSQL: &str = include_str!("../../templates/mysql/backup.yaml.hbs");
const RESTORE_POSTGRESQL: &str = include_str!("../../templates/postgresql/restore.yaml.hbs");
const RESTORE_MYSQL: &str = include_str!("../../templates/mysql/restore.yaml.hbs");

/// Memory that our process and its files need beside a tool that loads, in bytes: 64 MiB for what waits between the store
/// and the tool, and for the window of zstd; the rest for the table of contents, which is a file in memory.
const BESIDE_LOADING: u64 = 96 * 1024 * 1024;

/// Memory that the pod of a restore needs, in bytes, with so much of it for the tool.
#[must_use]
pub const fn restore_memory(tool: u64) -> u64 {
    tool.saturating_add(BESIDE_LOADING)
}

/// Everything that a Job is made from.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The object that asks for it, and owns it.
    pub owner: &'a Owner,
    /// The SQL database.
    pub database_name: &'a str,
    /// The SQL user that the tool logs in as.
    pub user: &'a str,
    /// Which tool.
    pub flavour: Flavour,
    /// The number that the tool must not be older than: `17`, `11.8`, `9.7`.
    pub series: &'a str,
    /// The server's version as it says it.
    pub server_version: &'a str,
    /// The server's host name or address.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// How the connection is protected, in libpq's words.
    pub tls: &'a str,
    /// The object that a backup goes to, or a restore comes from, for people: `s3://bucket/key`.
    pub location: &'a str,
    /// The image that the operator itself runs.
    pub operator_image: &'a str,
    /// The Secret with `username`, `password` and perhaps `ca.crt`, in the owner's namespace.
    pub credentials_secret: &'a str,
    /// How long it may take, and stand still.
    pub limits: TimeLimits,
    /// How long this Job may take: what is left of the deadline.
    pub time_left: SignedDuration,
    /// The memory that the tool and our process need together, in bytes: the minimum memory limit of their container.
    pub memory_bytes: u64,
    /// How many indexes a restore builds at the same time.
    pub jobs: u32,
    /// How long the Job stays when it is finished, in seconds.
    pub keep_seconds: u32,
    /// What the instance sets of Jobs.
    pub settings: Option<&'a BackupJob>,
    /// The platform team's template; `None`: the operator's own.
    pub template: Option<&'a str>,
}

/// Why a template gives no Job. None of these holds a secret: no value of a template is one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JobError {
    /// It is not a template, or uses an unknown name.
    #[error("the Job's template: {0}")]
    Template(#[from] TemplateError),
    /// What it renders to is not a Job.
    #[error(
        "the Job's template renders to something that is not a Job: line {line} (`{text}`): {reason}"
    )]
    NotAJob {
        /// Line of the rendered text, from one.
        line: usize,
        /// That line, cut where it is long.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It asks for something that such a pod cannot have, or lacks what it must have.
    #[error(
        "the Job's template renders to a Job that is not accepted: line {line} (`{text}`), {path}: {reason}"
    )]
    NotAccepted {
        /// Line of the rendered text, from one.
        line: usize,
        /// That line, cut where it is long.
        text: String,
        /// The field: `spec.template.spec.volumes[0]`.
        path: String,
        /// Why not, and what to do about it.
        reason: String,
    },
}

/// The vendor's image with the tools of this series.
#[must_use]
pub fn default_image(flavour: Flavour, series: &str) -> String {
    let repository = match flavour {
        Flavour::Postgresql => "postgres",
        Flavour::Mysql => "mysql",
        Flavour::Mariadb => "mariadb",
    };
    format!("docker.io/library/{repository}:{series}")
}

/// The Job of a backup or a restore.
pub fn build(order: &Order<'_>) -> Result<Job, JobError> {
    let template = order.template.unwrap_or_else(|| own_template(order));
    let yaml = template::render_yaml(template, &values::values(order))?;
    let job = parse::job(&yaml)?;
    enforce::lay_over(job, order).map_err(|refusal| parse::locate(&yaml, refusal))
}

/// The template that this operator brings along.
fn own_template(order: &Order<'_>) -> &'static str {
    match (order.owner.kind, order.flavour) {
        (Kind::Backup, Flavour::Postgresql) => POSTGRESQL,
        (Kind::Backup, Flavour::Mysql | Flavour::Mariadb) => MYSQL,
        (Kind::Restore, Flavour::Postgresql) => RESTORE_POSTGRESQL,
        (Kind::Restore, Flavour::Mysql | Flavour::Mariadb) => RESTORE_MYSQL,
    }
}

/// A field that is not accepted, before its line is known.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    path: String,
    reason: String,
}

impl Refusal {
    fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

#[cfg(test)]
mod tests;
