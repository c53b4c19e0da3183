//! The operator's own schema on the server, `db_operator`: who owns what, who leads, who is connected.
//!
//! Clusters share the tables; nobody but the administrator has privileges on them. Texts have a collation that tells
//! any two different texts apart, also by trailing spaces.

use super::super::fence::Epoch;
use super::super::{Claim, Claimant, Names, ProviderError, SqlName};
use super::dialect::Dialect;
use super::error;
use super::session::{Row, Session, Statement};

/// The layout of these tables; a later version of the operator finds it in `meta` and migrates.
const LAYOUT: &str = "1";

/// What the operator's own schema says of a server and of a cluster on it.
#[derive(Default)]
pub(super) struct Standing {
    /// Which server it is.
    pub(super) identity: Option<String>,
    /// The epoch of the cluster, `None` when it has none yet.
    pub(super) epoch: Option<Epoch>,
}

/// Both in one answer: the epoch on another server says nothing about this one. Nothing where there is no schema.
pub(super) async fn standing(
    session: &mut Session,
    cluster_id: &str,
) -> Result<Standing, ProviderError> {
    let query = sqlx::query(
        "SELECT CAST(e.epoch AS SIGNED) AS epoch, e.process, m.value AS layout, i.value AS identity \
         FROM db_operator.meta m LEFT JOIN db_operator.meta i ON i.name = 'identity' \
         LEFT JOIN db_operator.epochs e ON e.cluster_id = ? WHERE m.name = 'layout'",
    )
    .bind(cluster_id);
    match session.rows("reading the epoch", query).await {
        Ok(rows) => match rows.first() {
            Some(row) => Ok(Standing {
                identity: row.optional_text("identity")?,
                epoch: read_epoch(row)?,
            }),
            None => Ok(Standing::default()),
        },
        Err(failure) if matches!(failure.number, Some(error::NO_SCHEMA | error::NO_TABLE)) => {
            Ok(Standing::default())
        }
        Err(failure) => Err(failure.error),
    }
}

fn read_epoch(row: &Row) -> Result<Option<Epoch>, ProviderError> {
    let layout = row.text("layout")?;
    if layout != LAYOUT {
        return Err(ProviderError::Unsupported(format!(
            "the tables in db_operator have layout {layout} and this operator knows {LAYOUT}: run the newer version of \
             db-operator"
        )));
    }
    let number = row.optional_number("epoch")?;
    let process = row.optional_text("process")?;
    Ok(number
        .zip(process)
        .map(|(number, process)| Epoch { number, process }))
}

/// What only this server has: a random text made with the schema. It follows the data to a promoted replica, where
/// MySQL's server UUID would change and stop the operator in the middle of a failover. MariaDB has nothing of the
/// kind. `None` where the schema was never made.
pub(super) async fn identity(session: &mut Session) -> Result<Option<String>, ProviderError> {
    let query = sqlx::query("SELECT value FROM db_operator.meta WHERE name = 'identity'");
    match session.rows("reading the server's identity", query).await {
        Ok(rows) => rows.first().map(|row| row.text("value")).transpose(),
        Err(failure) if matches!(failure.number, Some(error::NO_SCHEMA | error::NO_TABLE)) => {
            Ok(None)
        }
        Err(failure) => Err(failure.error),
    }
}

/// Makes the schema and its tables. Two processes may do so at the same time. `identity` is kept only by the first.
pub(super) async fn make(
    session: &mut Session,
    dialect: &Dialect,
    identity: &str,
) -> Result<(), ProviderError> {
    let exact = dialect.exact_collation();
    let doing = "making the operator's own schema db_operator";
    let statements = [
        format!("CREATE DATABASE IF NOT EXISTS db_operator CHARACTER SET utf8mb4 COLLATE {exact}"),
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.meta (name VARCHAR(64) PRIMARY KEY, \
             value VARCHAR(255) NOT NULL) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.epochs (cluster_id VARCHAR(253) PRIMARY KEY, \
             epoch BIGINT NOT NULL, process VARCHAR(64) NOT NULL) ENGINE=InnoDB CHARACTER SET utf8mb4 \
             COLLATE {exact}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.sessions (token VARCHAR(32) PRIMARY KEY, \
             cluster_id VARCHAR(253) NOT NULL, epoch BIGINT NOT NULL, connection_id BIGINT NOT NULL) \
             ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS db_operator.claims (database_name VARCHAR(63) PRIMARY KEY, \
             role_name VARCHAR(63) NOT NULL UNIQUE, cluster_id VARCHAR(253) NOT NULL, \
             namespace VARCHAR(253) NOT NULL, name VARCHAR(253) NOT NULL, uid VARCHAR(253) NOT NULL, \
             created_database BOOLEAN NOT NULL, created_role BOOLEAN NOT NULL, drop_adopted BOOLEAN NOT NULL, \
             released BOOLEAN NOT NULL, claimed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) \
             ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
    ];
    for statement in statements {
        session.run(doing, statement).await?;
    }
    for (name, value) in [("layout", LAYOUT), ("identity", identity)] {
        let insert = sqlx::query("INSERT INTO db_operator.meta (name, value) VALUES (?, ?)")
            .bind(name)
            .bind(value);
        match session.change(doing, insert).await {
            Err(failure) if failure.number != Some(error::DUPLICATE) => return Err(failure.error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Whether the server has RDS's procedure for ending sessions.
pub(super) async fn has_kill_procedure(session: &mut Session) -> Result<bool, ProviderError> {
    let query = sqlx::query(
        "SELECT ROUTINE_NAME AS name FROM information_schema.ROUTINES \
         WHERE ROUTINE_SCHEMA = 'mysql' AND ROUTINE_NAME = 'rds_kill'",
    );
    Ok(!session
        .rows("looking for mysql.rds_kill", query)
        .await?
        .is_empty())
}

const CLAIMS: &str = "SELECT database_name, role_name, cluster_id, namespace, name, uid, \
                      CAST(created_database AS SIGNED) AS created_database, \
                      CAST(created_role AS SIGNED) AS created_role, \
                      CAST(drop_adopted AS SIGNED) AS drop_adopted, CAST(released AS SIGNED) AS released \
                      FROM db_operator.claims";

const CLAIMS_ON: &str = "SELECT database_name, role_name, cluster_id, namespace, name, uid, \
                         CAST(created_database AS SIGNED) AS created_database, \
                         CAST(created_role AS SIGNED) AS created_role, \
                         CAST(drop_adopted AS SIGNED) AS drop_adopted, CAST(released AS SIGNED) AS released \
                         FROM db_operator.claims WHERE database_name = ? OR role_name = ?";

/// The claims that name this database or this role, or all of them.
pub(super) async fn claims(
    session: &mut Session,
    names: Option<&Names>,
) -> Result<Vec<Claim>, ProviderError> {
    let query = match names {
        Some(names) => sqlx::query(CLAIMS_ON)
            .bind(names.database.as_str().to_owned())
            .bind(names.role.as_str().to_owned()),
        None => sqlx::query(CLAIMS),
    };
    let rows = session.rows("reading the claims", query).await?;
    rows.iter().map(claim).collect()
}

fn claim(row: &Row) -> Result<Claim, ProviderError> {
    let name = |column: &str| {
        let text = row.text(column)?;
        SqlName::new(text).map_err(|error| ProviderError::Unexpected {
            doing: "reading a claim in db_operator.claims".to_owned(),
            detail: error.to_string(),
        })
    };
    Ok(Claim {
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
        created_database: row.flag("created_database")?,
        created_role: row.flag("created_role")?,
        drop_adopted: row.flag("drop_adopted")?,
        released: row.flag("released")?,
    })
}

/// Writes a claim in the place of `standing`.
pub(super) async fn write_claim(
    session: &mut Session,
    claim: &Claim,
    standing: Option<&Claim>,
) -> Result<(), ProviderError> {
    let doing = "writing a claim";
    let moved = || ProviderError::ClaimMoved {
        database: claim.names.database.to_string(),
    };
    let statement = match standing {
        None => bind(
            sqlx::query(
                "INSERT INTO db_operator.claims (database_name, role_name, cluster_id, namespace, name, uid, \
                 created_database, created_role, drop_adopted, released) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ),
            claim,
        ),
        Some(standing) => bind(
            bind(
                sqlx::query(
                    "UPDATE db_operator.claims SET database_name = ?, role_name = ?, cluster_id = ?, \
                     namespace = ?, name = ?, uid = ?, created_database = ?, created_role = ?, drop_adopted = ?, \
                     released = ? WHERE database_name = ? AND role_name = ? AND cluster_id = ? AND namespace = ? \
                     AND name = ? AND uid = ? AND created_database = ? AND created_role = ? AND drop_adopted = ? \
                     AND released = ?",
                ),
                claim,
            ),
            standing,
        ),
    };
    match session.change(doing, statement).await {
        // sqlx asks the server to count the rows that matched, also those that did not change.
        Ok(1) => Ok(()),
        Ok(_) => Err(moved()),
        Err(failure) if failure.number == Some(error::DUPLICATE) => Err(moved()),
        Err(failure) => Err(failure.error),
    }
}

/// Removes a claim of this claimant on these names, if there is one.
pub(super) async fn forget_claim(
    session: &mut Session,
    claim: &Claim,
) -> Result<(), ProviderError> {
    let delete = sqlx::query(
        "DELETE FROM db_operator.claims WHERE database_name = ? AND role_name = ? AND cluster_id = ? \
         AND namespace = ? AND name = ?",
    )
    .bind(claim.names.database.as_str().to_owned())
    .bind(claim.names.role.as_str().to_owned())
    .bind(claim.claimant.cluster_id.clone())
    .bind(claim.claimant.namespace.clone())
    .bind(claim.claimant.name.clone());
    session.change("forgetting a claim", delete).await?;
    Ok(())
}

fn bind<'q>(statement: Statement<'q>, claim: &Claim) -> Statement<'q> {
    let Claim {
        names,
        claimant,
        uid,
        created_database,
        created_role,
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
        .bind(created_database)
        .bind(created_role)
        .bind(drop_adopted)
        .bind(released)
}
