//! How a claim comes to say that its schema or its account was created.
//!
//! On these servers nothing carries a mark from its first moment, and no DDL is part of a transaction. So a claim says
//! that a CREATE is sent before it is sent, and afterwards what came of it. If a crash or a broken connection kept the
//! answer away, what exists counts as created by that CREATE as long as it is as a CREATE leaves it: a schema with
//! nothing in it, an account without a privilege.

use super::catalog::ANY_HOST;
use super::claims::{Claimed, moved};
use super::error::{self, Failure};
use super::rows::Grant;
use super::session::Session;
use crate::provider::{Claim, Origin, Ours, ProviderError, SqlName};

/// What a claim says of a schema or of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Database,
    Role,
}

/// Whether a schema that exists is the one that its claim describes.
pub(super) async fn ours_of_schema(
    session: &mut Session,
    all: &[Claimed],
    schema: &SqlName,
) -> Result<Ours, ProviderError> {
    let claimed = all
        .iter()
        .find(|claimed| claimed.claim.names.database == *schema);
    match claimed {
        Some(claimed) if claimed.claim.database == Origin::Creating => {
            let ours = claimed.database_begun && is_empty(session, schema).await?;
            Ok(if ours { Ours::Yes } else { Ours::No })
        }
        Some(_) | None => Ok(Ours::Unknown),
    }
}

/// Whether an account that exists is the one that its claim describes. `grants` includes at least its rows of
/// `mysql.db`.
pub(super) fn ours_of_account(all: &[Claimed], user: &SqlName, grants: &[Grant]) -> Ours {
    let claimed = all.iter().find(|claimed| claimed.claim.names.role == *user);
    match claimed {
        Some(claimed) if claimed.claim.role == Origin::Creating => {
            let bare = !grants
                .iter()
                .any(|grant| grant.user == user.as_str() && grant.host == ANY_HOST);
            if claimed.role_begun && bare {
                Ours::Yes
            } else {
                Ours::No
            }
        }
        Some(_) | None => Ours::Unknown,
    }
}

/// Whether a schema is empty, as a CREATE leaves it. Names are compared here, because the server's comparisons ignore case.
pub(super) async fn is_empty(
    session: &mut Session,
    schema: &SqlName,
) -> Result<bool, ProviderError> {
    const SQL: &str = "SELECT DISTINCT CONVERT(name USING utf8mb4) AS name FROM (\
         SELECT TABLE_SCHEMA AS name FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? UNION ALL \
         SELECT ROUTINE_SCHEMA FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ? UNION ALL \
         SELECT EVENT_SCHEMA FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?) AS used";
    let name = schema.as_str().to_owned();
    let query = sqlx::query(SQL)
        .bind(name.clone())
        .bind(name.clone())
        .bind(name);
    for row in session.rows("looking into a schema", query).await? {
        if row.text("name")? == schema.as_str() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Records in the claim that a CREATE is sent now. What was created before, or adopted, and is gone counts as to be
/// created.
pub(super) async fn begin(
    session: &mut Session,
    claimed: Option<&Claimed>,
    part: Part,
) -> Result<(), ProviderError> {
    let Some(claimed) = claimed else {
        return Ok(());
    };
    let sql = match part {
        Part::Database if claimed.database_begun => return Ok(()),
        Part::Role if claimed.role_begun => return Ok(()),
        Part::Database => {
            "UPDATE db_operator.claims SET created_database = FALSE, database_begun = TRUE \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released"
        }
        Part::Role => {
            "UPDATE db_operator.claims SET created_role = FALSE, role_begun = TRUE \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released"
        }
    };
    note(session, sql, &claimed.claim).await
}

/// Records in the claim what came of a CREATE. Without an answer of the server there is nothing to record, and what
/// exists may come from a former CREATE whose answer was lost.
pub(super) async fn ended(
    session: &mut Session,
    claimed: Option<&Claimed>,
    part: Part,
    outcome: Result<u64, Failure>,
) -> Result<Result<(), Failure>, ProviderError> {
    let Some(claimed) = claimed else {
        return Ok(outcome.map(|_| ()));
    };
    let Err(failure) = outcome else {
        made(session, &claimed.claim, part).await?;
        return Ok(Ok(()));
    };
    let (begun_before, sql) = match part {
        Part::Database => (
            claimed.database_begun,
            "UPDATE db_operator.claims SET database_begun = FALSE \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released",
        ),
        Part::Role => (
            claimed.role_begun,
            "UPDATE db_operator.claims SET role_begun = FALSE \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released",
        ),
    };
    let refused = match failure.number {
        None => false,
        Some(error::SCHEMA_EXISTS | error::CANNOT_USER) => !begun_before,
        Some(_) => true,
    };
    if refused {
        note(session, sql, &claimed.claim).await?;
    }
    Ok(Err(failure))
}

/// Records in the claim that we created it.
pub(super) async fn made(
    session: &mut Session,
    claim: &Claim,
    part: Part,
) -> Result<(), ProviderError> {
    let sql = match part {
        Part::Database => {
            "UPDATE db_operator.claims SET created_database = TRUE, database_begun = NULL \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released"
        }
        Part::Role => {
            "UPDATE db_operator.claims SET created_role = TRUE, role_begun = NULL \
             WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND NOT released"
        }
    };
    note(session, sql, claim).await
}

async fn note(
    session: &mut Session,
    sql: &'static str,
    claim: &Claim,
) -> Result<(), ProviderError> {
    let update = || {
        sqlx::query(sql)
            .bind(claim.names.database.as_str().to_owned())
            .bind(claim.names.role.as_str().to_owned())
            .bind(claim.claimant.cluster_id.clone())
    };
    match session.change("noting what was made", update).await? {
        // sqlx has the server count the rows that matched, including those that did not change.
        1 => Ok(()),
        _ => Err(moved(claim)),
    }
}

/// Handles what exists although a claim says that it is being created: we created it before a crash, or someone else
/// did since it was looked for.
pub(super) async fn record_or_refuse(
    session: &mut Session,
    claimed: &Claimed,
    part: Part,
    ours: Ours,
) -> Result<(), ProviderError> {
    match ours {
        Ours::Yes => made(session, &claimed.claim, part).await,
        Ours::No | Ours::Unknown => Err(made_or_dropped()),
    }
}

/// Recognizes that someone else created or dropped it between our look and our statement, so that we look again.
pub(super) fn meanwhile(failure: Failure) -> ProviderError {
    match failure.number {
        Some(error::CANNOT_USER | error::SCHEMA_EXISTS) => made_or_dropped(),
        Some(_) | None => failure.error,
    }
}

fn made_or_dropped() -> ProviderError {
    ProviderError::Busy {
        doing: "making what was missing".to_owned(),
        detail: "someone else made or dropped it at the same moment".to_owned(),
    }
}
