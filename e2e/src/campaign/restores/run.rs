//! Which faults, how many, and how it ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::Slice;
use super::super::backups::Fixture;
use super::super::run::{Tally, Wanted, chosen, plans, shuffled};
use super::super::server::Engine;
use super::contents::Source;
use super::outcome;
use super::scenario::{Scenario, Target};
use crate::cluster::Cluster;
use crate::command::say;
use crate::fault_proxy::Fault;
use crate::testing::History;
use crate::{Error, Result};

/// Which trials are run, of all.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `engine/scenario/fault`: a part that is empty or missing means all.
    pub only: Option<String>,
    /// The order; the same number is the same order.
    pub seed: u64,
    /// One of so many equal parts.
    pub slice: Option<Slice>,
    /// No trial is begun after this time, and only one thing is on trial.
    pub budget: Option<Duration>,
}

/// Runs the trials on a fixture of their own. What did not pass is in the tally; an error is of the test fixture.
pub async fn run(cluster: &Cluster, options: &Options) -> Result<Tally> {
    let things = things(options)?;
    let engines: Vec<Engine> = Engine::ALL
        .into_iter()
        .filter(|engine| things.iter().any(|thing| thing.0 == *engine))
        .collect();
    let fixture = Fixture::start(cluster, &engines, Vec::new()).await?;
    let ran = trials(&fixture, options).await;
    let failed = !ran.as_ref().is_ok_and(|tally| tally.failures.is_empty());
    if failed {
        say(&format!("logs: {}", fixture.folder().display()));
    }
    let cleared = fixture.clear(failed).await;
    let tally = ran?;
    cleared.map(|()| tally)
}

/// Runs the trials. The fixture has the servers of all that is asked for.
pub async fn trials(fixture: &Fixture, options: &Options) -> Result<Tally> {
    let mut things = things(options)?;
    if options.budget.is_some() {
        things.truncate(1);
    }
    fixture.statements.count(true);
    let mut trials = Trials {
        fixture,
        options,
        began: Instant::now(),
        count: 0,
        sources: Vec::new(),
        tally: Tally::default(),
    };
    let mut result = Ok(());
    for (engine, scenario) in things {
        if result.is_ok() {
            result = trials.all_of(engine, scenario).await;
        }
    }
    fixture.statements.count(false);
    result.map(|()| trials.tally)
}

/// What is on trial; where the time is limited, in an order of the seed.
fn things(options: &Options) -> Result<Vec<(Engine, Scenario)>> {
    let wanted = Wanted::new(options.only.as_deref());
    let mut things = Vec::new();
    for engine in Engine::ALL {
        let scenarios = Scenario::on(engine).iter();
        things.extend(scenarios.map(|scenario| (engine, *scenario)));
    }
    things.retain(|(engine, scenario)| wanted.thing(*engine, scenario.name()));
    if things.is_empty() {
        return Err(Error::Precondition(
            "there is nothing to do: --only takes postgres/replace/kill before 3, or a part of it"
                .to_owned(),
        ));
    }
    if options.budget.is_some() {
        things.sort_by_key(|thing| shuffled(options.seed, &format!("{thing:?}")));
    }
    Ok(things)
}

struct Trials<'a> {
    fixture: &'a Fixture,
    options: &'a Options,
    began: Instant,
    count: u32,
    sources: Vec<(Engine, Arc<Source>)>,
    tally: Tally,
}

impl Trials<'_> {
    /// The backup of a server; it is made once.
    async fn source(&mut self, engine: Engine) -> Result<Arc<Source>> {
        if let Some((_, known)) = self.sources.iter().find(|(of, _)| *of == engine) {
            return Ok(Arc::clone(known));
        }
        let source = Arc::new(Source::make(self.fixture, engine, "source").await?);
        self.sources.push((engine, Arc::clone(&source)));
        Ok(source)
    }

    /// All trials of one thing: first without a fault, to see the requests.
    async fn all_of(&mut self, engine: Engine, scenario: Scenario) -> Result<()> {
        let began = Instant::now();
        let thing = format!("{}/{}", engine.name(), scenario.name());
        let source = self.source(engine).await?;
        let (requests, ended) = self.trial(engine, scenario, &source, None).await;
        ended?;
        let wanted = Wanted::new(self.options.only.as_deref());
        let all = plans(requests.len(), false);
        let mut plans = chosen(all, &thing, self.options.seed, self.options.slice);
        plans.retain(|plan| wanted.fault(&plan.to_string()));
        let (before, mut ran) = (self.tally.passed, 0);
        for plan in plans {
            let late = |budget| self.began.elapsed() > budget;
            if self.options.budget.is_some_and(late) {
                break;
            }
            ran += 1;
            let (requests, ended) = self.trial(engine, scenario, &source, Some(plan)).await;
            let request = requests.get(plan.at - 1).map(String::as_str);
            self.tally.unreached += usize::from(ended.is_ok() && request.is_none());
            let request = request.unwrap_or_default();
            self.tally
                .count(ended.map_err(|error| format!("{thing}/{plan} ({request}): {error}")));
        }
        say(&format!(
            "{thing}: {} requests, {ran} plans, {} passed ({} s)",
            requests.len(),
            self.tally.passed - before,
            began.elapsed().as_secs()
        ));
        Ok(())
    }

    /// One trial, with the requests until it was done.
    async fn trial(
        &mut self,
        engine: Engine,
        scenario: Scenario,
        source: &Source,
        fault: Option<Fault>,
    ) -> (Vec<String>, Result<()>) {
        self.count += 1;
        let (fixture, number) = (self.fixture, self.count);
        let target = Target::prepare(fixture, engine, scenario, number, source).await;
        let target = match target {
            Ok(target) => target,
            Err(error) => return (Vec::new(), Err(error)),
        };
        let history = History::of(&target.restores(), &target.name).await;
        fixture.faults.arm(fault);
        let done = async {
            target.act(source).await?;
            target.done().await
        }
        .await;
        let requests = fixture.faults.disarm();
        let checked = match done {
            Ok(restore) => outcome::check(&target, &restore, &history, source).await,
            Err(error) => Err(error),
        };
        let finished = target.finish().await;
        (requests, checked.and(finished))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn each_server_has_its_scenarios_and_a_short_run_one_of_them_by_its_seed() {
        let all = things(&Options::default()).unwrap();
        assert_eq!(all.len(), 8);
        assert_eq!(all[0], (Engine::Postgres, Scenario::Empty));
        let only = |text: &str| {
            things(&Options {
                only: Some(text.to_owned()),
                ..Options::default()
            })
        };
        assert_eq!(only("postgres").unwrap().len(), 4);
        assert_eq!(only("/empty").unwrap().len(), 3);
        assert_eq!(only("/init").unwrap().len(), 3);
        assert!(only("mysql/undo").is_err());
        let first = |seed| {
            let budget = Some(Duration::ZERO);
            let options = Options {
                seed,
                budget,
                ..Options::default()
            };
            things(&options).unwrap()[0]
        };
        assert!((1..40).any(|seed| first(seed) != first(0)));
    }
}
