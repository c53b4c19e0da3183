//! The loop of a pass over a Database: observe, then take every step that follows, and do what the last state asks for.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::controller::{Action, Controller};
use tokio_util::sync::CancellationToken;

use super::final_backup::{self, Requested};
use super::init::{self, Followed};
use super::observe::{Observation, observe};
use super::pass::{self, Pass};
use super::remembered::Looked;
use super::schedule::{self, Begun};
use super::state::{self, Act, Cause, Next, Step};
use super::transition::{self, Known};
use super::{Context, delete, provision, restores, status, wake};
use crate::api::{Database, DatabaseReason, DatabaseState};
use crate::client::lenient::Readable;
use crate::controller::{self, Acted, Error, Outcome, Reconcile};
use crate::queue::Queues;
use crate::queue::pass_queue::{PassQueue, Want};

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

    fn queue(queues: &Queues) -> Option<&PassQueue> {
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
        let mut begun = schedule::begin(context, self);
        let result = reconcile(context, self, &mut begun).await;
        schedule::end(context, self, begun, result)
    }
}

/// One pass: takes every step that follows, and does what the last state asks for.
async fn reconcile(
    context: &Context,
    database: &Database,
    begun: &mut Begun,
) -> Result<Outcome, Error> {
    let tenancy = pass::tenancy(context, database).await?;
    let mut pass = Pass::begin(context, database, tenancy);
    pass.restore_finalizer(database.state().is_some()).await?;
    note_restores(&mut pass, begun).await?;
    let mut seen = observe(&pass.view()).await?;
    loop {
        let acted = match state::next(pass.state(), &seen.facts) {
            Next::Step(step) => persist(&mut pass, step, &mut seen, begun).await?,
            Next::Act(act) => perform(&mut pass, act, &mut seen, begun).await?,
            Next::Rest => Acted::Ends(status::rest(&mut pass).await?),
        };
        match acted {
            Acted::Done => {}
            Acted::Blocked(why) => return status::stop(&mut pass, why).await,
            Acted::Ends(outcome) => return Ok(outcome),
        }
    }
}

/// Notes whose turn it is among the Restores, what became of the last one, and the database that it replaced.
async fn note_restores(pass: &mut Pass<'_>, begun: &mut Begun) -> Result<(), Error> {
    if pass.state().is_none() {
        return Ok(());
    }
    let context = pass.context;
    let next = restores::noted(&pass.view(), &context.queues.turns, &context.cache).await?;
    if pass.status() == Some(&next) {
        return Ok(());
    }
    let had_turn = restores::has_turn(&pass.object);
    pass.persist(next).await?;
    // What it left is looked at as if it were new.
    begun.deep |= had_turn && !restores::has_turn(&pass.object);
    Ok(())
}

/// Does what a state asks for; what it finds is noted in `seen`, and how it looked at the server in `begun`.
async fn perform(
    pass: &mut Pass<'_>,
    act: Act,
    seen: &mut Observation,
    begun: &mut Begun,
) -> Result<Acted<DatabaseReason>, Error> {
    Ok(match act {
        Act::Create if let Some(blocked) = restores::left_before(pass) => Acted::Blocked(blocked),
        Act::Create => create(pass, seen, begun).await?,
        Act::Maintain if status::is_held(pass) => {
            status::held(pass).await?;
            Acted::Ends(Outcome::Waits)
        }
        Act::Maintain => match provision::maintain(pass, begun).await {
            Ok(maintained) => {
                status::settle(pass, maintained.next, maintained.notice).await?;
                begun.looked = maintained.looked;
                begun.maintained = true;
                Acted::Ends(Outcome::Waits)
            }
            Err(blocked) => Acted::Blocked(blocked),
        },
        Act::RequestFinalBackup if let Some(blocked) = restores::in_the_way(pass, None) => {
            Acted::Blocked(blocked)
        }
        Act::Delete(effect) if let Some(blocked) = restores::in_the_way(pass, Some(effect)) => {
            Acted::Blocked(blocked)
        }
        Act::RequestFinalBackup => match final_backup::request(pass, seen).await {
            Ok(requested) => {
                status::final_backup(pass, &requested).await?;
                Acted::Ends(match requested {
                    Requested::Waits => Outcome::Waits,
                    Requested::Later(rest) => Outcome::Again(rest),
                })
            }
            Err(blocked) => Acted::Blocked(blocked),
        },
        Act::Delete(effect) => {
            final_backup::tidy(pass).await?;
            match delete::delete(pass, effect).await {
                Ok(()) => {
                    seen.facts.deleted = true;
                    Acted::Done
                }
                Err(blocked) => Acted::Blocked(blocked),
            }
        }
    })
}

/// Makes user, database and Secret, and first has the database begin with its backup, if it is to.
async fn create(
    pass: &mut Pass<'_>,
    seen: &mut Observation,
    begun: &mut Begun,
) -> Result<Acted<DatabaseReason>, Error> {
    match init::follow(pass).await {
        Ok(Followed::Create) => {}
        Ok(Followed::Waits(next, report)) => {
            pass.report(*next, &report).await?;
            return Ok(Acted::Ends(Outcome::Waits));
        }
        Err(blocked) => return Ok(Acted::Blocked(blocked)),
    }
    Ok(match provision::create(pass).await {
        Ok(next) => {
            // The step that follows persists this with the state.
            pass.object.status = Some(next);
            seen.facts.usable = true;
            begun.looked = Looked {
                deep: true,
                proved: true,
                ..Looked::default()
            };
            Acted::Done
        }
        Err(blocked) => Acted::Blocked(blocked),
    })
}

/// Persists the state that follows, with all that belongs to it, and observes what depends on it.
async fn persist(
    pass: &mut Pass<'_>,
    step: Step,
    seen: &mut Observation,
    begun: &mut Begun,
) -> Result<Acted<DatabaseReason>, Error> {
    let Some(to) = step.to else {
        release(pass, step.because).await?;
        return Ok(Acted::Ends(Outcome::Over));
    };
    if to == DatabaseState::Creating {
        pass.add_finalizer().await?;
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    enter(pass, to, step, seen).await?;
    if to == DatabaseState::Created {
        // A Restore that waits for longer than the next backup comes before it.
        note_restores(pass, begun).await?;
    }
    seen.follow(&pass.view()).await?;
    if seen.facts.usable {
        // It was just made, and a login worked.
        return Ok(Acted::Ends(Outcome::Waits));
    }
    Ok(Acted::Done)
}

async fn enter(
    pass: &mut Pass<'_>,
    to: DatabaseState,
    step: Step,
    seen: &Observation,
) -> Result<(), Error> {
    let known = Known {
        database: &pass.object,
        policy: seen.facts.policy,
        backup: seen.backup.as_ref(),
        now: Timestamp::now(),
        spread: rand::random(),
    };
    let next = transition::status(pass.next_status(), to, step, &known);
    match status::entering(pass, &next, seen) {
        Some(report) => pass.report(next, &report).await?,
        None => pass.persist(next).await?,
    }
    status::record_step(pass, step).await;
    Ok(())
}

/// Lets the object go.
async fn release(pass: &Pass<'_>, because: Cause) -> Result<(), Error> {
    if because == Cause::Released
        && let Err(error) = final_backup::tidy(pass).await
    {
        // An object that is released has to go now.
        tracing::warn!(%error, "something of the final backup is left in the operator's namespace");
    }
    pass.remove_finalizer().await?;
    wake::rivals(pass.context, &pass.object);
    Ok(())
}
