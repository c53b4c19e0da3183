//! The place that a backup is loaded into: the Database's own user, and its database, empty. Nobody can log in to it.

use std::sync::Arc;

use kube::ResourceExt;
use tokio::sync::OwnedMutexGuard;

use super::super::blocked::Blocked;
use super::super::claim::claim_names;
use super::super::concerns::refuse_other_options;
use super::super::pass::Pass;
use super::super::wanted::wanted;
use super::super::{provision, secret};
use crate::api::{DatabaseInstance, RECREATE_REQUESTED_AT};
use crate::credentials::{generate, verifier};
use crate::provider::restore::{Load, LoadMode, RestoreId, TargetFacts};
use crate::provider::{Claim, Desired, Flavour, Observed, Origin};
use crate::server::Server;

/// What stands on the server under names that are this object's by now. While this is held, no other pass works on them.
struct Held {
    instance: Arc<DatabaseInstance>,
    server: Arc<Server>,
    desired: Desired,
    observed: Observed,
    claim: Claim,
    _alone: OwnedMutexGuard<()>,
}

/// Claims the names. What cannot be done later is said here: a database that can never be used is not loaded.
async fn hold(pass: &Pass<'_>) -> Result<Held, Blocked> {
    let (instance, server) = pass.server()?;
    let (desired, _) = wanted(pass, &instance, &server, true, true).await?;
    secret::prepare(pass, &instance, &server, true).await?;
    let alone = server.alone(&desired.names).await;
    let observed = server.observe(&desired.names, None).await?;
    let recreate = pass.requested(RECREATE_REQUESTED_AT).is_some();
    let claim = claim_names(pass, &instance, &server, &desired, &observed, recreate).await?;
    refuse_other_options(&desired, &observed)?;
    Ok(Held {
        instance,
        server,
        desired,
        observed,
        claim,
        _alone: alone,
    })
}

/// Whether the database is one that begins with a backup: it is not there; or it is this object's own and nothing is in it, as
/// a beginning that was cancelled leaves it, or one of a cluster that was lost. On MySQL and MariaDB, what a load left that was
/// broken off counts as nothing.
pub(super) async fn is_due(pass: &Pass<'_>) -> Result<bool, Blocked> {
    let held = hold(pass).await?;
    if held.observed.database.is_none() {
        return Ok(true);
    }
    if held.claim.database == Origin::Adopted || held.observed.role.is_none() {
        return Ok(false);
    }
    Ok(look(pass, &held).await?.contents.is_empty())
}

async fn look(pass: &Pass<'_>, held: &Held) -> Result<TargetFacts, Blocked> {
    let load = load(pass, held);
    let looked = held
        .server
        .ask("look_at_target", |provider| provider.look_at_target(&load));
    Ok(looked.await?)
}

/// Makes user and database, as far as they are not there. The user gets a password that nobody knows: whoever has a Secret of
/// it from before would be let in to an empty database. Not where a load was broken off on MySQL or MariaDB: that is told by
/// the password that it gave the user, which nobody knows either.
pub(super) async fn make(pass: &mut Pass<'_>) -> Result<(), Blocked> {
    let held = hold(pass).await?;
    let Held {
        server,
        desired,
        observed,
        claim,
        ..
    } = &held;
    let is_new = observed.database.is_none() || observed.role.is_none();
    let locks =
        is_new || server.flavour() == Flavour::Postgresql || !look(pass, &held).await?.half_loaded;
    if locks || claim.is_unfinished() {
        let locked = if locks {
            Some(verifier(server, &generate()).await)
        } else {
            None
        };
        server
            .ask("ensure_role", |provider| {
                provider.ensure_role(desired, locked.as_ref())
            })
            .await?;
        if locked.is_some() {
            server.note_password(&desired.names.role, locked.as_ref());
        }
        server
            .ask("ensure_database", |provider| {
                provider.ensure_database(desired)
            })
            .await?;
    }
    let mut next = pass.next_status();
    provision::note_claim(&mut next, server, desired, claim.clone());
    Ok(pass.persist(next).await?)
}

/// As much of a load as a look needs.
fn load(pass: &Pass<'_>, held: &Held) -> Load {
    Load {
        restore: RestoreId {
            cluster_id: pass.context.cluster_id.clone(),
            namespace: pass.namespace(),
            name: pass.object.name_any(),
            uid: pass.object.uid().unwrap_or_default(),
            spec_hash: String::new(),
        },
        target: held.desired.names.clone(),
        claimant: pass.claimant(),
        take_over_from: held.instance.spec.take_over_claims_from.clone(),
        extensions: Vec::new(),
        desired: held.desired.clone(),
        mode: LoadMode::Empty,
    }
}
