//! One pass over a Database: takes every step that follows, and does what the last state asks for.

use std::time::Instant;

use kube::ResourceExt;

use super::establish::{self, Depth, Established};
use super::pass::Pass;
use super::state::{self, Act, BackupSeen, Existence, Seen, Step};
use super::{desired, give_up, report};
use crate::api::{
    Database, DatabaseReason, DatabaseState, DeletionPolicy, FINALIZER, RECONCILE_REQUESTED_AT,
    RELEASE, Reason, Report,
};
use crate::controller::Context;
use crate::error::Error;
use crate::finalizer;

/// How a pass ended.
pub enum End {
    /// All is as it should be, or waits for something that announces itself.
    Settled {
        /// What lives inside the database was looked at, too.
        deep: bool,
        /// The server was looked at or changed for this Database alone.
        anew: bool,
    },
    /// Only a change from outside can help.
    Stalled,
    /// The object is gone.
    Gone,
}

/// One pass: takes every step that follows, and does what the last state asks for.
pub async fn walk(
    context: &Context,
    database: &Database,
    deep_due: bool,
    settled: Option<Instant>,
) -> Result<End, Error> {
    let mut pass = Pass::begin(context, database).await?;
    let mut seen = observe(&pass).await?;
    loop {
        if let Some(step) = state::next(pass.state(), &seen) {
            if !take(&mut pass, step, &seen).await? {
                return Ok(End::Gone);
            }
            seen.deletion = pass.status().and_then(|status| status.deletion);
            if seen.usable {
                // It was just made and looked at from all sides.
                return Ok(End::Settled {
                    deep: true,
                    anew: true,
                });
            }
            continue;
        }
        match state::act(pass.state(), &seen) {
            Act::Watch => return watch(&mut pass).await,
            Act::Create => match create(&mut pass).await? {
                Some(end) => return Ok(end),
                None => seen.usable = true,
            },
            Act::Maintain => return maintain(&mut pass, deep_due, settled).await,
            Act::RequestFinalBackup => return wait_for_final_backup(&mut pass).await,
            Act::GiveUp(effect) => match give_up::give_up(&pass, effect).await {
                Ok(()) => seen.deleted = true,
                Err(obstacle) => return report::stop(&mut pass, obstacle).await,
            },
        }
    }
}

/// What a decision needs. The server is asked only where that decides about a final backup.
async fn observe(pass: &Pass<'_>) -> Result<Seen, Error> {
    let database = &pass.database;
    let deleting = database.metadata.deletion_timestamp.is_some();
    let status = pass.status();
    let may_drop = status
        .and_then(|status| status.claim.as_ref())
        .is_none_or(|claim| claim.created_database || claim.created_user || claim.drop_adopted);
    // An instance that is not known forbids nothing: the deletion waits for it.
    let allowed = pass.allowed || pass.instance.is_none();
    let policy = state::effective_policy(database.spec.deletion_policy, allowed, may_drop);
    let existence = if deleting && policy == DeletionPolicy::BackupBeforeDelete {
        exists(pass).await
    } else {
        Existence::Unknown
    };
    Ok(Seen {
        deleting,
        release: database
            .annotations()
            .get(RELEASE)
            .is_some_and(|name| *name == database.sql_name()),
        policy,
        database: existence,
        usable: false,
        suspended: database.spec.suspend,
        backup: BackupSeen::None,
        final_backup: BackupSeen::None,
        deletion: status.and_then(|status| status.deletion),
        deleted: false,
    })
}

async fn exists(pass: &Pass<'_>) -> Existence {
    let (Ok((_, server)), Ok(names)) = (pass.server(), desired::names(&pass.database)) else {
        return Existence::Unknown;
    };
    match server.observe(&names, None).await {
        Ok(observed) if observed.database.is_some() => Existence::Present,
        Ok(_) => Existence::Missing,
        Err(_) => Existence::Unknown,
    }
}

/// Persists the state that follows; false when the object is gone.
async fn take(pass: &mut Pass<'_>, step: Step, seen: &Seen) -> Result<bool, Error> {
    let Some(to) = step.to else {
        finalizer::remove(&pass.api(), &pass.database).await?;
        tell_rivals(pass);
        return Ok(false);
    };
    if !pass
        .database
        .finalizers()
        .iter()
        .any(|name| name == FINALIZER)
        && to == DatabaseState::Creating
    {
        pass.database = finalizer::add(&pass.api(), &pass.database).await?;
    }
    let mut next = pass.status().cloned().unwrap_or_default();
    next.state = Some(to);
    if to == DatabaseState::DeletionInProgress {
        next.deletion = Some(state::deletion_effect(seen.policy));
    }
    tracing::info!(
        state = to.as_str(),
        because = step.because.as_str(),
        "state"
    );
    let report = report::entering(pass, to);
    next.observed_generation = pass.database.metadata.generation;
    report.record(
        &mut next.conditions,
        pass.database.metadata.generation,
        jiff::Timestamp::now(),
    );
    pass.persist(next).await?;
    Ok(true)
}

/// Others may have waited for these names.
fn tell_rivals(pass: &Pass<'_>) {
    let (name, user) = (pass.database.sql_name(), pass.database.sql_user());
    for other in pass
        .context
        .databases_on(&pass.database.spec.instance_ref.name)
    {
        let Ok(rival) = &other.0 else { continue };
        if rival.uid() != pass.database.uid()
            && (rival.sql_name() == name || rival.sql_user() == user)
        {
            pass.context.look_at(&other);
        }
    }
}

/// Nothing to do but to say so.
async fn watch(pass: &mut Pass<'_>) -> Result<End, Error> {
    if pass.database.spec.suspend && pass.state() == Some(DatabaseState::Created) {
        let next = pass.status().cloned().unwrap_or_default();
        let reason = DatabaseReason::Suspended;
        pass.report(next, &Report::new(reason, reason.meaning()))
            .await?;
    }
    Ok(End::Settled {
        deep: false,
        anew: true,
    })
}

/// Makes everything, and moves to `CREATED` in the write that notes it. Returns how the pass ends, if it does.
async fn create(pass: &mut Pass<'_>) -> Result<Option<End>, Error> {
    match establish::establish(
        pass,
        Depth {
            create: true,
            deep: true,
            since: None,
        },
    )
    .await
    {
        Ok(Established { mut next, .. }) => {
            // The step that follows persists the state; what it needs is carried by the object.
            std::mem::swap(pass.database.status.get_or_insert_default(), &mut next);
            Ok(None)
        }
        Err(obstacle) => report::stop(pass, obstacle).await.map(Some),
    }
}

/// Looks for differences and puts them back.
async fn maintain(
    pass: &mut Pass<'_>,
    deep_due: bool,
    settled: Option<Instant>,
) -> Result<End, Error> {
    let asked = pass.is_changed() || pass.requested(RECONCILE_REQUESTED_AT).is_some();
    let deep = deep_due || asked;
    // A survey from before our own last change would be of another time, and one that was not repeated is too old.
    let oldest = Instant::now().checked_sub(pass.context.resync * 2);
    let since = if asked { None } else { settled.max(oldest) };
    match establish::establish(
        pass,
        Depth {
            create: false,
            deep,
            since,
        },
    )
    .await
    {
        Ok(Established { next, changed }) => {
            let report = report::usable(pass);
            pass.report(next, &report).await?;
            let anew = changed || since.is_none();
            Ok(End::Settled { deep, anew })
        }
        Err(obstacle) => report::stop(pass, obstacle).await,
    }
}

/// The final backup comes with the Backup controller; until then the object waits here and says so.
async fn wait_for_final_backup(pass: &mut Pass<'_>) -> Result<End, Error> {
    let message = "this version makes no backups yet: change deletionPolicy to Delete or Retain, or set the annotation \
        db-operator.dev/release to the SQL database's name";
    let next = pass.status().cloned().unwrap_or_default();
    pass.report(
        next,
        &Report::new(DatabaseReason::WaitingForFinalBackup, message),
    )
    .await?;
    Ok(End::Settled {
        deep: false,
        anew: true,
    })
}
