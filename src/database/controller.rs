//! The controller of databases: observe → next → act → report.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Api, ResourceExt};
use tokio_util::sync::CancellationToken;

use super::establish::{self, Depth, Established};
use super::memory::About;
use super::pass::{Obstacle, Pass};
use super::state::{self, Act, BackupSeen, Existence, Seen, Step};
use super::{desired, give_up};
use crate::api::{
    Database, DatabaseReason, DatabaseState, DeletionPolicy, FINALIZER, RECONCILE_REQUESTED_AT,
    RELEASE, Reason, Report,
};
use crate::backoff;
use crate::controller::{self, Context, Reconcile};
use crate::error::Error;
use crate::finalizer;

/// An object that failed is not looked at sooner than this, whatever wakes it.
const SHORTEST_REST: Duration = Duration::from_millis(100);

/// An object whose instance is about to be looked at is not looked at before.
const UNSEEN_REST: Duration = Duration::from_secs(1);

/// Looks after all databases until `stop`.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let controller = controller::watching::<Database>(&context);
    let store = controller.store();
    // Set once, before anything is read from it.
    let _ = context.databases.set(store.clone());
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(context.client.clone());
    let known = Arc::clone(&context);
    let controller = controller
        .reconcile_on(context.database_triggers.stream())
        // A label of a namespace may give or take the permission to use an instance.
        .watches(namespaces, watcher::Config::default(), move |namespace| {
            judged_by_labels(&known, &store, &namespace.name_any())
        });
    controller::run(controller, context, stop).await;
}

/// The Databases of a namespace whose instances select namespaces by label. What is remembered of them does not count
/// any more.
fn judged_by_labels(
    context: &Context,
    store: &Store<DeserializeGuard<Database>>,
    namespace: &str,
) -> Vec<ObjectRef<DeserializeGuard<Database>>> {
    let databases = store.state();
    let judged = databases.iter().filter(|guarded| {
        guarded.namespace().as_deref() == Some(namespace)
            && guarded
                .0
                .as_ref()
                .is_ok_and(|database| selects_by_label(context, database))
    });
    judged
        .map(|guarded| {
            context.memory.suspect(&guarded.uid().unwrap_or_default());
            ObjectRef::from_obj(guarded.as_ref())
        })
        .collect()
}

fn selects_by_label(context: &Context, database: &Database) -> bool {
    context
        .instances
        .get(&database.spec.instance_ref.name)
        .is_some_and(|entry| entry.object.spec.allowed_namespaces.selector.is_some())
}

impl Reconcile for Database {
    const KIND: &'static str = "Database";

    async fn reconcile(&self, context: &Context) -> Result<Action, Error> {
        let uid = self.uid().unwrap_or_default();
        if context.memory.is_gone(&uid) {
            return Ok(Action::await_change());
        }
        if context.is_unseen(&self.spec.instance_ref.name) {
            // Its databases are looked at once it was.
            return Ok(Action::requeue(UNSEEN_REST));
        }
        let about = About::of(
            self,
            context.instances.get(&self.spec.instance_ref.name).as_ref(),
        );
        let now = Instant::now();
        if let Some(rest) = context.memory.rest(&uid, &about, now) {
            return Ok(Action::requeue(rest));
        }
        let deep = context.memory.is_deep_due(&uid, now);
        let result = walk(context, self, deep, context.memory.settled(&uid)).await;

        let resync = backoff::spread_evenly(context.resync, rand::random());
        let (rest, looked_deep, anew) = match &result {
            Ok(End::Gone) => {
                context.memory.let_go(&uid, now);
                return Ok(Action::await_change());
            }
            Ok(End::Settled { deep, anew }) => (resync, *deep, *anew),
            Ok(End::Stalled) => (resync, false, true),
            Err(_) => (SHORTEST_REST, false, true),
        };
        let next_deep = now + context.deep_resync;
        // A process that just began does not look deeply at everything at once.
        let first_deep = now + context.deep_resync.mul_f64(rand::random());
        context.memory.note(
            &uid,
            about,
            now + rest,
            looked_deep.then_some(next_deep),
            first_deep,
            anew,
        );
        result.map(|_| Action::requeue(rest))
    }
}

/// How a pass ended.
enum End {
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
async fn walk(
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
                Err(obstacle) => return stop(&mut pass, obstacle).await,
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
    let report = entering(pass, to);
    next.observed_generation = pass.database.metadata.generation;
    report.record(
        &mut next.conditions,
        pass.database.metadata.generation,
        jiff::Timestamp::now(),
    );
    pass.persist(next).await?;
    Ok(true)
}

/// What the conditions say when a state is entered; its own act may say more.
fn entering(pass: &Pass<'_>, state: DatabaseState) -> Report {
    let reason = match state {
        DatabaseState::Creating => DatabaseReason::Creating,
        DatabaseState::Created
        | DatabaseState::BackupRequested
        | DatabaseState::BackupInProgress
        | DatabaseState::BackupCompleted => return usable(pass),
        DatabaseState::BackupBeforeDeleteRequested
        | DatabaseState::BackupBeforeDeleteInProgress
        | DatabaseState::BackupBeforeDeleteCompleted => DatabaseReason::WaitingForFinalBackup,
        DatabaseState::DeletionRequested
        | DatabaseState::DeletionInProgress
        | DatabaseState::Deleted => DatabaseReason::Deleting,
    };
    Report::new(reason, reason.meaning())
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
        Err(obstacle) => stop(pass, obstacle).await.map(Some),
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
            let report = usable(pass);
            pass.report(next, &report).await?;
            let anew = changed || since.is_none();
            Ok(End::Settled { deep, anew })
        }
        Err(obstacle) => stop(pass, obstacle).await,
    }
}

/// What the conditions say of a database that can be used.
fn usable(pass: &Pass<'_>) -> Report {
    let created = Report::new(DatabaseReason::Created, DatabaseReason::Created.meaning());
    match missing_destination(pass) {
        Some(message) => Report::new(DatabaseReason::NoBackupDestination, message)
            .while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning()),
        None => created,
    }
}

/// A policy that could not be carried out is said when it is written, not when the object is deleted.
fn missing_destination(pass: &Pass<'_>) -> Option<String> {
    let instance = pass.instance.as_ref()?;
    let wanted = pass.database.spec.deletion_policy == DeletionPolicy::BackupBeforeDelete;
    (wanted && instance.object.spec.backup.is_none()).then(|| {
        format!(
            "deletionPolicy is BackupBeforeDelete, and the instance {} has no spec.backup: a deletion would wait for it",
            pass.database.spec.instance_ref.name
        )
    })
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

/// Ends a pass before its aim was reached, and says why.
async fn stop(pass: &mut Pass<'_>, obstacle: Obstacle) -> Result<End, Error> {
    if let Some(Error::Server(error)) = obstacle.retry.as_deref() {
        pass.context
            .note_failure(&pass.database.spec.instance_ref.name, error);
    }
    let next = pass.status().cloned().unwrap_or_default();
    let mut report = Report::new(obstacle.reason, obstacle.message);
    let established = next.state.is_some_and(is_established);
    if established && leaves_usable(obstacle.reason) {
        report = report.while_ready(DatabaseReason::Created, DatabaseReason::Created.meaning());
    }
    // An outage is said once, by the instance: hundreds of databases on it do not write that down, too.
    let quiet =
        established && obstacle.reason == DatabaseReason::InstanceNotReady && !pass.is_changed();
    if !quiet {
        let before = next.conditions.clone();
        pass.report(next, &report).await?;
        tell_obstacle(pass, &before).await;
    }
    match obstacle.retry {
        Some(error) => Err(*error),
        None => Ok(End::Stalled),
    }
}

fn is_established(state: DatabaseState) -> bool {
    matches!(
        state,
        DatabaseState::Created
            | DatabaseState::BackupRequested
            | DatabaseState::BackupInProgress
            | DatabaseState::BackupCompleted
    )
}

/// Whether a database that worked still does, as far as this obstacle goes.
fn leaves_usable(reason: DatabaseReason) -> bool {
    matches!(
        reason,
        DatabaseReason::InstanceNotFound
            | DatabaseReason::InstanceNotReady
            | DatabaseReason::NamespaceNotAllowed
            | DatabaseReason::InvalidTemplate
            | DatabaseReason::Unsupported
            | DatabaseReason::MissingPrivileges
            | DatabaseReason::InTheWay
            | DatabaseReason::ServerError
    )
}

/// A new reason to wait for a person is an Event, too.
async fn tell_obstacle(pass: &Pass<'_>, before: &[crate::api::Condition]) {
    use crate::api::conditions::STALLED;
    let of = |conditions: &[crate::api::Condition]| {
        conditions
            .iter()
            .find(|c| c.type_ == STALLED)
            .map(|c| (c.reason.clone(), c.message.clone()))
    };
    let now = pass.status().and_then(|status| of(&status.conditions));
    if let Some((reason, message)) = now.filter(|now| of(before).as_ref() != Some(now)) {
        pass.tell(EventType::Warning, &reason, message).await;
    }
}
