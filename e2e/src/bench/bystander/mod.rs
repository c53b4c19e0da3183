//! `bench bystander`: what one namespace's flood costs another one that uses the same instance.
//!
//! During each flood, Databases are made in another namespace one after the other, and a few Backups. The same without
//! a flood is measured first.
//!
//! | file | its one job |
//! |---|---|
//! | `mod.rs` | the order of the floods |
//! | `flood.rs` | what a flood is, how it begins and how it ends |
//! | `place.rs` | a namespace of its own, and the objects in it |
//! | `served.rs` | how soon somebody else is served meanwhile |
//! | `figures.rs` | what was found, for programs and for people |

mod figures;
mod flood;
mod place;
mod served;

use std::time::Duration;

use clap::Args;

use super::environment::Environment;
use super::operator::Operator;
use crate::Result;
use crate::cache::Cache;
use crate::cluster::Cluster;
use crate::command::say;
use figures::{Figures, Row};
use flood::Flood;
use place::Place;

/// How much is measured.
#[derive(Args, Clone, Debug)]
pub struct Plan {
    /// Print one JSON object with every figure instead of a table
    #[arg(long)]
    pub json: bool,
    /// How many Databases of somebody else are made during each flood
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// How many Backups of somebody else are asked for during each flood
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub backups: u32,
    /// How many Databases the floods of locks have
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [16, 200, 2000])]
    pub locks: Vec<u32>,
    /// Only floods whose names contain this, as in "locks"
    #[arg(long)]
    pub only: Option<String>,
}

impl Plan {
    fn floods(&self) -> Vec<Flood> {
        let mut sizes = self.locks.clone();
        sizes.sort_unstable();
        let all = sizes.into_iter().map(Flood::Locks).chain([
            Flood::Secrets,
            Flood::Work,
            Flood::Backups,
        ]);
        all.filter(|flood| {
            let wanted = self.only.as_deref().unwrap_or_default();
            flood.to_string().contains(wanted)
        })
        .collect()
    }
}

/// Measures, puts everything back, and returns the table or the JSON. The caller holds the cluster's lock; the
/// operator is installed.
pub fn bystander(cluster: &Cluster, cache: &Cache, plan: &Plan) -> Result<String> {
    let figures = super::with_environment(cluster, cache, async |environment| {
        measure(environment, plan).await
    })?;
    if plan.json {
        super::as_json(&figures)
    } else {
        Ok(figures.to_string())
    }
}

async fn measure(environment: &Environment<'_>, plan: &Plan) -> Result<Figures> {
    let operator = environment.start_operator(None).await?;
    let bystander = Place::make(environment, "bystander").await?;
    let result = during_floods(environment, &operator, &bystander, plan).await;
    let cleared = bystander.clear().await;
    let figures = result?;
    cleared.map(|()| figures)
}

async fn during_floods(
    environment: &Environment<'_>,
    operator: &Operator,
    bystander: &Place,
    plan: &Plan,
) -> Result<Figures> {
    let kept = served::keep(bystander).await?;
    let mut rows = Vec::new();
    say("quiet");
    rows.push(row(operator, bystander, &kept, plan, "quiet").await?);
    for flood in plan.floods() {
        say(&flood.to_string());
        let place = Place::make(environment, "flood").await?;
        let result = async {
            let begun = flood.begin(&place).await?;
            let row = row(operator, bystander, &kept, plan, &flood.to_string()).await;
            begun.end().await;
            row
        };
        let result = result.await;
        let cleared = place.clear().await;
        rows.push(result?);
        cleared?;
    }
    Ok(Figures::new(rows))
}

async fn row(
    operator: &Operator,
    bystander: &Place,
    kept: &str,
    plan: &Plan,
    name: &str,
) -> Result<Row> {
    operator.forget_peak()?;
    let cpu = super::operator::cpu_seconds(operator.pid())?;
    let began = std::time::Instant::now();
    let created = served::databases(bystander, name, plan.count).await?;
    let begun = served::backups(bystander, name, kept, plan.backups).await?;
    let cpu = super::operator::cpu_seconds(operator.pid())? - cpu;
    Ok(Row::new(
        name,
        &created,
        &begun,
        operator.memory()?.peak_mib,
        cpu / began.elapsed().max(Duration::from_millis(1)).as_secs_f64(),
    ))
}
