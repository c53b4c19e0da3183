//! Act `CleanUp`: what is left of the load is removed, be it done or given up, and a restore that was done is put on record
//! in the bucket, so that it is not done again.

use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::observe::Observation;
use super::prerequisites::{Prerequisites, destination, readable};
use super::{Pass, database_ref, load, switch, task};
use crate::api::{Restore, RestoreReason, RestoreState};
use crate::controller::{Acted, Error};
use crate::job::manage;
use crate::job::objects::{Job, controller_uid};
use crate::provider::Flavour;
use crate::provider::restore::{Ended, Leftover, Load};
use crate::server::registry::Availability;
use crate::server::resolve::Unusable;
use crate::store::RestoreNote;

/// A Restore that is being deleted does not wait longer for its store: the server remembers it, too.
const DELETION_WAIT: SignedDuration = SignedDuration::from_secs(10);

/// Leaves nothing behind that runs, logs in, or takes room. What is finished stays: the Job for its log, until its time to
/// live ends.
pub(super) async fn perform(
    pass: &Pass<'_>,
    seen: &mut Observation,
) -> Result<Acted<RestoreReason>, Error> {
    stop_job(pass).await?;
    match on_server(pass).await {
        Ok(()) => {}
        Err(blocked) => return Ok(Acted::Blocked(blocked)),
    }
    if pass.state() == Some(RestoreState::Completed) && !pass.object.is_test() {
        if !is_noted(pass) {
            // Whoever drops the former database once this object is gone knows of it by then.
            let message = "the Database is about to note the database that was replaced, and first drops one that was \
                           replaced before";
            let blocked = Blocked::new(RestoreReason::WaitingForDatabase, message);
            return Ok(Acted::Blocked(blocked));
        }
        if let Err(blocked) = put_on_record(pass).await {
            return Ok(Acted::Blocked(blocked));
        }
    }
    seen.cleaned = true;
    Ok(Acted::Done)
}

/// Deletes a Job that is not finished, with its pod.
async fn stop_job(pass: &Pass<'_>) -> Result<(), Error> {
    let jobs: Api<Job> = pass.beside();
    let name = task::owner(&pass.object).job_name();
    let found = jobs.get_opt(&name).await;
    let found = found.map_err(Error::api("stop the Job"))?;
    let Some(job) = found.filter(|job| may_be_ours(job, pass)) else {
        return Ok(());
    };
    let pod = (job.metadata.uid.as_deref()).and_then(|uid| pass.context.work.pod(uid));
    Ok(manage::stop(&jobs, &job, pod.as_ref()).await?)
}

/// The Job that the status knows; where a crash came before it did, one that says that it is the Restore's.
fn may_be_ours(job: &Job, pass: &Pass<'_>) -> bool {
    match pass.job() {
        Some(known) => job.metadata.uid.as_ref() == Some(&known.uid),
        None => controller_uid(job) == Some(&pass.uid()),
    }
}

/// Removes the scratch database and the login.
async fn on_server(pass: &Pass<'_>) -> Result<(), Blocked> {
    if pass
        .status()
        .is_none_or(|status| status.started_at.is_none())
    {
        // It was refused after a crash in the moment that it began: nothing was made.
        return Ok(());
    }
    let (prerequisites, load) = match switch::on_server(pass).await {
        Ok(found) => found,
        Err(blocked) if is_gone(pass, &blocked) => {
            let note = format!(
                "what is left of this restore on its server is not removed: {}",
                blocked.message
            );
            pass.record_event(EventType::Warning, "LeftOver", note)
                .await;
            return Ok(());
        }
        Err(blocked) => return Err(blocked),
    };
    let which = if pass.object.is_test() {
        // Whether or not what was loaded is what was backed up.
        Leftover::Scratch
    } else if pass.state() == Some(RestoreState::Completed) {
        Leftover::Login
    } else {
        let is_postgresql = prerequisites.server.flavour() == Flavour::Postgresql;
        if is_postgresql && begun_switch(pass) {
            switch::reopen(&prerequisites, &load).await?;
        }
        Leftover::Scratch
    };
    match drop_leftover(pass, &prerequisites, &load, which).await? {
        Dropped::Gone | Dropped::Left => Ok(()),
    }
}

/// Whether a try to switch may have left the target closed.
fn begun_switch(pass: &Pass<'_>) -> bool {
    pass.status()
        .is_some_and(|status| status.switching_since.is_some())
}

/// Whether the server cannot be asked for this: its instance is gone, or does not accept the namespace or leads to another
/// server while this object is to go. Otherwise it waits for the permission, or for the server.
pub(super) fn is_gone(pass: &Pass<'_>, blocked: &Blocked) -> bool {
    let known = pass
        .instance()
        .map(|name| pass.context.cache.instance(name));
    // What a test made goes without that permission.
    let forbidden = blocked.reason == RestoreReason::NamespaceNotAllowed;
    ((forbidden || has_moved(pass)) && pass.is_deleting()) || matches!(known, None | Some(Ok(None)))
}

/// Whether the instance leads to another server now: what was made is not there.
fn has_moved(pass: &Pass<'_>) -> bool {
    let Ok(target) = pass.target() else {
        return false;
    };
    let entry = pass.context.instances.get(&target.instance);
    entry.is_some_and(|entry| match &entry.availability {
        Availability::Usable(server) => {
            let found = server.identity();
            found != target.server_identity && entry.acknowledged() != Some(found)
        }
        Availability::Unusable { .. } => false,
    })
}

/// What came of dropping what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// Nothing of it is there any more.
    Gone,
    /// It is not ours to drop, and stays. That was told.
    Left,
}

/// Drops what is left. What is not ours to drop is left alone, and that is told.
pub(super) async fn drop_leftover(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
    load: &Load,
    which: Leftover,
) -> Result<Dropped, Blocked> {
    let _alone = prerequisites.alone(load).await?;
    let server = &prerequisites.server;
    let ended = server
        .ask("drop_leftover", |provider| {
            provider.drop_leftover(load, which)
        })
        .await?;
    let (reason, why) = match ended {
        Ended::Done => return Ok(Dropped::Gone),
        Ended::Blocked(who) => {
            let error = Error::Blocked { what: who.clone() };
            return Err(Blocked::retried(RestoreReason::SwitchBlocked, who, error));
        }
        Ended::ChangedHands(why) => ("ChangedHands", why),
        Ended::Adopted(why) => ("LeftOver", why),
    };
    let note = format!("something of this restore is left on the server: {why}");
    pass.record_event(EventType::Warning, reason, note).await;
    Ok(Dropped::Left)
}

/// Notes in the bucket that this restore was done.
async fn put_on_record(pass: &Pass<'_>) -> Result<(), Blocked> {
    match write_note(pass).await {
        Err(blocked) if has_waited_enough(&pass.object, Timestamp::now()) => {
            tracing::warn!(
                reason = blocked.message,
                "the bucket does not know of this restore: its server alone remembers it"
            );
            Ok(())
        }
        // Keys that are refused now may be good again.
        Err(blocked) if blocked.retry.is_none() => Err(Blocked {
            reason: RestoreReason::StoreUnreachable,
            ..blocked
        }),
        result => result,
    }
}

async fn write_note(pass: &Pass<'_>) -> Result<(), Blocked> {
    let Some(name) = pass.instance() else {
        return Ok(());
    };
    let Some(entry) = pass.context.instances.get(name) else {
        let instance = name.to_owned();
        return Err(Unusable::NotFound { instance }.into());
    };
    let instance = entry.object;
    if instance.spec.backup.is_none() {
        // It has no bucket: the server alone remembers.
        return Ok(());
    }
    pass.check_leadership()?;
    let destination = destination(pass.context, &instance).await?;
    let namespace = pass.namespace();
    let readable = readable(pass.context, &instance, &namespace);
    let status = pass.status();
    let source = status.and_then(|status| status.source.as_ref());
    let note = RestoreNote {
        version: RestoreNote::VERSION,
        cluster_id: pass.context.cluster_id.clone(),
        namespace: namespace.clone(),
        name: pass.object.name_any(),
        spec_hash: load::spec_hash(&pass.object),
        at: status
            .and_then(|status| status.finished_at)
            .unwrap_or_else(Timestamp::now),
        object: source.map_or_else(String::new, |source| {
            format!("s3://{}/{}", source.bucket, source.key)
        }),
    };
    let Some((_, database)) = pass.object.database_key() else {
        // A test changes nothing, and may be done any number of times.
        return Ok(());
    };
    let written = destination
        .store
        .note_restore(&readable, database, &note)
        .await;
    Ok(written?)
}

fn has_waited_enough(restore: &Restore, now: Timestamp) -> bool {
    restore
        .metadata
        .deletion_timestamp
        .as_ref()
        .is_some_and(|since| now.duration_since(since.0) > DELETION_WAIT)
}

/// Whether the Database knows of the database that was replaced, or there is none, or no Database any more.
fn is_noted(pass: &Pass<'_>) -> bool {
    let target = pass.status().and_then(|status| status.target.as_ref());
    let Some(target) = target.filter(|target| target.former.is_some()) else {
        return true;
    };
    let shown = database_ref::cached(pass.context, &pass.object);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    if database_ref::is_gone(database, Some(&target.database_uid)) {
        return true;
    }
    let former = database
        .and_then(|database| database.status.as_ref())
        .and_then(|status| status.former.as_ref());
    former.is_some_and(|former| former.restore_uid == pass.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deleted_restore_waits_ten_seconds_for_its_store() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut restore: Restore = serde_json::from_value(json!({
            "metadata": {"name": "r"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "d"}},
        }))
        .unwrap();
        assert!(!has_waited_enough(&restore, at(1_000)));
        restore.metadata.deletion_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1_000)),
        );
        assert!(!has_waited_enough(&restore, at(1_010)));
        assert!(has_waited_enough(&restore, at(1_011)));
    }
}
