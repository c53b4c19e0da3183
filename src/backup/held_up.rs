//! While a dump does not move: who holds it up. The server is asked, seldom, and only then.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::Pass;
use super::database_ref::{self, Freshness, Resolved};
use crate::api::BackupReason;
use crate::api::conditions::whole_seconds;
use crate::job::outcome::Failure;
use crate::job::time_limit::TimeLimits;
use crate::provider::LockWait;
use crate::server::{names, resolve};

/// A dump that has not moved for so long is asked about; less where it may stand still for less.
const STILL: SignedDuration = SignedDuration::from_secs(30);
/// No sooner than this, however short a time it may stand still.
const SOONEST: SignedDuration = SignedDuration::from_secs(5);
/// The server is asked no more often.
const ASK: Duration = Duration::from_mins(1);
/// How long this waits for another pass over the same database.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// Who holds a dump up, as it was found.
#[derive(Clone, Debug)]
pub struct HeldUp {
    /// When the server was asked last.
    asked: Instant,
    waits: Vec<LockWait>,
    /// For people.
    said: Option<String>,
}

/// Whether a dump that last moved then is worth a question.
fn is_due(last_move: Timestamp, limits: &TimeLimits, now: Timestamp) -> bool {
    let patience = (limits.stall.time / 10).clamp(SOONEST, STILL);
    now.duration_since(last_move) >= patience
}

/// Who holds up a dump that last moved then: for people, or nothing while it moves or the server tells nothing. The words
/// stay the same as long as the same sessions are in the way.
pub(super) async fn look(pass: &Pass<'_>, last_move: Timestamp) -> Option<String> {
    let (remembered, uid, now) = (&pass.context.remembered, pass.uid(), Timestamp::now());
    if !is_due(last_move, &pass.limits(), now) {
        remembered.held_up(&uid, None);
        return None;
    }
    let known = remembered.who_holds_up(&uid);
    if let Some(known) = known.as_ref().filter(|known| known.asked.elapsed() < ASK) {
        return known.said.clone();
    }
    let Some(waits) = ask(pass).await else {
        // It could not be asked: what is known stays until it can.
        let kept = HeldUp {
            asked: Instant::now(),
            waits: known
                .as_ref()
                .map(|known| known.waits.clone())
                .unwrap_or_default(),
            said: known.and_then(|known| known.said),
        };
        let said = kept.said.clone();
        remembered.held_up(&uid, Some(kept));
        return said;
    };
    let same = known.filter(|known| is_same(&known.waits, &waits));
    let said = match same {
        Some(same) => same.said,
        None => say(&waits, now).inspect(|said| tracing::info!(said, "a dump does not move")),
    };
    let found = HeldUp {
        asked: Instant::now(),
        waits,
        said: said.clone(),
    };
    remembered.held_up(&uid, Some(found));
    said
}

/// Adds who held a dump up to why it failed, where that is what it is about.
pub(super) fn explain(pass: &Pass<'_>, mut failure: Failure) -> Failure {
    let is_about_it = matches!(
        failure.reason,
        BackupReason::NoProgress | BackupReason::DeadlineExceeded
    );
    let known = pass.context.remembered.who_holds_up(&pass.uid());
    if let Some(said) = known.and_then(|known| known.said).filter(|_| is_about_it) {
        failure.message = format!("{}. {said}", failure.message);
    }
    failure
}

/// What the server says. Nothing of it is worth a failure: it is asked again later.
async fn ask(pass: &Pass<'_>) -> Option<Vec<LockWait>> {
    let instance = pass.instance()?;
    let entry = pass.context.instances.get(instance)?;
    let server = resolve::usable(instance, &entry).ok()?;
    let found = database_ref::resolve(pass.context, &pass.object, Freshness::Cached).await;
    let Ok(Resolved::Known(database, _)) = found else {
        return None;
    };
    let names = names(&database).ok()?;
    // What it takes to look inside a database for a moment, another pass would take for drift.
    let _alone = tokio::time::timeout(LOCK_TIMEOUT, server.alone(&names))
        .await
        .ok()?;
    let asked = server.ask("lock_waits", |provider| provider.lock_waits(&names));
    asked
        .await
        .inspect_err(|error| tracing::debug!(%error, "cannot ask who holds up a dump"))
        .ok()
}

fn is_same(known: &[LockWait], found: &[LockWait]) -> bool {
    known.len() == found.len()
        && known
            .iter()
            .zip(found)
            .all(|(known, found)| known.is_same(found))
}

fn say(waits: &[LockWait], now: Timestamp) -> Option<String> {
    let waits: Vec<String> = waits.iter().map(ToString::to_string).collect();
    (!waits.is_empty()).then(|| {
        format!(
            "No progress: as of {}, {}",
            whole_seconds(now),
            waits.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::time_limit::TimeLimit;
    use crate::provider::Holder;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn limits(stall: i64) -> TimeLimits {
        let limit = |seconds| TimeLimit {
            time: SignedDuration::from_secs(seconds),
            field: "f",
        };
        TimeLimits {
            deadline: limit(21_600),
            stall: limit(stall),
        }
    }

    #[test]
    fn a_dump_that_stands_still_is_asked_about_well_before_it_fails() {
        for (stall, after) in [(30, 5), (100, 10), (600, 30), (86_400, 30)] {
            let due = |second: i64| is_due(at(1_000), &limits(stall), at(1_000 + second));
            assert!(!due(after - 1) && due(after), "{stall}");
        }
    }

    #[test]
    fn it_is_said_since_when_it_is_known() {
        let wait = |seconds| LockWait {
            session: 5,
            object: None,
            holders: vec![Holder {
                session: Some(7),
                seconds: Some(seconds),
                ..Holder::default()
            }],
            certain: true,
        };
        assert_eq!(say(&[], at(0)), None);
        assert_eq!(
            say(&[wait(9)], at(0)).unwrap(),
            "No progress: as of 1970-01-01T00:00:00Z, session 5 is waiting for a lock, held by session 7 (for 9 s)"
        );
        assert!(is_same(&[wait(9)], &[wait(70)]));
        assert!(!is_same(&[wait(9)], &[]));
    }
}
