//! Which faults, how many, and how it ended.

use std::time::{Duration, Instant};

use db_operator::api::{Backup, BackupState};
use kube::ResourceExt;
use kube::api::DeleteParams;

use super::super::run::{Tally, chosen, plans, shuffled};
use super::super::{Engine, Slice, eventually};
use super::fixture::{Fixture, LIMIT};
use super::node::Process;
use super::outcome::Store;
use crate::cluster::Cluster;
use crate::command::say;
use crate::fault_proxy::Fault;
use crate::{Error, Result};

/// Which trials are run, of all.
#[derive(Clone, Debug)]
pub struct Options {
    /// Only this fault of the operator, as in `kill before 3`.
    pub only: Option<String>,
    /// How often the dump tool is killed.
    pub tool: u32,
    /// The order, and where the dump tool is killed; the same number is the same order.
    pub seed: u64,
    /// One of so many equal parts of the operator's deaths.
    pub slice: Option<Slice>,
    /// Half of this time goes to each kind of trial, and none is begun after it.
    pub budget: Option<Duration>,
}

/// Runs the trials on a fixture of their own. What did not pass is in the tally; an error is of the test fixture.
pub async fn run(cluster: &Cluster, options: &Options) -> Result<Tally> {
    let fixture = Fixture::start(cluster, &[Engine::Postgres], Vec::new()).await?;
    let ran = trials(&fixture, options, &mut Store::default()).await;
    let failed = !ran.as_ref().is_ok_and(|tally| tally.failures.is_empty());
    if failed {
        say(&format!("logs: {}", fixture.folder().display()));
    }
    let cleared = fixture.clear(failed).await;
    let tally = ran?;
    cleared.map(|()| tally)
}

/// Runs the trials.
pub async fn trials(fixture: &Fixture, options: &Options, store: &mut Store) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut trials = Trials {
        fixture,
        options,
        store,
        count: 0,
    };
    trials.all(&mut tally).await?;
    Ok(tally)
}

struct Trials<'a> {
    fixture: &'a Fixture,
    options: &'a Options,
    store: &'a mut Store,
    count: u32,
}

impl Trials<'_> {
    async fn all(&mut self, tally: &mut Tally) -> Result<()> {
        let (requests, dumped) = self.undisturbed().await?;
        self.operators_deaths(&requests, tally).await?;
        self.tools_deaths(dumped, tally).await
    }

    /// Without a fault: the operator's requests, and the bytes that the tool writes.
    async fn undisturbed(&mut self) -> Result<(Vec<String>, u64)> {
        self.fixture.faults.arm(None);
        let name = self.next().await?;
        let backup = self.fixture.ended(&name).await?;
        let requests = self.fixture.faults.disarm();
        self.completed(&backup).await?;
        let dumped = backup
            .status
            .as_ref()
            .and_then(|status| status.dumped_bytes);
        self.forget(&backup).await?;
        Ok((
            requests,
            u64::try_from(dumped.unwrap_or_default()).unwrap_or_default(),
        ))
    }

    async fn operators_deaths(&mut self, requests: &[String], tally: &mut Tally) -> Result<()> {
        let all = plans(requests.len(), false);
        let mut plans = chosen(all, "backup", self.options.seed, self.options.slice);
        let only = self.options.only.as_deref();
        plans.retain(|plan| only.is_none_or(|only| plan.to_string() == only));
        let began = Instant::now();
        let before = tally.passed;
        for plan in plans {
            if self.is_late(began) {
                break;
            }
            let (request, result) = self.without_operator(plan).await;
            tally.unreached += usize::from(result.is_ok() && request.is_none());
            let request = request.unwrap_or_default();
            tally.count(result.map_err(|error| format!("{plan} ({request}): {error}")));
        }
        say(&format!(
            "{} requests of a backup, {} deaths of the operator passed ({} s)",
            requests.len(),
            tally.passed - before,
            began.elapsed().as_secs()
        ));
        Ok(())
    }

    /// A backup completes though the operator dies; with the request at which it did.
    async fn without_operator(&mut self, fault: Fault) -> (Option<String>, Result<()>) {
        self.fixture.faults.arm(Some(fault));
        let result = async {
            let name = self.next().await?;
            let backup = self.fixture.ended(&name).await?;
            self.completed(&backup).await?;
            self.forget(&backup).await
        }
        .await;
        let requests = self.fixture.faults.disarm();
        (requests.into_iter().nth(fault.at - 1), result)
    }

    async fn tools_deaths(&mut self, dumped: u64, tally: &mut Tally) -> Result<()> {
        let began = Instant::now();
        let (before, mut unreached) = (tally.passed, 0);
        for turn in 0..self.options.tool {
            if self.is_late(began) {
                break;
            }
            let random = u64::from_str_radix(
                &shuffled(self.options.seed, &format!("tool {turn}"))[..15],
                16,
            );
            let at = random.unwrap_or_default() % dumped.max(1);
            match self.without_tool(at).await {
                Ok(reached) => {
                    tally.count(Ok(()));
                    unreached += usize::from(!reached);
                }
                Err(error) => tally.count(Err(format!("tool killed at byte {at}: {error}"))),
            }
        }
        tally.unreached += unreached;
        say(&format!(
            "{} deaths of the dump tool passed, {unreached} of them after its end ({} s)",
            tally.passed - before,
            began.elapsed().as_secs()
        ));
        Ok(())
    }

    /// The tool is killed when it has written so much; says whether it was, before it had ended.
    async fn without_tool(&mut self, at: u64) -> Result<bool> {
        let holder = self.fixture.hold().await?;
        let name = self.next().await?;
        let tool = eventually("the dump tool", LIMIT, async || {
            // One that dies at its last request for a backup is found dead here.
            self.fixture.operator.ensure()?;
            let pod = self.fixture.pod(&name).await?;
            Ok(pod.and_then(|pod| Process::find(&pod.uid()?, "pg_dump")))
        })
        .await?;
        // It is watched from its first byte on.
        holder.close().await;
        while tool.written().is_some_and(|written| written < at) {
            // Its next bytes come in less than a thousandth of a second; they go through this process's proxy.
            tokio::task::yield_now().await;
        }
        tool.kill()?;
        let backup = self.fixture.ended(&name).await?;
        self.store.check(self.fixture, &backup).await?;
        let failed = backup.state() == Some(BackupState::Failed);
        let reason = backup
            .status
            .as_ref()
            .and_then(|status| status.failure.clone());
        if let Some(failure) = reason.filter(|failure| failure.reason != "DumpFailed") {
            return Err(Error::trial("it failed for another reason")(
                failure.message,
            ));
        }
        self.forget(&backup).await?;
        Ok(failed)
    }

    /// Asks for the next backup.
    async fn next(&mut self) -> Result<String> {
        self.count += 1;
        let name = format!("backup-{}", self.count);
        self.fixture.back_up(&name).await?;
        Ok(name)
    }

    async fn completed(&mut self, backup: &Backup) -> Result<()> {
        self.store.check(self.fixture, backup).await?;
        if backup.state() == Some(BackupState::Completed) {
            return Ok(());
        }
        let failure = backup
            .status
            .as_ref()
            .and_then(|status| status.failure.clone());
        let message = failure.map(|failure| failure.message).unwrap_or_default();
        Err(Error::trial("it failed")(message))
    }

    /// Deletes a backup, with its Job and pod: they would fill the node.
    async fn forget(&self, backup: &Backup) -> Result<()> {
        let deleted = self
            .fixture
            .backups()
            .delete(&backup.name_any(), &DeleteParams::default())
            .await;
        deleted.map(drop).map_err(Error::trial("delete a Backup"))
    }

    fn is_late(&self, began: Instant) -> bool {
        let budget = self.options.budget.map(|budget| budget / 2);
        budget.is_some_and(|budget| began.elapsed() > budget)
    }
}
