//! A Backup that has not begun: whether its turn has come, and if not, what it waits for.

use std::sync::Arc;

use kube::ResourceExt;

use super::blocked::Blocked;
use super::database_ref::{self, BackupKind, Freshness, Resolved};
use super::observe::Observation;
use super::prerequisites::{self, Prerequisites};
use super::{Pass, slot, start};
use crate::api::{BackupReason, Database, DatabaseState};
use crate::controller::Error;
use crate::provider::{Assessment, Inventory};
use crate::queue::line_of_database::{first_in_line, is_older, waits};
use crate::queue::slots::Candidate;

/// What a backup that may begin now needs.
pub(super) struct Ready {
    /// All that it needs from outside.
    pub prerequisites: Arc<Prerequisites>,
    /// The slot that it needs.
    pub wants: Candidate,
    /// What comes with the database.
    pub inventory: Inventory,
}

/// Why a backup does not begin.
pub(super) struct Waits {
    /// What it waits for.
    pub blocked: Blocked,
    /// The instance that could not be asked.
    instance: Option<String>,
    /// It is something else than a slot: others do not wait for this backup.
    obstructed: bool,
}

impl From<Blocked> for Waits {
    fn from(blocked: Blocked) -> Self {
        Self {
            blocked,
            instance: None,
            obstructed: true,
        }
    }
}

/// What the backup needs, what comes with its database and how large it will be, if it may begin now; or what it waits for. Its slot is taken last, when
/// it begins: none is held while something else is waited for (a lock, a connection, a server that does not answer).
pub(super) async fn look(pass: &Pass<'_>) -> Result<(Ready, Assessment), Waits> {
    let mut ready = ready(pass).await?;
    slot::check_free(pass, &ready.wants).map_err(|blocked| Waits {
        blocked,
        instance: None,
        obstructed: false,
    })?;
    let found = start::look_inside(&ready.prerequisites).await;
    let (assessment, inventory) = found.map_err(|blocked| Waits {
        instance: Some(ready.wants.instance.clone()),
        ..Waits::from(blocked)
    })?;
    ready.inventory = inventory;
    Ok((ready, assessment))
}

/// Remembers what was seen of a Backup that has not begun: others do not wait for one that something else than a slot keeps
/// from starting, and an instance that could not be asked is looked at.
pub(super) fn note(pass: &Pass<'_>, seen: &Observation) {
    let remembered = &pass.context.remembered;
    match (&seen.ready, &seen.waits) {
        (None, None) => {}
        (Some(_), _) => remembered.obstruct(&pass.uid(), false),
        (None, Some(waits)) => {
            remembered.obstruct(&pass.uid(), waits.obstructed);
            if let Some(Error::Server(error)) = waits.blocked.retry.as_deref()
                && let Some(instance) = &waits.instance
            {
                pass.context.note_failure(instance, error);
            }
        }
    }
}

/// What the backup needs, if it is its turn among those of its Database.
async fn ready(pass: &Pass<'_>) -> Result<Ready, Blocked> {
    let (database, kind) = named(pass).await?;
    if let Some(other) = active_sibling(pass) {
        let message = format!("the backup {other} of this Database is active");
        return Err(Blocked::new(BackupReason::WaitingForTurn, message));
    }
    let wants = slot::candidate(&pass.object, &database);
    let prerequisites = prerequisites::gather(pass, database, kind).await?;
    prerequisites.check_template(pass).await?;
    Ok(Ready {
        prerequisites,
        wants,
        inventory: Inventory::default(),
    })
}

/// The name of another backup of the Database that is active. (One may still be on its way to `FAILED` when the Database is
/// being deleted and asks for its final backup.)
fn active_sibling(pass: &Pass<'_>) -> Option<String> {
    let all = database_ref::all(pass.context);
    all.siblings(&pass.object, &pass.context.namespace)
        .find(|other| other.is_active())
        .map(ResourceExt::name_any)
}

/// The Database, if it names this backup.
async fn named(pass: &Pass<'_>) -> Result<(Database, BackupKind), Blocked> {
    let (mut database, kind) = known(pass, Freshness::Cached).await?;
    let is_named = |database: &Database| {
        database_ref::is_named(database, &pass.object, kind == BackupKind::Final)
    };
    if !is_named(&database) && may_be_named(pass, kind) {
        // The Database's controller may have named it a moment ago.
        database = known(pass, Freshness::Fresh).await?.0;
    }
    if is_named(&database) {
        return Ok((database, kind));
    }
    Err(waits_for(&database, kind))
}

/// Whether a Database may name this backup next.
fn may_be_named(pass: &Pass<'_>, kind: BackupKind) -> bool {
    if kind == BackupKind::Final {
        return true;
    }
    let all = database_ref::all(pass.context);
    let line = all
        .siblings(&pass.object, &pass.context.namespace)
        .filter(|other| other.spec.database_ref.namespace.is_none())
        .chain([&pass.object]);
    first_in_line(line).is_some_and(|first| first.metadata.uid == pass.object.metadata.uid)
}

/// Whether it may be next: no other backup of its Database waits longer (one may be active), or it was named already.
pub(super) fn may_be_next(pass: &Pass<'_>) -> bool {
    database_ref::shows_named(pass.context, &pass.object) || is_first(pass)
}

fn is_first(pass: &Pass<'_>) -> bool {
    let all = database_ref::all(pass.context);
    let mut siblings = all.siblings(&pass.object, &pass.context.namespace);
    !siblings.any(|other| {
        other.spec.database_ref.namespace == pass.object.spec.database_ref.namespace
            && waits(other)
            && is_older(other, &pass.object)
    })
}

async fn known(pass: &Pass<'_>, freshness: Freshness) -> Result<(Database, BackupKind), Blocked> {
    let reference = &pass.object.spec.database_ref;
    match database_ref::resolve(pass.context, &pass.object, freshness).await? {
        Resolved::Known(database, kind) => Ok((*database, kind)),
        Resolved::Missing => {
            let message = format!(
                "there is no Database {} in namespace {}",
                reference.name,
                pass.object.database_namespace().unwrap_or_default()
            );
            Err(Blocked::new(BackupReason::DatabaseNotFound, message))
        }
        Resolved::Foreign => {
            let message = "spec.databaseRef.namespace is not accepted here: make a Backup in the Database's namespace, \
                without that field";
            Err(Blocked::new(BackupReason::ForeignNamespace, message))
        }
    }
}

/// What a backup that is not named waits for.
fn waits_for(database: &Database, kind: BackupKind) -> Blocked {
    let deleting = database.metadata.deletion_timestamp.is_some();
    let (reason, message) = match (kind, deleting, database.state()) {
        (BackupKind::Final, _, _) => (
            BackupReason::WaitingForTurn,
            "the Database does not ask for this final backup (any more)",
        ),
        (BackupKind::Ordinary, true, _) => (
            BackupReason::WaitingForDatabase,
            "the Database is being deleted: no new backup of it begins",
        ),
        (BackupKind::Ordinary, false, None | Some(DatabaseState::Creating)) => (
            BackupReason::WaitingForDatabase,
            "the Database is not created yet",
        ),
        (BackupKind::Ordinary, false, Some(_)) if database.spec.suspend => (
            BackupReason::WaitingForDatabase,
            "the Database is suspended (its spec.suspend): no new backup of it begins",
        ),
        (BackupKind::Ordinary, false, Some(_)) => (
            BackupReason::WaitingForTurn,
            "an older backup of this Database is first",
        ),
    };
    Blocked::new(reason, message)
}
