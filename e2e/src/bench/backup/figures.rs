//! What a run found, as it is written to JSON. Names end in their unit.

use serde::Serialize;

use super::latency::Latency;
use super::meter::Measured;
use super::source::Source;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    processors: usize,
    /// The load average over a minute when the run began, and when it ended; the run's own is in the latter.
    pub(super) load_before: f64,
    pub(super) load_after: f64,
    pub(super) rounds: u32,
    /// `Store::sign` of the library as this program was built.
    pub(super) signing: Vec<Signing>,
    pub(super) databases: Vec<Database>,
    /// Of a Backup in the cluster, where that is up with an operator in it.
    pub(super) latency: Option<Latency>,
}

/// A window's signatures.
#[derive(Debug, Serialize)]
pub(super) struct Signing {
    pub(super) parts: u32,
    pub(super) milliseconds: f64,
}

/// One database.
#[derive(Debug, Serialize)]
pub(super) struct Database {
    pub(super) engine: &'static str,
    /// Bytes that the dump tool writes.
    pub(super) dump_bytes: u64,
    /// The floor, the pipes, and ours, in this order.
    pub(super) contenders: Vec<Contender>,
    pub(super) ratios: Ratios,
}

/// One of those that are compared.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Contender {
    pub(in crate::bench) name: String,
    /// Of all rounds, each figure by itself.
    pub(in crate::bench) median: Measured,
    /// Megabytes (10⁶ bytes) of the dump in a second, by the median.
    pub(in crate::bench) megabytes_per_second: f64,
    pub(in crate::bench) rounds: Vec<Measured>,
}

/// Ours at its first level, by the medians.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ratios {
    /// Times the throughput of `… | aws s3 cp -`. The aim: 2.6.
    pub(super) throughput_to_aws: f64,
    /// Times the throughput of `… | zstd | s5cmd pipe`. The aim: 1.25.
    pub(super) throughput_to_s5cmd: f64,
    /// Times the time of the dump tool alone. The aim: 1.2.
    pub(super) time_to_floor: f64,
    /// Times the processor time.
    pub(super) cpu_to_aws: f64,
    /// Times the processor time.
    pub(super) cpu_to_s5cmd: f64,
    /// Times the bytes stored.
    pub(super) stored_to_aws: f64,
    /// Times the bytes stored.
    pub(super) stored_to_s5cmd: f64,
}

impl Figures {
    pub(super) fn begin(rounds: u32) -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            load_before: load(),
            load_after: 0.0,
            rounds,
            signing: Vec::new(),
            databases: Vec::new(),
            latency: None,
        }
    }

    pub(super) fn end(&mut self) {
        self.load_after = load();
    }

    pub(super) fn processors(&self) -> usize {
        self.processors
    }

    /// Notes what was measured of a database.
    pub(super) fn add(&mut self, source: &Source, mut contenders: Vec<Contender>) {
        let dumped = |one: &Contender| one.rounds.iter().map(|round| round.dumped_bytes).max();
        let dump_bytes = contenders.iter().filter_map(dumped).max().unwrap_or(0);
        for contender in &mut contenders {
            contender.conclude(dump_bytes);
        }
        self.databases.push(Database {
            engine: source.engine.name(),
            dump_bytes,
            ratios: ratios(&contenders),
            contenders,
        });
    }
}

impl Contender {
    pub(in crate::bench) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            median: Measured::default(),
            megabytes_per_second: 0.0,
            rounds: Vec::new(),
        }
    }

    /// Finds the medians of what was measured with a dump of this size.
    pub(in crate::bench) fn conclude(&mut self, dump_bytes: u64) {
        self.median = median(&self.rounds);
        self.megabytes_per_second = as_float(dump_bytes) / 1e6 / self.median.wall_s.max(1e-9);
    }
}

fn ratios(contenders: &[Contender]) -> Ratios {
    let [floor, aws, s5cmd, ours, ..] = contenders else {
        return Ratios::default();
    };
    let [floor, aws, s5cmd, ours] = [floor, aws, s5cmd, ours].map(|one| one.median);
    let stored = |of: Measured| as_float(ours.stored_bytes) / as_float(of.stored_bytes).max(1.0);
    Ratios {
        throughput_to_aws: aws.wall_s / ours.wall_s,
        throughput_to_s5cmd: s5cmd.wall_s / ours.wall_s,
        time_to_floor: ours.wall_s / floor.wall_s,
        cpu_to_aws: ours.cpu_s / aws.cpu_s,
        cpu_to_s5cmd: ours.cpu_s / s5cmd.cpu_s,
        stored_to_aws: stored(aws),
        stored_to_s5cmd: stored(s5cmd),
    }
}

/// The middle of each figure; of an even number of rounds the higher of the two.
fn median(rounds: &[Measured]) -> Measured {
    let of = |figure: fn(&Measured) -> f64| middle(rounds.iter().map(figure).collect());
    let mut stored: Vec<u64> = rounds.iter().map(|round| round.stored_bytes).collect();
    stored.sort_unstable();
    Measured {
        wall_s: of(|round| round.wall_s),
        commit_s: of(|round| round.commit_s),
        cpu_s: of(|round| round.cpu_s),
        peak_memory_mib: of(|round| round.peak_memory_mib),
        stored_bytes: stored.get(stored.len() / 2).copied().unwrap_or_default(),
        dumped_bytes: rounds
            .iter()
            .map(|round| round.dumped_bytes)
            .max()
            .unwrap_or(0),
    }
}

/// The middle one; of an even number the higher of the two.
pub(in crate::bench) fn middle(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The load average over a minute.
pub(in crate::bench) fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

#[allow(
    clippy::cast_precision_loss,
    reason = "sizes of a run are far below 2^52"
)]
pub(in crate::bench) fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_medians() {
        let contender = |walls: [f64; 3], stored| {
            let rounds = walls.map(|wall_s| Measured {
                wall_s,
                cpu_s: wall_s * 2.0,
                stored_bytes: stored,
                ..Measured::default()
            });
            Contender {
                median: median(&rounds),
                rounds: rounds.to_vec(),
                ..Contender::new("")
            }
        };
        let all = [
            contender([9.0, 2.0, 1.0], 0),
            contender([8.0, 8.0, 1.0], 50),
            contender([5.0, 6.0, 3.0], 20),
            contender([2.5, 0.1, 9.0], 10),
        ];
        let found = ratios(&all);
        let near = |ratio: f64, wanted: f64| (ratio - wanted).abs() < 1e-9;
        assert!(near(found.throughput_to_aws, 3.2), "{found:?}");
        assert!(near(found.throughput_to_s5cmd, 2.0), "{found:?}");
        assert!(near(found.time_to_floor, 1.25), "{found:?}");
        assert!(near(found.stored_to_aws, 0.2), "{found:?}");
        assert!(near(ratios(&all[..2]).time_to_floor, 0.0));
    }
}
