//! Act `GiveUp`: release the claim, and keep or drop the database and its user.

use kube::runtime::events::EventType;

use super::desired;
use super::pass::{Obstacle, Pass};
use crate::api::DatabaseReason;
use crate::api::database::DeletionEffect;
use crate::instance::registry::Standing;
use crate::instance::server::{Server, ServerError};
use crate::provider::{Claim, Names, Observed, ProviderError, Removal, Removed};

/// Does what was decided about the deletion. Succeeds when it is done, also if it was done before.
pub async fn give_up(pass: &Pass<'_>, effect: DeletionEffect) -> Result<(), Obstacle> {
    let Ok(names) = desired::names(&pass.database) else {
        // Nothing was ever made under a name that is none.
        return Ok(());
    };
    if pass.made_nothing() {
        let instance = &pass.database.spec.instance_ref.name;
        let note = format!("there is no DatabaseInstance {instance}, and nothing was made on one");
        pass.tell(EventType::Normal, "NothingDropped", note).await;
        return Ok(());
    }
    // A namespace that lost its permission changes nothing on the server any more, whatever was decided before.
    let forbidden = pass.instance.is_some() && !pass.allowed;
    match effect {
        DeletionEffect::Drop if !forbidden => drop(pass, &names).await,
        DeletionEffect::Keep | DeletionEffect::Drop => keep(pass, &names).await,
    }
}

/// `Retain` waits for no server: what is kept is found again by its claim, released or not.
async fn keep(pass: &Pass<'_>, names: &Names) -> Result<(), Obstacle> {
    let unreleased = match usable(pass) {
        Ok(server) => match release(pass, server, names).await {
            Ok(()) => None,
            Err(error) if error.provider().is_some_and(ProviderError::ends_process) => {
                return Err(error.into());
            }
            Err(error) => Some(error.to_string()),
        },
        Err(why) => Some(why),
    };
    let kind = if unreleased.is_some() {
        EventType::Warning
    } else {
        EventType::Normal
    };
    pass.tell(kind, "Kept", kept(names, unreleased.as_deref()))
        .await;
    Ok(())
}

/// The server of a Database, allowed or not; or why there is none.
fn usable<'a>(pass: &'a Pass<'_>) -> Result<&'a Server, String> {
    let name = &pass.database.spec.instance_ref.name;
    match pass.instance.as_ref().map(|entry| &entry.standing) {
        Some(Standing::Usable(server)) => Ok(server),
        Some(Standing::Unusable { message, .. }) => {
            Err(format!("instance {name} is not ready: {message}"))
        }
        None => Err(format!("there is no DatabaseInstance {name}")),
    }
}

/// Marks the claim as released, so that the names can be adopted. Server required.
async fn release(pass: &Pass<'_>, server: &Server, names: &Names) -> Result<(), ServerError> {
    let observed = server.observe(names, None).await?;
    let Some(claim) = own(pass, names, &observed).filter(|claim| !claim.released) else {
        return Ok(());
    };
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
            "{kept}, but their claim could not be released, and no other Database can have these names: make this object \
             again, and delete it while the server can be reached ({why})"
        ),
    }
}

/// Drops what the claim says is ours to drop, and then the claim.
async fn drop(pass: &Pass<'_>, names: &Names) -> Result<(), Obstacle> {
    let (_, server) = pass.server()?;
    let observed = server.observe(names, None).await?;
    let Some(claim) = own(pass, names, &observed) else {
        // Somebody else's, nobody's, or gone already: in each case there is nothing for us to drop.
        let note = format!(
            "no claim of this object on database {}: nothing was dropped",
            names.database
        );
        pass.tell(EventType::Normal, "NothingDropped", note).await;
        return Ok(());
    };
    let removal = Removal {
        names: names.clone(),
        database: claim.may_drop_database(),
        role: claim.may_drop_role(),
    };
    if let Some(left) = remove(&server, &removal).await? {
        // Kept as released, so that nobody is given the name of a user on which others have hung something.
        let released = Claim {
            released: true,
            ..claim.clone()
        };
        server
            .ask("release", |provider| {
                provider.write_claim(&released, Some(claim))
            })
            .await?;
        pass.tell(EventType::Warning, "LeftOver", left).await;
        return Ok(());
    }
    server
        .ask("forget", |provider| provider.forget_claim(claim))
        .await?;
    pass.tell(EventType::Normal, "Dropped", dropped(&removal))
        .await;
    Ok(())
}

/// What was left over, if anything was.
async fn remove(server: &Server, removal: &Removal) -> Result<Option<String>, Obstacle> {
    match server
        .ask("remove", |provider| provider.remove(removal))
        .await?
    {
        Removed::Done => Ok(None),
        Removed::LeftOver(what) => Ok(Some(what)),
        Removed::Blocked(what) => Err(Obstacle {
            reason: DatabaseReason::DeletionBlocked,
            retry: Some(Box::new(crate::error::Error::Blocked {
                what: what.clone(),
            })),
            message: what,
        }),
    }
}

fn dropped(removal: &Removal) -> String {
    let Names { database, role } = &removal.names;
    match (removal.database, removal.role) {
        (true, true) => format!("database {database} and user {role} were dropped"),
        (true, false) => {
            format!("database {database} was dropped; user {role} was adopted and is kept")
        }
        // A user stays where its database stays.
        (false, true | false) => {
            format!("database {database} was adopted; it and its user {role} are kept")
        }
    }
}

/// The claim of this object on these names.
pub fn own<'a>(pass: &Pass<'_>, names: &Names, observed: &'a Observed) -> Option<&'a Claim> {
    let claimant = pass.claimant();
    observed
        .claims
        .iter()
        .find(|claim| claim.claimant == claimant && claim.names == *names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SqlName;

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
        assert!(note.contains("make this object again"), "{note}");
    }
}
