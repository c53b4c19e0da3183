//! Act `Undo`: the former database gets its name back, once per value of the annotation, while it is kept. The one that took
//! its place is kept in its stead.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::former::former;
use super::observe::Switched;
use super::switch::{self, ATTEMPTS, Tried};
use super::transition::warn;
use super::{Pass, login};
use crate::api::conditions::whole_seconds;
use crate::api::restore::FormerDatabase;
use crate::api::{
    Database, DatabaseState, Reason, Report, RestoreReason, RestoreStatus, UNDO_REQUESTED_AT,
};
use crate::controller::{Acted, Error, Outcome};
use crate::restore::database_ref;

/// How soon it is looked again whether a backup or another restore has ended.
const SOON: Duration = Duration::from_secs(5);

/// Puts the former database back, or says why not.
pub(super) async fn perform(pass: &mut Pass<'_>) -> Result<Acted<RestoreReason>, Error> {
    let Some(value) = pass.undo_requested().cloned() else {
        return Ok(Acted::Ends(Outcome::Over));
    };
    let Some(kept) = former(&pass.object).cloned() else {
        let note = "there is no former database to put back: this Restore replaced none, or it is dropped by now";
        answer(pass, &value, "NothingToUndo", note.to_owned()).await?;
        return Ok(Acted::Done);
    };
    if let Some(what) = in_the_way(pass) {
        let remembered = &pass.context.remembered;
        if remembered.tell_once(&pass.uid(), "UndoBlocked", &value) {
            let note = format!("the undoing waits: {what}");
            pass.record_event(EventType::Normal, "UndoBlocked", note)
                .await;
        }
        return Ok(Acted::Ends(Outcome::Again(SOON)));
    }
    match undo(pass).await {
        Ok(None) => Ok(Acted::Ends(switch::rest(pass))),
        Ok(Some(Tried::Done(switched))) => {
            conclude(pass, &value, &kept, switched).await?;
            Ok(Acted::Done)
        }
        Ok(Some(Tried::Blocked(who))) => put_off(pass, &value, &who).await,
        Ok(Some(Tried::Failed(failure))) => {
            let note = format!("the replacement cannot be undone: {}", failure.message);
            answer(pass, &value, "UndoFailed", note).await?;
            Ok(Acted::Done)
        }
        Err(blocked) => Ok(Acted::Blocked(blocked)),
    }
}

/// What else is at work on the Database, or why it is not there to be used.
fn in_the_way(pass: &Pass<'_>) -> Option<String> {
    let shown = database_ref::cached(pass.context, &pass.object);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    let Some(database) = database else {
        return Some("the Database is not there".to_owned());
    };
    not_now(database).or_else(|| {
        let other = other_restore(pass)?;
        Some(format!("the Restore {other} is at work on the Database"))
    })
}

/// Why nothing can be undone in a Database as it is.
fn not_now(database: &Database) -> Option<String> {
    if database.spec.suspend {
        return Some("the Database is suspended (its spec.suspend)".to_owned());
    }
    let state = database.state();
    (state != Some(DatabaseState::Created)).then(|| {
        let state = state.map_or("not created yet", DatabaseState::as_str);
        format!("the Database is {state}, and names are exchanged while it is CREATED")
    })
}

/// Another restore of the Database that runs, or is not cleaned up yet.
fn other_restore(pass: &Pass<'_>) -> Option<String> {
    let all = pass.context.cache.restores.state();
    let mut others = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    let other = others.find(|other| {
        other.is_unfinished() && other.database_key() == pass.object.database_key()
    })?;
    Some(other.name_any())
}

/// One try; `None` before its time has come.
async fn undo(pass: &Pass<'_>) -> Result<Option<Tried>, Blocked> {
    let (prerequisites, load) = switch::on_server(pass).await?;
    let uid = pass.uid();
    if pass.retry_in(Timestamp::now()).is_some() {
        // A process that crashed in its try may have left the database closed.
        if !pass.context.remembered.is_open(&uid) {
            switch::reopen(&prerequisites, &load).await?;
            pass.context.remembered.open(&uid, true);
        }
        return Ok(None);
    }
    pass.context.remembered.open(&uid, false);
    let most = switch::most_downtime(pass);
    let _alone = prerequisites.alone(&load).await?;
    let server = &prerequisites.server;
    let swapped = server
        .ask("undo", |provider| provider.undo(&load, most))
        .await?;
    let tried = match switch::tried(swapped) {
        Tried::Done(mut switched) => {
            switched
                .warnings
                .extend(login::check(pass, &prerequisites, &load).await);
            Tried::Done(switched)
        }
        other => other,
    };
    pass.context.remembered.open(&uid, true);
    Ok(Some(tried))
}

/// Notes that the former database has its name back.
async fn conclude(
    pass: &mut Pass<'_>,
    value: &str,
    kept: &FormerDatabase,
    switched: Switched,
) -> Result<(), Error> {
    let mut next = handled(pass, value);
    if let Some(target) = &mut next.target {
        target.former = switched.former.map(|database| FormerDatabase {
            database,
            until: kept.until,
            replaced_at: kept.replaced_at,
        });
        target.retry_at = None;
        target.attempts = None;
    }
    for warning in &switched.warnings {
        warn(&mut next, warning);
    }
    let message = format!(
        "the former database has its name back after {} ms in which nobody could log in{}",
        switched.downtime.as_millis(),
        next.target
            .as_ref()
            .and_then(|target| target.former.as_ref())
            .map_or_else(String::new, |former| format!(
                "; the restored one is kept as {} until {}",
                former.database, former.until
            ))
    );
    let reason = RestoreReason::Undone;
    pass.report(next, &Report::new(reason, message.clone()))
        .await?;
    pass.record_event(EventType::Normal, reason.as_str(), message)
        .await;
    Ok(())
}

/// Puts the next try off, or gives up.
async fn put_off(
    pass: &mut Pass<'_>,
    value: &str,
    who: &str,
) -> Result<Acted<RestoreReason>, Error> {
    let mut next = pass.next_status();
    let target = next.target.get_or_insert_default();
    let attempts = target.attempts.unwrap_or_default().saturating_add(1);
    if attempts >= ATTEMPTS {
        let note = format!(
            "the replacement is not undone: it was tried {attempts} times, and each time {who}. Set the annotation \
             {UNDO_REQUESTED_AT} to another value to try again"
        );
        answer(pass, value, "UndoFailed", note).await?;
        return Ok(Acted::Done);
    }
    target.attempts = Some(attempts);
    let now = whole_seconds(Timestamp::now());
    target.retry_at = now.saturating_add(switch::pause(attempts)).ok();
    pass.persist(next).await?;
    let note = format!("the undoing is put off: {who}");
    pass.record_event(EventType::Warning, "UndoBlocked", note)
        .await;
    Ok(Acted::Ends(switch::rest(pass)))
}

/// Answers a request that came to nothing. The restore stays what it is.
async fn answer(pass: &mut Pass<'_>, value: &str, reason: &str, note: String) -> Result<(), Error> {
    let mut next = handled(pass, value);
    if let Some(target) = &mut next.target {
        target.retry_at = None;
        target.attempts = None;
    }
    warn(&mut next, &note);
    pass.persist(next).await?;
    pass.record_event(EventType::Warning, reason, note).await;
    Ok(())
}

/// The status, with this value of the annotation answered.
fn handled(pass: &Pass<'_>, value: &str) -> RestoreStatus {
    let mut next = pass.next_status();
    next.handled
        .insert(UNDO_REQUESTED_AT.to_owned(), value.to_owned());
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_undoing_waits_for_is_said() {
        let of = |state: &str, suspend: bool| {
            let database: Database = serde_json::from_value(json!({
                "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}, "suspend": suspend},
                "status": {"state": state},
            }))
            .unwrap();
            not_now(&database)
        };
        assert_eq!(of("CREATED", false), None);
        assert!(of("CREATED", true).is_some_and(|why| why.contains("suspended")));
        let backing_up = of("BACKUP_REQUESTED", false);
        assert!(backing_up.is_some_and(|why| why.contains("BACKUP_REQUESTED")));
    }
}
