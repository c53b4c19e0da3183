//! What goes wrong with the operator while a restore runs.

use std::time::Duration;

use db_operator::api::RestoreState;
use e2e::campaign::backups::Fixture;
use e2e::campaign::restores::{Options, Scenario, Source, Target, outcome, trials};
use e2e::campaign::{Engine, Operator, Server, eventually, today};
use e2e::cluster::Cluster;
use e2e::statement_log::StatementLog;
use e2e::testing::History;
use nix::sys::signal::Signal;

use super::LIMIT;

/// How soon a former leader has to end when it continues.
const ENDS: Duration = Duration::from_secs(20);

pub(crate) async fn a_part_of_the_campaign_that_changes_with_the_date(fixture: &Fixture) {
    let days = today();
    let options = Options {
        seed: days,
        budget: Some(Duration::from_secs(25)),
        ..Options::default()
    };
    let tally = trials(fixture, &options).await.unwrap();
    assert!(tally.failures.is_empty(), "seed {days}: {tally}");
    assert!(tally.plans > 0, "{tally}");
    println!("seed {days}: {tally}");
}

/// The lease does not help here: the one who was frozen holds a long one of its own. The server alone has to stop it.
pub(crate) async fn a_leader_that_was_frozen_in_the_switch_does_nothing_more(fixture: &Fixture) {
    let engine = Engine::Postgres;
    let source = Source::make(fixture, engine, "frozen").await.unwrap();
    let target = Target::prepare(fixture, engine, Scenario::Replace, 9999, &source);
    let target = target.await.unwrap();
    let server = fixture.server_of(engine).unwrap();
    fixture.operator.kill();
    let log = StatementLog::from_now(&Cluster::main(), server, fixture.cluster_id()).unwrap();
    let first = fixture.another_with_a_lease_of_its_own("frozen");
    first.ensure().unwrap();

    // The transaction of the switch waits for this one: its record cannot be written.
    let mut holder = server.session(server.home()).await.unwrap();
    let hold = "BEGIN; LOCK TABLE db_operator.restores IN SHARE MODE";
    holder.run(hold).await.unwrap();
    let history = History::of(&target.restores(), &target.name).await;
    target.ask(&source).await.unwrap();
    until_switching(&first, server).await;
    first.signal(Signal::SIGSTOP).unwrap();
    let frozen = target.restore().await.unwrap();
    assert_eq!(frozen.state(), Some(RestoreState::Switching));

    let former = epoch(fixture, server).await;
    fixture.operator.ensure().unwrap();
    let raised = eventually("the epoch is raised", LIMIT, async || {
        fixture.operator.ensure()?;
        Ok((epoch(fixture, server).await > former).then_some(()))
    });
    raised.await.unwrap();
    holder.close().await;
    first.signal(Signal::SIGCONT).unwrap();
    let ended = eventually("the former leader ends", ENDS, async || Ok(first.ended()));
    let status = ended.await.unwrap();
    assert!(!status.success(), "{status}");
    drop(first);

    let restore = target.done().await.unwrap();
    let checked = outcome::check(&target, &restore, &history, &source).await;
    checked.unwrap();
    target.finish().await.unwrap();
    fixture.operator.kill();
    let terms = log.finish().unwrap();
    let (takeover, unregistered) = (terms.takeover(former + 1), terms.unregistered());
    assert!(!takeover.ended.is_empty(), "{takeover:#?}");
    assert!(takeover.forbidden.is_empty(), "{takeover:#?}");
    assert!(unregistered.is_empty(), "{unregistered:#?}");
    println!(
        "{} sessions of the leader that was frozen in the switch were ended; it opened {} more and did nothing in them",
        takeover.ended.len(),
        takeover.opened
    );
}

/// Waits until the transaction of the switch waits for its record.
async fn until_switching(leader: &Operator, server: &Server) {
    let sql = "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'db_operator.restores'::regclass";
    let waits = eventually("the switch", LIMIT, async || {
        leader.ensure()?;
        Ok((server.ask(server.home(), sql).await?.concat() != "0").then_some(()))
    });
    waits.await.unwrap();
}

/// The epoch of the operator that leads.
async fn epoch(fixture: &Fixture, server: &Server) -> i64 {
    let sql = format!(
        "SELECT epoch::text FROM db_operator.epochs WHERE cluster_id = '{}'",
        fixture.cluster_id()
    );
    let epoch = server.ask(server.home(), &sql).await.unwrap().concat();
    epoch.parse().unwrap()
}
