//! One pause: the leader is stopped in its work, another one takes over, and the first goes on and ends.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::super::{Operator, eventually};
use super::fixture::Fixture;
use super::plan::{Plan, Way};
use super::work::Work;
use crate::cluster::Cluster;
use crate::statement_log::{StatementLog, Takeover};
use crate::{Error, Result};

/// How long a takeover, or what was left undone, may take on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
/// How soon the former leader has to end when it goes on.
const ENDS: Duration = Duration::from_secs(20);
/// Of a former trial's work so much may be left at the beginning of the next one.
const LEFT_OVER: usize = 3;

/// What goes on from one trial to the next.
pub struct Trials<'a> {
    fixture: &'a Fixture,
    /// What the operators are asked to do.
    pub work: Work,
    leader: Operator,
    lease: String,
    /// How many processes were started.
    started: u32,
    logs: Vec<StatementLog>,
}

/// What came of a trial.
#[derive(Debug, Default)]
pub struct Ended {
    /// From the start of the next process until all servers were its own.
    pub took: Duration,
    /// By server.
    pub takeovers: Vec<Takeover>,
}

impl<'a> Trials<'a> {
    /// Starts the first leader and has it make what stays.
    pub async fn begin(fixture: &'a Fixture, cluster: &Cluster, first: &Plan) -> Result<Self> {
        let logs = fixture.servers.iter();
        let logs = logs.map(|server| StatementLog::from_now(cluster, server, &fixture.prefix));
        let logs: Vec<StatementLog> = logs.collect::<Result<_>>()?;
        let lease = "lease-0".to_owned();
        let leader = fixture.operator("leader-0", &lease, first.way)?;
        let mut trials = Self {
            fixture,
            work: Work::new(fixture),
            leader,
            lease,
            started: 1,
            logs,
        };
        trials.work.add(first).await?;
        trials.until_undone(0).await?;
        trials.work.keep(&fixture.servers).await?;
        Ok(trials)
    }

    /// One pause. The process that follows is ready for the trial `next`.
    pub async fn pause(&mut self, plan: &Plan, next: Way) -> Result<Ended> {
        self.until_undone(LEFT_OVER).await?;
        let before = self.fixture.fences().await?;
        let former = self.leader.clone();
        let stop = async {
            tokio::time::sleep(plan.delay).await;
            former.signal(Signal::SIGSTOP)
        };
        let (asked, stopped) = tokio::join!(self.work.burst(plan), stop);
        asked?;
        stopped?;
        former.ensure()?;

        let began = Instant::now();
        self.start_next(plan.way, next)?;
        eventually("the takeover on every server", LIMIT, async || {
            let now = self.fixture.fences().await?;
            let mut pairs = now.iter().zip(&before);
            let is_over = pairs.all(|(now, before)| now.epoch > before.epoch && now.former == 0);
            Ok(is_over.then_some(()))
        })
        .await?;
        let took = began.elapsed();

        // The former leader sees these, too, and has something to do.
        self.work.add(plan).await?;
        tokio::time::sleep(plan.head_start).await;
        former.signal(Signal::SIGCONT)?;
        let status = eventually("the former leader ends", ENDS, async || Ok(former.ended()));
        let status = status.await?;
        if status.success() {
            return Err(Error::trial("the former leader ended well")(status));
        }
        self.leader.ensure()?;
        let epochs: Vec<i64> = before.iter().map(|fence| fence.epoch + 1).collect();
        let takeovers = self.takeovers(epochs).await?;
        let forbidden = takeovers.iter().flat_map(|takeover| &takeover.forbidden);
        let forbidden: Vec<&String> = forbidden.collect();
        if !forbidden.is_empty() {
            return Err(Error::trial("the former leader went on")(format!(
                "{forbidden:#?}"
            )));
        }
        Ok(Ended { took, takeovers })
    }

    /// After a trial that failed: a process that leads, whatever became of the others.
    pub async fn recover(&mut self, next: Way) -> Result<()> {
        self.leader.kill();
        let before = self.fixture.fences().await?;
        self.start_next(Way::Servers, next)?;
        eventually("another leader", LIMIT, async || {
            let now = self.fixture.fences().await?;
            let mut pairs = now.iter().zip(&before);
            Ok(pairs
                .all(|(now, before)| now.epoch > before.epoch)
                .then_some(()))
        })
        .await
    }

    /// Lets the last leader end its work. Returns what is not as it has to be then.
    pub async fn finish(mut self) -> Result<Vec<String>> {
        self.until_undone(0).await?;
        let mut wrong = self.work.check(&self.fixture.servers).await?;
        self.leader.kill();
        for log in std::mem::take(&mut self.logs) {
            let terms = tokio::task::spawn_blocking(move || log.finish()).await;
            let terms = terms.map_err(Error::trial("read a statement log"))??;
            let unknown = terms.unregistered();
            if !unknown.is_empty() {
                wrong.push(format!("said by nobody that is known: {unknown:#?}"));
            }
            // The last entry that a trial saw was left for the next one.
            let late = terms.takeover(i64::MAX).forbidden;
            if !late.is_empty() {
                wrong.push(format!("said by a former leader: {late:#?}"));
            }
        }
        Ok(wrong)
    }

    /// Starts the next process, which comes to lead in this way.
    fn start_next(&mut self, way: Way, next: Way) -> Result<()> {
        let number = self.started;
        self.started += 1;
        if way == Way::Servers {
            self.lease = format!("lease-{number}");
        }
        let name = format!("leader-{number}");
        self.leader = self.fixture.operator(&name, &self.lease, next)?;
        Ok(())
    }

    async fn until_undone(&self, left: usize) -> Result<()> {
        let mut undone = Vec::new();
        let done = eventually("the Databases are as wanted", LIMIT, async || {
            self.leader.ensure()?;
            undone = self.work.undone().await?;
            Ok((undone.len() <= left).then_some(()))
        });
        done.await.map_err(|error| match error {
            Error::Timeout { what, seconds, .. } => Error::Timeout {
                what,
                seconds,
                tail: format!("\n{}", undone.join("\n")),
            },
            other => other,
        })
    }

    /// Reads the logs. Servers' connections go through this thread, so it is done on another one.
    async fn takeovers(&mut self, epochs: Vec<i64>) -> Result<Vec<Takeover>> {
        let mut readers = Vec::new();
        for (mut log, epoch) in std::mem::take(&mut self.logs).into_iter().zip(epochs) {
            readers.push(tokio::task::spawn_blocking(move || {
                let takeover = log.advance().map(|terms| {
                    let takeover = terms.takeover(epoch);
                    terms.forget_before(epoch);
                    takeover
                });
                (log, takeover)
            }));
        }
        let mut takeovers = Vec::new();
        let mut failed = Ok(());
        for reader in readers {
            let (log, takeover) = reader.await.map_err(Error::trial("read a statement log"))?;
            self.logs.push(log);
            match takeover {
                Ok(takeover) => takeovers.push(takeover),
                Err(error) => failed = Err(error),
            }
        }
        failed.map(|()| takeovers)
    }
}

/// What kind of statement it is: its first words without names and numbers.
#[must_use]
pub fn kinds(takeovers: &[Takeover]) -> BTreeSet<String> {
    let said = takeovers.iter().flat_map(|takeover| &takeover.ended);
    said.map(|text| {
        let words = text.split_whitespace();
        let plain = words.filter(|word| {
            word.chars()
                .all(|c| c.is_alphabetic() || "_.,;".contains(c))
        });
        plain.take(6).collect::<Vec<_>>().join(" ")
    })
    .collect()
}
