//! The claim table: one writer wins, everybody else looks again. And how a claim comes to say that something was made.
//!
//! Nothing on these servers carries a mark from its first moment, and no DDL is in a transaction. So a claim says that a
//! CREATE is sent before it is sent, and afterwards what came of it. Where a crash or a broken connection kept the answer
//! away, what stands there counts as made by that CREATE while it is as a CREATE leaves it: a schema with nothing in
//! it, an account without a privilege.

use super::super::{Claim, Claimant, Names, Origin, Ours, ProviderError, SqlName};
use super::catalog::{ANY_HOST, Grant};
use super::error;
use super::session::{Failure, Row, Session, Statement};

/// A row of the claim table.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) claim: Claim,
    /// A CREATE of the schema was sent, and nobody noted what came of it.
    database_begun: bool,
    /// The same of the account.
    role_begun: bool,
}

/// What a claim says of a schema or of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Database,
    Role,
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
    let rows = session.rows("reading the claims", query).await?;
    rows.iter().map(claimed).collect()
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

/// Whether a schema that exists is the one that its claim speaks of.
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

/// Whether an account that exists is the one that its claim speaks of. `grants` are at least the rows of `mysql.db` on it.
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

/// Whether there is nothing in a schema. Names are compared here: the server's comparisons ignore case.
async fn is_empty(session: &mut Session, schema: &SqlName) -> Result<bool, ProviderError> {
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

/// Says that a CREATE is sent now. What was made before, or adopted, and is gone is to be made from now on.
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

/// Says what came of a CREATE. Where the server gave no answer there is nothing to say, and what exists may be what a
/// former CREATE made whose answer was lost.
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

/// Says that it was made by us.
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
        // sqlx asks the server to count the rows that matched, also those that did not change.
        1 => Ok(()),
        _ => Err(moved(claim)),
    }
}

/// Writes a claim in the place of `standing`. What a CREATE under way is known by stays.
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

fn moved(claim: &Claim) -> ProviderError {
    ProviderError::ClaimMoved {
        database: claim.names.database.to_string(),
    }
}
