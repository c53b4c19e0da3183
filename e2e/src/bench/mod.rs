//! What is measured: `bench databases` here, `bench backup` in `backup/`, `bench restore` in `restore/`, `bench bystander`
//! in `bystander/`.
//!
//! `bench databases`: how soon a Database can be used and what it costs, beside what its server needs for the same.
//!
//! | file | its one job |
//! |---|---|
//! | `mod.rs` | the order of the phases |
//! | `environment.rs` | what is set up for a run, and put back after it |
//! | `operator.rs` | the operator as a process of this machine |
//! | `server.rs`, `floor.rs` | SQL past the operator, and how long that takes |
//! | `phase.rs`, `timeline.rs` | Databases made and deleted, and when each was noticed |
//! | `meter.rs`, `audit.rs`, `statements.rs` | what the operator did between two moments |
//! | `in_cluster.rs` | of the others: objects that the operator in the cluster looks after |
//! | `figures.rs`, `table.rs` | what was found, for programs and for people |

mod audit;
pub mod backup;
pub mod bystander;
mod environment;
mod figures;
mod floor;
mod in_cluster;
mod meter;
mod operator;
mod phase;
pub mod restore;
mod server;
mod statements;
mod table;
mod timeline;

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};
use environment::Environment;
use figures::{EngineFigures, Figures, Rest};
use server::Engine;

/// How much is measured.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// Print one JSON object with every figure instead of a table
    #[arg(long)]
    pub json: bool,
    /// How many Databases are made one after the other, on each server
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub sequential: usize,
    /// How many Databases are applied at once on PostgreSQL
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub postgres: usize,
    /// How many Databases are applied at once on MariaDB
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub mariadb: usize,
    /// How many databases each lane count is tried with by plain SQL
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub floor: usize,
    /// The lane counts that are tried by plain SQL
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 4])]
    pub lanes: Vec<usize>,
    /// The resync that is measured with all Databases held, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(30..))]
    pub resync: u64,
}

impl Plan {
    fn storm(&self, engine: Engine) -> usize {
        match engine {
            Engine::Postgres => self.postgres,
            Engine::Mariadb => self.mariadb,
        }
    }
}

/// Measures, puts everything back, and returns the table or the JSON. The caller holds the cluster's lock; the
/// operator is installed.
pub fn databases(cluster: &Cluster, cache: &Cache, plan: &Plan) -> Result<String> {
    let figures = with_environment(cluster, cache, async |environment| {
        measure(environment, plan).await
    })?;
    if plan.json {
        as_json(&figures)
    } else {
        Ok(table::render(&figures))
    }
}

/// Measures in an environment. Whatever becomes of the measuring, the environment is put back.
fn with_environment<F>(
    cluster: &Cluster,
    cache: &Cache,
    measure: impl AsyncFnOnce(&Environment) -> Result<F>,
) -> Result<F> {
    let binary = crate::operator::measured(cache)?;
    let runtime = tokio::runtime::Runtime::new().map_err(Error::trial("start the bench"))?;
    runtime.block_on(async {
        let environment = Environment::set(cluster, binary).await?;
        let result = tokio::select! {
            result = measure(&environment) => result,
            result = interrupted() => result,
        };
        let cleared = environment.clear();
        let figures = result?;
        cleared.map(|()| figures)
    })
}

fn as_json(figures: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(figures).map_err(Error::trial("write the figures as JSON"))
}

/// Waits until somebody asks the bench to end.
async fn interrupted<T>() -> Result<T> {
    let doing = || Error::trial("wait for a signal");
    let mut end = signal(SignalKind::terminate()).map_err(doing())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.map_err(doing())?,
        _ = end.recv() => {}
    }
    Err(Error::Precondition("The bench was interrupted.".to_owned()))
}

async fn measure(environment: &Environment<'_>, plan: &Plan) -> Result<Figures> {
    let mut figures = Figures::begin();
    // The servers by themselves, while no operator runs.
    for engine in Engine::ALL {
        say(&format!("{engine}: plain SQL"));
        let floor = floor::measure(&environment.servers[&engine], plan).await?;
        figures
            .engines
            .insert(engine.name(), EngineFigures::new(floor));
    }

    // Before the operator connects: whose a connection is, is said at its beginning alone.
    let mut meter = environment.meter();
    meter.read()?;
    let mut operator = environment.start_operator(None).await?;
    meter.follow(&operator);
    environment.warm_up().await?;
    for engine in Engine::ALL {
        say(&format!("{engine}: {} one by one", plan.sequential));
        let sequential =
            phase::sequential(environment, &mut meter, engine, plan.sequential).await?;
        figures.of(engine).sequential = Some(sequential);
    }
    for engine in Engine::ALL {
        let count = plan.storm(engine);
        say(&format!("{engine}: {count} at once"));
        let storm = phase::storm(environment, &mut meter, engine, count).await?;
        figures.of(engine).storm = Some(storm);
    }
    figures.peak_memory_mib = operator.memory()?.peak_mib;
    figures.memory_mib = operator.memory()?.now_mib;

    let resync = Duration::from_secs(plan.resync);
    say("All held: a restart, and a whole resync");
    drop(operator);
    operator = environment.start_operator(Some(resync)).await?;
    meter.follow(&operator);
    let restart = phase::until_quiet(&mut meter).await?;
    let whole = phase::rest(&mut meter, resync).await?;
    figures.rest = Some(Rest {
        held: environment.timeline.held(),
        resync_s: resync.as_secs(),
        restart,
        resync: whole,
        memory_mib: operator.memory()?.now_mib,
    });

    for engine in Engine::ALL {
        say(&format!("{engine}: all deleted"));
        let deletion = phase::delete(environment, &mut meter, engine).await?;
        figures.of(engine).deletion = Some(deletion);
    }
    figures.end();
    Ok(figures)
}
