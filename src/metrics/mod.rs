//! The operator's metrics, and how they are printed for Prometheus.
//!
//! To add a metric about events: a public field in [`Metrics`], one line in [`Metrics::new`] that registers it, and a
//! type in [`labels`] if it has any. Current state is added up from the controllers' caches at each scrape, so that the
//! series of an object are removed with it: see [`figures`]. Names start with `db_operator_`; units are base units.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::{BackupReason, Outcome, Reason, RestoreReason};

pub mod figures;
pub mod labels;
mod objects;
mod process;
#[cfg(test)]
mod reference;
mod restores;

use labels::{
    ApiLabels, BackupLabels, KindLabels, ReconcileErrorLabels, ReconcileLabels, ResultLabels,
    ServerErrorLabels, ServerLabels,
};
use objects::Objects;
pub use objects::{ServerConnections, Snapshot};
pub use restores::{RestoreFigures, Restores};

/// Every metric of the process. Cheap to clone: clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// 1 while this process leads, 0 while it stands by.
    pub leader: Gauge,
    /// Finished reconciles.
    pub reconciles: Family<ReconcileLabels, Counter>,
    /// Failed reconciles, by the reason that [`crate::controller::error::Error::reason`] gives.
    pub reconcile_errors: Family<ReconcileErrorLabels, Counter>,
    /// How long reconciles took.
    pub reconcile_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// The longest time for which each reconcile held a thread of the runtime.
    pub longest_poll_seconds: Family<KindLabels, Histogram, fn() -> Histogram>,
    /// How long the Kubernetes API took to answer (for a watch: to open it).
    pub api_seconds: Family<ApiLabels, Histogram, fn() -> Histogram>,
    /// How long servers took to answer.
    pub server_seconds: Family<ServerLabels, Histogram, fn() -> Histogram>,
    /// Requests that a server failed or did not answer.
    pub server_errors: Family<ServerErrorLabels, Counter>,
    /// Backups that ended, by the reason in their conditions: `Completed`, or why they failed.
    pub backups: Family<BackupLabels, Counter>,
    /// How long backups took, from their start to their end, by how they ended.
    pub backup_seconds: Family<ResultLabels, Histogram, fn() -> Histogram>,
    /// Bytes that completed backups stored.
    pub backup_bytes: Counter,
    /// What became of restores.
    pub restores: Restores,
    objects: Objects,
    asked: Arc<Mutex<HashMap<String, Asked>>>,
    registry: Arc<Registry>,
}

/// What an instance has series for, so that they can go with it.
#[derive(Debug, Default)]
struct Asked {
    operations: HashSet<&'static str>,
    reasons: HashSet<&'static str>,
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
        let longest_poll_seconds = Family::new_with_constructor(short_seconds as fn() -> Histogram);
        let api_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);

        let server_seconds = Family::new_with_constructor(seconds as fn() -> Histogram);
        let server_errors = Family::default();

        let backups = Family::default();
        let backup_seconds = Family::new_with_constructor(long_seconds as fn() -> Histogram);
        let backup_bytes = Counter::default();
        let objects = Objects::default();

        // The process's metrics have standard names, without a prefix.
        let mut root = Registry::default();
        root.register_collector(Box::new(process::ProcessCollector));
        let registry = root.sub_registry_with_prefix("db_operator");
        registry.register_collector(Box::new(objects.clone()));
        registry.register("leader", "1 while this process leads", leader.clone());
        registry.register("reconciles", "Finished reconciles", reconciles.clone());
        registry.register(
            "reconcile_errors",
            "Failed reconciles by reason",
            reconcile_errors.clone(),
        );
        registry.register(
            "reconcile_seconds",
            "Duration of reconciles",
            reconcile_seconds.clone(),
        );
        registry.register(
            "longest_poll_seconds",
            "Longest CPU time for which a reconcile held a thread without yielding",
            longest_poll_seconds.clone(),
        );
        registry.register(
            "api_request_seconds",
            "Time until the Kubernetes API responded",
            api_seconds.clone(),
        );
        registry.register(
            "server_request_seconds",
            "Time until a database server responded",
            server_seconds.clone(),
        );
        registry.register(
            "server_errors",
            "Requests that a database server failed or did not answer, by reason",
            server_errors.clone(),
        );
        registry.register(
            "backups",
            "Backups that ended, by result and reason",
            backups.clone(),
        );
        registry.register(
            "backup_seconds",
            "Duration of backups, from their start to their end",
            backup_seconds.clone(),
        );
        registry.register(
            "backup_stored_bytes",
            "Bytes that completed backups stored",
            backup_bytes.clone(),
        );
        let restores = Restores::registered(registry);
        registry.register(
            "build",
            "The operator's version",
            Info::new(BuildLabels {
                version: env!("CARGO_PKG_VERSION"),
            }),
        );

        let metrics = Self {
            leader,
            reconciles,
            reconcile_errors,
            reconcile_seconds,
            longest_poll_seconds,
            api_seconds,
            server_seconds,
            server_errors,
            backups,
            backup_seconds,
            backup_bytes,
            restores,
            objects,
            asked: Arc::default(),
            registry: Arc::new(root),
        };
        metrics.begin_at_zero();
        metrics
    }

    /// A series that appears with its first backup or restore has not increased, as Prometheus counts.
    fn begin_at_zero(&self) {
        for reason in BackupReason::ALL.iter().copied() {
            if reason.outcome() != Outcome::Reconciling {
                let _ = self.backups.get_or_create(&ended(reason));
            }
        }
        self.restores.begin_at_zero();
    }

    /// From now on, each scrape also counts the objects in the cluster: this process leads.
    pub fn count_objects(&self, source: impl Fn() -> Snapshot + Send + Sync + 'static) {
        self.objects.of(source);
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

    /// Counts the longest time for which a reconcile of an object of `kind` held a thread.
    pub fn polled(&self, kind: &'static str, longest: Duration) {
        self.longest_poll_seconds
            .get_or_create(&KindLabels { kind })
            .observe(longest.as_secs_f64());
    }

    /// Counts one question to a server: how long it took, and the reason if it failed.
    pub fn asked(
        &self,
        instance: &str,
        operation: &'static str,
        took: Duration,
        failure: Option<&'static str>,
    ) {
        let mut all = self.asked.lock();
        let known = all.entry(instance.to_owned()).or_default();
        known.operations.insert(operation);
        let labels = server_labels(instance, operation);
        self.server_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        if let Some(reason) = failure {
            known.reasons.insert(reason);
            let labels = server_error_labels(instance, reason);
            self.server_errors.get_or_create(&labels).inc();
        }
    }

    /// Removes the series of an instance that is gone.
    pub fn forget_instance(&self, instance: &str) {
        let mut all = self.asked.lock();
        let Some(known) = all.remove(instance) else {
            return;
        };
        for operation in known.operations {
            self.server_seconds
                .remove(&server_labels(instance, operation));
        }
        for reason in known.reasons {
            self.server_errors
                .remove(&server_error_labels(instance, reason));
        }
    }

    /// Counts a backup that ended: why, after how many seconds, and its bytes in the store.
    pub fn backed_up(&self, reason: BackupReason, seconds: i64, bytes: u64) {
        let labels = ended(reason);
        self.backups.get_or_create(&labels).inc();
        let result = labels.result;
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        self.backup_seconds
            .get_or_create(&ResultLabels { result })
            .observe(f64::from(seconds));
        self.backup_bytes.inc_by(bytes);
    }

    /// Counts a restore that ended: why, and how long its parts took.
    pub fn restored(&self, reason: RestoreReason, figures: RestoreFigures) {
        self.restores.count(reason, figures);
    }

    /// `/metrics`.
    pub fn router(&self) -> Router {
        let page = get(|State(metrics): State<Self>| async move { metrics.page() });
        Router::new()
            .route("/metrics", page)
            .with_state(self.clone())
    }

    fn page(&self) -> Response {
        const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        match self.render() {
            Ok(text) => ([(header::CONTENT_TYPE, FORMAT)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }

    /// All metrics as `OpenMetrics` text.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn ended(reason: impl Reason) -> BackupLabels {
    let result = match reason.outcome() {
        Outcome::Ready => "completed",
        Outcome::Reconciling | Outcome::Stalled => "failed",
    };
    let reason = reason.as_str();
    BackupLabels { result, reason }
}

fn server_labels(instance: &str, operation: &'static str) -> ServerLabels {
    ServerLabels {
        database_instance: instance.to_owned(),
        operation,
    }
}

fn server_error_labels(instance: &str, reason: &'static str) -> ServerErrorLabels {
    ServerErrorLabels {
        database_instance: instance.to_owned(),
        reason,
    }
}

/// Buckets from 1 ms to about 65 s, doubling.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 17))
}

/// What a thread of the runtime may be held for is 10 ms ([`crate::controller::watchdog::LIMIT`]), which is a bucket's limit.
fn short_seconds() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0,
    ])
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
        metrics.polled("Database", Duration::from_millis(10));
        metrics.polled("Database", Duration::from_millis(11));
        metrics.backed_up(BackupReason::Completed, 3, 70);
        metrics.backed_up(BackupReason::Evicted, 3, 0);
        let figures = RestoreFigures {
            load: Some(7),
            downtime_millis: Some(500),
            ..RestoreFigures::default()
        };
        metrics.restored(RestoreReason::Completed, figures);
        metrics.restored(RestoreReason::LoadFailed, RestoreFigures::default());
        let text = metrics.clone().render().unwrap();
        for line in [
            "db_operator_leader 1",
            "db_operator_reconciles_total{kind=\"Database\",result=\"ok\"} 1",
            "db_operator_reconciles_total{kind=\"Database\",result=\"error\"} 1",
            "db_operator_reconcile_errors_total{kind=\"Database\",reason=\"ApiServerRefused\"} 1",
            "db_operator_reconcile_seconds_count{kind=\"Database\"} 2",
            "db_operator_longest_poll_seconds_bucket{le=\"0.01\",kind=\"Database\"} 1",
            "db_operator_longest_poll_seconds_count{kind=\"Database\"} 2",
            "db_operator_backups_total{result=\"completed\",reason=\"Completed\"} 1",
            "db_operator_backups_total{result=\"failed\",reason=\"Evicted\"} 1",
            "db_operator_backups_total{result=\"failed\",reason=\"OutOfMemory\"} 0",
            "db_operator_backup_stored_bytes_total 70",
            "db_operator_restores_total{result=\"completed\",reason=\"Completed\"} 1",
            "db_operator_restores_total{result=\"failed\",reason=\"LoadFailed\"} 1",
            "db_operator_restores_total{result=\"failed\",reason=\"CheckFailed\"} 0",
            "db_operator_restore_seconds_sum{phase=\"load\"} 7",
            "db_operator_restore_downtime_seconds_sum 0.5",
            "db_operator_build_info{version=\"",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn the_series_of_an_instance_go_with_it() {
        let metrics = Metrics::new();
        let took = Duration::from_millis(3);
        for instance in ["main", "other"] {
            metrics.asked(instance, "login", took, None);
            metrics.asked(instance, "survey", took, Some("Timeout"));
        }
        metrics.forget_instance("main");
        metrics.forget_instance("main");
        let text = metrics.render().unwrap();
        assert!(!text.contains("\"main\""), "{text}");
        for line in [
            "db_operator_server_request_seconds_count{database_instance=\"other\",operation=\"survey\"} 1",
            "db_operator_server_errors_total{database_instance=\"other\",reason=\"Timeout\"} 1",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }
}
