//! How long sessions that reconnect are without their database while it is replaced, beside what they are without it when
//! their sessions are ended and nothing else happens.

use std::time::{Duration, Instant};

use db_operator::api::{Database, Restore, RestoreState};
use serde::Serialize;
use serde_json::json;

use super::super::backup::figures::middle;
use super::super::in_cluster::{InCluster, in_cluster};
use super::clients::Clients;
use super::object::{INSTANCE, fill};
use crate::campaign::server::{Data, secret, text};
use crate::campaign::{Engine, Server};
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};

const PREFIX: &str = "bench-downtime";
const DATABASE: &str = "live";
/// The size of the database: how long it is away does not depend on it.
const SIZE: u64 = 1 << 20;
/// Connections of the server that are left to the operator, the load and others.
const LEFT: usize = 40;
/// How long the sessions go on when all is over, so that the last of them come back.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Seconds without the database: of all sessions of a round the middle one and the 99th of a hundred, and of all rounds
/// the median.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Away {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct Downtime {
    /// Fewer than were asked for where the server does not let so many in.
    pub(super) sessions: usize,
    pub(super) replaced: Away,
    /// With the same sessions, which were ended by a superuser.
    pub(super) ended: Away,
    /// What the Restore says.
    pub(super) status_ms: f64,
}

/// Measures in the cluster's own operator; what it makes goes again.
pub(super) async fn measure(cluster: &Cluster, sessions: u32, rounds: u32) -> Result<Downtime> {
    in_cluster(cluster, PREFIX, async |here| {
        let server = Server::find(cluster, &here.client, Engine::Postgres).await?;
        all(here, &server, sessions, rounds).await
    })
    .await
}

async fn all(
    here: &InCluster<'_>,
    server: &Server,
    sessions: u32,
    rounds: u32,
) -> Result<Downtime> {
    let most = server
        .ask(server.entrance(), "SHOW max_connections")
        .await?;
    let most: usize = (most.concat().parse()).map_err(Error::trial("read max_connections"))?;
    let wanted = usize::try_from(sessions).unwrap_or(usize::MAX);
    let sessions = wanted.min(most.saturating_sub(LEFT)).max(1);
    here.make_database(DATABASE, INSTANCE).await?;
    fill(here, DATABASE, SIZE).await?;
    here.back_up(DATABASE, DATABASE).await?;
    let values = secret(&here.client, here.namespace(), DATABASE).await?;
    let mut values = values.unwrap_or_default();
    // Sessions that reconnect ask nobody for the address.
    let address = server.address.ip().to_string();
    values.insert("host".to_owned(), address);
    let (mut replaced, mut ended, mut told) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let clients = connected(here, &values, sessions).await?;
        told.push(replace(here, &format!("r{round}"), &values).await?);
        replaced.push(away(clients, sessions).await?);
        let clients = connected(here, &values, sessions).await?;
        end_all(server, &values).await?;
        ended.push(away(clients, sessions).await?);
        say(&format!(
            "{sessions} sessions, round {round}: without their database for {:?}, and {:?} when only ended",
            replaced.last(),
            ended.last()
        ));
    }
    here.remove::<Database>(DATABASE).await?;
    let median = |all: &[Away]| Away {
        p50: middle(all.iter().map(|one| one.p50).collect()),
        p99: middle(all.iter().map(|one| one.p99).collect()),
    };
    Ok(Downtime {
        sessions,
        replaced: median(&replaced),
        ended: median(&ended),
        status_ms: middle(told),
    })
}

/// So many sessions, all of which have been answered.
async fn connected(here: &InCluster<'_>, values: &Data, sessions: usize) -> Result<Clients> {
    let clients = Clients::start(&here.client, values, sessions);
    let start = Instant::now();
    while clients.connected() < sessions {
        here.wait(start).await?;
    }
    Ok(clients)
}

/// Replaces the database, and returns the downtime that the status tells, in milliseconds.
async fn replace(here: &InCluster<'_>, name: &str, values: &Data) -> Result<f64> {
    let spec = json!({
        "databaseRef": {"name": DATABASE}, "source": {"backupRef": {"name": DATABASE}}, "mode": "Replace",
        "confirm": text(values, "database"),
    });
    here.apply("Restore", name, &spec)?;
    let start = Instant::now();
    let restore = loop {
        let restore: Restore = here.get(name).await?;
        match restore.state() {
            Some(RestoreState::Completed) => break restore,
            Some(RestoreState::Failed) => {
                return Err(Error::trial("replace")(json!(restore.status)));
            }
            None
            | Some(
                RestoreState::Preparing
                | RestoreState::Loading
                | RestoreState::Checking
                | RestoreState::Switching,
            ) => here.wait(start).await?,
        }
    };
    let report = restore.status.and_then(|status| status.report);
    let millis = report.and_then(|report| report.downtime_millis);
    Ok(
        Duration::from_millis(u64::try_from(millis.unwrap_or_default()).unwrap_or_default())
            .as_secs_f64()
            * 1000.0,
    )
}

/// Ends all sessions in the database, as a superuser.
async fn end_all(server: &Server, values: &Data) -> Result<()> {
    let sql = format!(
        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{}'",
        text(values, "database")
    );
    server.ask(server.entrance(), &sql).await.map(drop)
}

async fn away(clients: Clients, sessions: usize) -> Result<Away> {
    tokio::time::sleep(AFTERWARDS).await;
    let all = clients.finish().await?;
    // Of few sessions the 99th of a hundred is the last one.
    let at = |percent: usize| {
        let place = (sessions * percent).div_ceil(100).saturating_sub(1);
        all.get(place).copied().unwrap_or_default().as_secs_f64()
    };
    Ok(Away {
        p50: at(50),
        p99: at(99),
    })
}
