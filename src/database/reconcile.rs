//! One pass over a Database: takes every step that follows, and does what the last state asks for.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::ResourceExt;

use super::final_backup::{self, Requested};
use super::observe::{Observation, observe};
use super::pass::Pass;
use super::provision::{self, Depth, Established};
use super::state::{self, Act, Cause, Step};
use super::transition::{self, Known};
use super::{Context, delete, status};
use crate::api::{Database, DatabaseReason, DatabaseState, FINALIZER, Reason, Report};
use crate::controller::{Error, finalizer};

/// How a pass ended.
pub enum Outcome {
    /// All is as it should be, or waits for something that announces itself.
    Settled {
        /// What lives inside the database was looked at, too.
        deep: bool,
        /// The server was looked at or changed for this Database alone.
        anew: bool,
    },
    /// Only a change from outside can help.
    Stalled,
    /// It goes on after this time.
    Later(Duration),
    /// The object is gone.
    Gone,
}

/// One pass: takes every step that follows, and does what the last state asks for.
pub async fn reconcile(
    context: &Context,
    database: &Database,
    deep_due: bool,
    settled: Option<Instant>,
) -> Result<Outcome, Error> {
    let mut pass = Pass::begin(context, database).await?;
    if finalizer::is_lost(&database.metadata, database.state().is_some()) {
        pass.database = finalizer::add(&pass.api(), &pass.database).await?;
    }
    let mut seen = observe(&pass).await?;
    loop {
        if let Some(step) = state::next(pass.state(), &seen.facts) {
            if !take(&mut pass, step, &seen).await? {
                return Ok(Outcome::Gone);
            }
            seen.follow(&pass).await?;
            if seen.facts.usable {
                // It was just made and looked at from all sides.
                return Ok(Outcome::Settled {
                    deep: true,
                    anew: true,
                });
            }
            continue;
        }
        match state::act(pass.state(), &seen.facts) {
            Act::Watch => return watch(&mut pass).await,
            Act::Create => match create(&mut pass).await? {
                Some(end) => return Ok(end),
                None => seen.facts.usable = true,
            },
            Act::Maintain => return maintain(&mut pass, deep_due, settled).await,
            Act::RequestFinalBackup => return request_final_backup(&mut pass, &seen).await,
            Act::GiveUp(effect) => {
                final_backup::tidy(&pass).await?;
                match delete::give_up(&pass, effect).await {
                    Ok(()) => seen.facts.deleted = true,
                    Err(blocked) => return status::stop(&mut pass, blocked).await,
                }
            }
        }
    }
}

/// Persists the state that follows; false when the object is gone.
async fn take(pass: &mut Pass<'_>, step: Step, seen: &Observation) -> Result<bool, Error> {
    let Some(to) = step.to else {
        if step.because == Cause::Released
            && let Err(error) = final_backup::tidy(pass).await
        {
            // Whoever releases an object wants it gone now.
            tracing::warn!(%error, "something of the final backup is left in the operator's namespace");
        }
        finalizer::remove(&pass.api(), &pass.database).await?;
        wake_rivals(pass);
        return Ok(false);
    };
    if !pass
        .database
        .finalizers()
        .iter()
        .any(|name| name == FINALIZER)
        && to == DatabaseState::Creating
    {
        pass.database = finalizer::add(&pass.api(), &pass.database).await?;
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let now = Timestamp::now();
    let known = Known {
        database: &pass.database,
        policy: seen.facts.policy,
        backup: seen.backup.as_ref(),
        now,
        spread: rand::random(),
    };
    let mut next = transition::noted(pass.status().cloned().unwrap_or_default(), to, step, &known);
    if let Some(report) = status::entering(pass, &next, seen) {
        next.observed_generation = pass.database.metadata.generation;
        report.record(&mut next.conditions, next.observed_generation, now);
    }
    pass.persist(next).await?;
    status::record_step(pass, step).await;
    Ok(true)
}

/// Others may have waited for these names, also on another instance that leads to the same server.
fn wake_rivals(pass: &Pass<'_>) {
    for other in pass.context.cache.all_databases().unwrap_or_default() {
        let Ok(rival) = &other.0 else { continue };
        if is_rival(rival, &pass.database) {
            pass.context.triggers.databases.send(&other);
        }
    }
}

/// Whether another object names the same database or the same user.
fn is_rival(other: &Database, of: &Database) -> bool {
    other.uid() != of.uid()
        && (other.sql_name() == of.sql_name() || other.sql_user() == of.sql_user())
}

/// Nothing to do but to say so.
async fn watch(pass: &mut Pass<'_>) -> Result<Outcome, Error> {
    if pass.state() == Some(DatabaseState::BackupBeforeDeleteInProgress) {
        status::final_backup(pass, &Requested::Waits).await?;
    } else if pass.database.spec.suspend && pass.state().is_some_and(status::is_established) {
        let next = pass.status().cloned().unwrap_or_default();
        let reason = DatabaseReason::Suspended;
        pass.conclude(next, &Report::new(reason, reason.meaning()))
            .await?;
    }
    Ok(Outcome::Settled {
        deep: false,
        anew: true,
    })
}

/// Makes everything, and moves to `CREATED` in the write that notes it. Returns how the pass ends, if it does.
async fn create(pass: &mut Pass<'_>) -> Result<Option<Outcome>, Error> {
    match provision::establish(
        pass,
        Depth {
            create: true,
            asked: true,
            deep: true,
            since: None,
        },
    )
    .await
    {
        Ok(Established { mut next, .. }) => {
            // The step that follows persists the state; what it needs is carried by the object.
            std::mem::swap(pass.database.status.get_or_insert_default(), &mut next);
            Ok(None)
        }
        Err(blocked) => status::stop(pass, blocked).await.map(Some),
    }
}

/// Looks for differences and puts them back.
async fn maintain(
    pass: &mut Pass<'_>,
    deep_due: bool,
    settled: Option<Instant>,
) -> Result<Outcome, Error> {
    let asked = pass.is_asked();
    let deep = deep_due || asked;
    // A survey from before our own last change would be of another time, and one that was not repeated is too old.
    let oldest = Instant::now().checked_sub(pass.context.resync * 2);
    let since = if asked { None } else { settled.max(oldest) };
    match provision::establish(
        pass,
        Depth {
            create: false,
            asked,
            deep,
            since,
        },
    )
    .await
    {
        Ok(Established {
            next,
            changed,
            exposures,
        }) => {
            status::settle(pass, next, &exposures).await?;
            let anew = changed || since.is_none();
            Ok(Outcome::Settled { deep, anew })
        }
        Err(blocked) => status::stop(pass, blocked).await,
    }
}

/// Has the final backup made, and says what it waits for.
async fn request_final_backup(pass: &mut Pass<'_>, seen: &Observation) -> Result<Outcome, Error> {
    let requested = match final_backup::request(pass, seen).await {
        Ok(requested) => requested,
        Err(blocked) => return status::stop(pass, blocked).await,
    };
    status::final_backup(pass, &requested).await?;
    Ok(match requested {
        Requested::Waits => Outcome::Settled {
            deep: false,
            anew: true,
        },
        Requested::Later(rest) => Outcome::Later(rest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn rivals_name_the_same_on_whatever_instance() {
        let database = |name: &str, instance: &str, names: Value| -> Database {
            let mut spec = names;
            spec["instanceRef"] = json!({"name": instance});
            let object = json!({
                "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
                "metadata": {"name": name, "namespace": "team", "uid": name}, "spec": spec,
            });
            serde_json::from_value(object).unwrap()
        };
        let orders = database("orders", "a", json!({}));
        assert!(!is_rival(&orders, &orders));
        for (instance, names, expected) in [
            ("a", json!({"name": "orders"}), true),
            ("b", json!({"name": "orders", "user": "other"}), true),
            ("b", json!({"name": "other", "user": "orders"}), true),
            ("a", json!({}), false),
        ] {
            assert_eq!(is_rival(&database("x", instance, names), &orders), expected);
        }
    }
}
