//! Which faults, how many, and how it ended.

use std::fmt;
use std::time::{Duration, Instant};

use super::fixture::{Fixture, LIMIT};
use super::scenario::{self, Scenario};
use super::server::Engine;
use super::slice::Slice;
use super::{eventually, outcome};
use crate::cache::Key;
use crate::cluster::Cluster;
use crate::command::say;
use crate::fault_proxy::{Effect, Fault, Moment};
use crate::{Error, Result};

/// Which trials are run, of all.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `engine/scenario/fault`: a part that is empty or missing means all.
    pub only: Option<String>,
    /// Also answers of the API server (409, 429, 500), and connections and watches that end.
    pub errors: bool,
    /// The order; the same number is the same order.
    pub seed: u64,
    /// One of so many equal parts.
    pub slice: Option<Slice>,
    /// No trial is begun after this time, and of each thing that the operator does only a few are taken.
    pub budget: Option<Duration>,
}

/// How many trials there were.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Trials that ran.
    pub plans: usize,
    /// Those that ended as without the fault.
    pub passed: usize,
    /// Those of them that were done before it was the fault's turn: requests are not always as many.
    pub unreached: usize,
    /// What became of the others.
    pub failures: Vec<String>,
}

impl Tally {
    /// Counts a trial, and tells of one that did not pass.
    pub(super) fn count(&mut self, result: std::result::Result<(), String>) {
        self.plans += 1;
        match result {
            Ok(()) => self.passed += 1,
            Err(failure) => {
                say(&failure);
                self.failures.push(failure);
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "✗ {failure}")?;
        }
        write!(f, "{} plans ran, {} passed", self.plans, self.passed)?;
        if self.unreached > 0 {
            write!(f, ", {} of these without having got as far", self.unreached)?;
        }
        Ok(())
    }
}

/// How many trials of one thing are run where the time is limited.
const FEW: usize = 4;

/// Runs the trials. What did not pass is in the tally; an error is of the test fixture.
pub async fn run(cluster: &Cluster, options: &Options) -> Result<Tally> {
    let wanted = Wanted::new(options.only.as_deref());
    let mut things: Vec<(Engine, Scenario)> = Vec::new();
    for engine in Engine::ALL {
        things.extend(Scenario::ALL.map(|scenario| (engine, scenario)));
    }
    things.retain(|(engine, scenario)| wanted.thing(*engine, scenario.name()));
    if options.budget.is_some() {
        things.sort_by_key(|thing| shuffled(options.seed, &format!("{thing:?}")));
    }
    let engines: Vec<Engine> = Engine::ALL
        .into_iter()
        .filter(|engine| things.iter().any(|thing| thing.0 == *engine))
        .collect();

    let fixture = Fixture::start(cluster, &engines).await?;
    let began = Instant::now();
    let mut tally = Tally::default();
    for (engine, scenario) in things {
        if options
            .budget
            .is_some_and(|budget| began.elapsed() > budget)
        {
            break;
        }
        all_of(
            &fixture, engine, scenario, options, &wanted, began, &mut tally,
        )
        .await?;
    }
    let failed = tally.plans != tally.passed;
    if failed {
        say(&format!("logs: {}", fixture.folder().display()));
    }
    fixture.clear(failed).await?;
    Ok(tally)
}

/// All trials of one thing: first without a fault, to see the requests and the end.
async fn all_of(
    fixture: &Fixture,
    engine: Engine,
    scenario: Scenario,
    options: &Options,
    wanted: &Wanted<'_>,
    began: Instant,
    tally: &mut Tally,
) -> Result<()> {
    let start = Instant::now();
    let thing = format!("{}/{}", engine.name(), scenario.name());
    let (requests, expected) = undisturbed(fixture, engine, scenario).await?;
    let plans = plans(requests.len(), options.errors);
    let mut plans = chosen(plans, &thing, options.seed, options.slice);
    plans.retain(|plan| wanted.fault(&plan.to_string()));
    if options.budget.is_some() {
        plans.truncate(FEW);
    }
    let (mut ran, mut passed) = (0, 0);
    for plan in plans {
        if options
            .budget
            .is_some_and(|budget| began.elapsed() > budget)
        {
            break;
        }
        ran += 1;
        match trial(fixture, engine, scenario, plan, &expected).await {
            Ok(reached) => {
                passed += 1;
                tally.unreached += usize::from(!reached);
            }
            Err(error) => {
                let request = requests.get(plan.at - 1).map_or("", String::as_str);
                let failure = format!("{thing}/{plan} ({request}): {error}");
                say(&failure);
                tally.failures.push(failure);
                let _ = fixture.faults.disarm();
                fixture.operator.ensure().or_else(|_| {
                    fixture.operator.kill();
                    fixture.operator.ensure()
                })?;
            }
        }
        scenario::finish(fixture).await?;
    }
    say(&format!(
        "{thing}: {} requests, {ran} plans, {passed} passed ({} s)",
        requests.len(),
        start.elapsed().as_secs()
    ));
    tally.plans += ran;
    tally.passed += passed;
    Ok(())
}

async fn undisturbed(
    fixture: &Fixture,
    engine: Engine,
    scenario: Scenario,
) -> Result<(Vec<String>, Vec<String>)> {
    scenario.prepare(fixture, engine).await?;
    fixture.faults.arm(None);
    scenario.act(fixture, engine).await?;
    let requests = fixture.faults.disarm();
    let expected = outcome::look(fixture, engine, scenario).await?;
    scenario::finish(fixture).await?;
    Ok((requests, expected))
}

/// One trial: prepare, let it go wrong, wait for the same end. Says whether it went wrong.
async fn trial(
    fixture: &Fixture,
    engine: Engine,
    scenario: Scenario,
    fault: Fault,
    expected: &[String],
) -> Result<bool> {
    scenario.prepare(fixture, engine).await?;
    fixture.faults.arm(Some(fault));
    scenario.act(fixture, engine).await?;
    let mut found = Vec::new();
    let same = eventually("the same end", LIMIT, async || {
        fixture.operator.ensure()?;
        found = outcome::look(fixture, engine, scenario).await?;
        Ok((found == expected).then_some(()))
    });
    let result = same.await;
    let reached = fixture.faults.happened();
    let _ = fixture.faults.disarm();
    result.map(|()| reached).map_err(|error| match error {
        Error::Timeout { .. } => {
            Error::trial("it ended differently")(outcome::difference(expected, &found))
        }
        other => other,
    })
}

/// The faults of one thing that are on trial, in the order of the seed.
pub(super) fn chosen(
    mut plans: Vec<Fault>,
    thing: &str,
    seed: u64,
    slice: Option<Slice>,
) -> Vec<Fault> {
    plans.sort_by_key(|plan| shuffled(seed, &format!("{thing}/{plan}")));
    match slice {
        Some(slice) => slice.take(plans),
        None => plans,
    }
}

/// The deaths of the operator before and after each of its requests, and with `errors` other faults of them.
pub(super) fn plans(requests: usize, errors: bool) -> Vec<Fault> {
    let mut kinds = vec![
        (Moment::Before, Effect::Kill),
        (Moment::After, Effect::Kill),
    ];
    if errors {
        kinds.extend([
            (Moment::Before, Effect::Cut),
            (Moment::After, Effect::Cut),
            (Moment::Before, Effect::Answer(409)),
            (Moment::Before, Effect::Answer(429)),
            (Moment::After, Effect::Answer(500)),
            (Moment::Before, Effect::DropWatches),
        ]);
    }
    (1..=requests)
        .flat_map(|at| {
            kinds.iter().map(move |(moment, effect)| Fault {
                at,
                moment: *moment,
                effect: *effect,
            })
        })
        .collect()
}

/// The parts of `--only`.
pub(super) struct Wanted<'a>(Vec<&'a str>);

impl<'a> Wanted<'a> {
    pub(super) fn new(only: Option<&'a str>) -> Self {
        Self(only.unwrap_or_default().split('/').collect())
    }

    fn part(&self, place: usize, name: &str) -> bool {
        self.0
            .get(place)
            .is_none_or(|part| part.is_empty() || *part == name)
    }

    /// Whether this engine and this scenario are asked for.
    pub(super) fn thing(&self, engine: Engine, scenario: &str) -> bool {
        self.part(0, engine.name()) && self.part(1, scenario)
    }

    pub(super) fn fault(&self, fault: &str) -> bool {
        self.part(2, fault)
    }
}

/// A place in an order that a number decides.
pub(super) fn shuffled(seed: u64, name: &str) -> String {
    Key::new().text(&seed.to_string()).text(name).hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_a_fault_before_and_after() {
        assert_eq!(plans(3, false).len(), 6);
        assert_eq!(plans(3, true).len(), 24);
    }

    #[test]
    fn only_names_an_engine_a_thing_and_a_fault() {
        let wanted = Wanted::new(Some("/delete/kill before 3"));
        assert!(wanted.thing(Engine::Mysql, "delete"));
        assert!(!wanted.thing(Engine::Mysql, "create"));
        assert!(wanted.fault("kill before 3") && !wanted.fault("kill before 30"));
        assert!(Wanted::new(None).fault("anything"));
    }
}
