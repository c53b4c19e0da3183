//! The part of the acts `Create` and `Maintain` that claims the names: a claim is written before anything is made.

use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::concerns::refuse_other_options;
use super::pass::Pass;
use crate::api::{AdoptionPolicy, DatabaseInstance, DatabaseReason, RECREATE_REQUESTED_AT};
use crate::provider::claim::{self, Acquisition, Adoptable, Decision, Request};
use crate::provider::{Claim, Desired, Observed, Origin};
use crate::server::Server;

/// Claims the names for this object, or says whose they are.
pub(super) async fn claim_names(
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
        uid: &pass.object.uid().unwrap_or_default(),
        take_over_from: &instance.spec.take_over_claims_from,
        adopts: pass.object.spec.adoption_policy == AdoptionPolicy::IfUnclaimed,
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
            refuse_other_options(desired, observed)?;
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
    let template = if desired.postgresql.template.is_some() {
        "; spec.postgresql.template has no effect on a database that exists"
    } else {
        ""
    };
    let former = former
        .map(|claim| format!(" (it was of {})", claim.claimant))
        .unwrap_or_default();
    match how {
        Acquisition::Create => None,
        Acquisition::TakeBack => Some((
            "TakenBack",
            format!("database {database} was kept for this object and continues{template}"),
        )),
        Acquisition::TakeOver => Some((
            "TakenOver",
            format!("database {database} continues here{former}{template}"),
        )),
        Acquisition::Adopt => Some((
            "Adopted",
            format!(
                "database {database} with user {} was adopted{former}: its data is untouched, the user's password is \
                 new{template}",
                desired.names.role
            ),
        )),
    }
}

/// Someone dropped the database, and it is not made again unless that was asked for.
pub(super) fn missing(desired: &Desired) -> Blocked {
    let message = format!(
        "someone dropped the database {}: restore it, or ask for a new one with the annotation {RECREATE_REQUESTED_AT}",
        desired.names.database
    );
    Blocked::new(DatabaseReason::DatabaseMissing, message)
}
