//! What exists on a server under two names, or under everything that is claimed.

use std::collections::HashMap;

use super::connect::ServerProfile;
use super::index::{Catalog, Index};
use super::session::Session;
use super::{catalog, claims, creation, facts};
use crate::provider::{Names, Observed, ProviderError, Survey};

/// Reads everything that is claimed.
pub(super) async fn survey(
    session: &mut Session,
    profile: &ServerProfile,
) -> Result<Survey, ProviderError> {
    let dialect = &profile.dialect;
    let claimed = claims::claims(session, None).await?;
    let catalog = Catalog {
        schemas: catalog::schemas(session, dialect, None).await?,
        accounts: catalog::accounts(session, dialect, None).await?,
        grants: catalog::grants(
            session,
            dialect,
            &profile.held.to_give(dialect),
            catalog::Which::All,
        )
        .await?,
        powers: catalog::powers(session, dialect, None).await?,
    };
    let mut databases = HashMap::new();
    let mut roles = HashMap::new();
    let index = Index::new(dialect, &catalog);
    for one in &claimed {
        let Names { database, role } = &one.claim.names;
        let of_one = index.of(dialect, database, role);
        if let Some(mut facts) = facts::database(dialect, &of_one, database, role) {
            let one = std::slice::from_ref(one);
            facts.ours = creation::ours_of_schema(session, one, database).await?;
            databases.insert(database.to_string(), facts);
        }
        if let Some(mut facts) = facts::role(dialect, &of_one, role) {
            let one = std::slice::from_ref(one);
            facts.ours = creation::ours_of_account(one, role, &of_one.grants);
            roles.insert(role.to_string(), facts);
        }
    }
    Ok(Survey {
        claims: claimed.into_iter().map(|one| one.claim).collect(),
        databases,
        roles,
    })
}

/// Reads what concerns two names.
pub(super) async fn observe(
    session: &mut Session,
    profile: &ServerProfile,
    names: &Names,
) -> Result<Observed, ProviderError> {
    let dialect = &profile.dialect;
    let Names { database, role } = names;
    let claimed = claims::claims(session, Some(names)).await?;
    let to_give = profile.held.to_give(dialect);
    let catalog = Catalog {
        schemas: catalog::schemas(session, dialect, Some(database)).await?,
        accounts: catalog::accounts(session, dialect, Some(role)).await?,
        grants: catalog::grants(
            session,
            dialect,
            &to_give,
            catalog::Which::Concerning(database, role),
        )
        .await?,
        powers: catalog::powers(session, dialect, Some(role)).await?,
    };
    let mut found = Observed {
        database: facts::database(dialect, &catalog, database, role),
        role: facts::role(dialect, &catalog, role),
        claims: Vec::new(),
    };
    if let Some(facts) = &mut found.database {
        facts.ours = creation::ours_of_schema(session, &claimed, database).await?;
    }
    if let Some(facts) = &mut found.role {
        facts.ours = creation::ours_of_account(&claimed, role, &catalog.grants);
    }
    found.claims = claimed.into_iter().map(|one| one.claim).collect();
    Ok(found)
}
