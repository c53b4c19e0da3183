//! The acts `Create` and `Maintain`: claim the names, make or repair Secret, user and database, and log in.
//!
//! Both take the same steps, because each step looks first and changes only what differs. They part where the database is
//! absent: a new one is made; one that someone dropped is not made again unless that was asked for.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::claim::{claim_names, missing};
use super::pass::Pass;
use super::{delete, drift, spec};
use crate::api::database::Claim as ClaimStatus;
use crate::api::database::{Binding, DatabaseStatus};
use crate::api::{DatabaseReason, RECREATE_REQUESTED_AT};
use crate::controller::Error;
use crate::credentials::{self, Generated, Stored};
use crate::provider::{Change, Desired, Login, Observed, Origin};
use crate::server::{Server, ServerError};

/// How thoroughly a pass looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Depth {
    /// The database may be made: the state is `CREATING`.
    create: bool,
    /// All that is asked for is brought about, whether or not a difference is seen.
    asked: bool,
    /// What lives inside the database is checked, and a login: after a change, on request, and on the slow schedule.
    deep: bool,
    /// How old the view of the server may be; `None` for one of this moment.
    since: Option<Instant>,
}

/// What came of it.
struct Provisioned {
    /// The status that follows, without state and conditions.
    next: DatabaseStatus,
    /// Something about the server was changed.
    changed: bool,
    /// How others get at the database, one sentence each.
    exposures: Vec<String>,
}

/// What came of the act `Maintain`.
pub struct Maintained {
    /// The status that follows, without state and conditions.
    pub next: DatabaseStatus,
    /// How others get at the database, one sentence each.
    pub exposures: Vec<String>,
    /// What lives inside the database was checked, too.
    pub deep: bool,
    /// The server was asked or changed for this Database alone.
    pub anew: bool,
}

/// Makes everything. Returns the status that follows, without state and conditions.
pub async fn create(pass: &Pass<'_>) -> Result<DatabaseStatus, Blocked> {
    let depth = Depth {
        create: true,
        asked: true,
        deep: true,
        since: None,
    };
    Ok(provision(pass, depth).await?.next)
}

/// Looks for differences and puts them back. `deep`: the slow schedule asks for a look inside; `settled`: when the server
/// was last asked or changed for this Database.
pub async fn maintain(
    pass: &Pass<'_>,
    deep: bool,
    settled: Option<Instant>,
) -> Result<Maintained, Blocked> {
    let asked = pass.is_asked();
    let deep = deep || asked;
    // A survey from before our own last change would be of another time, and one that was not repeated is too old.
    let oldest = Instant::now().checked_sub(pass.context.resync * 2);
    let since = if asked { None } else { settled.max(oldest) };
    let depth = Depth {
        create: false,
        asked,
        deep,
        since,
    };
    let provisioned = provision(pass, depth).await?;
    Ok(Maintained {
        next: provisioned.next,
        exposures: provisioned.exposures,
        deep,
        anew: provisioned.changed || since.is_none(),
    })
}

/// Makes or repairs Secret, user and database.
async fn provision(pass: &Pass<'_>, depth: Depth) -> Result<Provisioned, Blocked> {
    let (instance, server) = pass.server()?;
    let desired = spec::desired(&pass.database, &instance.spec)
        .map_err(|error| Blocked::new(DatabaseReason::Unsupported, error.to_string()))?;
    if depth.create || depth.asked {
        server
            .ask("validate", |provider| provider.validate(&desired))
            .await?;
    }
    // What cannot be written is said before anything is claimed or made.
    let generated = Generated::prepare(
        &pass.secrets(),
        &pass.database,
        server.flavour(),
        |password| spec::connection(&pass.database, &instance, &server, password),
    )
    .await?;
    let _alone = server.alone(&desired.names).await;
    let observed = server.observe(&desired.names, depth.since).await?;
    let recreate = pass.requested(RECREATE_REQUESTED_AT).cloned();

    let claim = claim_names(
        pass,
        &instance,
        &server,
        &desired,
        &observed,
        recreate.is_some(),
    )
    .await?;
    let may_make = depth.create || recreate.is_some();
    if observed.database.is_none() && !may_make {
        return Err(missing(&desired));
    }

    // The Secret comes first, then the role follows it.
    let known = pass.status().and_then(|status| status.credentials.as_ref());
    let stored = match generated.store(&pass.secrets(), known).await {
        Ok(stored) => stored,
        Err(error) => {
            let blocked = Blocked::from(error);
            // It may stay so for ever: names that nothing was made of are left to others meanwhile.
            if blocked.retry.is_none() && claim.is_of_nothing(&observed) {
                delete::forget(&server, &claim).await?;
            }
            return Err(blocked);
        }
    };
    let role = &desired.names.role;
    let password = observed.role.as_ref().and_then(|role| role.password);
    let moved = server.has_password_moved(role, password);
    let unfinished = claim.is_unfinished();
    let changes = match_server(&server, &desired, &observed, &stored, depth, unfinished).await?;
    if let Some(missing) = stored.missing.filter(|_| observed.role.is_some()) {
        // Someone may still use the old one.
        let note = format!("{}: user {role} has a new password", missing.sentence());
        pass.record_event(EventType::Normal, "PasswordSet", note)
            .await;
    }
    let checks = Depth {
        deep: depth.deep || moved,
        ..depth
    };
    let follows = log_in(pass, &server, &desired, &stored, checks).await?;
    if moved && !stored.is_fresh() && !follows {
        // Stored anew, and the same.
        server.note_password(role, None);
    }
    record_changes(pass, depth, &changes).await;
    let touched =
        !changes.is_empty() || stored.is_fresh() || follows || !observed.claims.contains(&claim);

    let mut next = pass.status().cloned().unwrap_or_default();
    next.binding = Some(Binding {
        name: pass.database.name_any(),
    });
    next.settled_generation = pass.database.metadata.generation;
    next.name = Some(desired.names.database.to_string());
    next.user = Some(desired.names.role.to_string());
    next.credentials = Some(stored.credentials());
    next.claim = Some(ClaimStatus {
        cluster_id: claim.claimant.cluster_id,
        server_identity: server.identity().to_owned(),
        created_database: claim.database != Origin::Adopted,
        created_user: claim.role != Origin::Adopted,
        drop_adopted: claim.drop_adopted,
    });
    if let Some(value) = recreate {
        next.handled.insert(RECREATE_REQUESTED_AT.to_owned(), value);
    }
    Ok(Provisioned {
        next,
        changed: touched,
        exposures: observed
            .database
            .map(|database| database.exposures)
            .unwrap_or_default(),
    })
}

/// Makes user and database as they should be. Server required.
async fn match_server(
    server: &Arc<Server>,
    desired: &Desired,
    observed: &Observed,
    stored: &Stored,
    depth: Depth,
    unfinished: bool,
) -> Result<Vec<Change>, ServerError> {
    let differences = drift::differences(&desired.names, desired.connection_limit, observed);
    let verifier = if stored.is_fresh() || observed.role.is_none() {
        Some(credentials::verifier(server, &stored.password).await)
    } else {
        None
    };
    let mut changes = Vec::new();
    let differs = unfinished || !differences.is_empty() || verifier.is_some();
    if depth.create || depth.asked || differs {
        changes.extend(
            server
                .ask("ensure_role", |provider| {
                    provider.ensure_role(desired, verifier.as_ref())
                })
                .await?,
        );
        if verifier.is_some() {
            server.note_password(&desired.names.role, verifier.as_ref());
        }
        changes.extend(
            server
                .ask("ensure_database", |provider| {
                    provider.ensure_database(desired)
                })
                .await?,
        );
    }
    if depth.create || depth.deep || observed.database.is_none() {
        changes.extend(
            server
                .ask("ensure_contents", |provider| {
                    provider.ensure_contents(desired)
                })
                .await?,
        );
    }
    Ok(changes)
}

/// `CREATED` is said only of a Secret that a login worked with. A password that the server does not have is set once;
/// says whether that was so.
async fn log_in(
    pass: &Pass<'_>,
    server: &Arc<Server>,
    desired: &Desired,
    stored: &Stored,
    depth: Depth,
) -> Result<bool, Blocked> {
    if !(depth.create || depth.deep || stored.is_fresh() || stored.changed) {
        return Ok(false);
    }
    let names = &desired.names;
    let login = || server.ask("login", |provider| provider.login(names, &stored.password));
    let mut answer = login().await?;
    let refused = matches!(answer, Login::Refused(_));
    if refused {
        let verifier = credentials::verifier(server, &stored.password).await;
        server
            .ask("ensure_role", |provider| {
                provider.ensure_role(desired, Some(&verifier))
            })
            .await?;
        server.note_password(&names.role, Some(&verifier));
        pass.record_event(
            EventType::Normal,
            "PasswordSet",
            format!("the password of user {} follows the Secret", names.role),
        )
        .await;
        answer = login().await?;
    }
    match answer {
        Login::Accepted | Login::AtConnectionLimit => Ok(refused),
        // Trying again does not change it.
        Login::Unusable(detail) => Err(Blocked::new(
            DatabaseReason::PasswordUnusable,
            format!("the password in the Secret cannot be used: {detail}"),
        )),
        Login::Refused(detail) | Login::NoDatabase(detail) => Err(Blocked::retried(
            DatabaseReason::LoginFailed,
            format!("logging in as {} does not work: {detail}", names.role),
            Error::LoginFailed {
                user: names.role.to_string(),
            },
        )),
    }
}

async fn record_changes(pass: &Pass<'_>, depth: Depth, changes: &[Change]) {
    if changes.is_empty() || depth.create {
        return;
    }
    let all: Vec<&str> = changes
        .iter()
        .map(|Change(sentence)| sentence.as_str())
        .collect();
    let reason = if pass.is_changed() {
        "Changed"
    } else {
        "Repaired"
    };
    pass.record_event(EventType::Normal, reason, all.join("; "))
        .await;
}
