//! `bench backup`: how fast a backup is, side by side with what a person would write in a shell.
//!
//! Everything runs on this machine, without the cluster: Debian's PostgreSQL and MariaDB with their own dump tools, an S3
//! server over TLS, and in turn the dump tool alone, two pipes of well-known programs, and the process that runs in a
//! backup's pod. The commit is the library's, as the operator does it. Then, where the cluster is up with an operator in
//! it: how soon a Backup of an empty database is COMPLETED.
//!
//! | file | its one job |
//! |---|---|
//! | `mod.rs` | the order of the rounds |
//! | `source.rs` | the servers and their rows, and how each dump tool is called |
//! | `target.rs` | the S3 server, and the programs that upload to it |
//! | `pipe.rs` | the pipes of a shell |
//! | `ours.rs` | the process of a pod, from its task to a committed object |
//! | `meter.rs` | time, processor time and memory of a process and all that it starts |
//! | `latency.rs` | a Backup in the cluster, from `kubectl apply` to COMPLETED |
//! | `figures.rs`, `table.rs` | what was found, for programs and for people |

pub(super) mod figures;
mod latency;
pub(super) mod meter;
pub(super) mod ours;
mod pipe;
pub(super) mod source;
pub(super) mod table;
pub(super) mod target;

use clap::Args;

use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};
use figures::{Contender, Figures};
use meter::Measured;
use source::Source;
use target::Target;

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
    /// Levels of zstd that ours is measured with; the first is what ratios are of
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1])]
    pub levels: Vec<i32>,
}

/// What takes part in each round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Lane {
    Floor,
    Aws,
    S5cmd,
    Ours(i32),
}

/// Measures, and returns the table or the JSON. Whatever it starts ends with it.
pub fn backup(cluster: &Cluster, cache: &Cache, plan: &Plan) -> Result<String> {
    let binary = crate::operator::measured(cache)?;
    // Servers end with the thread that starts them, so everything begins on this one.
    let runtime = tokio::runtime::Runtime::new().map_err(Error::trial("start the bench"))?;
    let figures = runtime.block_on(async {
        let mut figures = measure(cache, &binary, plan).await?;
        if cluster.kubeconfig().is_file() {
            // Minutes of figures are not lost to a cluster that has no operator.
            match latency::measure(cluster, plan.rounds).await {
                Ok(latency) => figures.latency = Some(latency),
                Err(error) => say(&format!("In the cluster: {error}")),
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

async fn measure(cache: &Cache, binary: &std::path::Path, plan: &Plan) -> Result<Figures> {
    let target = Target::start(cache)?;
    let mut figures = Figures::begin(plan.rounds);
    figures.signing = ours::signing(&target).await?;
    let mut lanes = vec![Lane::Floor, Lane::Aws, Lane::S5cmd];
    lanes.extend(plan.levels.iter().map(|&level| Lane::Ours(level)));
    for start in [source::Engine::Postgresql, source::Engine::Mariadb] {
        say(&format!("{}: making rows", start.name()));
        let source = Source::start(start, plan.bytes).await?;
        let mut contenders: Vec<Contender> = lanes
            .iter()
            .map(|lane| Contender::new(&name(&source, *lane)))
            .collect();
        // Everything is read once before it counts.
        run(&source, &target, binary, Lane::Floor).await?;
        for round in 1..=plan.rounds {
            for (lane, contender) in lanes.iter().zip(&mut contenders) {
                let measured = run(&source, &target, binary, *lane).await?;
                say(&format!(
                    "{}, round {round}: {measured}, {}",
                    start.name(),
                    contender.name
                ));
                contender.rounds.push(measured);
            }
        }
        figures.add(&source, contenders);
    }
    Ok(figures)
}

/// What it is called in the table.
fn name(source: &Source, lane: Lane) -> String {
    match lane {
        Lane::Floor => format!("{} > /dev/null", source.tool()),
        Lane::Aws => format!("{} | aws s3 cp -", source.compressing()),
        Lane::S5cmd => format!("{} | zstd -1 -T2 | s5cmd pipe", source.tool()),
        Lane::Ours(level) => format!("db-operator, level {level}"),
    }
}

async fn run(
    source: &Source,
    target: &Target,
    binary: &std::path::Path,
    lane: Lane,
) -> Result<Measured> {
    match lane {
        Lane::Floor => pipe::run(source, target, pipe::Pipe::Floor),
        Lane::Aws => pipe::run(source, target, pipe::Pipe::Aws),
        Lane::S5cmd => pipe::run(source, target, pipe::Pipe::S5cmd),
        Lane::Ours(level) => ours::run(source, target, binary, level).await,
    }
}
