//! Act `Switch`: the restored database takes the place of the other one, once, and a login with the Database's Secret is
//! tried. Whoever is in the way is named, and it is tried again with increasing pauses, a few times.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::blocked::Blocked;
use super::failure::Failure;
use super::observe::{Found, Observation, Switched};
use super::prerequisites::{self, Prerequisites};
use super::{Pass, database_ref, load, login, prepare};
use crate::api::conditions::whole_seconds;
use crate::api::{Report, RestoreReason};
use crate::controller::{Acted, Error, Outcome};
use crate::provider::restore::{Ended, Leftover, Load, Swapped};

/// How often a switch is tried.
pub(super) const ATTEMPTS: i32 = 5;
/// The pauses between the tries, in seconds.
const PAUSES: [i64; 4] = [5, 20, 60, 180];

/// What is in the way of a switch or its undoing.
pub(super) enum Tried {
    /// It is done.
    Done(Switched),
    /// Someone is in the way; a sentence.
    Blocked(String),
    /// It cannot be done any more.
    Failed(Failure),
}

/// Switches, or says why not.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Observation) -> Acted<RestoreReason> {
    match switch(pass).await {
        Ok(Some(Tried::Done(switched))) => seen.found = Found::Switched(switched),
        Ok(Some(Tried::Failed(failure))) => seen.found = Found::Failed(Box::new(failure)),
        Ok(Some(Tried::Blocked(who))) => match put_off(pass, &who).await {
            Ok(Some(failure)) => seen.found = Found::Failed(Box::new(failure)),
            Ok(None) => return Acted::Ends(rest(pass)),
            Err(error) => return Acted::Blocked(error.into()),
        },
        Ok(None) => return Acted::Ends(rest(pass)),
        Err(blocked) if blocked.reason == RestoreReason::MissingPrivileges => {
            let failure = Failure::new(blocked.reason, blocked.message);
            seen.found = Found::Failed(Box::new(failure));
        }
        Err(blocked) => return Acted::Blocked(blocked),
    }
    Acted::Done
}

/// How long until the next try.
pub(super) fn rest(pass: &Pass<'_>) -> Outcome {
    let left = pass.retry_in(Timestamp::now()).unwrap_or_default();
    let left = Duration::try_from(left).unwrap_or_default();
    Outcome::Again(left.max(Duration::from_secs(1)))
}

/// One try; `None` before its time has come.
async fn switch(pass: &Pass<'_>) -> Result<Option<Tried>, Blocked> {
    let (prerequisites, load) = on_server(pass).await?;
    let uid = pass.uid();
    if pass.retry_in(Timestamp::now()).is_some() {
        // A process that crashed in its try may have left the target closed.
        if !pass.context.remembered.is_open(&uid) {
            reopen(&prerequisites, &load).await?;
            pass.context.remembered.open(&uid, true);
        }
        return Ok(None);
    }
    pass.context.remembered.open(&uid, false);
    let target = pass.target()?;
    let scratch = load::scratch(&target)
        .map_err(|error| Blocked::new(RestoreReason::ChangedHands, error.to_string()))?;
    let Some(scratch) = scratch else {
        let message =
            "status.target does not say where the load went: the status is the operator's alone";
        return Ok(Some(Tried::Failed(Failure::new(
            RestoreReason::ChangedHands,
            message,
        ))));
    };
    let most = most_downtime(pass);
    let _alone = prerequisites.alone(&load).await?;
    let server = &prerequisites.server;
    let swapped = server
        .ask("swap", |provider| provider.swap(&load, &scratch, most))
        .await?;
    let tried = tried(swapped);
    if let Tried::Blocked(_) = tried {
        pass.context.remembered.open(&uid, true);
    }
    let Tried::Done(mut switched) = tried else {
        return Ok(Some(tried));
    };
    switched.warnings = afterwards(pass, &prerequisites, &load).await;
    Ok(Some(Tried::Done(switched)))
}

/// For how long nobody may be able to log in.
pub(super) fn most_downtime(pass: &Pass<'_>) -> Duration {
    let seconds = u64::try_from(pass.object.spec.max_downtime_seconds).unwrap_or(1);
    Duration::from_secs(seconds)
}

/// What came of a switch, in the words of a Restore.
pub(super) fn tried(swapped: Swapped) -> Tried {
    match swapped {
        Swapped::Done { downtime, former } => Tried::Done(Switched {
            downtime,
            former: former.map(|name| name.to_string()),
            warnings: Vec::new(),
        }),
        Swapped::Blocked(who) => Tried::Blocked(who),
        Swapped::ChangedHands(why) => {
            let message = format!("{why}: nothing was done");
            Tried::Failed(Failure::new(RestoreReason::ChangedHands, message))
        }
        Swapped::NotEmpty(contents) => {
            let message = prepare::not_empty(&contents);
            Tried::Failed(Failure::new(RestoreReason::NotEmpty, message))
        }
    }
}

/// What has the name has it: from here on nothing fails any more, and what does not work is told.
async fn afterwards(pass: &Pass<'_>, prerequisites: &Prerequisites, load: &Load) -> Vec<String> {
    let mut warnings = Vec::new();
    let database = prerequisites.database.as_ref();
    if !database.is_some_and(|database| database.begins_with(&pass.object)) {
        // Otherwise its Secret is written after this, and then it logs in itself.
        warnings.extend(login::check(pass, prerequisites, load).await);
    }
    let server = &prerequisites.server;
    let dropped = server
        .ask("drop_leftover", |provider| {
            provider.drop_leftover(load, Leftover::Login)
        })
        .await;
    match dropped {
        // What is left is cleaned up in the next state, and until then.
        Ok(Ended::Done | Ended::Blocked(_)) => {}
        Ok(Ended::ChangedHands(why) | Ended::Adopted(why)) => {
            tracing::warn!(why, "the login of a load is left");
        }
        Err(error) => tracing::warn!(%error, "the login of a load is left for now"),
    }
    warnings
}

/// Puts the next try off, or gives up.
async fn put_off(pass: &mut Pass<'_>, who: &str) -> Result<Option<Failure>, Error> {
    let mut next = pass.next_status();
    let target = next.target.get_or_insert_default();
    let attempts = target.attempts.unwrap_or_default().saturating_add(1);
    target.attempts = Some(attempts);
    if attempts >= ATTEMPTS {
        let message = format!("the switch was tried {attempts} times, and each time {who}");
        return Ok(Some(Failure::new(RestoreReason::SwitchFailed, message)));
    }
    let now = whole_seconds(Timestamp::now());
    target.retry_at = now.saturating_add(pause(attempts)).ok();
    let message = format!("{who}: tried {attempts} times of {ATTEMPTS}, nothing was changed");
    let report = Report::new(RestoreReason::SwitchBlocked, message);
    pass.report(next, &report).await?;
    Ok(None)
}

/// How long to wait after so many tries.
pub(super) fn pause(attempts: i32) -> SignedDuration {
    let index = usize::try_from(attempts - 1).unwrap_or_default();
    let seconds = PAUSES.get(index).or(PAUSES.last());
    SignedDuration::from_secs(seconds.copied().unwrap_or_default())
}

/// Whether a switch that was interrupted was done. Server required.
pub(super) async fn find(pass: &Pass<'_>) -> Result<Option<Switched>, Blocked> {
    let (prerequisites, load) = on_server(pass).await?;
    let server = &prerequisites.server;
    let restored = server
        .ask("restored", |provider| {
            provider.restored(&load.restore, &load.take_over_from)
        })
        .await?;
    let done = restored.filter(|restored| restored.uid == load.restore.uid);
    Ok(done.map(|restored| Switched {
        downtime: Duration::from_millis(restored.downtime_millis),
        former: restored.former.map(|name| name.to_string()),
        warnings: Vec::new(),
    }))
}

/// Opens a target that a try locked and did not come to change.
pub(super) async fn reopen(prerequisites: &Prerequisites, load: &Load) -> Result<(), Blocked> {
    let _alone = prerequisites.alone(load).await?;
    let server = &prerequisites.server;
    Ok(server
        .ask("reopen", |provider| provider.reopen(load))
        .await?)
}

/// The server that the restore was begun on, and what it is asked for.
pub(super) async fn on_server(pass: &Pass<'_>) -> Result<(Prerequisites, Load), Blocked> {
    let target = pass.target()?;
    if pass.object.is_test() {
        let prerequisites = prerequisites::tested_on(pass, &target).await?;
        let load = prerequisites.load(pass, &target, None)?;
        return Ok((prerequisites, load));
    }
    let database = database_ref::find(pass.context, &pass.object).await?;
    let database = database.filter(|found| !database_ref::is_another(found, &target.database_uid));
    let prerequisites = prerequisites::begun_on(pass, &target, database).await?;
    let load = prerequisites.load(pass, &target, None)?;
    Ok((prerequisites, load))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SqlName;

    #[test]
    fn tries_back_off_and_are_few() {
        let pauses: Vec<_> = (1..ATTEMPTS)
            .map(|attempts| pause(attempts).as_secs())
            .collect();
        assert_eq!(pauses, PAUSES);
    }

    #[test]
    fn what_a_server_answers_is_done_tried_again_or_final() {
        let former = SqlName::new("orders__was_0").ok();
        let downtime = Duration::from_millis(7);
        let done = tried(Swapped::Done { downtime, former });
        let Tried::Done(switched) = done else {
            panic!("it is done");
        };
        assert_eq!(switched.former.as_deref(), Some("orders__was_0"));
        assert!(matches!(
            tried(Swapped::Blocked("a session".to_owned())),
            Tried::Blocked(_)
        ));
        for (swapped, reason) in [
            (
                Swapped::ChangedHands("another oid".to_owned()),
                RestoreReason::ChangedHands,
            ),
            (
                Swapped::NotEmpty(vec!["table a".to_owned()]),
                RestoreReason::NotEmpty,
            ),
        ] {
            let Tried::Failed(failure) = tried(swapped) else {
                panic!("it is final");
            };
            assert_eq!(failure.reason, reason);
        }
    }
}
