//! The objects in the cluster, as the leader reports them at each scrape.
//!
//! Nothing is kept between two scrapes: the series of a deleted object are gone. Only the leader has caches, so a
//! standby prints none of these.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::figures::{Figures, Trouble};
use crate::provider::Usage;

/// The objects in the cluster at a moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The objects.
    pub figures: Figures,
    /// The connections to each instance's server.
    pub servers: Vec<ServerConnections>,
    /// Each watch, and whether it fails now.
    pub failing_watches: Vec<(&'static str, bool)>,
    /// How many objects of each kind cannot be read.
    pub unreadable: Vec<(&'static str, usize)>,
}

/// The connections of one instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConnections {
    /// The instance's name.
    pub instance: String,
    /// Whether its server is only probed because it failed too often.
    pub breaker_open: bool,
    /// The connections that this process holds to it.
    pub usage: Usage,
}

type Source = Box<dyn Fn() -> Snapshot + Send + Sync>;

/// Prints the leader's view of the cluster. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Objects(Arc<OnceLock<Source>>);

impl Objects {
    /// Sets the source that is read at each scrape. Called once, when this process becomes the leader.
    pub(super) fn of(&self, source: impl Fn() -> Snapshot + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(source));
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Objects")
    }
}

impl Collector for Objects {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let snapshot = self.0.get().map(|source| source()).unwrap_or_default();
        print_snapshot(encoder, &snapshot)
    }
}

fn print_snapshot(mut encoder: DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    print_figures(&mut encoder, &snapshot.figures)?;
    print_servers(&mut encoder, &snapshot.servers)?;
    print_watches(&mut encoder, snapshot)
}

fn print_figures(encoder: &mut DescriptorEncoder<'_>, figures: &Figures) -> fmt::Result {
    print(
        encoder,
        "instance_ready",
        "1 while an instance's condition Ready is true",
        figures.instances.iter().map(|(instance, ready)| {
            (
                [("database_instance", instance.as_str())],
                i64::from(*ready),
            )
        }),
    )?;
    print(
        encoder,
        "databases",
        "Databases by state, which is NONE before the first one",
        figures.databases.iter().map(|((instance, state), count)| {
            let labels = [("database_instance", instance.as_str()), ("state", *state)];
            (labels, signed(*count))
        }),
    )?;
    print(
        encoder,
        "backup_objects",
        "Backups by state, which is NONE while they wait to start",
        figures
            .backups
            .iter()
            .map(|(state, count)| ([("state", *state)], signed(*count))),
    )?;
    print(
        encoder,
        "restore_objects",
        "Restores by state, which is NONE while they wait to start",
        figures
            .restores
            .iter()
            .map(|(state, count)| ([("state", *state)], signed(*count))),
    )?;
    print(
        encoder,
        "reconciling",
        "Objects in progress or being retried, by the reason of their condition Reconciling",
        troubles(&figures.reconciling),
    )?;
    print(
        encoder,
        "stalled",
        "Objects that need a person, by the reason of their condition Stalled; a FAILED Backup or Restore has ended and is not counted",
        troubles(&figures.stalled),
    )?;
    print(
        encoder,
        "final_backups_failing",
        "Databases whose deletion waits for a final backup that has failed at least once",
        figures
            .final_backups_failing
            .iter()
            .map(|(instance, count)| ([("database_instance", instance.as_str())], signed(*count))),
    )?;
    let owners = figures.last_backups.iter().map(|(owner, last)| {
        let labels = [
            ("database_namespace", owner.namespace.as_str()),
            ("database", owner.name.as_str()),
            ("database_instance", owner.instance.as_str()),
        ];
        (labels, last)
    });
    print(
        encoder,
        "database_last_backup_timestamp_seconds",
        "When the last backup of a Database completed",
        owners.clone().filter_map(|(labels, last)| {
            let completed = last.completed?;
            Some((labels, completed.as_second()))
        }),
    )?;
    print(
        encoder,
        "database_last_backup_failed",
        "1 if a backup of a Database failed after the last completed one",
        owners.map(|(labels, last)| (labels, i64::from(last.failed))),
    )
}

fn print_servers(
    encoder: &mut DescriptorEncoder<'_>,
    servers: &[ServerConnections],
) -> fmt::Result {
    print(
        encoder,
        "breaker_open",
        "1 while an instance's server is only probed because it failed",
        servers.iter().map(|server| {
            let labels = [("database_instance", server.instance.as_str())];
            (labels, i64::from(server.breaker_open))
        }),
    )?;
    print(
        encoder,
        "connections",
        "Connections to an instance's server: busy, or idle and kept open",
        servers.iter().flat_map(|server| {
            [("busy", server.usage.busy), ("idle", server.usage.idle)].map(|(state, count)| {
                let labels = [
                    ("database_instance", server.instance.as_str()),
                    ("state", state),
                ];
                (labels, i64::try_from(count).unwrap_or(i64::MAX))
            })
        }),
    )?;
    print(
        encoder,
        "connections_limit",
        "Maximum number of connections to an instance's server: its spec.maxConnections",
        servers.iter().map(|server| {
            let labels = [("database_instance", server.instance.as_str())];
            let limit = i64::try_from(server.usage.limit).unwrap_or(i64::MAX);
            (labels, limit)
        }),
    )
}

fn print_watches(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    print(
        encoder,
        "watch_failing",
        "1 while the objects of a kind cannot be watched: their changes are not seen",
        snapshot
            .failing_watches
            .iter()
            .map(|(kind, failing)| ([("kind", *kind)], i64::from(*failing))),
    )?;
    print(
        encoder,
        "unreadable_objects",
        "Objects whose content the operator cannot read: each is left alone until it changes",
        snapshot.unreadable.iter().map(|(kind, count)| {
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            ([("kind", *kind)], count)
        }),
    )
}

fn troubles(
    counted: &BTreeMap<Trouble, u64>,
) -> impl Iterator<Item = ([(&'static str, &str); 3], i64)> {
    counted.iter().map(|(trouble, count)| {
        let labels = [
            ("kind", trouble.kind),
            ("database_instance", trouble.instance.as_str()),
            ("reason", trouble.reason),
        ];
        (labels, signed(*count))
    })
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// One gauge with a sample for each set of labels.
fn print<'a, const LABELS: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    samples: impl Iterator<Item = ([(&'static str, &'a str); LABELS], i64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in samples {
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "objects_tests.rs"]
pub(super) mod tests;
