//! What is counted of restores.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::labels::{BackupLabels, PhaseLabels};
use super::{ended, long_seconds, seconds};
use crate::api::{Outcome, Reason, RestoreReason};

/// Counters and times of restores.
#[derive(Clone, Debug)]
pub struct Restores {
    /// Restores that ended, by the reason in their conditions: `Completed`, or why they failed.
    pub ended: Family<BackupLabels, Counter>,
    /// How long the parts of restores took that came so far.
    pub seconds: Family<PhaseLabels, Histogram, fn() -> Histogram>,
    /// For how long nobody could log in to a database that was restored.
    pub downtime_seconds: Histogram,
}

/// How long the parts of a restore took, as far as it came: in seconds, and the time in which nobody could log in in
/// milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreFigures {
    /// Until the Job ran.
    pub prepare: Option<i64>,
    /// Loading rows.
    pub load: Option<i64>,
    /// Building indexes and constraints.
    pub index: Option<i64>,
    /// Statistics and checks.
    pub check: Option<i64>,
    /// From the Job's report to the new name.
    pub switch: Option<i64>,
    /// Without logins.
    pub downtime_millis: Option<i64>,
}

impl Restores {
    /// Registers them, each at zero.
    pub(super) fn registered(registry: &mut Registry) -> Self {
        let restores = Self {
            ended: Family::default(),
            seconds: Family::new_with_constructor(long_seconds as fn() -> Histogram),
            downtime_seconds: seconds(),
        };
        registry.register(
            "restores",
            "Restores that ended, by result and reason",
            restores.ended.clone(),
        );
        registry.register(
            "restore_seconds",
            "Duration of the parts of restores: prepare, load, index, check, switch",
            restores.seconds.clone(),
        );
        registry.register(
            "restore_downtime_seconds",
            "Time for which nobody could log in to a database while it was switched to the restored one",
            restores.downtime_seconds.clone(),
        );
        restores
    }

    /// Each way to end has its series from the beginning.
    pub(super) fn begin_at_zero(&self) {
        for reason in RestoreReason::ALL.iter().copied() {
            if reason.outcome() != Outcome::Reconciling {
                let _ = self.ended.get_or_create(&ended(reason));
            }
        }
    }

    /// Counts a restore that ended: why, and how long its parts took.
    pub(super) fn count(&self, reason: RestoreReason, figures: RestoreFigures) {
        self.ended.get_or_create(&ended(reason)).inc();
        let number = |number: i64| f64::from(i32::try_from(number).unwrap_or(i32::MAX));
        for (phase, seconds) in [
            ("prepare", figures.prepare),
            ("load", figures.load),
            ("index", figures.index),
            ("check", figures.check),
            ("switch", figures.switch),
        ] {
            if let Some(seconds) = seconds {
                self.seconds
                    .get_or_create(&PhaseLabels { phase })
                    .observe(number(seconds));
            }
        }
        if let Some(millis) = figures.downtime_millis {
            self.downtime_seconds.observe(number(millis) / 1000.0);
        }
    }
}
