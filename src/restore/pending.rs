//! A Restore that has not begun: whether its turn has come, and if not, what it waits for.

use super::blocked::Blocked;
use super::failure::Failure;
use super::fits::{self, Asked, Of};
use super::observe::{Found, Observation};
use super::prerequisites::{self, Prerequisites};
use super::source::{self, Chosen};
use super::transition::Begun;
use super::{Pass, beginning, database_ref, once, slot, trial, wake};
use crate::api::restore::Destined;
use crate::api::{Database, DatabaseState, Restore, RestoreReason, RestoreState};
use crate::controller::Error;

/// What a restore that may begin now needs.
pub(super) struct Ready {
    /// What is persisted before anything is made.
    pub begun: Begun,
    /// How many restores may run on its instance.
    pub most: i32,
}

/// What a look at a restore that has not begun found.
pub(super) enum Looked {
    /// It may begin.
    Ready(Box<Ready>),
    /// It is not to begin: it was done before, or never can be.
    Decided(Found),
    /// It does not begin yet.
    Waits(Waits),
}

/// Why a restore does not begin.
pub(super) struct Waits {
    /// What it waits for.
    pub blocked: Blocked,
    /// It has all that it needs but its Database's word; a test, but a slot.
    pub asks: bool,
    /// The instance that could not be asked.
    instance: Option<String>,
}

impl From<Blocked> for Waits {
    fn from(blocked: Blocked) -> Self {
        Self {
            blocked,
            asks: false,
            instance: None,
        }
    }
}

impl Waits {
    /// For one that has all that it needs but its turn.
    pub(super) fn asking(blocked: Blocked) -> Self {
        Self {
            asks: true,
            ..Self::from(blocked)
        }
    }
}

/// Whether the restore may begin, and what it waits for otherwise.
pub(super) async fn look(pass: &Pass<'_>) -> Looked {
    match find(pass).await {
        Ok(looked) => looked,
        Err(waits) if beginning::is_without_backup(pass, &waits.blocked) => {
            let failure = Failure::new(waits.blocked.reason, waits.blocked.message);
            Looked::Decided(Found::Failed(Box::new(failure)))
        }
        Err(waits) => match given_up(&waits.blocked, has_turn(pass)) {
            Some(reason) => {
                let failure = Failure::new(reason, waits.blocked.message);
                Looked::Decided(Found::Failed(Box::new(failure)))
            }
            None => Looked::Waits(waits),
        },
    }
}

/// Why a restore is given up instead of waiting, if it is: where waiting changes nothing, whatever anyone does but make
/// another Restore, and where it would wait for a person while it has its turn, which keeps others from theirs.
fn given_up(blocked: &Blocked, has_turn: bool) -> Option<RestoreReason> {
    let reason = blocked.reason;
    if reason == RestoreReason::BackupFailed {
        // It does not come back.
        return Some(reason);
    }
    if reason == RestoreReason::WaitingForBackup && has_turn {
        // It had completed when the turn was asked for.
        return Some(RestoreReason::BackupNotFound);
    }
    (blocked.is_final() && has_turn).then_some(reason)
}

/// Whether its Database names it.
fn has_turn(pass: &Pass<'_>) -> bool {
    let shown = database_ref::cached(pass.context, &pass.object);
    let database = shown.as_ref().and_then(|guarded| guarded.0.as_ref().ok());
    database.is_some_and(|database| database_ref::is_named(database, &pass.object))
}

async fn find(pass: &Pass<'_>) -> Result<Looked, Waits> {
    match pass.object.spec.destined() {
        Destined::Database(_) => find_for_database(pass).await,
        Destined::Test(instance) => trial::look(pass, instance).await,
        Destined::Nowhere => Ok(Looked::Decided(Found::Failed(Box::new(fits::nowhere())))),
    }
}

async fn find_for_database(pass: &Pass<'_>) -> Result<Looked, Waits> {
    if let Some(failure) = beginning::is_over(pass).await? {
        return Ok(Looked::Decided(Found::Failed(Box::new(failure))));
    }
    let database = named(pass).await?;
    let prerequisites = prerequisites::gather(pass, database.clone()).await?;
    let instance = database.spec.instance_ref.name.clone();
    let on_server = |blocked| Waits {
        instance: Some(instance.clone()),
        ..Waits::from(blocked)
    };
    let before = once::look(pass, &prerequisites, &database).await;
    if let Some(found) = before.map_err(on_server)? {
        return Ok(Looked::Decided(found));
    }
    if let Err(failure) = check(pass, &prerequisites, &database.sql_name()) {
        return Ok(Looked::Decided(Found::Failed(Box::new(failure))));
    }
    let settings = prerequisites.instance.spec.effective_restore();
    let most = settings.max_concurrent;
    let remembered = &pass.context.remembered;
    if !database_ref::is_named(&database, &pass.object) {
        // The bucket is read once; whether the backup is still there is looked at when its turn has come.
        if !remembered.has_source(&pass.uid()) {
            if let Err(failure) = choose(pass, &prerequisites).await? {
                return Ok(Looked::Decided(Found::Failed(Box::new(failure))));
            }
            remembered.found_source(&pass.uid());
        }
        slot::check_free(pass, &instance, most)?;
        let blocked = Blocked::new(RestoreReason::WaitingForTurn, who_is_first(&database));
        return Err(Waits::asking(blocked));
    }
    slot::check_free(pass, &instance, most)?;
    let chosen = match choose(pass, &prerequisites).await? {
        Ok(chosen) => chosen,
        Err(failure) => return Ok(Looked::Decided(Found::Failed(Box::new(failure)))),
    };
    let begun = Begun {
        source: chosen.noted(),
        target: prerequisites.target(&database),
    };
    Ok(Looked::Ready(Box::new(Ready { begun, most })))
}

/// The backup, if it fits the server.
pub(super) async fn choose(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
) -> Result<Result<Chosen, Failure>, Blocked> {
    let chosen = source::choose(pass, prerequisites).await?;
    // The platform may raise that limit, so it is waited for.
    prerequisites.check_bytes(&chosen)?;
    Ok(fits::server(chosen.of(), target(prerequisites)).map(|()| chosen))
}

/// Who has the turn of a Database, or gets it before this Restore.
fn who_is_first(database: &Database) -> String {
    let status = database.status.as_ref();
    let backup = match database.state() {
        Some(
            DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted,
        ) => status.and_then(|status| status.backup.as_ref()),
        None
        | Some(
            DatabaseState::Creating
            | DatabaseState::Created
            | DatabaseState::BackupBeforeDeleteRequested
            | DatabaseState::BackupBeforeDeleteInProgress
            | DatabaseState::BackupBeforeDeleteCompleted
            | DatabaseState::DeletionRequested
            | DatabaseState::DeletionInProgress
            | DatabaseState::Deleted,
        ) => None,
    };
    let restore = status.and_then(|status| status.restore.as_ref());
    let restore = restore.filter(|named| !named.state.is_some_and(RestoreState::is_terminal));
    let who = match (backup, restore) {
        (Some(backup), _) => format!("the Backup {}", backup.name),
        (None, Some(named)) => format!("the Restore {}", named.name),
        (None, None) => {
            return "a backup or another restore of this Database is active, or first".to_owned();
        }
    };
    format!("{who} of this Database has its turn: delete it if it is not to be waited for")
}

/// What never can be, whatever is waited for.
pub(super) fn check(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
    database: &str,
) -> Result<(), Failure> {
    let spec = &pass.object.spec;
    let asked = Asked {
        mode: spec.mode,
        confirm: spec.confirm.as_deref(),
        level: spec.check.level,
        only: spec.only.as_ref(),
    };
    fits::asked(asked, prerequisites.flavour(), database)
}

/// The server that a backup is brought back to.
fn target(prerequisites: &Prerequisites) -> Of<'_> {
    let version = prerequisites.server.version();
    Of {
        flavour: prerequisites.flavour(),
        series: Some(&version.series),
        version: &version.full,
    }
}

/// Remembers what was seen of a Restore that has not begun: its Database hears whether it asks for its turn, and an instance
/// that could not be asked is looked at.
pub(super) fn note(pass: &Pass<'_>, seen: &Observation) {
    let (context, uid) = (pass.context, pass.uid());
    let asks = seen.waits.as_ref().is_some_and(|waits| waits.asks);
    if asks {
        if context.queues.turns.ask(&uid) {
            wake::database(context, &pass.object);
        }
    } else if seen.ready.is_none() {
        context.queues.turns.withdraw(&uid);
    }
    if let Some(waits) = &seen.waits
        && let (Some(Error::Server(error)), Some(instance)) =
            (waits.blocked.retry.as_deref(), &waits.instance)
    {
        context.note_failure(instance, error);
    }
}

/// The Database, if it can be restored now.
async fn named(pass: &Pass<'_>) -> Result<Database, Blocked> {
    let found = database_ref::find(pass.context, &pass.object).await?;
    let Some(database) = found else {
        let (namespace, name) = pass.object.database_key().unwrap_or_default();
        let message = format!("there is no Database {name} in namespace {namespace}");
        return Err(Blocked::new(RestoreReason::DatabaseNotFound, message));
    };
    match why_not(&database, &pass.object) {
        Some(message) => Err(Blocked::new(RestoreReason::WaitingForDatabase, message)),
        None => Ok(database),
    }
}

/// Why a Database cannot be restored now.
fn why_not(database: &Database, restore: &Restore) -> Option<&'static str> {
    if database.metadata.deletion_timestamp.is_some() {
        return Some("the Database is being deleted: no restore into it begins");
    }
    if database.spec.suspend {
        return Some("the Database is suspended (its spec.suspend): no restore into it begins");
    }
    match database.state() {
        Some(DatabaseState::Creating) if database.begins_with(restore) => None,
        None | Some(DatabaseState::Creating) => Some("the Database is not created yet"),
        Some(
            DatabaseState::Created
            | DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted,
        ) => None,
        Some(
            DatabaseState::BackupBeforeDeleteRequested
            | DatabaseState::BackupBeforeDeleteInProgress
            | DatabaseState::BackupBeforeDeleteCompleted
            | DatabaseState::DeletionRequested
            | DatabaseState::DeletionInProgress
            | DatabaseState::Deleted,
        ) => Some("the Database is being deleted: no restore into it begins"),
    }
}

#[cfg(test)]
#[path = "pending_tests.rs"]
mod tests;
