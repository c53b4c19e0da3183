//! Act `DropFormer`: the database that was replaced is dropped when its time is over, or when a newer one was replaced since.
//! Where this object is gone by then, its Database does it.

use jiff::Timestamp;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::cleanup::{self, Dropped};
use super::{Pass, database_ref, switch, wake};
use crate::api::restore::FormerDatabase;
use crate::api::{Database, Restore, RestoreReason, RestoreState};
use crate::controller::{Acted, Error, Outcome};
use crate::provider::restore::Leftover;

/// Whether the former database is to be dropped now. That waits while the Database is suspended. Whether it is the
/// operator's to drop is the server's to say: of an adopted database, the first one is not, and those that restores made are.
pub(super) fn is_due(pass: &Pass<'_>, now: Timestamp) -> bool {
    let Some(former) = former(&pass.object) else {
        return false;
    };
    let shown = database_ref::cached(pass.context, &pass.object);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    database.is_some_and(|database| {
        may_ask(database)
            && is_target(database, pass)
            && (now >= former.until || is_superseded(pass, former, database))
    })
}

/// The database that this Restore replaced, while it is kept.
pub(super) fn former(restore: &Restore) -> Option<&FormerDatabase> {
    let status = restore.status.as_ref()?;
    let completed = status.state == Some(RestoreState::Completed);
    status
        .target
        .as_ref()
        .filter(|_| completed)?
        .former
        .as_ref()
}

fn is_target(database: &Database, pass: &Pass<'_>) -> bool {
    let target = pass.status().and_then(|status| status.target.as_ref());
    let uid = target.map(|target| target.database_uid.as_str());
    !database_ref::is_gone(Some(database), uid)
}

/// Whether anything of a Database may be dropped: nothing without a claim, and nothing of one that is to be left alone.
fn may_ask(database: &Database) -> bool {
    let status = database.status.as_ref();
    !database.spec.suspend && status.is_some_and(|status| status.claim.is_some())
}

/// Whether another Restore has replaced the same Database since. Its object may be gone by now.
fn is_superseded(pass: &Pass<'_>, own: &FormerDatabase, database: &Database) -> bool {
    let status = database.status.as_ref();
    let noted = status.and_then(|status| status.former.as_ref());
    if noted.is_some_and(|noted| noted.replaced_at > own.replaced_at) {
        return true;
    }
    let all = pass.context.cache.restores.state();
    let mut others = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    others.any(|other| {
        other.metadata.uid != pass.object.metadata.uid
            && other.database_key() == pass.object.database_key()
            && former(other).is_some_and(|newer| newer.replaced_at > own.replaced_at)
    })
}

/// Drops it, and says so.
pub(super) async fn perform(pass: &mut Pass<'_>) -> Result<Acted<RestoreReason>, Error> {
    let ended = match drop_it(pass).await {
        Ok(ended) => ended,
        Err(blocked) => return Ok(Acted::Blocked(blocked)),
    };
    let mut next = pass.next_status();
    let dropped = next.target.as_mut().and_then(|target| target.former.take());
    pass.persist(next).await?;
    wake::database(pass.context, &pass.object);
    if let (Some(former), Dropped::Gone) = (dropped, ended) {
        let note = format!(
            "the database {} that was replaced is dropped: its time is over",
            former.database
        );
        pass.record_event(EventType::Normal, "FormerDropped", note)
            .await;
    }
    Ok(Acted::Ends(Outcome::Over))
}

async fn drop_it(pass: &Pass<'_>) -> Result<Dropped, Blocked> {
    let (prerequisites, load) = switch::on_server(pass).await?;
    cleanup::drop_leftover(pass, &prerequisites, &load, Leftover::Former).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_server_is_asked_unless_the_database_is_suspended_or_has_no_claim() {
        let database = |claim: serde_json::Value, suspend: bool| -> Database {
            serde_json::from_value(json!({
                "metadata": {"name": "orders"}, "spec": {"instanceRef": {"name": "i"}, "suspend": suspend},
                "status": {"claim": claim},
            }))
            .unwrap()
        };
        let claim = |created: bool, drop: bool| {
            json!({"clusterId": "c", "serverIdentity": "s", "createdDatabase": created, "createdUser": true,
                   "dropAdopted": drop})
        };
        assert!(may_ask(&database(claim(true, false), false)));
        // The former one may be one that a restore made.
        assert!(may_ask(&database(claim(false, false), false)));
        assert!(!may_ask(&database(claim(true, false), true)), "suspended");
        assert!(!may_ask(&database(serde_json::Value::Null, false)));
    }
}
