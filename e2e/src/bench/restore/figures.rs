//! What a run found, as it is written to JSON. Names end in their unit.

use serde::Serialize;

use super::super::backup::figures::{Contender, load};
use super::super::backup::source::Source;
use super::downtime::Downtime;
use super::object::Objects;
use super::ours::Object;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) processors: usize,
    /// The load average over a minute when the run began, and when it ended; the run's own is in the latter.
    pub(super) load_before: f64,
    pub(super) load_after: f64,
    pub(super) rounds: u32,
    pub(super) databases: Vec<Database>,
    /// Of Restores in the cluster, where that is up with an operator in it.
    pub(super) objects: Vec<Objects>,
    pub(super) downtime: Option<Downtime>,
}

/// One database.
#[derive(Debug, Serialize)]
pub(super) struct Database {
    pub(super) engine: &'static str,
    /// Bytes of the dump before its compression.
    pub(super) dump_bytes: u64,
    /// The floor, the pipes, and ours by its checks, in this order.
    pub(super) contenders: Vec<Contender>,
    pub(super) ratios: Ratios,
}

/// Ours without a check, by the medians of the time.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Ratios {
    /// Times the floor's time. The aim: at most 1.15.
    pub(super) time_to_floor: f64,
    /// Times the throughput of the faster pipe. The aim: at least 1.2 on `PostgreSQL`, 1 on the others.
    pub(super) throughput_to_pipe: f64,
    /// What `check: Rows` adds, as a part of the time without. The aim: at most 0.1.
    pub(super) rows_on_top: f64,
    /// What `check: Digest` adds, in seconds. The aim: at most the time of one dump.
    pub(super) digest_on_top_s: Option<f64>,
}

impl Figures {
    pub(super) fn begin(rounds: u32) -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            load_before: load(),
            load_after: 0.0,
            rounds,
            databases: Vec::new(),
            objects: Vec::new(),
            downtime: None,
        }
    }

    pub(super) fn end(&mut self) {
        self.load_after = load();
    }

    /// Notes what was measured of a database.
    pub(super) fn add(&mut self, source: &Source, object: &Object, mut contenders: Vec<Contender>) {
        let dump_bytes = object.done.dumped_bytes;
        for contender in &mut contenders {
            contender.conclude(dump_bytes);
            contender.median.stored_bytes = object.done.bytes;
        }
        self.databases.push(Database {
            engine: source.engine.name(),
            dump_bytes,
            ratios: ratios(&contenders),
            contenders,
        });
    }
}

fn ratios(contenders: &[Contender]) -> Ratios {
    let walls: Vec<f64> = contenders.iter().map(|one| one.median.wall_s).collect();
    let [floor, aws, s5cmd, none, rows, rest @ ..] = walls.as_slice() else {
        return Ratios::default();
    };
    Ratios {
        time_to_floor: none / floor,
        throughput_to_pipe: aws.min(*s5cmd) / none,
        rows_on_top: rows / none - 1.0,
        digest_on_top_s: rest.first().map(|digest| digest - none),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::backup::meter::Measured;
    use super::*;

    #[test]
    fn ratios_are_of_ours_without_a_check() {
        let contenders = [10.0, 30.0, 13.0, 11.0, 11.55, 15.0].map(|wall_s| Contender {
            median: Measured {
                wall_s,
                ..Measured::default()
            },
            ..Contender::new("")
        });
        let found = ratios(&contenders);
        let near = |found: f64, wanted: f64| (found - wanted).abs() < 1e-9;
        assert!(near(found.time_to_floor, 1.1), "{found:?}");
        assert!(near(found.throughput_to_pipe, 13.0 / 11.0), "{found:?}");
        assert!(near(found.rows_on_top, 0.05), "{found:?}");
        assert!(
            near(found.digest_on_top_s.unwrap_or_default(), 4.0),
            "{found:?}"
        );
        assert_eq!(ratios(&contenders[..5]).digest_on_top_s, None);
    }
}
