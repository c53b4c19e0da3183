//! The elector on a thread of its own: nothing that the rest of the process does delays a renewal.
//!
//! The thread has a runtime and a connection of its own. It looks after the rest in turn: where that hangs, the lease is
//! given up, and a process that does not end when its lease is lost is ended.

use std::future::pending;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use kube::Client;
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::pulse::Pulse;
use super::{Elector, Leadership, LostLease, Precondition, STEP_DOWN, Settings};
use crate::health::Health;

/// How long the rest of the process has to end once the lease is lost. What only a leader may do is refused at once.
const END: Duration = Duration::from_secs(5);

/// Makes the thread's own client, whose writes carry the precondition and whose requests take no longer than the limit.
type Connect = Box<dyn FnOnce(Precondition, Duration) -> Result<Client, kube::Error> + Send>;

/// The thread that asks for the lease and keeps it, as long as this value lives.
pub struct LeaseThread {
    leads: oneshot::Receiver<()>,
    lost: oneshot::Receiver<LostLease>,
    /// Asks for the lease to be given back, and how to say that it is. Gone without a word: nothing is given back.
    step_down: oneshot::Sender<oneshot::Sender<()>>,
    /// Shows the thread that the runtime here runs.
    _beating: JoinSet<()>,
}

/// Why there is no such thread.
#[derive(Debug, thiserror::Error)]
pub enum LeaseThreadError {
    /// The client cannot be made: certificates, mostly.
    #[error("cannot prepare the client of the API server: {0}")]
    Client(#[from] kube::Error),
    /// The system gives no thread.
    #[error("cannot start the thread that keeps the lease: {0}")]
    Thread(#[from] io::Error),
    /// It is the operator's fault.
    #[error("the thread that keeps the lease ended before it began; please report this")]
    Ended,
}

/// What the thread is started with.
struct Work {
    connect: Connect,
    settings: Settings,
    leadership: Leadership,
    health: Health,
    pulse: Pulse,
}

/// The thread's side of its conversation with the rest of the process. Each is said once.
struct Talk {
    begun: oneshot::Sender<Result<(), LeaseThreadError>>,
    leads: oneshot::Sender<()>,
    lost: oneshot::Sender<LostLease>,
    step_down: oneshot::Receiver<oneshot::Sender<()>>,
}

impl LeaseThread {
    /// Begins to ask for the lease, with a client that `connect` makes on the thread's own runtime: its writes have to
    /// carry the precondition, and its requests may take as long as the limit. To be called on the runtime that the lease
    /// stands for: where that hangs for longer than `settings.gives_way`, the lease is lost.
    pub async fn start(
        connect: impl FnOnce(Precondition, Duration) -> Result<Client, kube::Error> + Send + 'static,
        settings: Settings,
        leadership: Leadership,
        health: Health,
    ) -> Result<Self, LeaseThreadError> {
        let pulse = Pulse::default();
        let mut beating = JoinSet::new();
        beating.spawn(pulse.clone().keep_beating());
        let work = Work {
            connect: Box::new(connect),
            settings,
            leadership,
            health,
            pulse,
        };
        let (begun, has_begun) = oneshot::channel();
        let (leads, does_lead) = oneshot::channel();
        let (lost, was_lost) = oneshot::channel();
        let (ask, step_down) = oneshot::channel();
        let talk = Talk {
            begun,
            leads,
            lost,
            step_down,
        };
        thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || run(work, talk))?;
        has_begun.await.unwrap_or(Err(LeaseThreadError::Ended))?;
        Ok(Self {
            leads: does_lead,
            lost: was_lost,
            step_down: ask,
            _beating: beating,
        })
    }

    /// Returns once this process leads; false if the thread ended.
    pub async fn leads(&mut self) -> bool {
        (&mut self.leads).await.is_ok()
    }

    /// Returns, with the reason, when the lease is lost; without one if the thread ended.
    pub async fn lost(&mut self) -> Option<LostLease> {
        (&mut self.lost).await.ok()
    }

    /// Gives the lease back, so that another process leads at once.
    pub async fn step_down(self) {
        let (done, is_done) = oneshot::channel();
        if self.step_down.send(done).is_ok() {
            // That the thread is gone is an end, too.
            let _ = is_done.await;
        }
    }
}

/// The thread's whole life.
fn run(work: Work, talk: Talk) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(keep(work, talk)),
        Err(error) => {
            // Whoever asked for the thread is gone where nobody hears it.
            let _ = talk.begun.send(Err(error.into()));
        }
    }
}

async fn keep(work: Work, talk: Talk) {
    let Work {
        connect,
        settings,
        leadership,
        health,
        pulse,
    } = work;
    let Talk {
        begun,
        leads,
        lost,
        mut step_down,
    } = talk;
    let precondition = Precondition::default();
    // A connection that is dead without a word must not take all that is left of the lease.
    let limit = settings.ttl / 3;
    let client = match connect(precondition.clone(), limit) {
        Ok(client) => client,
        Err(error) => {
            let _ = begun.send(Err(error.into()));
            return;
        }
    };
    let _ = begun.send(Ok(()));

    let gives_way = settings.gives_way;
    let may_take = STEP_DOWN.min(settings.ttl);
    let mut elector = Elector::new(client, precondition, settings, leadership, health);
    let (end, ends) = watch::channel(false);
    let mut leading = Box::pin(lead(&mut elector, leads, &pulse, gives_way, ends));
    let asked = tokio::select! {
        biased;
        asked = &mut step_down => asked,
        end = &mut leading => {
            drop(leading);
            elector.ends();
            if let Some(end) = end {
                end_process(end, lost, step_down).await;
            }
            return;
        }
    };
    let Ok(done) = asked else {
        // The process ends in another way, and what it sent may still be on its way: the lease runs out by itself.
        drop(leading);
        elector.ends();
        return;
    };
    let until = Instant::now() + may_take;
    // The answer to a renewal that is on its way has the version of the lease that is given back. It is two requests: one
    // more has to fit into what is left.
    end.send_replace(true);
    let _ = timeout(may_take * 2 / 3, leading).await;
    elector.step_down(until).await;
    let _ = done.send(());
}

/// Asks for the lease and keeps it, until it is lost; without a reason once `ends` says so.
async fn lead(
    elector: &mut Elector,
    leads: oneshot::Sender<()>,
    pulse: &Pulse,
    gives_way: Duration,
    mut ends: watch::Receiver<bool>,
) -> Option<LostLease> {
    if !elector.campaign(&mut ends).await {
        return None;
    }
    if leads.send(()).is_err() {
        // Whoever asked for the lease is gone, which ends this.
        return pending().await;
    }
    tokio::select! {
        biased;
        end = elector.hold(&mut ends) => end,
        () = pulse.stopped(gives_way) => Some(LostLease::Hangs { limit: gives_way }),
    }
}

/// Says that the lease is lost, and sees to it that the process ends.
async fn end_process(
    end: LostLease,
    lost: oneshot::Sender<LostLease>,
    step_down: oneshot::Receiver<oneshot::Sender<()>>,
) {
    let reason = end.to_string();
    let _ = lost.send(end);
    if timeout(END, step_down).await.is_err() {
        tracing::error!(
            "stopped leading: {reason}; the process does not end by itself, so it is ended"
        );
        std::process::exit(1);
    }
}

#[cfg(test)]
#[path = "thread_tests.rs"]
mod tests;
