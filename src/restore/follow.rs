//! Act `Follow`: look at the Job, keep its signed request fresh, and tell how far it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;

use super::blocked::{Blocked, not_written};
use super::failure::Failure;
use super::observe::{Found, Observation as Seen};
use super::{Pass, prerequisites, progress, source};
use crate::agent::protocol::restore::{Loaded, Phase, SignedObject};
use crate::api::destination::BackupJob;
use crate::api::{Reason, RestoreReason, RestoreState};
use crate::controller::{Acted, Error, Outcome};
use crate::job::manage;
use crate::job::objects::{Job, Pod};
use crate::job::outcome::{self, JobOutcome, Loading, Observation};
use crate::job::pod::is_running;
use crate::job::time_limit::TimeLimits;
use crate::job::{secret, signed_parts};
use crate::store::Store;

/// How often a running restore is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// A pod that has not begun after this time is worth a word.
const USUAL_WAIT: SignedDuration = SignedDuration::from_secs(15);
/// A signed request is replaced when it is good for less than this.
const RENEW: SignedDuration = SignedDuration::from_mins(15);

/// Finds out what became of the Job.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Seen) -> Acted<RestoreReason> {
    match follow(pass).await {
        Ok(Some(found)) => {
            seen.found = found;
            Acted::Done
        }
        Ok(None) => Acted::Ends(Outcome::Again(LOOK)),
        Err(blocked) => match Failure::of(blocked) {
            Ok(failure) => {
                seen.found = Found::Failed(Box::new(failure));
                Acted::Done
            }
            Err(blocked) => Acted::Blocked(blocked),
        },
    }
}

/// What the Job has come to; `None` while it goes on as before.
async fn follow(pass: &mut Pass<'_>) -> Result<Option<Found>, Blocked> {
    let (job, pod) = work(pass).await?;
    if let Some(pod) = pod.as_ref().filter(|pod| is_running(pod)) {
        progress::look(pass, pod).await;
    }
    let refused = match (&job, &pod) {
        (Some(job), None) => manage::refused(&pass.beside(), job, Timestamp::now()).await,
        (_, _) => None,
    };
    let limits = limits(pass)?;
    let observed = observe(pass, job.as_ref(), pod.as_ref(), refused.as_deref(), limits);
    match outcome::decide::<Loading>(&observed) {
        JobOutcome::Done(loaded) => Ok(Some(proven(pass, loaded).await?)),
        JobOutcome::Failed(failure) => {
            let failure = Failure::from(*failure);
            Ok(Some(Found::Failed(Box::new(failure))))
        }
        JobOutcome::Runs => {
            if let Some(job) = &job {
                keep_signed(pass, job, &limits).await?;
            }
            let remembered = pass.context.remembered.progress(&pass.uid());
            let compares = remembered.is_some_and(|(seen, _)| seen.phase() == Phase::Check);
            if compares && pass.state() == Some(RestoreState::Loading) {
                return Ok(Some(Found::Checking));
            }
            let reason = running(pass);
            progress::report(pass, reason, reason.meaning()).await?;
            Ok(None)
        }
        JobOutcome::Waits(why) => {
            // A pod takes a moment to begin: what it goes through is not worth a write each.
            let created = job.as_ref().and_then(ResourceExt::creation_timestamp);
            let since = created.map_or(pass.started_at(), |created| created.0);
            if Timestamp::now().duration_since(since) > USUAL_WAIT {
                progress::report(pass, running(pass), &why).await?;
            }
            Ok(None)
        }
    }
}

/// The reason of a restore whose Job runs.
fn running(pass: &Pass<'_>) -> RestoreReason {
    if pass.state() == Some(RestoreState::Checking) {
        RestoreReason::Checking
    } else {
        RestoreReason::Loading
    }
}

/// What was loaded counts if it was the manifest's object: the pod has compared it, and its word is compared here.
async fn proven(pass: &Pass<'_>, loaded: Loaded) -> Result<Found, Blocked> {
    let chosen = source::again(pass).await?;
    let expected = &chosen.found.manifest.sha256;
    if loaded.sha256.eq_ignore_ascii_case(expected) {
        return Ok(Found::Loaded(Box::new(loaded)));
    }
    let message = format!(
        "the Job loaded an object with the SHA-256 {}, and the manifest says {expected}",
        loaded.sha256.chars().take(64).collect::<String>()
    );
    let failure = Failure::new(RestoreReason::ObjectMismatch, message);
    Ok(Found::Failed(Box::new(failure)))
}

/// How long the restore may take and stand still, as its instance allows now.
pub(super) fn limits(pass: &Pass<'_>) -> Result<TimeLimits, Blocked> {
    let name = pass.target()?.instance;
    let spec = &pass.object.spec;
    if let Some(entry) = pass.context.instances.get(&name) {
        return Ok(prerequisites::limits(spec, &entry.object.spec));
    }
    // After a restart it may not have been looked at yet. One that is gone sets no limits.
    let found = pass.context.cache.instance(&name)?;
    Ok(found.map_or_else(
        || {
            let (deadline, stall) = (spec.deadline_seconds, spec.stall_seconds);
            TimeLimits::of_restore(deadline, stall, &BackupJob::default())
        },
        |instance| prerequisites::limits(spec, &instance.spec),
    ))
}

/// The Job that the status knows, and its pod.
async fn work(pass: &Pass<'_>) -> Result<(Option<Job>, Option<Pod>), Error> {
    let context = pass.context;
    let Some(known) = pass.job() else {
        return Ok((None, None));
    };
    let job = context
        .work
        .job(&context.client, &pass.namespace(), &known.name, &known.uid)
        .await?;
    Ok((job, context.work.pod(&known.uid)))
}

/// All that can be seen of the Job.
fn observe<'a>(
    pass: &Pass<'_>,
    job: Option<&'a Job>,
    pod: Option<&'a Pod>,
    refused: Option<&'a str>,
    limits: TimeLimits,
) -> Observation<'a> {
    let remembered = pass.context.remembered.progress(&pass.uid());
    Observation {
        job,
        pod,
        refused,
        started_at: pass.started_at(),
        last_advance: remembered.map(|(_, at)| at).max(pass.last_advance()),
        looked_at: pass.context.remembered.log_read(&pass.uid()),
        limits,
        now: Timestamp::now(),
    }
}

/// Signs the request that reads the object. Nothing is sent.
pub(super) async fn sign(
    pass: &Pass<'_>,
    store: &Store,
    key: &str,
    limits: &TimeLimits,
) -> Result<SignedObject, Blocked> {
    pass.check_leadership()?;
    let deadline = limits.deadline.time;
    let valid_for = signed_parts::valid_for(pass.started_at(), deadline, Timestamp::now());
    Ok(store.sign_object(key, valid_for).await?)
}

/// Replaces the signed request before it expires: temporary keys end sooner than a restore may take.
async fn keep_signed(pass: &Pass<'_>, job: &Job, limits: &TimeLimits) -> Result<(), Blocked> {
    let remembered = &pass.context.remembered;
    let uid = pass.uid();
    let now = Timestamp::now();
    let is_fresh = |until: Timestamp| until.duration_since(now) > RENEW;
    if remembered.signed_until(&uid).is_some_and(is_fresh) {
        return Ok(());
    }
    let loads = remembered.progress(&uid);
    if loads.is_some_and(|(seen, _)| seen.phase() != Phase::Load) {
        // All of it was read.
        return Ok(());
    }
    let source = pass.source()?;
    let chosen = source::again(pass).await?;
    let object = sign(pass, &chosen.destination.store, &source.key, limits).await?;
    tracing::debug!("signing the request for the object anew");
    secret::write_object(&pass.beside(), job, &object)
        .await
        .map_err(not_written)?;
    // Keys that end soon are not asked for at each look.
    let again = now.saturating_add(RENEW + SignedDuration::from_mins(1));
    let until = object.expires_at.max(again.unwrap_or(object.expires_at));
    remembered.signed(&uid, until);
    Ok(())
}
