//! Act `Create` and act `Maintain`: claim the names, make or mend Secret, user and database, and log in.
//!
//! Both are one walk, because each step looks first and changes only what differs. They part where the database is
//! not there: a new one is made, one that somebody dropped is not made again unless that was asked for.

use std::sync::Arc;
use std::time::Instant;

use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::pass::Pass;
use super::{delete, drift, spec};
use crate::api::database::Claim as ClaimStatus;
use crate::api::database::{Binding, DatabaseStatus};
use crate::api::{AdoptionPolicy, DatabaseInstance, DatabaseReason, RECREATE_REQUESTED_AT};
use crate::controller::Error;
use crate::credentials::{self, Generated, Stored};
use crate::provider::claim::{self, Acquisition, Adoptable, Decision, Request};
use crate::provider::{Change, Claim, Desired, Login, Observed, Origin};
use crate::server::{Server, ServerError};

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// The database may be made: the state is `CREATING`.
    pub create: bool,
    /// Everything is brought about that is asked for, whether or not something is seen to differ.
    pub asked: bool,
    /// What lives inside the database, and a login: at a change, on request, and on the slow schedule.
    pub deep: bool,
    /// How old the view of the server may be; `None` for one of this moment.
    pub since: Option<Instant>,
}

/// What came of it.
pub struct Established {
    /// The status that follows, without state and conditions.
    pub next: DatabaseStatus,
    /// Something about the server was changed.
    pub changed: bool,
    /// How others get at the database, one sentence each.
    pub exposures: Vec<String>,
}

/// Brings Secret, user and database about.
pub async fn establish(pass: &Pass<'_>, depth: Depth) -> Result<Established, Blocked> {
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
        // Somebody may still use the one that is no longer good.
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
    Ok(Established {
        next,
        changed: touched,
        exposures: observed
            .database
            .map(|database| database.exposures)
            .unwrap_or_default(),
    })
}

/// Makes the names ours, or says whose they are. A claim is written before anything is made.
async fn claim_names(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    desired: &Desired,
    observed: &Observed,
    recreate: bool,
) -> Result<Claim, Blocked> {
    let names = &desired.names;
    let adoptable = instance.spec.adoptable(
        names.database.as_str(),
        names.role.as_str(),
        &pass.namespace(),
    );
    let request = Request {
        names,
        claimant: &pass.claimant(),
        uid: &pass.database.uid().unwrap_or_default(),
        take_over_from: &instance.spec.take_over_claims_from,
        adopts: pass.database.spec.adoption_policy == AdoptionPolicy::IfUnclaimed,
        adoptable: adoptable.map(|entry| Adoptable { drop: entry.drop }),
    };
    match claim::decide(&request, observed) {
        Decision::Continue(claim) => Ok(claim),
        Decision::Refuse(sentence) => Err(Blocked::new(why_refused(observed, &request), sentence)),
        Decision::Write {
            claim,
            standing,
            how,
        } => {
            let was_there = matches!(how, Acquisition::TakeBack | Acquisition::TakeOver)
                && claim.database != Origin::Creating;
            if was_there && observed.database.is_none() && !recreate {
                return Err(missing(desired));
            }
            server
                .ask("claim", |provider| {
                    provider.write_claim(&claim, standing.as_ref())
                })
                .await?;
            let former = standing.filter(|former| former.claimant != claim.claimant);
            if let Some((reason, note)) = acquired(how, desired, former.as_ref()) {
                pass.record_event(EventType::Normal, reason, note).await;
            }
            Ok(claim)
        }
    }
}

/// The reason that goes with a refusal's sentence.
fn why_refused(observed: &Observed, request: &Request<'_>) -> DatabaseReason {
    let has_powers = observed
        .role
        .as_ref()
        .is_some_and(|role| !role.powers.is_empty());
    let mut claims = observed.claims.iter();
    let is_held =
        claims.any(|claim| !claim.released && !request.owns(claim)) || observed.claims.len() > 1;
    match (has_powers, is_held) {
        (true, _) => DatabaseReason::ReservedName,
        (false, true) => DatabaseReason::ClaimedByAnother,
        (false, false) => DatabaseReason::NotAdoptable,
    }
}

fn acquired(
    how: Acquisition,
    desired: &Desired,
    former: Option<&Claim>,
) -> Option<(&'static str, String)> {
    let database = &desired.names.database;
    let former = former
        .map(|claim| format!(" (it was of {})", claim.claimant))
        .unwrap_or_default();
    match how {
        Acquisition::Create => None,
        Acquisition::TakeBack => Some((
            "TakenBack",
            format!("database {database} was kept for this object and continues"),
        )),
        Acquisition::TakeOver => Some((
            "TakenOver",
            format!("database {database} continues here{former}"),
        )),
        Acquisition::Adopt => Some((
            "Adopted",
            format!(
                "database {database} with user {} was adopted{former}: its data is untouched, the user's password is new",
                desired.names.role
            ),
        )),
    }
}

fn missing(desired: &Desired) -> Blocked {
    let message = format!(
        "somebody dropped the database {}: restore it, or ask for an empty one with the annotation {RECREATE_REQUESTED_AT}",
        desired.names.database
    );
    Blocked::new(DatabaseReason::DatabaseMissing, message)
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
        // Trying again does not make it another one.
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
