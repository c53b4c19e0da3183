//! `bench restore`: how fast a restore is, side by side with what a person would write in a shell.
//!
//! On this machine, without the cluster: the database of `bench backup` on Debian's PostgreSQL and MariaDB, and its object
//! in an S3 server over TLS. In turn: the vendor's tool from an uncompressed file on local disk, two pipes of well-known
//! programs, and the process that runs in a restore's pod, with each kind of check. Then, where the cluster is up with an
//! operator in it: a Restore of a database of that size from `kubectl apply` to COMPLETED, one of an empty database and
//! where its time goes, and how long sessions that reconnect are without their database in a replacement.
//!
//! | file | its one job |
//! |---|---|
//! | `mod.rs` | the order of the rounds |
//! | `pipe.rs` | the floor, and the pipes of a shell |
//! | `ours.rs` | the process of a pod, from its task to its report |
//! | `object.rs` | a Restore in the cluster, from `kubectl apply` to COMPLETED |
//! | `downtime.rs`, `clients.rs` | a replacement under sessions that reconnect |
//! | `figures.rs`, `table.rs` | what was found, for programs and for people |
//!
//! Servers, store, meter and medians are those of [`super::backup`].

mod clients;
mod downtime;
mod figures;
mod object;
mod ours;
mod pipe;
mod table;

use std::path::Path;

use clap::Args;
use db_operator::agent::protocol::restore::Level;

use super::backup::figures::Contender;
use super::backup::meter::Measured;
use super::backup::ours as backup;
use super::backup::source::{Engine, Source};
use super::backup::target::Target;
use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};
use figures::Figures;
use ours::Object;

/// How much is measured.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// Print one JSON object with every figure instead of a table
    #[arg(long)]
    pub json: bool,
    /// Bytes of rows in each database
    #[arg(long, value_name = "BYTES", default_value_t = 1_000_000_000)]
    pub bytes: u64,
    /// How often each contender runs; they alternate
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How many sessions reconnect while their database is replaced
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub sessions: u32,
    /// Only a short run: 200 MB and three rounds
    #[arg(long, conflicts_with_all = ["bytes", "rounds"])]
    pub short: bool,
    /// Nothing in the cluster
    #[arg(long)]
    pub without_cluster: bool,
}

impl Plan {
    fn settled(&self) -> Self {
        let mut plan = self.clone();
        if plan.short {
            (plan.bytes, plan.rounds) = (200_000_000, 3);
        }
        plan
    }
}

/// What takes part in each round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lane {
    Floor,
    Aws,
    S5cmd,
    Ours(Level),
}

impl Lane {
    /// Those of a server: what is compared after loading depends on it.
    fn all(engine: Engine) -> Vec<Self> {
        let mut all = vec![Self::Floor, Self::Aws, Self::S5cmd];
        all.extend([Level::None, Level::Rows].map(Self::Ours));
        match engine {
            Engine::Postgresql => all.push(Self::Ours(Level::Digest)),
            Engine::Mariadb => {}
        }
        all
    }
}

/// Measures, and returns the table or the JSON. Whatever it starts ends with it.
pub fn restore(cluster: &Cluster, cache: &Cache, plan: &Plan) -> Result<String> {
    let plan = plan.settled();
    let binary = crate::operator::measured(cache)?;
    // Servers end with the thread that starts them, so everything begins on this one.
    let runtime = tokio::runtime::Runtime::new().map_err(Error::trial("start the bench"))?;
    let figures = runtime.block_on(async {
        let mut figures = Figures::begin(plan.rounds);
        measure(cache, &binary, &plan, &mut figures).await?;
        if cluster.kubeconfig().is_file() && !plan.without_cluster {
            // Minutes of figures are not lost to a cluster that has no operator.
            if let Err(error) = in_the_cluster(cluster, &plan, &mut figures).await {
                say(&format!("In the cluster: {error}"));
            }
        }
        figures.end();
        Ok::<_, Error>(figures)
    })?;
    if plan.json {
        super::as_json(&figures)
    } else {
        Ok(table::render(&figures))
    }
}

async fn measure(cache: &Cache, binary: &Path, plan: &Plan, figures: &mut Figures) -> Result<()> {
    let target = Target::start(cache)?;
    for engine in [Engine::Postgresql, Engine::Mariadb] {
        say(&format!("{}: making rows", engine.name()));
        let source = Source::start(engine, plan.bytes).await?;
        say(&format!("{}: backing them up", engine.name()));
        let (_, done) = backup::make(&source, &target, binary, 1).await?;
        let object = Object { done };
        let file = pipe::make_file(&source)?;
        let lanes = Lane::all(engine);
        let mut contenders: Vec<Contender> = lanes
            .iter()
            .map(|lane| Contender::new(&name(&source, *lane)))
            .collect();
        for round in 1..=plan.rounds {
            for (lane, contender) in lanes.iter().zip(&mut contenders) {
                ours::make_room(&source).await?;
                let measured = match lane {
                    Lane::Floor => pipe::run(&source, &target, pipe::Pipe::Floor(&file))?,
                    Lane::Aws => pipe::run(&source, &target, pipe::Pipe::Aws)?,
                    Lane::S5cmd => pipe::run(&source, &target, pipe::Pipe::S5cmd)?,
                    Lane::Ours(check) => {
                        ours::run(&source, &target, binary, &object, *check).await?
                    }
                };
                told(engine, round, contender, measured);
            }
        }
        figures.add(&source, &object, contenders);
        target.take(backup::KEY)?;
    }
    Ok(())
}

fn told(engine: Engine, round: u32, contender: &mut Contender, measured: Measured) {
    say(&format!(
        "{}, round {round}: {measured}, {}",
        engine.name(),
        contender.name
    ));
    contender.rounds.push(measured);
}

async fn in_the_cluster(cluster: &Cluster, plan: &Plan, figures: &mut Figures) -> Result<()> {
    figures.objects = object::measure(cluster, plan.bytes, plan.rounds).await?;
    figures.downtime = Some(downtime::measure(cluster, plan.sessions, plan.rounds).await?);
    Ok(())
}

/// What it is called in the table.
fn name(source: &Source, lane: Lane) -> String {
    let tool = pipe::tool(source);
    match lane {
        Lane::Floor => format!("{} of a local file", pipe::fastest(source)),
        Lane::Aws => format!("aws s3 cp | zstd -dc | {tool}"),
        Lane::S5cmd => format!("s5cmd cat | zstd -dc | {tool}"),
        Lane::Ours(check) => format!("db-operator, check: {check:?}"),
    }
}
