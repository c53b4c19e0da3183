//! What a run found, as it is written to JSON. Names end in their unit; what is `each` is per Database.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::meter::Reading;
use super::server::Engine;
use super::statements::Asked;

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) machine: Machine,
    pub(super) engines: BTreeMap<&'static str, EngineFigures>,
    /// The operator's resident memory at its highest, until all Databases were made.
    pub(super) peak_memory_mib: f64,
    /// The same at that moment.
    pub(super) memory_mib: f64,
    pub(super) rest: Option<Rest>,
}

/// What else ran: figures of a busy machine are not those of an idle one.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    pub(super) processors: usize,
    /// The load average over a minute, when the run began.
    pub(super) load_before: f64,
    /// The same when it ended; the run's own load is in it.
    pub(super) load_after: f64,
}

/// One server.
#[derive(Debug, Serialize)]
pub(super) struct EngineFigures {
    pub(super) floor: Vec<Floor>,
    pub(super) sequential: Option<Sequential>,
    pub(super) storm: Option<Storm>,
    pub(super) deletion: Option<Deletion>,
}

/// A user, a database and a first login by plain SQL.
#[derive(Debug, Serialize)]
pub(super) struct Floor {
    pub(super) lanes: usize,
    pub(super) count: usize,
    pub(super) total_s: f64,
    /// One of them, as its lane saw it.
    pub(super) one: Times,
    /// The total divided by the count.
    pub(super) each_ms: f64,
}

/// How long something took.
#[derive(Debug, Default, Serialize)]
pub(super) struct Times {
    pub(super) count: usize,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) max_ms: f64,
}

/// One Database after the other.
#[derive(Debug, Serialize)]
pub(super) struct Sequential {
    /// From before the POST until the state CREATED was seen.
    pub(super) created: Times,
    /// From before the POST until a login with the Secret's values had worked.
    pub(super) usable: Times,
    pub(super) each: Cost,
}

/// Many Databases in one file.
#[derive(Debug, Serialize)]
pub(super) struct Storm {
    pub(super) count: usize,
    /// Until `kubectl apply` ended.
    pub(super) applied_s: f64,
    /// Until the last Database was seen to be CREATED, from the same moment.
    pub(super) all_created_s: f64,
    pub(super) cpu_s: f64,
    pub(super) each: Cost,
}

/// All Databases of a server deleted at once.
#[derive(Debug, Serialize)]
pub(super) struct Deletion {
    pub(super) count: usize,
    pub(super) all_gone_s: f64,
    pub(super) cpu_s: f64,
    pub(super) each: Cost,
    pub(super) left: Left,
}

/// What should not be there any more.
#[derive(Debug, Serialize)]
pub(super) struct Left {
    pub(super) databases: u64,
    pub(super) users: u64,
    pub(super) claims: u64,
    pub(super) secrets: usize,
}

/// What one Database costs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// Leases and Events apart.
    pub(super) api_writes: f64,
    /// Among them: refused, and done again.
    pub(super) api_refused: f64,
    pub(super) api_reads: f64,
    pub(super) events: f64,
    pub(super) sql_statements: f64,
    pub(super) sql_connections: f64,
    pub(super) cpu_ms: f64,
}

/// All Databases held.
#[derive(Debug, Serialize)]
pub(super) struct Rest {
    pub(super) held: usize,
    /// The `--resync` that was measured; the default is 300.
    pub(super) resync_s: u64,
    /// From the start of a new process until it asked for nothing more.
    pub(super) restart: Traffic,
    /// A whole resync.
    pub(super) resync: Traffic,
    pub(super) memory_mib: f64,
}

/// What was asked for in some time, in all.
#[derive(Debug, Default, Serialize)]
pub(super) struct Traffic {
    pub(super) seconds: f64,
    pub(super) api_writes: u64,
    pub(super) api_reads: u64,
    pub(super) events: u64,
    pub(super) lease_writes: u64,
    pub(super) sql_statements: u64,
    /// Those of them in sessions of Databases' users.
    pub(super) sql_as_users: u64,
    pub(super) sql_connections: u64,
    pub(super) cpu_s: f64,
}

impl Figures {
    pub(super) fn begin() -> Self {
        Self {
            machine: Machine {
                processors: std::thread::available_parallelism().map_or(1, usize::from),
                load_before: load(),
                load_after: 0.0,
            },
            engines: BTreeMap::new(),
            peak_memory_mib: 0.0,
            memory_mib: 0.0,
            rest: None,
        }
    }

    pub(super) fn of(&mut self, engine: Engine) -> &mut EngineFigures {
        self.engines
            .entry(engine.name())
            .or_insert_with(|| EngineFigures::new(Vec::new()))
    }

    pub(super) fn end(&mut self) {
        self.machine.load_after = load();
    }
}

impl EngineFigures {
    pub(super) fn new(floor: Vec<Floor>) -> Self {
        Self {
            floor,
            sequential: None,
            storm: None,
            deletion: None,
        }
    }

    /// The floor of one after the other.
    pub(super) fn sequential_floor(&self) -> Option<&Floor> {
        self.floor.iter().find(|floor| floor.lanes == 1)
    }

    /// The best that the server did with any number of lanes, in milliseconds a database.
    pub(super) fn storm_floor_ms(&self) -> Option<f64> {
        let each = self.floor.iter().map(|floor| floor.each_ms);
        each.min_by(f64::total_cmp)
    }
}

impl Floor {
    pub(super) fn new(lanes: usize, total: Duration, one: Times) -> Self {
        Self {
            lanes,
            count: one.count,
            total_s: total.as_secs_f64(),
            each_ms: share(milliseconds(total), one.count),
            one,
        }
    }
}

impl Times {
    /// Percentiles by nearest rank.
    pub(super) fn of(times: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = times.iter().copied().map(milliseconds).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
            sorted.get(rank).copied().unwrap_or_default()
        };
        Self {
            count: sorted.len(),
            p50_ms: rank(50),
            p99_ms: rank(99),
            max_ms: rank(100),
        }
    }
}

impl Cost {
    /// A share of a reading. `own_logins` were of the bench, and MariaDB's log does not tell them apart.
    pub(super) fn of(reading: &Reading, engine: Engine, count: usize, own_logins: usize) -> Self {
        let asked = reading.asked.get(&engine).copied().unwrap_or_default();
        let own = match engine {
            Engine::Postgres => 0,
            Engine::Mariadb => u64::try_from(own_logins).unwrap_or_default(),
        };
        let each = |number: u64| share(as_float(number), count);
        Self {
            api_writes: each(reading.requests.writes),
            api_refused: each(reading.requests.refused),
            api_reads: each(reading.requests.reads),
            events: each(reading.requests.events),
            sql_statements: each(asked.statements),
            sql_connections: each(asked.connections.saturating_sub(own)),
            cpu_ms: share(reading.cpu_seconds * 1000.0, count),
        }
    }
}

impl Traffic {
    pub(super) fn add(&mut self, reading: &Reading) {
        let Asked {
            statements,
            as_users,
            connections,
        } = reading.asked_in_all();
        self.seconds += reading.seconds;
        self.api_writes += reading.requests.writes;
        self.api_reads += reading.requests.reads;
        self.events += reading.requests.events;
        self.lease_writes += reading.requests.leases;
        self.sql_statements += statements;
        self.sql_as_users += as_users;
        self.sql_connections += connections;
        self.cpu_s += reading.cpu_seconds;
    }
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn share(sum: f64, count: usize) -> f64 {
    sum / as_float(u64::try_from(count).unwrap_or_default()).max(1.0)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=50).rev().map(Duration::from_millis).collect();
        let times = Times::of(&times);
        let found = [times.p50_ms, times.p99_ms, times.max_ms].map(|time| format!("{time:.0}"));
        assert_eq!(found, ["25", "50", "50"]);
        assert_eq!(Times::of(&[]).count, 0);
    }
}
