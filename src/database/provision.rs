//! The acts `Create` and `Maintain`: claim the names, make or repair Secret, user and database, and log in.
//!
//! Both take the same steps, because each step looks first and changes only what differs. They part where the database is
//! absent: a new one is made; one that someone dropped is not made again unless that was asked for.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::claim::{claim_names, missing};
use super::concerns::{Notice, refuse_other_options};
use super::login::{self, Need};
use super::matching::{match_contents, match_server, record_changes, shows_logins, to_set};
use super::pass::Pass;
use super::remembered::Looked;
use super::schedule::Begun;
use super::wanted::wanted;
use super::{concerns, delete, former, init, secret};
use crate::api::database::Claim as ClaimStatus;
use crate::api::database::{Binding, DatabaseStatus};
use crate::api::{Database, RECREATE_REQUESTED_AT};
use crate::credentials::Stored;
use crate::provider::{Claim, Desired, Origin, SqlName};
use crate::server::Server;

/// How thoroughly a pass looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    /// The database may be made: the state is `CREATING`.
    pub create: bool,
    /// All that is asked for is brought about, whether or not a difference is seen.
    pub asked: bool,
    /// What lives inside the database is checked, and a login: after a change, on request, and on the slow schedule.
    pub deep: bool,
    /// It is to be proved that the user can log in. Where the server shows what it stores of a password, that is proof
    /// enough; elsewhere it logs in, at each resync.
    pub proof: bool,
    /// How old the view of the server may be; `None` for one of this moment.
    pub since: Option<Instant>,
}

/// What came of it.
struct Provisioned {
    /// The status that follows, without state and conditions.
    next: DatabaseStatus,
    /// Something about the server was changed.
    changed: bool,
    /// What a person has to know about it.
    notice: Option<Notice>,
    /// The same of what is inside it, as the last look there found it.
    inside: Option<Notice>,
    /// That its user can log in was found out.
    proved: bool,
}

/// What came of the act `Maintain`.
pub(super) struct Maintained {
    /// The status that follows, without state and conditions.
    pub next: DatabaseStatus,
    /// What a person has to know about it.
    pub notice: Option<Notice>,
    /// How the pass looked at the server.
    pub looked: Looked,
}

/// Makes everything. Returns the status that follows, without state and conditions.
pub(super) async fn create(pass: &Pass<'_>) -> Result<DatabaseStatus, Blocked> {
    let depth = Depth {
        create: true,
        asked: true,
        deep: true,
        proof: true,
        since: None,
    };
    Ok(provision(pass, depth, None).await?.next)
}

/// Looks for differences and puts them back, as thoroughly as is due.
pub(super) async fn maintain(pass: &Pass<'_>, due: &Begun) -> Result<Maintained, Blocked> {
    let asked = pass.is_asked();
    let deep = due.deep || asked;
    // A survey from before our own last change would be of another time, and one that was not repeated is too old.
    let oldest = Instant::now().checked_sub(pass.context.resync * 2);
    let since = if asked { None } else { due.settled.max(oldest) };
    let depth = Depth {
        create: false,
        asked,
        deep,
        proof: due.proof,
        since,
    };
    let provisioned = provision(pass, depth, due.inside.clone()).await?;
    Ok(Maintained {
        next: provisioned.next,
        notice: provisioned.notice,
        looked: Looked {
            deep,
            anew: provisioned.changed || since.is_none(),
            proved: provisioned.proved,
            inside: provisioned.inside,
        },
    })
}

/// Makes or repairs Secret, user and database. `known` is what the last look inside found that a person has to know.
async fn provision(
    pass: &Pass<'_>,
    depth: Depth,
    known: Option<Notice>,
) -> Result<Provisioned, Blocked> {
    let (instance, server) = pass.server()?;
    let ask = depth.create || depth.asked;
    let (desired, refused) = wanted(pass, &instance, &server, depth.create, ask).await?;
    // What cannot be written is said before anything is claimed or made.
    let prepared = secret::prepare(pass, &instance, &server, depth.create).await?;
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
    if depth.create {
        refuse_other_options(&desired, &observed)?;
    }
    if observed.database.is_none() {
        if !may_make(&pass.object, depth.create, recreate.is_some()) {
            return Err(missing(&desired));
        }
        if let Some((reason, sentence)) = &refused {
            return Err(Blocked::new(*reason, sentence));
        }
    }

    // The Secret comes first, then the role follows it.
    let (stored, kept) = match secret::store(pass, &instance, &server, depth.create, prepared).await
    {
        Ok(stored) => stored,
        Err(blocked) => {
            // It may stay so for ever: names that nothing was made of are left to others meanwhile.
            if blocked.retry.is_none() && claim.is_of_nothing(&observed) {
                delete::forget(&server, &claim).await?;
            }
            return Err(blocked);
        }
    };
    let undone = kept.or(refused);
    let role = &desired.names.role;
    let password = observed.role.as_ref().and_then(|role| role.password);
    let moved = server.has_password_moved(role, password);
    let unfinished = claim.is_unfinished();
    // Until now, nobody knew the user's password.
    let lets_in = depth.create && init::has_locked_out(&pass.object);
    let verifier = to_set(&server, &observed, &stored, lets_in).await;
    let verifier = verifier.as_ref();
    let mut changes =
        match_server(&server, &desired, &observed, verifier, depth, unfinished).await?;
    if observed.role.is_some() && !lets_in {
        tell_of_password(pass, &stored, role).await;
    }
    let checks = Depth {
        deep: depth.deep || moved,
        ..depth
    };
    let is_shown = shows_logins(&observed);
    let changed = stored.is_fresh() || stored.changed;
    let need = login::need(
        checks.create || checks.deep || changed,
        depth.proof && !is_shown,
    );
    let extent = concerns::extent(&desired, &observed, &claim);
    let found = login::log_in(pass, &server, &desired, &stored, need, extent).await?;
    let follows = found.reset;
    if moved && !stored.is_fresh() && !follows {
        // Stored anew, and the same.
        server.note_password(role, None);
    }
    // Whatever is in its way there, the user follows the Secret.
    let differs = found.inside.as_ref().is_some_and(|inside| inside.differs);
    let contents = match_contents(&server, &desired, &observed, depth, differs).await;
    if let Ok(contents) = &contents {
        changes.extend(contents.iter().cloned());
    }
    record_changes(pass, depth, &changes).await;
    // What nobody can use is said before what cannot be made as it is wanted.
    concerns::refuse_read_only(&observed)?;
    let seen = found.inside.map(|inside| inside.inaccessible);
    let may_ask = checks.deep && contents.is_ok();
    let seen = concerns::look(&server, &desired, extent, seen, may_ask).await?;
    let inside = match seen {
        Some(seen) => concerns::usable(&desired, extent, &seen)?,
        None => known,
    };
    contents?;
    let touched =
        !changes.is_empty() || stored.is_fresh() || follows || !observed.claims.contains(&claim);

    let mut next = found_status(pass, &server, &desired, &stored, claim);
    next.settled_generation = (pass.object.metadata.generation).filter(|_| undone.is_none());
    drop_orphan(pass, &server, &mut next).await;
    if let Some(value) = recreate {
        next.handled.insert(RECREATE_REQUESTED_AT.to_owned(), value);
    }
    Ok(Provisioned {
        next,
        changed: touched,
        notice: undone
            .or_else(|| concerns::notice(&desired.names, &desired.postgresql, &observed))
            .or_else(|| inside.clone()),
        inside,
        proved: need != Need::None || is_shown,
    })
}

/// Tells of a password that was generated in this pass: someone may still use the old one.
async fn tell_of_password(pass: &Pass<'_>, stored: &Stored, role: &SqlName) {
    if let Some(missing) = stored.missing {
        let note = format!("{}: user {role} has a new password", missing.sentence());
        pass.record_event(EventType::Normal, "PasswordSet", note)
            .await;
    }
}

/// Drops a former database that no Restore keeps any more.
async fn drop_orphan(pass: &Pass<'_>, server: &Arc<Server>, next: &mut DatabaseStatus) {
    match former::drop_orphan(pass, server, Timestamp::now()).await {
        Ok(dropped) => {
            if dropped {
                // A Restore that replaced it waits until its own is noted.
                next.former = former::kept(&pass.context.cache, &pass.object);
            }
        }
        // It takes room, and nothing away from the database.
        Err(blocked) => tracing::warn!(
            reason = blocked.message,
            "a former database is left for now"
        ),
    }
}

/// Whether a database that is not there is made, empty. One that is to begin with a backup is not: it begins anew (`init/`).
fn may_make(database: &Database, create: bool, recreate: bool) -> bool {
    if create {
        init::may_be_empty(database)
    } else {
        recreate && database.spec.init_from.is_none()
    }
}

/// What the status says of what was found or made.
fn found_status(
    pass: &Pass<'_>,
    server: &Server,
    desired: &Desired,
    stored: &Stored,
    claim: Claim,
) -> DatabaseStatus {
    let mut next = pass.next_status();
    next.binding = Some(Binding {
        name: pass.object.name_any(),
    });
    next.credentials = Some(stored.credentials());
    note_claim(&mut next, server, desired, claim);
    next
}

/// Notes what is claimed, and where.
pub(super) fn note_claim(
    next: &mut DatabaseStatus,
    server: &Server,
    desired: &Desired,
    claim: Claim,
) {
    next.name = Some(desired.names.database.to_string());
    next.user = Some(desired.names.role.to_string());
    next.claim = Some(ClaimStatus {
        cluster_id: claim.claimant.cluster_id,
        server_identity: server.identity().to_owned(),
        created_database: claim.database != Origin::Adopted,
        created_user: claim.role != Origin::Adopted,
        drop_adopted: claim.drop_adopted,
    });
}
