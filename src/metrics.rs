//! What the operator counts, and how it is printed for Prometheus.
//!
//! To add a metric: a public field in [`Metrics`], one line in [`Metrics::new`] that registers it,
//! and a type of labels if it has any. Names start with `db_operator_`; units are base units.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::{BackupReason, Outcome, Reason};

mod process;

/// Every metric of the process. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// 1 while this process leads, 0 while it stands by.
    pub leader: Gauge,
    /// Finished reconciles.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// Failed reconciles, by the reason that [`crate::error::Error::reason`] gives.
    pub reconcile_errors: Family<ReconcileErrorLabels, Counter>,
    /// How long reconciles took.
    pub reconcile_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// How long the Kubernetes API took to answer (for a watch: to open it).
    pub api_seconds: Family<ApiLabels, Histogram, fn() -> Histogram>,
    /// How long servers took to answer.
    pub server_seconds: Family<ServerLabels, Histogram, fn() -> Histogram>,
    /// Servers that did not do what they were asked.
    pub server_errors: Family<ServerErrorLabels, Counter>,
    /// 1 while an instance's breaker is open, so that nobody asks its server.
    pub breaker_open: Family<InstanceLabels, Gauge>,
    /// Backups that ended, by the reason in their conditions: `Completed`, or why they failed.
    pub backups: Family<BackupLabels, Counter>,
    /// How long backups took, from their turn to their end, by how they ended.
    pub backup_seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    /// Bytes that completed backups have in the object stores.
    pub backup_bytes: Counter,
    registry: std::sync::Arc<Registry>,
}

/// Labels of backups that ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BackupLabels {
    /// `completed` or `failed`.
    pub result: &'static str,
    /// A stable CamelCase word.
    pub reason: &'static str,
}

/// Labels of how something ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ResultLabels {
    /// `completed` or `failed`.
    pub result: &'static str,
}

/// Labels of what is counted for a kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// `Database`, `Backup` or `DatabaseInstance`.
    pub kind: &'static str,
}

/// Labels of a finished reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `Database`, `Backup` or `DatabaseInstance`.
    pub kind: &'static str,
    /// `ok` or `error`.
    pub result: &'static str,
}

/// Labels of a failed reconcile.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileErrorLabels {
    /// `Database`, `Backup` or `DatabaseInstance`.
    pub kind: &'static str,
    /// A stable CamelCase word.
    pub reason: &'static str,
}

/// Labels of a request to the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabels {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: &'static str,
    /// The resource's plural name, with its subresource: `databases/status`.
    pub resource: String,
    /// The HTTP status, or `error` where there was none.
    pub code: String,
}

/// Labels of what is counted for an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InstanceLabels {
    /// The instance's name.
    pub instance: String,
}

/// Labels of a question to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerLabels {
    /// The instance's name.
    pub instance: String,
    /// What was asked: `observe`, `ensure_database`, `login`, …
    pub operation: &'static str,
}

/// Labels of a server's failure.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ServerErrorLabels {
    /// The instance's name.
    pub instance: String,
    /// A stable CamelCase word.
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers all metrics, each at zero.
    #[must_use]
    pub fn new() -> Self {
        let leader = Gauge::<i64>::default();
        let reconciles = Family::default();
        let reconcile_errors = Family::default();
        let reconcile_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let api_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);

        let server_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let server_errors = Family::default();
        let breaker_open = Family::default();

        let backups = Family::default();
        let backup_seconds = Family::new_with_constructor(long_seconds as fn() -> Histogram);
        let backup_bytes = Counter::default();

        // The process's metrics have standard names, without a prefix.
        let mut root = Registry::default();
        root.register_collector(Box::new(process::ProcessCollector));
        let registry = root.sub_registry_with_prefix("db_operator");
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register("reconciles", "Finished reconciles", reconciles.clone());
        registry.register(
            "reconcile_errors",
            "Failed reconciles by reason",
            reconcile_errors.clone(),
        );
        registry.register(
            "reconcile_seconds",
            "Time that reconciles took",
            reconcile_seconds.clone(),
        );
        registry.register(
            "api_request_seconds",
            "Time until the Kubernetes API answered",
            api_seconds.clone(),
        );
        registry.register(
            "server_request_seconds",
            "Time until a database server answered",
            server_seconds.clone(),
        );
        registry.register(
            "server_errors",
            "Questions that a database server did not answer well, by reason",
            server_errors.clone(),
        );
        registry.register(
            "breaker_open",
            "1 while an instance's server is left alone because it failed",
            breaker_open.clone(),
        );
        registry.register(
            "backups",
            "Backups that ended, by result and reason",
            backups.clone(),
        );
        registry.register(
            "backup_seconds",
            "Time that backups took from their turn to their end",
            backup_seconds.clone(),
        );
        registry.register(
            "backup_stored_bytes",
            "Bytes that completed backups have in the object stores",
            backup_bytes.clone(),
        );
        registry.register(
            "build",
            "The operator's version",
            Info::new(BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            }),
        );

        Self {
            leader,
            reconciles,
            reconcile_errors,
            reconcile_seconds,
            api_seconds,
            server_seconds,
            server_errors,
            breaker_open,
            backups,
            backup_seconds,
            backup_bytes,
            registry: std::sync::Arc::new(root),
        }
    }

    /// Counts one reconcile of an object of `kind`: how long it took, and the reason if it failed.
    pub fn reconciled(&self, kind: &'static str, took: Duration, failure: Option<&'static str>) {
        let result = if failure.is_some() { "error" } else { "ok" };
        self.reconciles
            .get_or_create(&ReconcileLabels { kind, result })
            .inc();
        self.reconcile_seconds
            .get_or_create(&KindLabels { kind })
            .observe(took.as_secs_f64());
        if let Some(reason) = failure {
            self.reconcile_errors
                .get_or_create(&ReconcileErrorLabels { kind, reason })
                .inc();
        }
    }

    /// Counts one question to a server: how long it took, the reason if it failed, and its breaker.
    pub fn asked(
        &self,
        instance: &str,
        operation: &'static str,
        took: Duration,
        failure: Option<&'static str>,
        breaker_open: bool,
    ) {
        let instance = instance.to_owned();
        self.server_seconds
            .get_or_create(&ServerLabels {
                instance: instance.clone(),
                operation,
            })
            .observe(took.as_secs_f64());
        if let Some(reason) = failure {
            self.server_errors
                .get_or_create(&ServerErrorLabels {
                    instance: instance.clone(),
                    reason,
                })
                .inc();
        }
        self.breaker_open
            .get_or_create(&InstanceLabels { instance })
            .set(i64::from(breaker_open));
    }

    /// Counts a backup that ended: why, after how many seconds, and its bytes in the store.
    pub fn backed_up(&self, reason: BackupReason, seconds: i64, bytes: u64) {
        let result = match reason.outcome() {
            Outcome::Ready => "completed",
            Outcome::Reconciling | Outcome::Stalled => "failed",
        };
        let reason = reason.as_str();
        self.backups
            .get_or_create(&BackupLabels { result, reason })
            .inc();
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        self.backup_seconds
            .get_or_create(&ResultLabels { result })
            .observe(f64::from(seconds));
        self.backup_bytes.inc_by(bytes);
    }

    /// All metrics as `OpenMetrics` text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// Buckets from 1 ms to about 65 s, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// Buckets from 1 s to about 9 hours, doubling.
fn long_seconds() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 2.0, 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_counted_is_printed() {
        let metrics = Metrics::new();
        metrics.leader.set(1);
        metrics.reconciled("Database", Duration::from_millis(3), None);
        metrics.reconciled(
            "Database",
            Duration::from_millis(3),
            Some("ApiServerRefused"),
        );
        metrics.backed_up(BackupReason::Completed, 3, 70);
        metrics.backed_up(BackupReason::Evicted, 3, 0);
        let text = metrics.clone().render().unwrap();
        for line in [
            "db_operator_leader 1",
            "db_operator_reconciles_total{kind=\"Database\",result=\"ok\"} 1",
            "db_operator_reconciles_total{kind=\"Database\",result=\"error\"} 1",
            "db_operator_reconcile_errors_total{kind=\"Database\",reason=\"ApiServerRefused\"} 1",
            "db_operator_reconcile_seconds_count{kind=\"Database\"} 2",
            "db_operator_backups_total{result=\"completed\",reason=\"Completed\"} 1",
            "db_operator_backups_total{result=\"failed\",reason=\"Evicted\"} 1",
            "db_operator_backup_stored_bytes_total 70",
            "db_operator_build_info{version=\"",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }
}
