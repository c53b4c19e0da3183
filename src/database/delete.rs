//! The act `Delete`: release the claim, and keep or drop the database and its user.

use kube::runtime::events::EventType;

use super::blocked::Blocked;
use super::drift::own_claim;
use super::former;
use super::pass::Pass;
use crate::api::DatabaseReason;
use crate::api::database::DeletionEffect;
use crate::controller::Error;
use crate::provider::{Claim, Names, Origin, ProviderError, Removal, Removed};
use crate::server::{Server, ServerError, names};

/// Does what was decided about the deletion. Succeeds when it is done, also if it was done before.
pub(super) async fn delete(pass: &Pass<'_>, effect: DeletionEffect) -> Result<(), Blocked> {
    let Ok(names) = names(&pass.object) else {
        // Nothing was ever made under an invalid name.
        return Ok(());
    };
    if pass.view().made_nothing() {
        let instance = &pass.object.spec.instance_ref.name;
        let note = format!("there is no DatabaseInstance {instance}, and nothing was made on one");
        pass.record_event(EventType::Normal, "NothingDropped", note)
            .await;
        return Ok(());
    }
    // A namespace that has lost its permission changes nothing on the server, whatever was decided before.
    let forbidden = pass.tenancy().is_forbidden();
    match effect {
        DeletionEffect::Drop if !forbidden => drop(pass, &names).await,
        DeletionEffect::Keep | DeletionEffect::Drop => keep(pass, &names).await,
    }
}

/// `Retain` waits for no server: what is kept is found again by its claim, released or not.
async fn keep(pass: &Pass<'_>, names: &Names) -> Result<(), Blocked> {
    let unreleased = match pass.tenancy().server() {
        Ok(server) => match release(pass, server, names).await {
            Ok(()) => None,
            Err(error) if error.provider().is_some_and(ProviderError::ends_process) => {
                return Err(error.into());
            }
            Err(error) => Some(error.to_string()),
        },
        Err(unusable) => Some(unusable.to_string()),
    };
    let kind = if unreleased.is_some() {
        EventType::Warning
    } else {
        EventType::Normal
    };
    pass.record_event(kind, "Kept", kept(names, unreleased.as_deref()))
        .await;
    Ok(())
}

/// Marks the claim as released, so that the names can be adopted. A claim of nothing goes. Server required.
async fn release(pass: &Pass<'_>, server: &Server, names: &Names) -> Result<(), ServerError> {
    let observed = server.observe(names, None).await?;
    let Some(claim) = own_claim(&pass.claimant(), names, &observed).filter(|claim| !claim.released)
    else {
        return Ok(());
    };
    if claim.is_of_nothing(&observed) {
        return forget(server, claim).await;
    }
    let released = Claim {
        released: true,
        ..claim.clone()
    };
    server
        .ask("release", |provider| {
            provider.write_claim(&released, Some(claim))
        })
        .await
}

/// What is kept, and what to do about a claim that could not be marked as released.
fn kept(names: &Names, unreleased: Option<&str>) -> String {
    let Names { database, role } = names;
    let kept = format!("database {database} and user {role} are kept on the server");
    match unreleased {
        None => kept,
        Some(why) => format!(
            "{kept}, but their claim could not be released, so no other Database can have these names: create this object \
             again, and delete it while the server can be reached ({why})"
        ),
    }
}

/// Drops what the claim lets this object drop, and then the claim.
async fn drop(pass: &Pass<'_>, names: &Names) -> Result<(), Blocked> {
    let (instance, server) = pass.server()?;
    let observed = server.observe(names, None).await?;
    let Some(claim) = own_claim(&pass.claimant(), names, &observed) else {
        // Another object's, unclaimed, or gone already: there is nothing to drop.
        let note = format!(
            "no claim of this object on database {}: nothing was dropped",
            names.database
        );
        pass.record_event(EventType::Normal, "NothingDropped", note)
            .await;
        return Ok(());
    };
    // The list is read again: what was taken off it meanwhile is kept.
    let listed = instance
        .spec
        .adoptable(
            names.database.as_str(),
            names.role.as_str(),
            &pass.namespace(),
        )
        .is_some_and(|entry| entry.drop);
    let removal = Claim {
        drop_adopted: claim.drop_adopted && listed,
        ..claim.clone()
    }
    .removal(&observed);
    if removal.database {
        former::drop_formers(pass, &server).await?;
    }
    if let Some(left) = remove(&server, &removal).await? {
        // The claim is kept, released, so that no other Database gets the name of a user that others depend on. Nothing is left
        // of the database: it is made anew if the object comes back.
        let database = if removal.database {
            Origin::Creating
        } else {
            claim.database
        };
        let released = Claim {
            database,
            released: true,
            ..claim.clone()
        };
        server
            .ask("release", |provider| {
                provider.write_claim(&released, Some(claim))
            })
            .await?;
        pass.record_event(EventType::Warning, "LeftOver", left)
            .await;
        return Ok(());
    }
    forget(&server, claim).await?;
    pass.record_event(EventType::Normal, "Dropped", dropped(claim, &removal))
        .await;
    Ok(())
}

/// Takes a claim away that nothing is left of.
pub(super) async fn forget(server: &Server, claim: &Claim) -> Result<(), ServerError> {
    server
        .ask("forget", |provider| provider.forget_claim(claim))
        .await
}

/// What was left over, if anything was.
async fn remove(server: &Server, removal: &Removal) -> Result<Option<String>, Blocked> {
    match server
        .ask("remove", |provider| provider.remove(removal))
        .await?
    {
        Removed::Done => Ok(None),
        Removed::LeftOver(what) => Ok(Some(what)),
        Removed::Blocked(what) => Err(Blocked::retried(
            DatabaseReason::DeletionBlocked,
            what.clone(),
            Error::Blocked { what },
        )),
    }
}

fn dropped(claim: &Claim, removal: &Removal) -> String {
    let Names { database, role } = &removal.names;
    let why = |origin| match origin {
        Origin::Adopted => "was adopted",
        Origin::Creating | Origin::Created => "was made by someone else",
    };
    match (removal.database, removal.role) {
        (true, true) => format!("database {database} and user {role} were dropped"),
        (true, false) => format!(
            "database {database} was dropped; user {role} {} and is kept",
            why(claim.role)
        ),
        (false, true) => format!("user {role} was dropped; database {database} was never made"),
        // A user stays where its database stays.
        (false, false) => format!(
            "database {database} {}; it and its user {role} are kept",
            why(claim.database)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SqlName;

    #[test]
    fn what_was_not_dropped_is_said_with_its_reason() {
        let names = Names {
            database: SqlName::new("orders").unwrap(),
            role: SqlName::new("owner").unwrap(),
        };
        let claim = |database, role| Claim {
            names: names.clone(),
            claimant: crate::provider::Claimant {
                cluster_id: "c".into(),
                namespace: "n".into(),
                name: "o".into(),
            },
            uid: String::new(),
            database,
            role,
            drop_adopted: false,
            released: false,
        };
        let said = |origins: (Origin, Origin), database, role| {
            let removal = Removal {
                names: names.clone(),
                database,
                role,
            };
            dropped(&claim(origins.0, origins.1), &removal)
        };
        let made = (Origin::Created, Origin::Created);
        assert!(said(made, true, true).ends_with("were dropped"));
        assert!(said(made, true, false).contains("user owner was made by someone else"));
        assert!(said(made, false, false).contains("database orders was made by someone else"));
        let adopted = (Origin::Adopted, Origin::Adopted);
        assert!(said(adopted, false, false).contains("database orders was adopted"));
        let unmade = (Origin::Creating, Origin::Created);
        assert!(said(unmade, false, true).contains("never made"));
    }

    #[test]
    fn a_claim_that_could_not_be_released_is_said_with_what_to_do() {
        let names = Names {
            database: SqlName::new("orders").unwrap(),
            role: SqlName::new("owner").unwrap(),
        };
        let note = kept(&names, Some("it does not answer"));
        assert!(
            note.starts_with(&kept(&names, None)) && note.contains("it does not answer"),
            "{note}"
        );
        assert!(note.contains("create this object again"), "{note}");
    }
}
