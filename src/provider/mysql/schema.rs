//! The operator's own schema on the server, `db_operator`: who owns what, who leads, who is connected. `restore_tables.rs` has
//! the tables about restores.
//!
//! Clusters share the tables, and only the administrator has privileges on them. Texts have a collation that tells any
//! two different texts apart, even by trailing spaces.

use super::dialect::Dialect;
use super::error;
use super::restore_tables;
use super::session::{Row, Session};
use crate::provider::ProviderError;
use crate::provider::fence::Epoch;

/// The layout of these tables. A later version of the operator finds it in `meta` and migrates.
const LAYOUT: &str = "1";

/// What the operator's own schema says about a server and about a cluster on it.
#[derive(Default)]
pub(super) struct Standing {
    /// Which server it is.
    pub(super) identity: Option<String>,
    /// The epoch of the cluster, `None` when it has none yet.
    pub(super) epoch: Option<Epoch>,
}

/// Reads both in one answer, because the epoch on another server says nothing about this one. Empty if there is no
/// schema.
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

/// Creates the schema and its tables. Two processes may do so at the same time; only the `identity` of the first is
/// kept.
pub(super) async fn create(
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
             released BOOLEAN NOT NULL, claimed_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, \
             database_begun BOOLEAN NULL, role_begun BOOLEAN NULL) \
             ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE {exact}"
        ),
    ];
    for statement in statements
        .into_iter()
        .chain(restore_tables::tables(dialect))
    {
        session.run(doing, statement).await?;
    }
    for (name, value) in [("layout", LAYOUT), ("identity", identity)] {
        let insert = || {
            sqlx::query("INSERT INTO db_operator.meta (name, value) VALUES (?, ?)")
                .bind(name)
                .bind(value)
        };
        match session.change(doing, insert).await {
            Err(failure) if failure.number != Some(error::DUPLICATE) => return Err(failure.error),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Columns that were added after the first version of these tables. A former version that still writes while this one
/// takes over leaves them out, so the layout stays the same.
const ADDED: &[(&str, &str, &str)] = &[
    ("claims", "database_begun", "BOOLEAN NULL"),
    ("claims", "role_begun", "BOOLEAN NULL"),
];

/// Adds what is missing to the tables of a former version. Two processes may do so at the same time.
pub(super) async fn upgrade(session: &mut Session, dialect: &Dialect) -> Result<(), ProviderError> {
    let doing = "bringing the tables in db_operator up to date";
    let query = sqlx::query(
        "SELECT TABLE_NAME AS tab, COLUMN_NAME AS col FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = 'db_operator'",
    );
    let mut there = Vec::new();
    for row in session.rows(doing, query).await? {
        there.push((row.text("tab")?, row.text("col")?));
    }
    for (table, column, definition) in ADDED {
        let is_there = there.iter().any(|(tab, col)| tab == table && col == column);
        if is_there {
            continue;
        }
        let add = format!("ALTER TABLE db_operator.{table} ADD COLUMN {column} {definition}");
        match session.run(doing, add).await {
            Err(failure) if failure.number != Some(error::DUPLICATE_COLUMN) => {
                return Err(failure.error);
            }
            Ok(_) | Err(_) => {}
        }
    }
    for statement in restore_tables::tables(dialect) {
        session.run(doing, statement).await?;
    }
    Ok(())
}
