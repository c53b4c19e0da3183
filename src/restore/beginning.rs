//! A Restore that a Database's controller made, for the beginning of that Database (`spec.initFrom`): it is let in to no other,
//! and at no other time.

use kube::Api;

use super::blocked::Blocked;
use super::failure::Failure;
use super::{Pass, database_ref};
use crate::api::{Database, RestoreReason};
use crate::controller::Error;

/// Why a Restore that was made for the beginning of a Database is not for anything any more, if it is so: the Database was
/// made anew, or asks for something else. Client required then.
pub(super) async fn is_over(pass: &Pass<'_>) -> Result<Option<Failure>, Blocked> {
    let restore = &pass.object;
    let Some(name) = restore.beginning_of() else {
        return Ok(None);
    };
    let shown = database_ref::cached(pass.context, restore);
    let shown = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    if shown.is_some_and(|database| database.may_begin_with(restore)) {
        return Ok(None);
    }
    // What the cache shows may be older than this Restore.
    let databases: Api<Database> = pass.beside();
    let now = databases.get_opt(name).await;
    let now = now.map_err(Error::api("read the Database"))?;
    Ok(now
        .filter(|database| !database.may_begin_with(restore))
        .map(|_| {
            let message = "the operator made this Restore for the beginning of its Database, which is over, or has another \
                           Restore by now (status.init of the Database): make another one for anything else";
            Failure::new(RestoreReason::Cancelled, message)
        }))
}

/// Whether there is no backup, and its Database is to begin empty then: it is told by the end of this Restore.
pub(super) fn is_without_backup(pass: &Pass<'_>, blocked: &Blocked) -> bool {
    let shown = database_ref::cached(pass.context, &pass.object);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    blocked.reason == RestoreReason::NoBackups
        && database.is_some_and(|it| it.begins_with(&pass.object) && it.may_begin_empty())
}
