//! Act `GiveUp`: release the claim, and keep or drop the database and its user.

use kube::runtime::events::EventType;

use super::desired;
use super::pass::{Obstacle, Pass};
use crate::api::DatabaseReason;
use crate::api::database::DeletionEffect;
use crate::instance::registry::Standing;
use crate::instance::server::Server;
use crate::provider::{Claim, Names, Observed, Removal, Removed};

/// Does what was decided about the deletion. Succeeds when it is done, also if it was done before.
pub async fn give_up(pass: &Pass<'_>, effect: DeletionEffect) -> Result<(), Obstacle> {
    let Ok(names) = desired::names(&pass.database) else {
        // Nothing was ever made under a name that is none.
        return Ok(());
    };
    match effect {
        DeletionEffect::Keep => keep(pass, &names).await,
        DeletionEffect::Drop => drop(pass, &names).await,
    }
}

/// `Retain` needs no server: what is kept is found again by its claim, released or not.
async fn keep(pass: &Pass<'_>, names: &Names) -> Result<(), Obstacle> {
    let Some(entry) = &pass.instance else {
        return Ok(());
    };
    let Standing::Usable(server) = &entry.standing else {
        return Ok(());
    };
    let release = async {
        let observed = server.observe(names, None).await?;
        let Some(claim) = own(pass, names, &observed) else {
            return Ok(());
        };
        if claim.released {
            return Ok(());
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
    };
    if let Err(error) = release.await {
        let error: crate::instance::server::ServerError = error;
        if error
            .provider()
            .is_some_and(crate::provider::ProviderError::ends_process)
        {
            return Err(error.into());
        }
        tracing::warn!(%error, "the claim could not be marked as released; the object is let go all the same");
    }
    let note = format!(
        "database {} and user {} are kept on the server",
        names.database, names.role
    );
    pass.tell(EventType::Normal, "Kept", note).await;
    Ok(())
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
    remove(&server, &removal).await?;
    server
        .ask("forget", |provider| provider.forget_claim(claim))
        .await?;
    pass.tell(EventType::Normal, "Dropped", dropped(&removal))
        .await;
    Ok(())
}

async fn remove(server: &Server, removal: &Removal) -> Result<(), Obstacle> {
    match server
        .ask("remove", |provider| provider.remove(removal))
        .await?
    {
        Removed::Done => Ok(()),
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
        (false, true) => {
            format!("user {role} was dropped; database {database} was adopted and is kept")
        }
        (false, false) => format!("database {database} and user {role} were adopted and are kept"),
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
