//! What the operator did between two moments: requests, statements, connections, processor time.

use std::collections::BTreeMap;
use std::time::Instant;

use super::audit::{Audit, Requests};
use super::operator::{self, Operator};
use super::server::{Engine, Server};
use super::statements::{Asked, Statements};
use crate::Result;
use crate::cluster::Cluster;

/// Reads the logs on, and the process's time.
pub(super) struct Meter {
    cluster: Cluster,
    audit: Audit,
    logs: BTreeMap<Engine, Statements>,
    /// The operator's process, once it runs.
    pid: Option<u32>,
    since: Instant,
    cpu: f64,
}

/// What was done since the last reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub(super) seconds: f64,
    pub(super) cpu_seconds: f64,
    pub(super) requests: Requests,
    pub(super) asked: BTreeMap<Engine, Asked>,
}

impl Reading {
    /// What all servers were asked.
    pub(super) fn asked_in_all(&self) -> Asked {
        self.asked
            .values()
            .fold(Asked::default(), |sum, one| Asked {
                statements: sum.statements + one.statements,
                as_users: sum.as_users + one.as_users,
                connections: sum.connections + one.connections,
            })
    }

    /// Whether nothing was asked for, apart from leases, watches, and the logins that each Database's user is owed at each
    /// resync: those are spread over all of it.
    pub(super) fn is_quiet(&self) -> bool {
        let asked = self.asked_in_all();
        self.requests.writes == 0 && asked.statements == asked.as_users
    }
}

impl Meter {
    pub(super) fn new(cluster: &Cluster, user: String, servers: &BTreeMap<Engine, Server>) -> Self {
        let log = |(engine, server): (&Engine, &Server)| {
            let statements = Statements::new(*engine, server.administrator.clone());
            (*engine, statements)
        };
        Self {
            cluster: cluster.clone(),
            audit: Audit::new(cluster.audit_log(), user),
            logs: servers.iter().map(log).collect(),
            pid: None,
            since: Instant::now(),
            cpu: 0.0,
        }
    }

    /// From now on, this process.
    pub(super) fn follow(&mut self, operator: &Operator) {
        self.pid = Some(operator.pid());
        self.cpu = 0.0;
    }

    /// What was done since the last reading. The first one counts what came before, too.
    pub(super) fn read(&mut self) -> Result<Reading> {
        let cpu = self.pid.map_or(Ok(0.0), operator::cpu_seconds)?;
        let mut reading = Reading {
            seconds: self.since.elapsed().as_secs_f64(),
            cpu_seconds: cpu - self.cpu,
            requests: self.audit.advance()?,
            asked: BTreeMap::new(),
        };
        for (engine, log) in &mut self.logs {
            reading.asked.insert(*engine, log.advance(&self.cluster)?);
        }
        self.cpu = cpu;
        self.since = Instant::now();
        Ok(reading)
    }
}
