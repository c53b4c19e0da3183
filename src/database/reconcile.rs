//! The loop of a Database: takes every step that follows, and does what the last state asks for.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::final_backup::{self, Requested};
use super::observe::{Observation, observe};
use super::pass::Pass;
use super::schedule::{self, Begun};
use super::state::{self, Act, Cause, Next, Step};
use super::transition::{self, Known};
use super::{Blocked, Context, delete, provision, status, wake};
use crate::api::{Database, DatabaseState, FINALIZER};
use crate::client::lenient::Readable;
use crate::controller::{self, Error, Reconcile, finalizer};
use crate::queue::Queues;
use crate::queue::turns::{Turns, Want};

/// Looks after all databases until `stop`.
pub async fn run(
    controller: Controller<Readable<Database>>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let controller = wake::add_triggers(controller, &context);
    let comparing = wake::compare(Arc::clone(&context));
    tokio::select! {
        () = controller::run(controller, context, stop) => {}
        () = comparing => {}
    }
}

impl Reconcile for Database {
    const KIND: &'static str = "Database";

    type Context = Context;

    fn not_yet(&self, context: &Context) -> Option<Action> {
        schedule::not_yet(context, self)
    }

    fn turns(queues: &Queues) -> Option<&Turns> {
        Some(&queues.databases)
    }

    fn want(&self, _context: &Context) -> Want {
        Want {
            tenant: self.namespace().unwrap_or_default().into(),
            instance: self.spec.instance_ref.name.as_str().into(),
            urgent: schedule::is_urgent(self),
        }
    }

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let begun = schedule::begin(context, self);
        let result = reconcile(context, self, &begun).await;
        schedule::end(context, self, begun, result)
    }
}

/// How a pass ended.
pub enum Outcome {
    /// All is as it should be, or waits for something that announces itself.
    Settled {
        /// What lives inside the database was checked, too.
        deep: bool,
        /// The server was asked or changed for this Database alone.
        anew: bool,
    },
    /// Only a change from outside can help.
    Stalled,
    /// It goes on after this time.
    Later(Duration),
    /// The object is gone.
    Gone,
}

/// What came of an act.
enum Acted {
    /// It is done, and `seen` says so: another state follows.
    Done,
    /// The pass ends.
    Ends(Outcome),
    /// It could not be done.
    Blocked(Blocked),
}

async fn reconcile(
    context: &Context,
    database: &Database,
    begun: &Begun,
) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, database).await?;
    if finalizer::is_lost(&database.metadata, database.state().is_some()) {
        pass.add_finalizer().await?;
    }
    let mut seen = observe(&pass.view()).await?;
    loop {
        match state::next(pass.state(), &seen.facts) {
            Next::Step(step) => {
                let Some(to) = step.to else {
                    release(&pass, step.because).await?;
                    return Ok(Outcome::Gone);
                };
                persist(&mut pass, to, step, &seen).await?;
                seen.follow(&pass.view()).await?;
                if seen.facts.usable {
                    // It was just made, and a login worked.
                    return Ok(Outcome::Settled {
                        deep: true,
                        anew: true,
                    });
                }
            }
            Next::Act(act) => match perform(act, &mut pass, &mut seen, begun).await? {
                Acted::Done => {}
                Acted::Ends(outcome) => return Ok(outcome),
                Acted::Blocked(blocked) => return status::stop(&mut pass, blocked).await,
            },
            Next::Rest => {
                status::rest(&mut pass).await?;
                return Ok(Outcome::Settled {
                    deep: false,
                    anew: true,
                });
            }
        }
    }
}

/// Lets the object go.
async fn release(pass: &Pass<'_>, because: Cause) -> Result<(), Error> {
    if because == Cause::Released
        && let Err(error) = final_backup::tidy(pass).await
    {
        // An object that is released has to go now.
        tracing::warn!(%error, "something of the final backup is left in the operator's namespace");
    }
    finalizer::remove(&pass.api(), &pass.database).await?;
    wake::rivals(pass.context, &pass.database);
    Ok(())
}

/// Persists the state that follows.
async fn persist(
    pass: &mut Pass<'_>,
    to: DatabaseState,
    step: Step,
    seen: &Observation,
) -> Result<(), Error> {
    let mut finalizers = pass.database.finalizers().iter();
    if to == DatabaseState::Creating && !finalizers.any(|name| name == FINALIZER) {
        pass.add_finalizer().await?;
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let known = Known {
        database: &pass.database,
        policy: seen.facts.policy,
        backup: seen.backup.as_ref(),
        now: Timestamp::now(),
        spread: rand::random(),
    };
    let before = pass.status().cloned().unwrap_or_default();
    let mut next = transition::status(before, to, step, &known);
    let report = status::entering(pass, &next, seen);
    if let Some(report) = &report {
        next.observed_generation = pass.database.metadata.generation;
        report.record(&mut next.conditions, next.observed_generation, known.now);
    }
    pass.persist(next).await?;
    status::record_step(pass, step).await;
    Ok(())
}

/// Does what a state asks for.
async fn perform(
    act: Act,
    pass: &mut Pass<'_>,
    seen: &mut Observation,
    begun: &Begun,
) -> Result<Acted, Error> {
    match act {
        Act::Create => Ok(match provision::create(pass).await {
            Ok(next) => {
                // The step that follows persists this with the state.
                pass.database.status = Some(next);
                seen.facts.usable = true;
                Acted::Done
            }
            Err(blocked) => Acted::Blocked(blocked),
        }),
        Act::Maintain => match provision::maintain(pass, begun.deep, begun.settled).await {
            Ok(maintained) => {
                status::settle(pass, maintained.next, &maintained.exposures).await?;
                Ok(Acted::Ends(Outcome::Settled {
                    deep: maintained.deep,
                    anew: maintained.anew,
                }))
            }
            Err(blocked) => Ok(Acted::Blocked(blocked)),
        },
        Act::RequestFinalBackup => match final_backup::request(pass, seen).await {
            Ok(requested) => {
                status::final_backup(pass, &requested).await?;
                Ok(Acted::Ends(match requested {
                    Requested::Waits => Outcome::Settled {
                        deep: false,
                        anew: true,
                    },
                    Requested::Later(rest) => Outcome::Later(rest),
                }))
            }
            Err(blocked) => Ok(Acted::Blocked(blocked)),
        },
        Act::Delete(effect) => {
            final_backup::tidy(pass).await?;
            Ok(match delete::delete(pass, effect).await {
                Ok(()) => {
                    seen.facts.deleted = true;
                    Acted::Done
                }
                Err(blocked) => Acted::Blocked(blocked),
            })
        }
    }
}
