//! How many pauses, and how it ended.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use super::super::run::Tally;
use super::super::{Engine, Slice};
use super::fixture::Fixture;
use super::plan::{Plan, Way};
use super::trial::{Ended, Trials, kinds};
use crate::cluster::Cluster;
use crate::command::say;
use crate::{Error, Result};

/// Which trials are run, of all.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Only the server of this name; else all at once.
    pub only: Option<String>,
    /// How many pauses there are.
    pub count: u32,
    /// When they are; the same number is the same plans.
    pub seed: u64,
    /// One of so many equal parts.
    pub slice: Option<Slice>,
    /// No trial is begun after this time.
    pub budget: Option<Duration>,
}

/// Runs the trials. What did not pass is in the tally; an error is of the test fixture.
pub async fn run(cluster: &Cluster, options: &Options) -> Result<Tally> {
    let only = options.only.as_deref();
    let engines: Vec<Engine> = Engine::ALL
        .into_iter()
        .filter(|engine| only.is_none_or(|only| only == engine.name()))
        .collect();
    let plans = (0..options.count).map(|number| Plan::new(options.seed, number));
    let mut plans: Vec<Plan> = plans.collect();
    if let Some(slice) = options.slice {
        plans = slice.take(plans);
    }
    if engines.is_empty() || plans.is_empty() {
        return Err(Error::Precondition(
            "there is nothing to do: --only takes postgres, mariadb or mysql".to_owned(),
        ));
    }
    say(&format!("{} pauses, seed {}", plans.len(), options.seed));
    let fixture = Fixture::start(cluster, &engines).await?;
    let tally = trials(&fixture, cluster, &plans, options.budget).await;
    let failed = !tally.as_ref().is_ok_and(|tally| tally.failures.is_empty());
    if failed {
        say(&format!("logs: {}", fixture.folder().display()));
    }
    let cleared = fixture.clear(failed).await;
    let tally = tally?;
    cleared.map(|()| tally)
}

async fn trials(
    fixture: &Fixture,
    cluster: &Cluster,
    plans: &[Plan],
    budget: Option<Duration>,
) -> Result<Tally> {
    let began = Instant::now();
    let (mut tally, mut figures) = (Tally::default(), Figures::default());
    let first = plans
        .first()
        .ok_or_else(|| Error::Precondition("there is no plan".to_owned()))?;
    let mut trials = Trials::begin(fixture, cluster, first).await?;
    for (at, plan) in plans.iter().enumerate() {
        if budget.is_some_and(|budget| began.elapsed() > budget) {
            break;
        }
        let next = plans.get(at + 1).map_or(Way::Servers, |next| next.way);
        tally.plans += 1;
        match trials.pause(plan, next).await {
            Ok(ended) => {
                tally.passed += 1;
                figures.add(plan, &ended);
            }
            Err(error) => {
                fail(&mut tally, format!("{plan}: {error}"));
                trials.recover(next).await?;
            }
        }
    }
    for wrong in trials.finish().await? {
        fail(&mut tally, format!("at the end: {wrong}"));
    }
    say(&format!("{figures} ({} s)", began.elapsed().as_secs()));
    Ok(tally)
}

fn fail(tally: &mut Tally, failure: String) {
    say(&failure);
    tally.failures.push(failure);
}

/// What all trials came to.
#[derive(Debug, Default)]
struct Figures {
    pauses: usize,
    ended: usize,
    places: BTreeSet<String>,
    opened: usize,
    looks: usize,
    by_servers: Duration,
    by_lease: Duration,
}

impl Figures {
    fn add(&mut self, plan: &Plan, ended: &Ended) {
        self.pauses += 1;
        let longest = match plan.way {
            Way::Servers => &mut self.by_servers,
            Way::Lease => &mut self.by_lease,
        };
        *longest = ended.took.max(*longest);
        self.places.extend(kinds(&ended.takeovers));
        for takeover in &ended.takeovers {
            self.ended += takeover.ended.len();
            self.opened += takeover.opened;
            self.looks += takeover.looks;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} pauses: {} sessions were ended, behind {} kinds of statements; {} were opened afterwards, with {} looks \
             at the epoch in them and nothing else; the longest takeover took {:.1} s, and {:.1} s where a lease of 2 s \
             had to run out",
            self.pauses,
            self.ended,
            self.places.len(),
            self.opened,
            self.looks,
            self.by_servers.as_secs_f64(),
            self.by_lease.as_secs_f64(),
        )
    }
}
