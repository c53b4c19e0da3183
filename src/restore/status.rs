//! What a Restore's conditions and Events say, and how a pass ends when something is in its way.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::Pass;
use super::blocked::Blocked;
use super::follow::LOOK;
use super::former::former;
use super::observe::Observation;
use super::pass::undo_requested;
use super::transition::Entering;
use crate::api::restore::CheckLevel;
use crate::api::{FINALIZER, Reason, Report, Restore, RestoreReason, RestoreState, RestoreStatus};
use crate::controller::{Error, Outcome};
use crate::metrics::RestoreFigures;
use crate::printable::several;

/// A first look is not worth a write: its turn may come at once.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How soon a Restore is looked at again that waits for its turn: whoever holds it may have been deleted before it began,
/// which nothing announces.
const SOON: Duration = Duration::from_secs(5);

/// What the conditions say when a state is entered with this status.
pub(super) fn entering(next: &RestoreStatus, entering: &Entering) -> (RestoreReason, String) {
    let reason = match entering {
        Entering::Preparing(_) => RestoreReason::Preparing,
        Entering::Loading(_) => RestoreReason::Loading,
        Entering::Checking => RestoreReason::Checking,
        Entering::Switching(_) => RestoreReason::Switching,
        Entering::Completed(_) => return (RestoreReason::Completed, completed(next)),
        Entering::Tested(_) => return (RestoreReason::Completed, tested(next)),
        Entering::DoneBefore(_) => RestoreReason::DoneBefore,
        Entering::Failed(failure) => return (failure.reason, failure.message.clone()),
    };
    (reason, reason.meaning().to_owned())
}

/// What was restored, in one sentence.
fn completed(status: &RestoreStatus) -> String {
    let report = status.report.clone().unwrap_or_default();
    let number = |number: Option<i64>| number.map_or(0, i64::unsigned_abs);
    let mut message = format!(
        "{} in {}",
        several(number(report.rows), "row"),
        several(number(report.tables), "table")
    );
    if let Some(source) = &status.source {
        let _ = write!(message, " of backup {}", source.backup);
        if let Some(started) = source.started_at {
            let _ = write!(message, " (from {started})");
        }
    }
    message.push_str(match report.checked {
        Some(CheckLevel::Digest) => ", each table's digest the same as in the backup",
        Some(CheckLevel::Rows) => ", each table with as many rows as in the backup",
        Some(CheckLevel::None) | None => ", not compared with the backup",
    });
    if let Some(millis) = report.downtime_millis {
        let _ = write!(message, "; for {millis} ms nobody could log in");
    }
    let target = status.target.as_ref();
    if let Some(former) = target.and_then(|target| target.former.as_ref()) {
        let _ = write!(
            message,
            "; the former database is kept as {} until {}",
            former.database, former.until
        );
    }
    if !status.left_out.is_empty() {
        message.push_str("; status.leftOut says what was not brought back");
    }
    if !status.warnings.is_empty() {
        message.push_str("; see status.warnings");
    }
    message
}

/// What was tried out, in one sentence.
fn tested(status: &RestoreStatus) -> String {
    let instance = status
        .target
        .as_ref()
        .map(|target| target.instance.as_str());
    format!(
        "{}; this was a test on instance {}: no Database was touched, and what was loaded is dropped again",
        completed(status),
        instance.unwrap_or_default()
    )
}

/// Tells people, and the metrics, how a restore ended.
pub(super) async fn record_end(pass: &Pass<'_>, reason: RestoreReason, message: String) {
    let status = pass.next_status();
    let kind = match pass.state() {
        Some(RestoreState::Completed) => EventType::Normal,
        Some(RestoreState::Failed) => EventType::Warning,
        None
        | Some(
            RestoreState::Preparing
            | RestoreState::Loading
            | RestoreState::Checking
            | RestoreState::Switching,
        ) => return,
    };
    // One that was done before took no time now.
    let report = status.report.clone().unwrap_or_default();
    pass.context.metrics.restored(
        reason,
        RestoreFigures {
            prepare: report.prepare_seconds,
            load: report.load_seconds,
            index: report.index_seconds,
            check: report.check_seconds,
            switch: report.switch_seconds,
            downtime_millis: report.downtime_millis,
        },
    );
    pass.record_event(kind, reason.as_str(), message).await;
}

/// Ends a pass over a restore whose state asks for nothing: it waits to begin.
pub(super) async fn rest(pass: &mut Pass<'_>, seen: &mut Observation) -> Result<Outcome, Error> {
    match seen.waits.take() {
        Some(waits) => wait(pass, waits.blocked).await,
        None => Ok(Outcome::Waits),
    }
}

/// Ends a pass over a restore that has not begun, and says what it waits for.
pub(super) async fn wait(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
    let blocked = match blocked.retry {
        Some(error) if error.is_conflict() => return Err(*error),
        retry => Blocked { retry, ..blocked },
    };
    if is_new(pass) && !blocked.is_final() {
        // Its turn may come at once: then this would have been a write for nothing.
        return Ok(Outcome::Again(FIRST_LOOK));
    }
    let waits_for_turn = blocked.reason == RestoreReason::WaitingForTurn;
    // An API server that fails is no reason to say `Preparing` of what does not begin.
    if blocked.reason != RestoreReason::Preparing {
        let next = pass.next_status();
        let report = Report::new(blocked.reason, blocked.message);
        pass.report(next, &report).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None if waits_for_turn => Ok(Outcome::Again(SOON)),
        None => Ok(Outcome::Waits),
    }
}

/// Whether a Restore was just made, and nothing was said of it yet.
fn is_new(pass: &Pass<'_>) -> bool {
    let unsaid = pass
        .status()
        .is_none_or(|status| status.observed_generation.is_none());
    let young = pass.object.creation_timestamp().is_some_and(|created| {
        let age = Timestamp::now().duration_since(created.0);
        age < SignedDuration::try_from(FIRST_LOOK).unwrap_or(SignedDuration::ZERO)
    });
    unsaid && young
}

/// Ends a pass over a restore that has begun before its aim was reached, and says why.
pub(super) async fn stop(pass: &mut Pass<'_>, blocked: Blocked) -> Result<Outcome, Error> {
    if let Some(Error::Server(error)) = blocked.retry.as_deref()
        && let Some(instance) = pass.instance()
    {
        pass.context.note_failure(instance, error);
    }
    let has_ended = pass.state().is_some_and(RestoreState::is_terminal);
    if has_ended {
        // What became of it is said already; what is left is tried again.
        tracing::warn!(
            reason = blocked.reason.as_str(),
            blocked.message,
            "in the way"
        );
        tell_who_waits(pass, &blocked).await;
    } else if !blocked.retry.as_deref().is_some_and(Error::is_conflict) {
        let next = pass.next_status();
        let report = Report::new(shown(pass.state(), blocked.reason), blocked.message);
        pass.report(next, &report).await?;
    }
    match blocked.retry {
        Some(error) => Err(*error),
        None if has_ended => Ok(Outcome::Again(SOON)),
        None => Ok(Outcome::Again(LOOK)),
    }
}

/// Whoever waits for something after the end hears why it is not done yet: once, by an Event.
async fn tell_who_waits(pass: &Pass<'_>, blocked: &Blocked) {
    if blocked.retry.as_deref().is_some_and(Error::is_conflict) {
        return;
    }
    let Some((reason, about, what)) = awaited(&pass.object) else {
        return;
    };
    if pass
        .context
        .remembered
        .tell_once(&pass.uid(), reason, about)
    {
        let note = format!("{what}: {}", blocked.message);
        pass.record_event(EventType::Warning, reason, note).await;
    }
}

/// What somebody waits for after the end, if anybody does: the reason of the Event that says why it is not done, which
/// request that is about, and a few words. While the finalizer is on, it is the clean-up.
fn awaited(restore: &Restore) -> Option<(&'static str, &str, &'static str)> {
    let undo = undo_requested(restore);
    let has_finalizer = restore.finalizers().iter().any(|name| name == FINALIZER);
    if !has_finalizer {
        return undo.map(|value| ("UndoBlocked", value.as_str(), "the undoing waits"));
    }
    let deleting = restore.metadata.deletion_timestamp.is_some();
    // The Database of one that failed waits for it, and what a test leaves takes room.
    let is_unclean = restore.is_unclean() || restore.is_unclean_test();
    (deleting || undo.is_some() || is_unclean).then_some((
        "CleanUpBlocked",
        "",
        "what is left of this restore is not removed yet",
    ))
}

/// The API server's failures have no reason of their own: the state's is kept, with their words.
fn shown(state: Option<RestoreState>, reason: RestoreReason) -> RestoreReason {
    match (state, reason) {
        (Some(RestoreState::Loading), RestoreReason::Preparing) => RestoreReason::Loading,
        (Some(RestoreState::Checking), RestoreReason::Preparing) => RestoreReason::Checking,
        (Some(RestoreState::Switching), RestoreReason::Preparing) => RestoreReason::Switching,
        (_, reason) => reason,
    }
}

/// Ends a pass over a restore that has ended: it is looked at again when the time of the former database is over.
pub(super) fn over(pass: &Pass<'_>) -> Outcome {
    let Some(former) = former(&pass.object) else {
        return Outcome::Over;
    };
    let left = former.until.duration_since(Timestamp::now());
    match Duration::try_from(left) {
        Ok(left) if !left.is_zero() => Outcome::Again(left),
        // It is due, and something is in the way: the Database's change wakes this.
        Ok(_) | Err(_) => Outcome::Waits,
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
