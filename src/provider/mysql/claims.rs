//! The claim table: one writer wins, and the others read it again.

use super::error;
use super::session::{Row, Session, Statement};
use crate::provider::{Claim, Claimant, Names, Origin, ProviderError, SqlName};

/// A row of the claim table.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) claim: Claim,
    /// A CREATE of the schema was sent, and what came of it was not recorded.
    pub(super) database_begun: bool,
    /// The same for the account.
    pub(super) role_begun: bool,
}

const CLAIMS: &str = "SELECT database_name, role_name, cluster_id, namespace, name, uid, \
                      CAST(created_database AS SIGNED) AS created_database, \
                      CAST(created_role AS SIGNED) AS created_role, \
                      CAST(drop_adopted AS SIGNED) AS drop_adopted, CAST(released AS SIGNED) AS released, \
                      CAST(database_begun AS SIGNED) AS database_begun, CAST(role_begun AS SIGNED) AS role_begun \
                      FROM db_operator.claims";

const CLAIMS_ON: &str = "SELECT database_name, role_name, cluster_id, namespace, name, uid, \
                         CAST(created_database AS SIGNED) AS created_database, \
                         CAST(created_role AS SIGNED) AS created_role, \
                         CAST(drop_adopted AS SIGNED) AS drop_adopted, CAST(released AS SIGNED) AS released, \
                         CAST(database_begun AS SIGNED) AS database_begun, CAST(role_begun AS SIGNED) AS role_begun \
                         FROM db_operator.claims WHERE database_name = ? OR role_name = ?";

/// The claims that name this database or this role, or all of them.
pub(super) async fn claims(
    session: &mut Session,
    names: Option<&Names>,
) -> Result<Vec<Claimed>, ProviderError> {
    let query = match names {
        Some(names) => sqlx::query(CLAIMS_ON)
            .bind(names.database.as_str().to_owned())
            .bind(names.role.as_str().to_owned()),
        None => sqlx::query(CLAIMS),
    };
    session.list("reading the claims", query, claimed).await
}

fn claimed(row: &Row) -> Result<Claimed, ProviderError> {
    let name = |column: &str| {
        let text = row.text(column)?;
        SqlName::new(text).map_err(|error| ProviderError::Unexpected {
            doing: "reading a claim in db_operator.claims".to_owned(),
            detail: error.to_string(),
        })
    };
    let begun = (
        row.optional_number("database_begun")?,
        row.optional_number("role_begun")?,
    );
    let claim = Claim {
        names: Names {
            database: name("database_name")?,
            role: name("role_name")?,
        },
        claimant: Claimant {
            cluster_id: row.text("cluster_id")?,
            namespace: row.text("namespace")?,
            name: row.text("name")?,
        },
        uid: row.text("uid")?,
        database: origin(row.flag("created_database")?, begun.0),
        role: origin(row.flag("created_role")?, begun.1),
        drop_adopted: row.flag("drop_adopted")?,
        released: row.flag("released")?,
    };
    Ok(Claimed {
        claim,
        database_begun: begun.0 == Some(1),
        role_begun: begun.1 == Some(1),
    })
}

fn origin(created: bool, begun: Option<i64>) -> Origin {
    match (created, begun) {
        (true, _) => Origin::Created,
        (false, Some(_)) => Origin::Creating,
        (false, None) => Origin::Adopted,
    }
}

/// The claim of this cluster on exactly these names.
pub(super) async fn own(
    session: &mut Session,
    names: &Names,
    cluster_id: &str,
) -> Result<Option<Claimed>, ProviderError> {
    let all = claims(session, Some(names)).await?;
    Ok(all.into_iter().find(|Claimed { claim, .. }| {
        claim.names == *names && claim.claimant.cluster_id == cluster_id && !claim.released
    }))
}

/// Writes a claim in the place of `standing`. The record of a CREATE under way stays.
pub(super) async fn write_claim(
    session: &mut Session,
    claim: &Claim,
    standing: Option<&Claim>,
) -> Result<(), ProviderError> {
    let doing = "writing a claim";
    let creating = |origin| origin == Origin::Creating;
    let statement = || {
        match standing {
        None => bind(
            sqlx::query(
                "INSERT INTO db_operator.claims (database_name, role_name, cluster_id, namespace, name, uid, \
                 created_database, created_role, drop_adopted, released, database_begun, role_begun) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ),
            claim,
        )
        .bind(creating(claim.database).then_some(false))
        .bind(creating(claim.role).then_some(false)),
        Some(standing) => bind(
            bind(
                sqlx::query(
                    "UPDATE db_operator.claims SET database_name = ?, role_name = ?, cluster_id = ?, \
                     namespace = ?, name = ?, uid = ?, created_database = ?, created_role = ?, drop_adopted = ?, \
                     released = ?, database_begun = CASE WHEN ? THEN COALESCE(database_begun, FALSE) END, \
                     role_begun = CASE WHEN ? THEN COALESCE(role_begun, FALSE) END \
                     WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND namespace = ? \
                     AND name = ? AND uid = ? AND created_database = ? AND created_role = ? AND drop_adopted = ? \
                     AND released = ? AND (database_begun IS NOT NULL) = ? AND (role_begun IS NOT NULL) = ?",
                ),
                claim,
            )
            .bind(creating(claim.database))
            .bind(creating(claim.role)),
            standing,
        )
        .bind(creating(standing.database))
        .bind(creating(standing.role)),
    }
    };
    match session.change(doing, statement).await {
        Ok(1) => Ok(()),
        Ok(_) => Err(moved(claim)),
        Err(failure) if failure.number == Some(error::DUPLICATE) => Err(moved(claim)),
        Err(failure) => Err(failure.error),
    }
}

/// Removes a claim of this claimant on these names, if there is one.
pub(super) async fn forget_claim(
    session: &mut Session,
    claim: &Claim,
) -> Result<(), ProviderError> {
    let delete = || {
        sqlx::query(
        "DELETE FROM db_operator.claims WHERE database_name = ? AND role_name = ? AND cluster_id = ? \
         AND namespace = ? AND name = ?",
    )
    .bind(claim.names.database.as_str().to_owned())
    .bind(claim.names.role.as_str().to_owned())
    .bind(claim.claimant.cluster_id.clone())
    .bind(claim.claimant.namespace.clone())
    .bind(claim.claimant.name.clone())
    };
    session.change("forgetting a claim", delete).await?;
    Ok(())
}

fn bind<'q>(statement: Statement<'q>, claim: &Claim) -> Statement<'q> {
    let Claim {
        names,
        claimant,
        uid,
        database,
        role,
        drop_adopted,
        released,
    } = claim.clone();
    statement
        .bind(names.database.as_str().to_owned())
        .bind(names.role.as_str().to_owned())
        .bind(claimant.cluster_id)
        .bind(claimant.namespace)
        .bind(claimant.name)
        .bind(uid)
        .bind(database == Origin::Created)
        .bind(role == Origin::Created)
        .bind(drop_adopted)
        .bind(released)
}

pub(super) fn moved(claim: &Claim) -> ProviderError {
    ProviderError::ClaimMoved {
        database: claim.names.database.to_string(),
    }
}
