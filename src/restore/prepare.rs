//! Act `Prepare`: look at the target, make the place to load into with a login for this load alone, and create the Job. What
//! a process that crashed here left is made anew, since nobody knows the login's password any more.

use jiff::Timestamp;

use super::blocked::{Blocked, not_written};
use super::failure::Failure;
use super::fits::{self, Of};
use super::follow::{limits, sign};
use super::observe::{Found, Observation};
use super::prerequisites::{self, Prerequisites};
use super::source::{self, Chosen};
use super::task::{self, Made};
use super::{Pass, credentials, database_ref, slot};
use crate::api::backup::size;
use crate::api::restore::{Destined, RestoreJobRef};
use crate::api::{RestoreMode, RestoreReason};
use crate::controller::Acted;
use crate::credentials::{generate, verifier};
use crate::job::manage::{self, Cleared};
use crate::job::secret;
use crate::provider::restore::{Load, Scratch, TargetFacts};

/// Sessions that a load needs beside those that build indexes.
const SESSIONS: u32 = 2;

/// The fewest sessions that a restore gets by with: counting, looking, and a second dump for the level Digest.
const LEAST: u32 = 4;

/// Brings the Job about. What only a person can mend ends the restore here: nothing was loaded yet.
pub(super) async fn perform(pass: &mut Pass<'_>, seen: &mut Observation) -> Acted<RestoreReason> {
    match prepare(pass).await {
        Ok(job) => {
            seen.found = Found::Loading(Some(job));
            Acted::Done
        }
        Err(blocked) => match Failure::of(blocked) {
            Ok(failure) => {
                seen.found = Found::Failed(Box::new(failure));
                Acted::Done
            }
            Err(blocked) => {
                // What cannot start keeps nobody else from starting.
                pass.context.slots.hand_back(&pass.uid());
                Acted::Blocked(blocked)
            }
        },
    }
}

async fn prepare(pass: &mut Pass<'_>) -> Result<RestoreJobRef, Blocked> {
    // However long its server does not answer.
    let limits = limits(pass)?;
    if Timestamp::now().duration_since(pass.started_at()) > limits.deadline.time {
        let message = format!("the Job could not be created within {}", limits.deadline);
        return Err(Blocked::new(RestoreReason::DeadlineExceeded, message));
    }
    let prerequisites = gather(pass).await?;
    take_slot_again(pass, &prerequisites)?;
    let chosen = source::again(pass).await?;
    check_fit(&prerequisites, &chosen)?;
    let template = prerequisites.template(pass).await?;
    let operator_image = operator_image(pass).await?;
    let mut made = Made {
        prerequisites: &prerequisites,
        chosen: &chosen,
        template: template.as_deref(),
        operator_image: &operator_image,
        jobs: u32::try_from(pass.object.spec.jobs).unwrap_or(1),
    };
    let credentials_name = task::credentials_name(&pass.object);
    // A template that is broken is known before anything is made.
    let target = pass.target()?;
    task::job(
        pass,
        &made,
        &target.database,
        &target.user,
        &credentials_name,
    )
    .await?;

    clear_the_way(pass).await?;
    let inventory = chosen.found.manifest.contents.as_ref();
    let load = prerequisites.load(pass, &target, inventory)?;
    let password = generate();
    let (scratch, jobs) = {
        let _alone = prerequisites.alone(&load).await?;
        let facts = look(&prerequisites, &load).await?;
        let jobs = check_target(pass, &chosen, &facts, made.jobs)?;
        let verifier = verifier(&prerequisites.server, &password).await;
        let server = &prerequisites.server;
        let scratch = server
            .ask("make_scratch", |provider| {
                provider.make_scratch(&load, &verifier)
            })
            .await?;
        (scratch, jobs)
    };
    made.jobs = jobs;
    note(pass, &scratch).await?;
    let (database, login) = (scratch.database.as_str(), scratch.login.as_str());
    let job = task::job(pass, &made, database, login, &credentials_name).await?;
    let task = task::task(pass, &made, &scratch);
    let object = sign(
        pass,
        &chosen.destination.store,
        &chosen.found.key.key,
        &limits,
    )
    .await?;
    let store_ca = chosen.destination.ca.as_deref();
    let data = secret::restore_data(&task, &object, store_ca)?;
    let name = task::owner(&pass.object).job_name();
    let job_uid = manage::create(&pass.beside(), &job)
        .await
        .map_err(not_written)?;
    // Its pod does not begin before both are there.
    let ca = prerequisites.server.ca();
    credentials::write(pass, &job_uid, login, &password, ca).await?;
    secret::write(&pass.beside(), &task::owner(&pass.object), &job_uid, data)
        .await
        .map_err(not_written)?;
    pass.context
        .remembered
        .signed(&pass.uid(), object.expires_at);
    Ok(RestoreJobRef { name, uid: job_uid })
}

/// The server that it goes to.
async fn gather(pass: &Pass<'_>) -> Result<Prerequisites, Blocked> {
    match pass.object.spec.destined() {
        Destined::Database(_) => {
            let found = database_ref::find(pass.context, &pass.object).await?;
            let database = found.ok_or_else(|| {
                let message = "the Database is gone";
                Blocked::new(RestoreReason::DatabaseDeleted, message)
            })?;
            prerequisites::gather(pass, database).await
        }
        // The one that it was begun on: what a former try left is there.
        Destined::Test(_) => prerequisites::begun_on(pass, &pass.target()?, None).await,
        Destined::Nowhere => {
            let failure = fits::nowhere();
            Err(Blocked::new(failure.reason, failure.message))
        }
    }
}

/// One that could not start before handed its slot back.
fn take_slot_again(pass: &Pass<'_>, prerequisites: &Prerequisites) -> Result<(), Blocked> {
    if !pass.context.slots.must_wait(&pass.uid()) {
        return Ok(());
    }
    let target = pass.target()?;
    let settings = prerequisites.instance.spec.effective_restore();
    slot::take(pass, &target.instance, settings.max_concurrent)
}

async fn operator_image(pass: &Pass<'_>) -> Result<String, Blocked> {
    let context = pass.context;
    let image = context
        .image
        .get(&context.client, &context.namespace)
        .await?;
    image.ok_or_else(|| {
        let message =
            "the operator does not know its own image: it does not run in a pod, so start it with --image";
        Blocked::new(RestoreReason::JobRefused, message)
    })
}

/// The server may have been exchanged since the restore began, and the platform's word may be another one.
fn check_fit(prerequisites: &Prerequisites, chosen: &Chosen) -> Result<(), Blocked> {
    prerequisites.check_bytes(chosen)?;
    let version = prerequisites.server.version();
    let target = Of {
        flavour: prerequisites.flavour(),
        series: Some(&version.series),
        version: &version.full,
    };
    fits::server(chosen.of(), target)
        .map_err(|failure| Blocked::new(failure.reason, failure.message))
}

/// Removes the Job of a process that did not live to persist its UID: its login is about to be made anew.
async fn clear_the_way(pass: &Pass<'_>) -> Result<(), Blocked> {
    let name = task::owner(&pass.object).job_name();
    match manage::clear_the_way(&pass.beside(), &name).await? {
        Cleared::Nothing | Cleared::Removed(_) => Ok(()),
        Cleared::HeldUp(message) => Err(Blocked::new(RestoreReason::Preparing, message)),
    }
}

async fn look(prerequisites: &Prerequisites, load: &Load) -> Result<TargetFacts, Blocked> {
    let server = &prerequisites.server;
    let looked = server.ask("look_at_target", |provider| provider.look_at_target(load));
    Ok(looked.await?)
}

/// Refuses what would fail later, and says how many indexes may be built at the same time.
fn check_target(
    pass: &Pass<'_>,
    chosen: &Chosen,
    facts: &TargetFacts,
    jobs: u32,
) -> Result<u32, Blocked> {
    let spec = &pass.object.spec;
    // How much a part of it needs is not known before it is read.
    let dumped_bytes = match spec.only {
        Some(_) => 0,
        None => chosen.found.manifest.dumped_bytes,
    };
    check(spec.mode, facts, dumped_bytes, jobs)
}

fn check(
    mode: RestoreMode,
    facts: &TargetFacts,
    dumped_bytes: u64,
    jobs: u32,
) -> Result<u32, Blocked> {
    if mode == RestoreMode::Empty && !facts.contents.is_empty() {
        return Err(Blocked::new(
            RestoreReason::NotEmpty,
            not_empty(&facts.contents),
        ));
    }
    if !facts.obstacles.is_empty() {
        let message = facts.obstacles.join("; ");
        return Err(Blocked::new(RestoreReason::InTheWay, message));
    }
    let shown = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    if let Some(free) = facts.free_bytes.filter(|free| *free < dumped_bytes) {
        let message = format!(
            "the dump has {} before compression, which is about what a restore writes, and {} are free on the server: \
             make room, then make another Restore",
            shown(dumped_bytes),
            shown(free)
        );
        return Err(Blocked::new(RestoreReason::NoRoom, message));
    }
    let Some(free) = facts.free_connections else {
        return Ok(jobs);
    };
    if free < LEAST {
        let message = format!(
            "a restore needs at least {LEAST} connections at the same time, and {free} are free on the server: make another \
             Restore when there are more"
        );
        return Err(Blocked::new(RestoreReason::NoRoom, message));
    }
    Ok(jobs.min(free - SESSIONS))
}

/// What is in a database that should be empty, with what to do.
pub(super) fn not_empty(contents: &[String]) -> String {
    format!(
        "something is in the database ({}), and mode Empty loads only where nothing is: drop it, restore into another \
         Database, or (on PostgreSQL) set mode: Replace",
        contents.join(", ")
    )
}

/// Persists where the load goes.
async fn note(pass: &mut Pass<'_>, scratch: &Scratch) -> Result<(), Blocked> {
    let mut next = pass.next_status();
    let target = next.target.get_or_insert_default();
    target.scratch = Some(scratch.database.to_string());
    target.login = Some(scratch.login.to_string());
    target.owner = Some(scratch.owner.to_string());
    Ok(pass.persist(next).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_fail_later_is_refused_before_anything_is_made() {
        let facts =
            |contents: &[&str], obstacles: &[&str], free_bytes, free_connections| TargetFacts {
                contents: contents.iter().map(ToString::to_string).collect(),
                half_loaded: false,
                obstacles: obstacles.iter().map(ToString::to_string).collect(),
                bytes: 0,
                free_bytes,
                free_connections,
            };
        let (empty, replace) = (RestoreMode::Empty, RestoreMode::Replace);
        let of = |mode, facts: &TargetFacts| {
            check(mode, facts, 1 << 30, 4).map_err(|blocked| blocked.reason)
        };
        let full = facts(&["table public.a"], &[], None, None);
        assert_eq!(of(empty, &full), Err(RestoreReason::NotEmpty));
        assert_eq!(of(replace, &full), Ok(4));
        let slot = facts(&[], &["replication slot s: drop it"], None, None);
        assert_eq!(of(replace, &slot), Err(RestoreReason::InTheWay));
        let small = facts(&[], &[], Some(1 << 20), None);
        assert_eq!(of(empty, &small), Err(RestoreReason::NoRoom));
        let message = check(empty, &small, 1 << 30, 4).unwrap_err().message;
        assert!(
            message.contains("1Gi") && message.contains("1Mi"),
            "{message}"
        );
        assert_eq!(of(empty, &facts(&[], &[], Some(1 << 31), Some(100))), Ok(4));
        assert_eq!(of(empty, &facts(&[], &[], None, Some(4))), Ok(2));
        assert_eq!(
            of(empty, &facts(&[], &[], None, Some(3))),
            Err(RestoreReason::NoRoom)
        );
    }
}
