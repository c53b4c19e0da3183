//! The databases that Restores of a Database replaced: which one is noted, and its end. While its Restore exists, that drops
//! it; afterwards this does.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::pass::Pass;
use super::{restores, spec};
use crate::api::database::Replaced;
use crate::api::{Database, DatabaseReason, Restore, RestoreState};
use crate::controller::Error;
use crate::controller::cache::Cache;
use crate::provider::restore::{Ended, Leftover, Load, LoadMode, RestoreId};
use crate::server::Server;

/// What the status says of the database that was replaced.
pub(super) fn noted(cache: &Cache, database: &Database) -> Option<Replaced> {
    let status = database.status.as_ref();
    let known = status.and_then(|status| status.former.clone());
    let newest = newest(&restores::of(cache, database));
    note(known, newest, |kept| has_restore(cache, kept))
}

/// Of the noted one and the newest that a Restore keeps: the one to be noted.
fn note(
    known: Option<Replaced>,
    newest: Option<Replaced>,
    has_restore: impl Fn(&Replaced) -> bool,
) -> Option<Replaced> {
    match (known, newest) {
        // One whose Restore is gone is dropped first: nobody else knows of it.
        (Some(known), Some(newest))
            if known.restore_uid != newest.restore_uid && !has_restore(&known) =>
        {
            Some(known)
        }
        (_, Some(newest)) => Some(newest),
        // Its Restore has dropped it.
        (Some(known), None) if has_restore(&known) => None,
        (known, None) => known,
    }
}

/// The database that the newest Restore which keeps one has replaced.
pub(super) fn kept(cache: &Cache, database: &Database) -> Option<Replaced> {
    newest(&restores::of(cache, database))
}

fn has_restore(cache: &Cache, kept: &Replaced) -> bool {
    let all = cache.restores.state();
    let mut known = all.iter().filter_map(|guarded| guarded.0.as_ref().ok());
    known.any(|restore| restore.metadata.uid.as_ref() == Some(&kept.restore_uid))
}

/// The database that was replaced last by these Restores, of those that are kept.
pub(super) fn newest(restores: &[Restore]) -> Option<Replaced> {
    let kept = restores.iter().filter_map(|restore| {
        let status = restore.status.as_ref()?;
        let completed = status.state == Some(RestoreState::Completed);
        let former = status
            .target
            .as_ref()
            .filter(|_| completed)?
            .former
            .as_ref()?;
        Some(Replaced {
            database: former.database.clone(),
            until: former.until,
            replaced_at: former.replaced_at,
            restore: restore.name_any(),
            restore_uid: restore.uid().unwrap_or_default(),
        })
    });
    kept.max_by_key(|replaced| replaced.replaced_at)
}

/// Drops a database that was replaced by a Restore that is gone by now, when its time is over or a newer one was replaced.
/// Says whether nothing is left to be done about it. Server required then.
pub(super) async fn drop_orphan(
    pass: &Pass<'_>,
    server: &Server,
    now: Timestamp,
) -> Result<bool, Blocked> {
    let cache = &pass.context.cache;
    let kept = pass.status().and_then(|status| status.former.clone());
    let Some(kept) = kept.filter(|kept| !has_restore(cache, kept)) else {
        return Ok(false);
    };
    let newest = self::kept(cache, &pass.object);
    if !is_due(&kept, newest.as_ref(), now) {
        return Ok(false);
    }
    drop_former(pass, server, &kept).await?;
    Ok(true)
}

/// Whether the time of a database that was replaced is over, or another one was replaced after it.
fn is_due(kept: &Replaced, newest: Option<&Replaced>, now: Timestamp) -> bool {
    now >= kept.until || newest.is_some_and(|newest| newest.replaced_at > kept.replaced_at)
}

/// Whether the operator may drop all that was this Database's: what was adopted only with the platform's consent.
fn may_drop(database: &Database) -> bool {
    let status = database.status.as_ref();
    let claim = status.and_then(|status| status.claim.as_ref());
    claim.is_some_and(|claim| claim.created_database || claim.drop_adopted)
}

/// Drops every database that was replaced, before the Database itself and its user go. Server required.
pub(super) async fn drop_formers(pass: &Pass<'_>, server: &Server) -> Result<(), Blocked> {
    let mut kept: Vec<Replaced> = restores::of(&pass.context.cache, &pass.object)
        .iter()
        .filter_map(|restore| newest(std::slice::from_ref(restore)))
        .collect();
    let noted = pass.status().and_then(|status| status.former.clone());
    kept.extend(noted.filter(|noted| {
        let mut known = kept.iter();
        !known.any(|kept| kept.restore_uid == noted.restore_uid)
    }));
    if !may_drop(&pass.object) {
        return Ok(());
    }
    for replaced in &kept {
        drop_former(pass, server, replaced).await?;
    }
    Ok(())
}

async fn drop_former(pass: &Pass<'_>, server: &Server, replaced: &Replaced) -> Result<(), Blocked> {
    let load = load(pass, replaced)?;
    let ended = server
        .ask("drop_leftover", |provider| {
            provider.drop_leftover(&load, Leftover::Former)
        })
        .await?;
    let (kind, reason, note) = match ended {
        Ended::Done => (
            EventType::Normal,
            "FormerDropped",
            format!(
                "the database {} that was replaced is dropped",
                replaced.database
            ),
        ),
        Ended::ChangedHands(why) => (
            EventType::Warning,
            "ChangedHands",
            format!(
                "the database {} that was replaced is left on the server: {why}",
                replaced.database
            ),
        ),
        // Told once: it is not asked for again.
        Ended::Adopted(why) => (EventType::Warning, "LeftOver", why),
        Ended::Blocked(what) => {
            return Err(Blocked::retried(
                DatabaseReason::DeletionBlocked,
                what.clone(),
                Error::Blocked { what },
            ));
        }
    };
    pass.record_event(kind, reason, note).await;
    Ok(())
}

/// The load that replaced a database, as far as it is known once its Restore may be gone.
fn load(pass: &Pass<'_>, replaced: &Replaced) -> Result<Load, Blocked> {
    let (instance, _) = pass.server()?;
    let desired = spec::desired(&pass.object, &instance.spec)
        .map_err(|error| Blocked::new(DatabaseReason::Unsupported, error.to_string()))?;
    Ok(Load {
        restore: RestoreId {
            cluster_id: pass.context.cluster_id.clone(),
            namespace: pass.namespace(),
            name: replaced.restore.clone(),
            uid: replaced.restore_uid.clone(),
            spec_hash: String::new(),
        },
        target: desired.names.clone(),
        claimant: pass.claimant(),
        take_over_from: instance.spec.take_over_claims_from.clone(),
        extensions: Vec::new(),
        desired,
        mode: LoadMode::Replace,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn replaced(restore: &str, day: i64, until: i64) -> Replaced {
        Replaced {
            database: format!("was_{restore}"),
            until: at(until),
            replaced_at: at(day),
            restore: restore.to_owned(),
            restore_uid: restore.to_owned(),
        }
    }

    fn restore(name: &str, state: &str, former: &Value) -> Restore {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "team", "uid": name},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
            "status": {
                "state": state,
                "target": {"instance": "i", "database": "orders", "user": "orders", "databaseUid": "d",
                           "serverIdentity": "s", "former": former},
            },
        }))
        .unwrap()
    }

    #[test]
    fn of_the_databases_that_were_replaced_the_last_one_is_noted() {
        let former = |name: &str, day: i64| json!({"database": name, "until": at(30), "replacedAt": at(day)});
        let all = [
            restore("two", "COMPLETED", &former("was_2", 2)),
            restore("one", "COMPLETED", &former("was_1", 1)),
            restore("three", "COMPLETED", &Value::Null),
            restore("runs", "LOADING", &Value::Null),
        ];
        let last = newest(&all).unwrap();
        assert_eq!(
            (last.database.as_str(), last.restore.as_str()),
            ("was_2", "two")
        );
        assert_eq!(newest(&all[2..]), None);
    }

    #[test]
    fn one_whose_restore_is_gone_is_noted_until_it_is_dropped() {
        let (old, new) = (replaced("old", 1, 9), replaced("new", 2, 9));
        let of = |known: Option<&Replaced>, newest: Option<&Replaced>, there: bool| {
            note(known.cloned(), newest.cloned(), |_| there)
        };
        assert_eq!(of(Some(&old), Some(&new), false).as_ref(), Some(&old));
        assert_eq!(of(Some(&old), Some(&new), true).as_ref(), Some(&new));
        assert_eq!(of(None, Some(&new), false).as_ref(), Some(&new));
        // Its Restore is gone, and has not dropped it.
        assert_eq!(of(Some(&old), None, false).as_ref(), Some(&old));
        assert_eq!(of(Some(&old), None, true), None);
        // Its Restore gave it another time, or another name.
        let moved = replaced("old", 1, 5);
        assert_eq!(of(Some(&old), Some(&moved), true).as_ref(), Some(&moved));
    }

    #[test]
    fn only_a_newer_one_ends_its_time_before_it_is_over() {
        let kept = replaced("kept", 5, 8);
        let (older, newer) = (replaced("older", 4, 30), replaced("newer", 6, 7));
        assert!(!is_due(&kept, None, at(7)) && is_due(&kept, None, at(8)));
        assert!(!is_due(&kept, Some(&older), at(7)), "the newest copy stays");
        assert!(is_due(&kept, Some(&newer), at(7)));
    }
}
